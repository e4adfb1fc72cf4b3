//! The topics of a city and their partitions. The only place that knows.

use std::time::Duration;

use anyhow::{Context as _, bail};
use hexcab_bus::topic;
use rdkafka::{
    ClientConfig,
    admin::{AdminClient, AdminOptions, NewTopic, TopicReplication},
    client::DefaultClientContext,
    types::RDKafkaErrorCode,
};
use tokio::time::Instant;

/// How long Kafka may take to make them, from when it listens …
const PATIENCE: Duration = Duration::from_secs(60);
/// … how long for one answer …
const ANSWER: Duration = Duration::from_secs(10);
/// … and when it is asked again.
const AGAIN: Duration = Duration::from_millis(200);

/// Trip events are keyed by city: a second partition lets a second city move.
const TOPICS: [(&str, i32); 6] = [
    (topic::TRIP, 2),
    (topic::PAYMENT, 1),
    (topic::DISPATCH, 1),
    (topic::SURGE, 1),
    (topic::SUPPLY, 1),
    (topic::DEMAND, 1),
];

/// Every topic and its partitions, those of dead letters included.
pub fn all() -> Vec<(String, i32)> {
    let each = TOPICS.into_iter();
    each.flat_map(|(topic, partitions)| {
        [
            (topic.to_owned(), partitions),
            (topic::dead_letters(topic), 1),
        ]
    })
    .collect()
}

/// Makes those that are not there, with so many copies of each partition.
///
/// # Errors
/// When Kafka does not.
pub async fn make(bootstrap: &str, replicas: i32) -> anyhow::Result<()> {
    let mut settings = ClientConfig::new();
    let admin = settings
        .set("bootstrap.servers", bootstrap)
        .create()
        .context("make a client of Kafka")?;
    let deadline = Instant::now() + PATIENCE;
    while let Err(error) = make_once(&admin, replicas).await {
        if Instant::now() > deadline {
            return Err(error.context("make the topics"));
        }
        tokio::time::sleep(AGAIN).await;
    }
    Ok(())
}

async fn make_once(admin: &AdminClient<DefaultClientContext>, replicas: i32) -> anyhow::Result<()> {
    let all = all();
    let wanted: Vec<NewTopic<'_>> = all
        .iter()
        .map(|(name, partitions)| {
            NewTopic::new(name, *partitions, TopicReplication::Fixed(replicas))
        })
        .collect();
    let options = AdminOptions::new()
        .request_timeout(Some(ANSWER))
        .operation_timeout(Some(ANSWER));
    for made in admin.create_topics(&wanted, &options).await? {
        match made {
            Ok(_) | Err((_, RDKafkaErrorCode::TopicAlreadyExists)) => {}
            Err((topic, code)) => bail!("{topic}: {code}"),
        }
    }
    Ok(())
}
