//! Dead letters: what a consumer refused for good, with its reason and its original bytes.
//!
//! Kafka forgets nothing on demand, so a letter that was replayed or dropped is marked: a record in the same `.dlq` topic
//! that names it. Invariant: a marked letter is not listed, replayed or dropped again. Does not: change a letter.

use std::collections::HashSet;

use anyhow::{bail, ensure};
use comfy_table::{Table, presets::UTF8_FULL_CONDENSED};
use hexcab_bus::{dlq, topic};

use super::{
    kafka::{Record, Writer, read_all},
    tail::describe,
};
use crate::cli::DlqCommand;

/// Header of a mark: `partition:offset` of the letter in the same topic.
const SETTLED: &str = "dlq_settled";
/// Header of a mark: what was done with it.
const HOW: &str = "dlq_how";

/// Lists, shows, replays or drops.
///
/// # Errors
/// When the broker does not answer or there is no such letter.
pub async fn run(brokers: &str, command: DlqCommand) -> anyhow::Result<()> {
    let letters = open(
        read_all(
            brokers,
            topic::ALL
                .iter()
                .map(|topic| topic::dead_letters(topic))
                .collect(),
        )
        .await?,
    );
    match command {
        DlqCommand::List => list(&letters),
        DlqCommand::Show { letter } => show(pick(&letters, &[letter])?[0]),
        DlqCommand::Replay { letters: named } => {
            settle(brokers, &pick(&letters, &named)?, "replayed").await?
        }
        DlqCommand::Drop { letters: named } => {
            settle(brokers, &pick(&letters, &named)?, "dropped").await?
        }
    }
    Ok(())
}

/// Every open letter in a line.
///
/// # Errors
/// When the broker does not answer.
pub async fn summaries(brokers: &str) -> anyhow::Result<Vec<String>> {
    let topics = topic::ALL.iter().map(|topic| topic::dead_letters(topic));
    let letters = open(read_all(brokers, topics.collect()).await?);
    let line = |letter: &Record| {
        let [kind, subject] = ["ce_type", "ce_subject"].map(|key| letter.header(key));
        let [by, why] = [dlq::CONSUMER, dlq::REASON].map(|key| letter.header(key));
        format!(
            "{} {kind} {subject}, refused by {by}: {why}",
            letter.position()
        )
    };
    Ok(letters.iter().map(line).collect())
}

/// The letters that are not settled.
fn open(records: Vec<Record>) -> Vec<Record> {
    let settled: HashSet<(String, String)> = records
        .iter()
        .map(|record| (record.topic.clone(), record.header(SETTLED)))
        .filter(|(_, letter)| !letter.is_empty())
        .collect();
    let is_open = |record: &Record| {
        let place = format!("{}:{}", record.partition, record.offset);
        record.header(SETTLED).is_empty() && !settled.contains(&(record.topic.clone(), place))
    };
    records.into_iter().filter(is_open).collect()
}

fn pick<'a>(letters: &'a [Record], named: &[String]) -> anyhow::Result<Vec<&'a Record>> {
    if named.is_empty() {
        return Ok(letters.iter().collect());
    }
    let find = |name: &String| letters.iter().find(|letter| letter.position() == *name);
    match named.iter().find(|name| find(name).is_none()) {
        Some(name) => bail!("there is no open letter {name}; see `hexcab events dlq list`"),
        None => Ok(named.iter().filter_map(find).collect()),
    }
}

fn list(letters: &[Record]) {
    let mut table = Table::new();
    table.load_style(UTF8_FULL_CONDENSED).set_header([
        "letter",
        "event",
        "subject",
        "refused by",
        "reason",
    ]);
    for letter in letters {
        let [kind, subject] = ["ce_type", "ce_subject"].map(|key| letter.header(key));
        table.add_row([
            letter.position(),
            kind,
            subject,
            letter.header(dlq::CONSUMER),
            letter.header(dlq::REASON),
        ]);
    }
    if !letters.is_empty() {
        println!("{table}");
    }
    println!("{} dead letters", letters.len());
}

fn show(letter: &Record) {
    println!("{}", letter.position());
    for (key, _) in &letter.headers {
        println!("  {key}: {}", letter.header(key));
    }
    println!("  key: {}", String::from_utf8_lossy(&letter.key));
    println!("  bytes: {}", hex::encode(&letter.payload));
    println!("{}", describe(&letter.header(dlq::TOPIC), &letter.payload));
}

async fn settle(brokers: &str, letters: &[&Record], how: &str) -> anyhow::Result<()> {
    let writer = Writer::new(brokers)?;
    for letter in letters {
        if how == "replayed" {
            let origin = letter.header(dlq::TOPIC);
            ensure!(
                topic::ALL.contains(&origin.as_str()),
                "{} does not say which topic it came from",
                letter.position()
            );
            writer.write(&origin, &original(letter)).await?;
        }
        writer.write(&letter.topic, &mark(letter, how)).await?;
        println!("{} {how}", letter.position());
    }
    println!("{} {how}", letters.len());
    Ok(())
}

/// The event as it was before it was put aside.
fn original(letter: &Record) -> Record {
    let own = [
        dlq::REASON,
        dlq::CONSUMER,
        dlq::TOPIC,
        dlq::POSITION,
        dlq::TIME,
    ];
    let headers = letter
        .headers
        .iter()
        .filter(|(key, _)| !own.contains(&key.as_str()))
        .cloned()
        .collect();
    Record {
        headers,
        ..letter.clone()
    }
}

fn mark(letter: &Record, how: &str) -> Record {
    let place = format!("{}:{}", letter.partition, letter.offset);
    let headers = vec![
        (SETTLED.to_owned(), place.into_bytes()),
        (HOW.to_owned(), how.as_bytes().to_vec()),
    ];
    Record {
        payload: Vec::new(),
        headers,
        ..letter.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
            ..mark(&letter(0), "dropped")
        };
        let left = open(vec![letter(0), letter(1), done]);
        assert_eq!(left, [letter(1)]);
        assert!(pick(&left, &["hexcab.trip.v1.dlq:0:0".into()]).is_err());
        assert_eq!(pick(&left, &[]).unwrap().len(), 1);
    }

    #[test]
    fn what_is_replayed_is_the_original() {
        let sent = original(&letter(0));
        assert_eq!(sent.headers, [("ce_id".to_owned(), b"7".to_vec())]);
        assert_eq!((sent.key, sent.payload), (b"sf".to_vec(), b"x".to_vec()));
    }

    #[tokio::test]
    async fn a_letter_goes_back_to_its_topic_once() {
        let broker = crate::stack::broker::Broker::start(0, 0).await.unwrap();
        let address = broker.address().to_string();
        let writer = Writer::new(&address).unwrap();
        writer
            .write(&topic::dead_letters(topic::TRIP), &letter(0))
            .await
            .unwrap();
        for _ in 0..2 {
            run(
                &address,
                DlqCommand::Replay {
                    letters: Vec::new(),
                },
            )
            .await
            .unwrap();
        }
        let back = read_all(&address, vec![topic::TRIP.to_owned()])
            .await
            .unwrap();
        assert_eq!(back.len(), 1);
        assert_eq!(
            (back[0].header("ce_id"), back[0].header(dlq::REASON)),
            ("7".to_owned(), String::new())
        );
    }
}
