//! Partitions that go to another member while events are being handled.

use std::sync::{Arc, atomic::Ordering};

use hexcab_bus::{Outgoing, Producer, topic};
use hexcab_testkit::eventually;

use crate::{
    Bench,
    effects::{self, Effects, Stop},
    event,
};

const PARTITIONS: i32 = 4;
const KEYS: usize = 12;
const EVENTS_OF_A_KEY: usize = 20;

/// The first member has all partitions and is in the middle of a batch when a second one joins; the first then gives up
/// some of them, with events fetched and not handled; then it dies. Every event has its effect once, and in its key's
/// order.
#[tokio::test(flavor = "multi_thread")]
async fn a_rebalance_in_the_middle_of_a_batch_loses_doubles_and_reorders_nothing() {
    let bench = Bench::with_partitions(PARTITIONS).await;
    let producer = Producer::connect(&bench.config()).unwrap();
    for n in 0..EVENTS_OF_A_KEY {
        for key in 0..KEYS {
            let event = Outgoing {
                key: format!("city{key}"),
                ..event(&format!("trips/{key}/{n:02}"))
            };
            producer.publish(event).await.unwrap();
        }
    }
    let first = Effects::new(&bench.pg, "payment").await;
    let go_on = first.stop_at(Stop::Before("any"));
    let dies = bench.member("effects", &[topic::TRIP], first.clone());
    first.until_stopped().await;
    assert_eq!(first.assigned.lock().len(), PARTITIONS as usize);
    go_on.add_permits(KEYS);
    for _ in 0..KEYS {
        first.until_stopped().await;
    }
    // It holds an event in its hands, and more behind it.
    let second = Effects::new(&bench.pg, "payment").await;
    bench.member("effects", &[topic::TRIP], second.clone());
    // Let go step by step, few enough that plenty is left: after each event it hears from its group.
    let mut looks = 0;
    eventually(|| {
        looks += 1;
        if looks % 25 == 0 {
            go_on.add_permits(1);
        }
        std::future::ready((!second.assigned.lock().is_empty()).then_some(()))
    })
    .await;
    assert!(
        !first.revoked.lock().is_empty(),
        "partitions were taken from it"
    );
    let half = KEYS * EVENTS_OF_A_KEY / 2;
    eventually(|| async {
        go_on.add_permits(1);
        (effects::of(bench.pg.pool()).await.len() >= half).then_some(())
    })
    .await;
    dies.abort();
    effects::until(bench.pg.pool(), KEYS * EVENTS_OF_A_KEY).await;

    for key in 0..KEYS {
        let expected: Vec<String> = (0..EVENTS_OF_A_KEY)
            .map(|n| format!("trips/{key}/{n:02}"))
            .collect();
        let effects = effects::of_key(bench.pg.pool(), &format!("city{key}")).await;
        assert_eq!(effects, expected);
    }
    let deliveries = |effects: &Arc<Effects>| effects.deliveries.load(Ordering::Relaxed);
    let (of_first, of_second) = (deliveries(&first), deliveries(&second));
    assert!(
        of_first > KEYS && of_second > 0,
        "{of_first} and {of_second}"
    );
}
