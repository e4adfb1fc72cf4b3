//! From the broker to a handler.

use std::sync::Arc;

use hexcab_bus::{Failure, Incoming, Producer, inbox, topic};
use hexcab_pg::PgError;

use crate::{Bench, Seen, event};

#[tokio::test(flavor = "multi_thread")]
async fn poison_is_put_aside_with_its_bytes_and_the_rest_goes_on() {
    let bench = Bench::new().await;
    let (seen, dead) = (Arc::new(Seen::default()), Arc::new(Seen::default()));
    seen.fail
        .lock()
        .push(("trips/bad", Failure::Poison("cannot be read".into())));
    let letters = topic::dead_letters(topic::TRIP);
    bench.broker.create_topic(&letters, 1);
    bench.consume(&[topic::TRIP], seen.clone());
    let producer = Producer::connect(&bench.config()).unwrap();
    for subject in ["trips/1", "trips/bad", "trips/2"] {
        producer.publish(event(subject)).await.unwrap();
    }
    assert_eq!(seen.until(2).await, ["trips/1", "trips/2"]);

    let component = hexcab_chassis::Readiness::new().component("kafka");
    let reader = hexcab_bus::Consumer::new(
        &bench.config(),
        "letters",
        &[&letters],
        dead.clone(),
        component,
    );
    bench
        .tasks
        .spawn("letters", reader.run(bench.tasks.shutdown()));
    dead.until(1).await;
    let letter = dead.events.lock()[0].clone();
    assert_eq!(
        (letter.subject.as_str(), &letter.payload[..]),
        ("trips/bad", b"trips/bad".as_slice())
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dependency_that_is_away_keeps_order_and_loses_nothing() {
    let bench = Bench::new().await;
    let seen = Arc::new(Seen::default());
    for _ in 0..3 {
        seen.fail.lock().push((
            "trips/1",
            Failure::Dependency(anyhow_like("postgres is away")),
        ));
    }
    bench.consume(&[topic::TRIP], seen.clone());
    let producer = Producer::connect(&bench.config()).unwrap();
    let subjects: Vec<String> = (0..5).map(|n| format!("trips/{n}")).collect();
    for subject in &subjects {
        producer.publish(event(subject)).await.unwrap();
    }
    assert_eq!(seen.until(5).await, subjects);
    assert!(seen.fail.lock().is_empty());
}

fn anyhow_like(text: &str) -> anyhow::Error {
    anyhow::Error::msg(text.to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_has_its_effect_once_per_consumer() {
    let bench = Bench::new().await;
    let seen = Arc::new(Seen::default());
    bench.consume(&[topic::TRIP], seen.clone());
    let producer = Producer::connect(&bench.config()).unwrap();
    producer.publish(event("trips/1")).await.unwrap();
    seen.until(1).await;
    let event = seen.events.lock()[0].clone();
    assert!(record(&bench, "payment", &event).await);
    assert!(!record(&bench, "payment", &event).await);
    assert!(record(&bench, "pricing", &event).await);
}

async fn record(bench: &Bench, consumer: &str, event: &Incoming) -> bool {
    bench
        .pg
        .serializable::<_, PgError, _, _>("test.inbox", |mut tx| async move {
            inbox::first_time(&mut tx, consumer, event).await
        })
        .await
        .unwrap()
}
