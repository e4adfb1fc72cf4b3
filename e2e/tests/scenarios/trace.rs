//! One trace over every hop of a ride.

use std::{collections::BTreeSet, sync::Arc};

use hexcab_e2e::{City, collector::Trace, eventually};
use hexcab_proto::payment::v1::IntentState;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;

use crate::{DROPOFF, Offered, PICKUP, code, offered, until_money};

pub async fn of_a_ride_is_one_tree_over_every_hop(city: Arc<City>) {
    let Offered {
        rider,
        driver,
        trip,
        offer,
    } = offered(&city).await;
    driver.accept(&trip, &offer).await.ok();
    let seen = rider.until(&trip, "EN_ROUTE").await;
    driver.drive(&trip, &code(&seen), PICKUP, DROPOFF).await;
    until_money(&city, &trip, IntentState::Captured).await;
    driver.leave(&city).await;

    let id = seen["trace_id"]
        .as_str()
        .expect("the trip names its trace")
        .to_owned();
    let trace = eventually("the ride's spans have arrived", || async {
        let trace = city.spans.trace(&id).await;
        let captured = trace.named("payment-sandbox", "capture").next().is_some();
        (captured && trace.roots().len() == 1).then_some(trace)
    })
    .await;

    let found = city.spans.of_trip(&trip).await;
    let astray: Vec<_> = found.iter().filter(|(other, _)| *other != id).collect();
    assert!(
        astray.is_empty(),
        "hops that began a trace of their own: {astray:#?}"
    );
    assert_eq!(found.len(), 1, "the ride is found by its trip");

    let services: BTreeSet<&str> = trace.0.iter().map(|span| span.service.as_str()).collect();
    for service in [
        "gateway",
        "pricing",
        "trip",
        "dispatch",
        "location",
        "payment",
        "payment-sandbox",
    ] {
        assert!(
            services.contains(service),
            "{service} is not in the trace, only {services:?}"
        );
    }
    let roots = trace.roots();
    assert_eq!(roots.len(), 1, "{roots:#?}");
    assert_eq!(
        (roots[0].service.as_str(), roots[0].name.as_str()),
        ("gateway", "POST /v1/quotes")
    );
    assert_eq!(roots[0].parent, "");

    // Who is whose parent, nearest first; every line must stand in the ancestry in this order.
    let lines: [(&str, &str, &[&str]); 10] = [
        (
            "pricing",
            "CreateQuote",
            &["gateway", "gateway POST /v1/quotes"],
        ),
        ("trip", "CreateTrip", &["gateway", "gateway POST /v1/trips"]),
        (
            "dispatch",
            "process hexcab.trip.v1",
            &["trip send hexcab.trip.v1", "trip"],
        ),
        (
            "location",
            "FindNearby",
            &["dispatch", "trip send hexcab.trip.v1"],
        ),
        (
            "trip",
            "OfferTrip",
            &["dispatch", "trip send hexcab.trip.v1"],
        ),
        (
            "gateway",
            "process hexcab.trip.v1",
            &["trip send hexcab.trip.v1"],
        ),
        ("trip", "AcceptOffer", &["gateway"]),
        (
            "payment",
            "process hexcab.trip.v1",
            &["trip send hexcab.trip.v1"],
        ),
        (
            "payment-sandbox",
            "POST /v1/payment_intents",
            &[
                "payment",
                "trip send hexcab.trip.v1",
                "gateway POST /v1/trips",
            ],
        ),
        (
            "payment-sandbox",
            "capture",
            &["payment", "trip send hexcab.trip.v1", "trip", "gateway"],
        ),
    ];
    for (service, name, above) in lines {
        let found = trace
            .named(service, name)
            .any(|span| in_order(&trace.ancestry(span)[1..], above));
        assert!(
            found,
            "no {service} span {name:?} below {above:?}:\n{}",
            picture(&trace)
        );
    }
    every_consumer_follows_its_producer(&trace);
    for service in ["trip", "pricing", "payment"] {
        let database = trace.0.iter().any(|span| {
            span.service == service
                && span
                    .attributes
                    .get("db.system.name")
                    .is_some_and(|name| name == "postgresql")
        });
        assert!(database, "{service} has no database span");
    }
}

fn in_order(ancestry: &[String], wanted: &[&str]) -> bool {
    let mut rest = ancestry.iter();
    wanted
        .iter()
        .all(|want| rest.any(|line| line.contains(want)))
}

fn every_consumer_follows_its_producer(trace: &Trace) {
    let consumers: Vec<_> = trace
        .0
        .iter()
        .filter(|span| span.kind == SpanKind::Consumer)
        .collect();
    assert!(consumers.len() >= 10, "{} consumer spans", consumers.len());
    for span in consumers {
        let parent = trace.get(&span.parent).expect("its parent is in the trace");
        assert_eq!(
            parent.kind,
            SpanKind::Producer,
            "{span:?} has the parent {parent:?}"
        );
        assert!(
            span.links.contains(&parent.id),
            "{span:?} is not linked to its producer"
        );
    }
}

fn picture(trace: &Trace) -> String {
    trace
        .0
        .iter()
        .map(|span| trace.ancestry(span).join(" < "))
        .collect::<Vec<_>>()
        .join("\n")
}
