//! What is emitted is what docs/telemetry.md lists.

use std::{collections::BTreeSet, path::Path, sync::Arc};

use hexcab_e2e::{City, PATIENCE, telemetry};
use hexcab_proto::payment::v1::IntentState;

use crate::{DROPOFF, Offered, PICKUP, code, offered, until_money};

/// What the SDK says of itself.
const OF_THE_SDK: &str = "otel.sdk.";

/// Said only when something is amiss, or by who has work of that kind.
const RARELY: [&str; 10] = [
    "hexcab.consumer.paused",
    "hexcab.pg.contended",
    "hexcab.pg.retries",
    "hexcab.pg.unknown_outcomes",
    "hexcab.dlq.letters",
    "hexcab.location.store.away",
    "hexcab.location.store.failures",
    "hexcab.outbox.held",
    "hexcab.reconciler.mismatches",
    "hexcab.reconciler.runs",
];

pub async fn that_is_emitted_is_what_is_listed(city: Arc<City>) {
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

    let collector = city.spans.own().expect("a city of our own");
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let listed = telemetry::instruments(&root).unwrap();
    let wanted: BTreeSet<&str> = listed
        .keys()
        .map(String::as_str)
        .filter(|name| !RARELY.contains(name))
        .collect();
    let missing = || -> Vec<&str> {
        let emitted = collector.numbers();
        let is_said = |name: &&str| emitted.iter().any(|(_, said)| said == name);
        wanted
            .iter()
            .copied()
            .filter(|name| !is_said(name))
            .collect()
    };
    let what = || format!("every listed metric; missing: {:?}", missing());
    let all = || async { missing().is_empty().then_some(()) };
    hexcab_testkit::within(PATIENCE, what, all).await;
    let emitted = collector.numbers();
    let unlisted: Vec<_> = emitted
        .iter()
        .filter(|(_, name)| !listed.contains_key(name) && !name.starts_with(OF_THE_SDK))
        .collect();
    assert!(unlisted.is_empty(), "in no list: {unlisted:?}");

    let services = [
        "gateway", "trip", "dispatch", "location", "pricing", "payment",
    ];
    for service in services {
        let of_service = |name: &str| emitted.contains(&(service.to_owned(), name.to_owned()));
        assert!(of_service("process.memory.usage"), "{service}: {emitted:?}");
        let door = match service {
            "gateway" => "http.server.request.duration",
            // Nobody calls it but somebody who asks why.
            "dispatch" => "hexcab.dispatch.offers",
            _ => "rpc.server.call.duration",
        };
        assert!(of_service(door), "{service}: {emitted:?}");
        let lines = collector.lines();
        assert!(
            lines.iter().any(|(said, _)| said == service),
            "{service} has no log lines"
        );
    }
}
