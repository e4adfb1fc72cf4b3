//! A few events handed out at once: of different subjects together, of one in order, and none lost or done twice.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use async_trait::async_trait;
use hexcab_bus::{BusConfig, Consumer, Failure, Handler, Incoming, Producer, topic};
use hexcab_chassis::Readiness;
use hexcab_testkit::{eventually, seeded};
use parking_lot::Mutex;
use rand::RngExt as _;

use crate::{
    Bench,
    effects::{self, Effects},
    event,
    letters::letters,
};

const AT_ONCE: usize = 4;
const EVENTS: usize = 120;
const SUBJECTS: usize = 7;

/// Handles events into effects, notes who is at work, and is refused now and then.
struct Busy {
    effects: Effects,
    chance: Mutex<hexcab_testkit::ChaCha8Rng>,
    at_work: Mutex<BTreeSet<String>>,
    most_at_work: Mutex<usize>,
    /// Failures to come.
    failures: Mutex<usize>,
}

#[async_trait]
impl Handler for Busy {
    async fn handle(&self, event: &Incoming) -> Result<(), Failure> {
        let is_alone = self.at_work.lock().insert(event.subject.clone());
        assert!(is_alone, "{} is handled twice at once", event.subject);
        let now = self.at_work.lock().len();
        {
            let mut most = self.most_at_work.lock();
            *most = now.max(*most);
        }
        // The others of its handful begin.
        tokio::task::yield_now().await;
        let fails = self.chance.lock().random_bool(0.2) && {
            let mut failures = self.failures.lock();
            let one = usize::from(*failures > 0);
            *failures -= one;
            one == 1
        };
        let handled = if fails {
            Err(Failure::Dependency(anyhow::Error::msg("postgres is away")))
        } else {
            self.effects.handle(event).await
        };
        self.at_work.lock().remove(&event.subject);
        handled
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn events_of_different_subjects_are_handled_at_once_and_those_of_one_in_order() {
    let bench = Bench::with_partitions(2).await;
    effects::create_table(&bench.pg).await;
    let (_, chance) = seeded("at once");
    let busy = Arc::new(Busy {
        effects: Effects::over(&bench.pg, "busy"),
        chance: Mutex::new(chance),
        at_work: Mutex::default(),
        most_at_work: Mutex::default(),
        failures: Mutex::new(10),
    });
    let producer = Producer::connect(&bench.config()).unwrap();
    // The key says in which order those of a subject were sent.
    let mut sent: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for n in 0..EVENTS {
        let subject = format!("trips/{}", n % SUBJECTS);
        let mut outgoing = event(&subject);
        outgoing.payload = n.to_string().into_bytes();
        producer.publish(outgoing).await.unwrap();
        sent.entry(subject).or_default().push(n.to_string());
    }
    let config = BusConfig {
        backoff_ms: 1,
        backoff_max_ms: 5,
        ..bench.config()
    };
    let component = Readiness::new().component("kafka");
    let consumer =
        Consumer::new(&config, "busy", &[topic::TRIP], busy.clone(), component).at_once(AT_ONCE);
    bench
        .tasks
        .spawn("consumer", consumer.run(bench.tasks.shutdown()));
    effects::until(bench.pg.pool(), EVENTS).await;

    let done: Vec<(String, String)> =
        sqlx::query_as("SELECT subject, payload FROM effects ORDER BY seq")
            .fetch_all(bench.pg.pool())
            .await
            .unwrap();
    let mut by_subject: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (subject, payload) in done {
        by_subject.entry(subject).or_default().push(payload);
    }
    assert_eq!(by_subject, sent);
    let most = *busy.most_at_work.lock();
    assert!((2..=AT_ONCE).contains(&most), "{most} were at work at once");
    assert_eq!(*busy.failures.lock(), 0);
    eventually(|| async { busy.at_work.lock().is_empty().then_some(()) }).await;
    assert!(letters(&bench).is_empty());
}
