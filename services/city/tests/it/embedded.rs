//! The embedded stack's broker as a process.

use std::time::Instant;

use hexcab_city::{
    outboxes,
    stack::{
        kafka::{Topics, embedded},
        process::{Fault, Process as _},
        services,
    },
};
use hexcab_types::Timestamp;

use crate::bench::Bench;

async fn bench() -> Bench {
    Bench::new(|_dir, ports, postgres, log| {
        let port = ports.take(None).unwrap();
        let binaries = services::binaries().unwrap();
        let child = embedded::child(&binaries, port, postgres, log).unwrap();
        (child, Topics::Own, port)
    })
    .await
}

/// The hardest case: the log of the dead broker was longer than its events (they were sent twice), so that the places
/// which consumers remember, and commit when they can, lie in the new log beyond what they have not seen.
#[tokio::test(flavor = "multi_thread")]
async fn a_broker_that_was_killed_comes_back_empty_and_every_event_is_seen() {
    let bench = bench().await;
    bench.relay();
    let member = bench.consume();
    bench.write(0..300).await;
    member.until(0..300).await;
    let sent = outboxes::republish(bench.database.url(), Timestamp::UNIX_EPOCH).await;
    assert_eq!(
        outboxes::told(&sent.unwrap()),
        "300 of trip, 0 of payment, 0 of pricing"
    );
    bench.write(300..301).await;
    member.until(0..301).await;

    let begun = Instant::now();
    assert!(bench.kafka.child().suffer(Fault::Kill));
    bench.write(301..1000).await;
    bench.until_restarts(1).await;
    println!("started again after {:?}", begun.elapsed());
    member.until(0..1000).await;
    println!("the member has all after {:?}", begun.elapsed());
    bench.stop().await;
}

/// Those that tail have no group that would give them their partitions again.
#[tokio::test(flavor = "multi_thread")]
async fn a_tail_goes_on_with_a_broker_that_comes_back_empty() {
    let bench = bench().await;
    bench.relay();
    let tail = bench.tail().await;
    bench.write(0..300).await;
    tail.until(0..300).await;
    let sent = outboxes::republish(bench.database.url(), Timestamp::UNIX_EPOCH).await;
    sent.unwrap();
    bench.write(300..301).await;
    tail.until(0..301).await;
    assert!(bench.kafka.child().suffer(Fault::Kill));
    bench.write(301..1000).await;
    tail.until(0..1000).await;
    assert_eq!(tail.assignments(), 2, "it is told of the gap");
    bench.stop().await;
}
