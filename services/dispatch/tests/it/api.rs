//! What dispatch says about itself.

use std::sync::Arc;

use async_trait::async_trait;
use hexcab_bus::{Consumer, Failure, Handler, Incoming, topic};
use hexcab_chassis::{Readiness, status::reason};
use hexcab_proto::dispatch::v1::{self as pb, explain_offer_request::What};
use hexcab_testkit::eventually;
use hexcab_types::{DecisionId, TripId};
use parking_lot::Mutex;
use tonic::Code;
use uuid::Uuid;

use crate::{Bench, place};

impl Bench {
    /// The last decision about a trip, if there is one.
    pub async fn explain_trip(&self, trip: TripId) -> Option<pb::DecisionMade> {
        self.explain(What::Trip(trip.name())).await.ok()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_offer_is_explained_by_its_decision_and_by_its_trip() {
    let bench = Bench::new().await;
    let (far, near) = (
        bench.location.driver_at(place(30)),
        bench.location.driver_at(place(2)),
    );
    let trip = bench.trip.request(place(0)).await;
    bench.until_offered(trip, 1).await;
    let offer = &bench.trip.offers()[0];
    let explained = bench
        .explain(What::Decision(offer.decision.clone()))
        .await
        .unwrap();
    assert_eq!(Some(&explained), bench.explain_trip(trip).await.as_ref());
    assert_eq!(explained.driver, near.name());
    assert_eq!(
        (explained.policy.as_str(), explained.city.as_str()),
        ("batched", "sf")
    );
    assert_eq!(
        (explained.window_requests, explained.trip),
        (1, trip.name())
    );
    let considered: Vec<_> = explained
        .considered
        .iter()
        .map(|it| it.driver.clone())
        .collect();
    assert_eq!(considered, [near.name(), far.name()]);
    assert_eq!(explained.considered[0].eta_s, offer.pickup_eta_s);
    assert_eq!(explained.considered[0].position_age_ms, 1_500);
    assert!(explained.considered[0].cost_ms < explained.considered[1].cost_ms);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_is_left_over_has_one_decision_with_the_figures_of_now() {
    let bench = Bench::new().await;
    let trip = bench.trip.request(place(0)).await;
    let first = eventually(|| async { bench.explain_trip(trip).await }).await;
    let later = eventually(|| async {
        bench
            .explain_trip(trip)
            .await
            .filter(|now| now.window > first.window)
    })
    .await;
    assert_eq!(
        (first.driver.as_str(), first.decision.clone()),
        ("", later.decision)
    );
    bench.location.driver_at(place(1));
    bench.until_offered(trip, 1).await;
    assert_ne!(bench.trip.offers()[0].decision, first.decision);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_answered_says_why() {
    let bench = Bench::new().await;
    let table = [
        (
            What::Decision(DecisionId::from(Uuid::from_u128(1)).name()),
            Code::NotFound,
            "DECISION_NOT_KEPT",
        ),
        (
            What::Trip(TripId::from(Uuid::from_u128(1)).name()),
            Code::NotFound,
            "DECISION_NOT_KEPT",
        ),
        (
            What::Trip("trips/x".into()),
            Code::InvalidArgument,
            "FIELD_INVALID",
        ),
        (
            What::Decision(String::new()),
            Code::InvalidArgument,
            "FIELD_INVALID",
        ),
    ];
    for (what, code, why) in table {
        let status = bench.explain(what).await.unwrap_err();
        assert_eq!(
            (status.code(), reason(&status).as_deref()),
            (code, Some(why))
        );
    }
    let mut client = bench.dispatch.client.clone();
    let nothing = client
        .explain_offer(pb::ExplainOfferRequest { what: None })
        .await
        .unwrap_err();
    assert_eq!(nothing.code(), Code::InvalidArgument);
    for (city, code, why) in [
        ("", Code::InvalidArgument, "FIELD_INVALID"),
        ("atlantis", Code::NotFound, "CITY_UNKNOWN"),
    ] {
        let status = client
            .get_city_status(pb::GetCityStatusRequest { city: city.into() })
            .await
            .unwrap_err();
        assert_eq!(
            (status.code(), reason(&status).as_deref()),
            (code, Some(why))
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_state_of_a_city_names_who_waits() {
    let bench = Bench::new().await;
    bench.location.driver_at(place(1));
    let trip = bench.trip.request(place(0)).await;
    bench.until_offered(trip, 1).await;
    bench.trip.decline(trip).await;
    bench.until_open(&[trip]).await;
    // A window may just have it in hand.
    let status = eventually(|| async {
        let status = bench.status().await.ok()?;
        (!status.open_requests.is_empty()).then_some(status)
    })
    .await;
    assert_eq!(status.open_requests[0].excluded_drivers, 1);
    assert_eq!(status.policy, "batched");
    assert!(
        status.windows >= 1 && status.last_window.is_some() && status.rebuild_time.is_some(),
        "{status:?}"
    );
}

#[derive(Default)]
struct Told(Mutex<Vec<Incoming>>);

#[async_trait]
impl Handler for Told {
    async fn handle(&self, event: &Incoming) -> Result<(), Failure> {
        self.0.lock().push(event.clone());
        Ok(())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn decisions_are_told_keyed_by_trip() {
    let bench = Bench::new().await;
    let told = Arc::new(Told::default());
    let component = Readiness::new().component("kafka");
    let consumer = Consumer::new(
        &bench.bus(),
        "test",
        &[topic::DISPATCH],
        told.clone(),
        component,
    );
    bench
        .tasks
        .spawn("consumer", consumer.run(bench.tasks.shutdown()));
    bench.location.driver_at(place(1));
    let trip = bench.trip.request(place(0)).await;
    bench.until_offered(trip, 1).await;
    let event = eventually(|| async { told.0.lock().first().cloned() }).await;
    assert_eq!(
        (event.key.clone(), event.subject.clone()),
        (trip.to_string(), trip.name())
    );
    assert_eq!(
        (event.kind.as_str(), event.source.as_str()),
        ("hexcab.dispatch.v1.DecisionMade", "dispatch")
    );
    let made: pb::DecisionMade = event.decode().unwrap();
    assert_eq!(Some(made), bench.explain_trip(trip).await);
}
