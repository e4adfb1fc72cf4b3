//! Letters by hand, and letters that a real consumer put aside on a real broker.

use std::sync::Arc;

use async_trait::async_trait;
use hexcab_bus::{BusConfig, Consumer, Failure, Handler, Incoming, Outgoing, Producer};
use hexcab_chassis::{Readiness, Tasks};
use hexcab_testkit::eventually;
use hexcab_types::Timestamp;
use parking_lot::Mutex;

use super::*;
use crate::stack::broker::Broker;

fn letter(offset: i64) -> Record {
    let headers = [
        ("ce_id", "7"),
        (dlq::REASON, "unreadable"),
        (dlq::TOPIC, topic::TRIP),
    ];
    Record {
        topic: topic::dead_letters(topic::TRIP),
        partition: 0,
        offset,
        key: b"sf".to_vec(),
        payload: b"x".to_vec(),
        headers: headers
            .map(|(key, value)| (key.to_owned(), value.as_bytes().to_vec()))
            .to_vec(),
    }
}

#[test]
fn a_marked_letter_is_not_open() {
    let done = Record {
        offset: 2,
        ..mark(&letter(0), How::Dropped)
    };
    let all = Letterbox::of(vec![letter(0), letter(1), done]);
    assert_eq!(all.open, [letter(1)]);
    let every = Letters {
        letters: Vec::new(),
        all: true,
    };
    assert_eq!(all.wanted(&every).unwrap(), [&letter(1)]);
    let problem = |name: &str| all.find(name).unwrap_err().to_string();
    assert_eq!(
        problem("hexcab.trip.v1.dlq:0:0"),
        "letter hexcab.trip.v1.dlq:0:0 was dropped already"
    );
    let other = problem("hexcab.trip.v1.dlq:0:9");
    assert!(
        other.contains("there are 1 (hexcab.trip.v1.dlq:0:1"),
        "{other}"
    );
    let odd = problem("1");
    assert!(odd.contains("topic:partition:offset"), "{odd}");
}

#[test]
fn what_is_replayed_is_the_original() {
    let sent = original(&letter(0));
    assert_eq!(sent.headers, [("ce_id".to_owned(), b"7".to_vec())]);
    assert_eq!((sent.key, sent.payload), (b"sf".to_vec(), b"x".to_vec()));
}

#[test]
fn a_letter_goes_back_to_where_it_came_from() {
    assert_eq!(origin(&letter(0)).unwrap(), topic::TRIP);
    let bare = Record {
        headers: Vec::new(),
        ..letter(0)
    };
    assert_eq!(origin(&bare).unwrap(), topic::TRIP, "as its own topic says");
    let odd = Record {
        topic: "elsewhere.dlq".into(),
        ..bare
    };
    assert!(origin(&odd).is_err());
}

/// A consumer that refuses what it is told to, until it is told otherwise.
#[derive(Default)]
struct Choosy {
    refused: Mutex<Vec<String>>,
    taken: Mutex<Vec<Incoming>>,
}

#[async_trait]
impl Handler for Choosy {
    async fn handle(&self, event: &Incoming) -> Result<(), Failure> {
        if self.refused.lock().contains(&event.subject) {
            return Err(Failure::Poison("no such trip".to_owned()));
        }
        self.taken.lock().push(event.clone());
        Ok(())
    }
}

/// A broker, a consumer, and two letters: trips/1 and trips/2.
struct Rig {
    broker: Broker,
    choosy: Arc<Choosy>,
    _tasks: Tasks,
}

impl Rig {
    async fn new() -> Self {
        let broker = Broker::start(0, 0).await.unwrap();
        let config = BusConfig {
            brokers: broker.address().to_string(),
            ..BusConfig::default()
        };
        let (choosy, tasks) = (Arc::new(Choosy::default()), Tasks::new());
        choosy
            .refused
            .lock()
            .extend(["trips/1".into(), "trips/2".into()]);
        let component = Readiness::new().component("kafka");
        let consumer = Consumer::new(
            &config,
            "payment",
            &[topic::TRIP],
            choosy.clone(),
            component,
        );
        tasks.spawn("consumer", consumer.run(tasks.shutdown()));
        let producer = Producer::connect(&config).unwrap();
        for n in 0..3 {
            producer.publish(event(n)).await.unwrap();
        }
        let rig = Self {
            broker,
            choosy,
            _tasks: tasks,
        };
        rig.until_open(2).await;
        rig
    }

    async fn open(&self) -> Vec<Record> {
        let topics = vec![topic::dead_letters(topic::TRIP)];
        Letterbox::of(
            read_all(&self.broker.address().to_string(), topics)
                .await
                .unwrap(),
        )
        .open
    }

    async fn until_open(&self, count: usize) {
        eventually(|| async { (self.open().await.len() == count).then_some(()) }).await;
    }

    async fn run(&self, command: DlqCommand) -> anyhow::Result<()> {
        run(&self.broker.address().to_string(), command).await
    }

    fn taken(&self) -> Vec<String> {
        let taken = self.choosy.taken.lock();
        taken.iter().map(|event| event.subject.clone()).collect()
    }
}

fn event(n: u32) -> Outgoing {
    Outgoing {
        topic: topic::TRIP,
        key: "sf".into(),
        kind: "hexcab.trip.v1.OfferMade".into(),
        source: "trip",
        subject: format!("trips/{n}"),
        time: Timestamp::UNIX_EPOCH,
        payload: vec![0xff],
        traceparent: Some("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".into()),
    }
}

fn only(letter: &str) -> Letters {
    Letters {
        letters: vec![letter.to_owned()],
        all: false,
    }
}

const FIRST: &str = "hexcab.trip.v1.dlq:0:0";
const SECOND: &str = "hexcab.trip.v1.dlq:0:1";

#[tokio::test(flavor = "multi_thread")]
async fn a_replayed_letter_is_consumed_as_the_event_it_was_and_settled() {
    let rig = Rig::new().await;
    let letter = view::letter(&rig.open().await[0]);
    for part in [
        FIRST,
        "no such trip",
        "payment",
        "hexcab.trip.v1:1:1",
        "0af7651916cd43dd8448eb211c80319c",
        "not a hexcab.trip.v1.TripEvent",
        "1 in hex: ff",
    ] {
        assert!(letter.contains(part), "{part} in {letter}");
    }
    let id = rig.open().await[0].header("ce_id");
    rig.choosy.refused.lock().clear();
    rig.run(DlqCommand::Replay(only(FIRST))).await.unwrap();
    eventually(|| async { (rig.taken().len() == 2).then_some(()) }).await;
    assert_eq!(rig.taken(), ["trips/0", "trips/1"]);
    {
        let taken = rig.choosy.taken.lock();
        assert_eq!(taken[1].id.to_string(), id, "so that the inbox knows it");
        assert_eq!(&taken[1].payload[..], [0xff]);
    }
    rig.until_open(1).await;
    let again = rig.run(DlqCommand::Replay(only(FIRST))).await.unwrap_err();
    assert_eq!(
        again.to_string(),
        format!("letter {FIRST} was replayed already")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_letter_that_is_still_poison_comes_back_as_a_new_one() {
    let rig = Rig::new().await;
    rig.run(DlqCommand::Replay(only(SECOND))).await.unwrap();
    rig.until_open(2).await;
    let open: Vec<String> = rig.open().await.iter().map(Record::position).collect();
    // The consumer may put it aside again before the mark of the old one is written: which is third is chance.
    let again = ["hexcab.trip.v1.dlq:0:2", "hexcab.trip.v1.dlq:0:3"];
    assert_eq!(open[0], FIRST);
    assert!(again.contains(&open[1].as_str()), "{open:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dropped_letter_is_gone_and_nothing_is_sent() {
    let rig = Rig::new().await;
    rig.choosy.refused.lock().clear();
    rig.run(DlqCommand::Drop(only(FIRST))).await.unwrap();
    rig.until_open(1).await;
    let all = Letters {
        letters: Vec::new(),
        all: true,
    };
    rig.run(DlqCommand::Drop(all.clone())).await.unwrap();
    rig.until_open(0).await;
    rig.run(DlqCommand::Replay(all)).await.unwrap();
    rig.run(DlqCommand::List).await.unwrap();
    let gone = rig
        .run(DlqCommand::Show {
            letter: SECOND.into(),
        })
        .await
        .unwrap_err();
    assert!(gone.to_string().contains("was dropped already"), "{gone}");
    let topic = vec![topic::TRIP.to_owned()];
    let there = read_all(&rig.broker.address().to_string(), topic)
        .await
        .unwrap();
    assert_eq!(there.len(), 3, "what was published, and nothing more");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_that_is_not_there_is_named() {
    let gone = {
        let broker = Broker::start(0, 0).await.unwrap();
        broker.address().to_string()
    };
    let problem = run(&gone, DlqCommand::List).await.unwrap_err();
    let text = format!("{problem:#}");
    assert!(text.contains(&gone), "{text}");
}
