//! Deliveries that nobody needs: events that come again, in another order or all of them, and records that nobody can read.
//!
//! Does not: change an event; what comes again is what came before, with its id and its key.

use std::time::Duration;

use hexcab_bus::topic;
use hexcab_chassis::Clock;
use rand::{SeedableRng as _, rngs::StdRng, seq::SliceRandom as _};
use uuid::Uuid;

use crate::{
    command::events::kafka::{self, Record},
    outboxes::{republish, told},
    stack::Stack,
};

/// Topics that have inboxes behind them.
const TOPICS: [&str; 2] = [topic::TRIP, topic::PAYMENT];
/// What poison is about, so that its dead letters are known from others.
pub const POISON: &str = "chaos/poison";

/// The newest events of each topic once more, shuffled.
///
/// # Errors
/// When the broker does not answer.
pub async fn echo(stack: &Stack, newest: usize, seed: u64) -> anyhow::Result<String> {
    let brokers = stack.file().brokers;
    let topics = TOPICS.map(str::to_owned).to_vec();
    let mut records = kafka::read_newest(&brokers, topics, newest).await?;
    records.retain(|record| record.header("ce_subject") != POISON);
    records.shuffle(&mut StdRng::seed_from_u64(seed));
    let writer = kafka::Writer::new(&brokers)?;
    for record in &records {
        writer.write(&record.topic, record).await?;
    }
    Ok(format!("{} events were delivered again", records.len()))
}

/// The outboxes of the last seconds once more.
///
/// # Errors
/// When a database does not answer.
pub async fn send_again(stack: &Stack, since_s: u64) -> anyhow::Result<String> {
    let since = Clock::system().now() - Duration::from_secs(since_s);
    let sent = republish(&stack.file().postgres, since).await?;
    Ok(format!("sent again: {}", told(&sent)))
}

/// A record on each topic that says that it is an event and is none.
///
/// # Errors
/// When the broker does not answer.
pub async fn poison(stack: &Stack) -> anyhow::Result<String> {
    let writer = kafka::Writer::new(&stack.file().brokers)?;
    for (topic, kind) in TOPICS
        .into_iter()
        .zip(["trip.v1.TripRequested", "payment.v1.Captured"])
    {
        writer.write(topic, &unreadable(topic, kind)).await?;
    }
    Ok(format!("one on each of {}", TOPICS.join(", ")))
}

fn unreadable(topic: &str, kind: &str) -> Record {
    let headers = [
        ("ce_specversion", "1.0".to_owned()),
        ("ce_id", Uuid::now_v7().to_string()),
        ("ce_type", format!("hexcab.{kind}")),
        ("ce_source", "chaos".to_owned()),
        ("ce_subject", POISON.to_owned()),
        ("ce_time", Clock::system().now().to_rfc3339()),
    ];
    Record {
        topic: topic.to_owned(),
        partition: 0,
        offset: 0,
        key: b"sf".to_vec(),
        payload: vec![0xff; 7],
        headers: headers
            .map(|(key, value)| (key.to_owned(), value.into_bytes()))
            .to_vec(),
    }
}
