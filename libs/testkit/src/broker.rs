//! One embedded Kafka broker per test process: librdkafka's mock cluster, the real protocol over TCP.

use std::sync::{OnceLock, mpsc};

use rdkafka::{mocking::MockCluster, producer::DefaultProducerContext};

type Cluster = MockCluster<'static, DefaultProducerContext>;
type Command = Box<dyn FnOnce(&Cluster) + Send>;

/// A broker; it ends with its value. The one of [`broker`] lives as long as the process: tests share it, so use keys,
/// groups and databases of your own.
pub struct Broker {
    brokers: String,
    commands: mpsc::Sender<Command>,
}

/// The broker of this process, started at the first call.
pub fn broker() -> &'static Broker {
    static BROKER: OnceLock<Broker> = OnceLock::new();
    BROKER.get_or_init(Broker::start)
}

impl Broker {
    /// A broker of one's own, for a test that must not share.
    pub fn start() -> Self {
        let (commands, todo) = mpsc::channel::<Command>();
        let (started, address) = mpsc::channel();
        // The cluster may not leave its thread.
        std::thread::spawn(move || {
            let cluster = Cluster::new(1).expect("start the embedded broker");
            started
                .send(cluster.bootstrap_servers())
                .expect("tell the address");
            for command in todo {
                command(&cluster);
            }
        });
        Self {
            brokers: address.recv().expect("the embedded broker starts"),
            commands,
        }
    }

    /// `host:port`.
    pub fn brokers(&self) -> String {
        self.brokers.clone()
    }

    /// Creates a topic with this many partitions.
    pub fn create_topic(&self, topic: &str, partitions: i32) {
        let topic = topic.to_owned();
        self.with(move |cluster| {
            cluster
                .create_topic(&topic, partitions, 1)
                .expect("create a topic")
        });
    }

    /// Does something to the cluster, such as injecting a fault, and waits until it is done.
    pub fn with(&self, command: impl FnOnce(&Cluster) + Send + 'static) {
        let (done, wait) = mpsc::channel();
        let command: Command = Box::new(move |cluster| {
            command(cluster);
            let _ = done.send(());
        });
        self.commands
            .send(command)
            .expect("the broker's thread lives");
        wait.recv().expect("the command ran");
    }
}
