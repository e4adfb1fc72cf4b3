//! The embedded stack's broker: librdkafka's mock cluster, which speaks Kafka's protocol over TCP, in a process of its own
//! (`hexcab broker`), so that it can die and stand still like a real one.
//!
//! Invariants: topics have the partitions that are written here, before anybody can connect; it keeps nothing (about 5 MB
//! a partition, in memory): durable is the outbox. Clients find it at the port they were told, whatever became of the one
//! before it; what they remember of that one means nothing to it ([`generation`](Broker::start)).
//! Does not: survive its process, replicate, check who calls.
//!
//! The cluster takes a port of the system's choosing: the [`door`] is at the port that clients are told. The cluster lives
//! on a thread of its own, because its handle is not `Send`.

mod door;
mod message;

use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::mpsc,
    time::Duration,
};

use anyhow::Context as _;
use rdkafka::{mocking::MockCluster, producer::DefaultProducerContext};
use tokio::{net::TcpStream, sync::oneshot};

use super::kafka::topics;
use door::Door;

/// The only broker of the cluster.
const BROKER: i32 = 1;

/// How long an order to the cluster may take before it is reminded.
const KNOCK: Duration = Duration::from_millis(2);

/// A broker of its own; ends when dropped.
#[derive(Debug)]
pub struct Broker {
    door: Door,
    stop: Option<mpsc::Sender<()>>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Broker {
    /// Starts an empty one that clients find at `port` (0: any). `generation` is larger than that of every broker they
    /// may have known there: it is the partitions' leader epoch, by which a client that held a place in the log of another
    /// broker learns that there is no such place any more, and begins at the beginning (KIP-320).
    ///
    /// # Errors
    /// When librdkafka refuses, or the port is taken.
    pub async fn start(port: u16, generation: u32) -> anyhow::Result<Self> {
        let (stop, stopped) = mpsc::channel::<()>();
        let (told, address) = oneshot::channel();
        let (ready, made) = oneshot::channel();
        let thread = std::thread::Builder::new()
            .name("broker".into())
            .spawn(move || {
                let cluster = MockCluster::new(BROKER).context("start the embedded broker");
                let cluster = match cluster {
                    Ok(cluster) => {
                        let _owner_gone = told.send(Ok(cluster.bootstrap_servers()));
                        cluster
                    }
                    Err(error) => {
                        let _owner_gone = told.send(Err(error));
                        return;
                    }
                };
                let _owner_gone = ready.send(make_topics(&cluster, generation));
                let _ended = stopped.recv();
            })?;
        let cluster: SocketAddr = address.await??.parse().context("read its address")?;
        until_made(made, cluster).await?;
        let door = Door::open((Ipv4Addr::LOCALHOST, port).into(), cluster)
            .await
            .with_context(|| format!("listen on port {port}"))?;
        Ok(Self {
            door,
            stop: Some(stop),
            thread: Some(thread),
        })
    }

    /// Where clients find it.
    pub fn address(&self) -> SocketAddr {
        self.door.address()
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

type Cluster = MockCluster<'static, DefaultProducerContext>;

fn make_topics(cluster: &Cluster, generation: u32) -> anyhow::Result<()> {
    for (topic, partitions) in topics::all() {
        cluster
            .create_topic(&topic, partitions, 1)
            .with_context(|| format!("make topic {topic}"))?;
        for partition in 0..partitions {
            // Each time it is given its leader its epoch becomes one more.
            for _ in 0..generation {
                cluster
                    .partition_leader(&topic, partition, Some(BROKER))
                    .with_context(|| format!("lead {topic}"))?;
            }
        }
    }
    Ok(())
}

/// The cluster misses orders that come while it turns to its connections, and looks again after a second, or when
/// somebody knocks.
async fn until_made(
    mut made: oneshot::Receiver<anyhow::Result<()>>,
    cluster: SocketAddr,
) -> anyhow::Result<()> {
    loop {
        match tokio::time::timeout(KNOCK, &mut made).await {
            Ok(made) => return made?,
            Err(_) => drop(TcpStream::connect(cluster).await),
        }
    }
}

#[cfg(test)]
mod tests;
