//! The embedded broker: librdkafka's mock cluster, which speaks Kafka's protocol over TCP from inside the launcher.
//!
//! Invariants: topics have the partitions that are written here; it keeps nothing (about 5 MB a partition, in memory):
//! durable is the outbox. Does not: survive the launcher, replicate, check who calls.
//! It lives on a thread of its own, because the handle is not `Send`.

use std::sync::mpsc;

use anyhow::{Context as _, anyhow};
use hexcab_bus::topic;
use rdkafka::mocking::MockCluster;

/// Topics and their partitions. Trip events are keyed by city: a second partition lets a second city move.
const TOPICS: [(&str, i32); 6] = [
    (topic::TRIP, 2),
    (topic::PAYMENT, 1),
    (topic::DISPATCH, 1),
    (topic::SURGE, 1),
    (topic::SUPPLY, 1),
    (topic::DEMAND, 1),
];

/// A broker of its own; ends when dropped.
#[derive(Debug)]
pub struct Broker {
    bootstrap: String,
    stop: Option<mpsc::Sender<()>>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Broker {
    /// Starts an empty one.
    ///
    /// # Errors
    /// When librdkafka refuses.
    pub fn start() -> anyhow::Result<Self> {
        let (stop, stopped) = mpsc::channel::<()>();
        let (ready, started) = mpsc::channel();
        let thread = std::thread::Builder::new()
            .name("broker".into())
            .spawn(move || {
                let cluster = open();
                let broker = match cluster {
                    Ok(cluster) => {
                        let _owner_gone = ready.send(Ok(cluster.bootstrap_servers()));
                        Some(cluster)
                    }
                    Err(error) => {
                        let _owner_gone = ready.send(Err(error));
                        None
                    }
                };
                let _ended = stopped.recv();
                drop(broker);
            })?;
        let bootstrap = started
            .recv()
            .map_err(|_| anyhow!("the broker's thread ended"))??;
        Ok(Self {
            bootstrap,
            stop: Some(stop),
            thread: Some(thread),
        })
    }

    /// Its address, `host:port`.
    pub fn bootstrap(&self) -> &str {
        &self.bootstrap
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        self.stop = None;
        if let Some(thread) = self.thread.take() {
            let _panicked = thread.join();
        }
    }
}

fn open() -> anyhow::Result<MockCluster<'static, rdkafka::producer::DefaultProducerContext>> {
    let cluster = MockCluster::new(1).context("start the embedded broker")?;
    for (topic, partitions) in TOPICS {
        cluster
            .create_topic(topic, partitions, 1)
            .with_context(|| format!("make topic {topic}"))?;
        let letters = topic::dead_letters(topic);
        cluster
            .create_topic(&letters, 1, 1)
            .with_context(|| format!("make topic {letters}"))?;
    }
    Ok(cluster)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use rdkafka::{
        ClientConfig,
        consumer::{BaseConsumer, Consumer as _},
    };

    use super::*;

    #[test]
    fn every_topic_is_there_with_its_partitions() {
        let broker = Broker::start().unwrap();
        let client: BaseConsumer = ClientConfig::new()
            .set("bootstrap.servers", broker.bootstrap())
            .create()
            .unwrap();
        for (topic, partitions) in TOPICS {
            let meta = client
                .fetch_metadata(Some(topic), Duration::from_secs(10))
                .unwrap();
            assert_eq!(
                meta.topics()[0].partitions().len(),
                usize::try_from(partitions).unwrap(),
                "{topic}"
            );
        }
    }
}
