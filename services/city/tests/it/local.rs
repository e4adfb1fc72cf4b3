//! The local stack's Kafka: Apache Kafka itself. Skipped, and said so, where its jars are not (`./dev setup local`).

use std::time::Instant;

use hexcab_city::stack::{
    kafka::{
        NAME, Topics,
        local::{Installed, Ports},
    },
    process::{Fault, Process as _},
};

use crate::bench::Bench;

async fn bench() -> Option<Bench> {
    let installed = match Installed::find() {
        Ok(installed) => installed,
        Err(missing) => {
            println!("skipped: {missing:#}");
            return None;
        }
    };
    let bench = Bench::new(|dir, ports, _postgres, log| {
        let own = Ports {
            clients: ports.take(None).unwrap(),
            controller: ports.take(None).unwrap(),
        };
        let child = installed.child(&dir.join(NAME), own, log).unwrap();
        (child, Topics::Made, own.clients)
    });
    Some(bench.await)
}

/// Killed, it keeps what it had, and its clients' places; held up, it costs only time.
#[tokio::test(flavor = "multi_thread")]
async fn kafka_keeps_its_events_over_a_kill_and_goes_on_after_a_stop() {
    let Some(bench) = bench().await else { return };
    bench.relay();
    let member = bench.consume();
    let tail = bench.tail().await;
    bench.write(0..200).await;
    member.until(0..200).await;
    tail.until(0..200).await;

    let begun = Instant::now();
    assert!(bench.kafka.child().suffer(Fault::Kill));
    bench.write(200..400).await;
    bench.until_restarts(1).await;
    member.until(0..400).await;
    tail.until(0..400).await;
    println!("both have all {:?} after the kill", begun.elapsed());
    // Nobody sent the first ones again: they are Kafka's own.
    bench.forget_outbox().await;
    let newcomer = bench.consume_as("newcomer");
    newcomer.until(0..400).await;

    assert!(bench.kafka.child().suffer(Fault::Stop));
    bench.write(400..500).await;
    assert!(bench.kafka.child().suffer(Fault::Continue));
    member.until(0..500).await;
    tail.until(0..500).await;
    assert_eq!(tail.assignments(), 1, "it goes on where it was");
    assert_eq!(bench.kafka.child().life().restarts, 1);
    bench.stop().await;
}
