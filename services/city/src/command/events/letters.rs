//! Dead letters: what a consumer refused for good, with its reason and its original bytes.
//!
//! Kafka forgets nothing on demand, so a letter that was replayed or dropped is marked: a record in the same `.dlq` topic
//! that names it. A letter is sent before it is marked: ended in between, it is sent again with the next replay, and the
//! inbox absorbs that. Invariant: a marked letter is not listed, replayed or dropped again. Does not: change a letter.

use std::collections::HashMap;

use anyhow::{Context as _, bail, ensure};
use comfy_table::{Table, presets::UTF8_FULL_CONDENSED};
use hexcab_bus::{dlq, topic};

use super::{
    kafka::{Record, Writer, read_all},
    view,
};
use crate::cli::{DlqCommand, Letters};

/// Header of a mark: `partition:offset` of the letter in the same topic.
const SETTLED: &str = "dlq_settled";
/// Header of a mark: what was done with it.
const HOW: &str = "dlq_how";

/// Lists, shows, replays or drops.
///
/// # Errors
/// When the broker does not answer or there is no such letter.
pub async fn run(brokers: &str, command: DlqCommand) -> anyhow::Result<()> {
    let topics = topic::ALL.iter().map(|topic| topic::dead_letters(topic));
    let all = Letterbox::of(read_all(brokers, topics.collect()).await?);
    match command {
        DlqCommand::List => list(&all.open),
        DlqCommand::Show { letter } => {
            let show = |letter: &&Record| println!("{}", view::letter(letter));
            all.named(&[letter])?.iter().for_each(show);
        }
        DlqCommand::Replay(letters) => {
            settle(brokers, &all.wanted(&letters)?, How::Replayed).await?
        }
        DlqCommand::Drop(letters) => settle(brokers, &all.wanted(&letters)?, How::Dropped).await?,
    }
    Ok(())
}

/// Every open letter in a line, but those that are about this subject.
///
/// # Errors
/// When the broker does not answer.
pub async fn summaries(brokers: &str, expected: &str) -> anyhow::Result<Vec<String>> {
    let topics = topic::ALL.iter().map(|topic| topic::dead_letters(topic));
    let letters = Letterbox::of(read_all(brokers, topics.collect()).await?).open;
    let line = |letter: &Record| {
        let [kind, subject] = ["ce_type", "ce_subject"].map(|key| letter.header(key));
        let [by, why] = [dlq::CONSUMER, dlq::REASON].map(|key| letter.header(key));
        format!(
            "{} {kind} {subject}, refused by {by}: {why}",
            letter.position()
        )
    };
    let others = letters
        .iter()
        .filter(|letter| letter.header("ce_subject") != expected);
    Ok(others.map(line).collect())
}

/// What was done with a letter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum How {
    /// Sent to its topic again.
    Replayed,
    /// Given up.
    Dropped,
}

impl How {
    const fn name(self) -> &'static str {
        match self {
            Self::Replayed => "replayed",
            Self::Dropped => "dropped",
        }
    }
}

/// Letters, and which were settled how.
struct Letterbox {
    open: Vec<Record>,
    settled: HashMap<String, String>,
}

impl Letterbox {
    fn of(records: Vec<Record>) -> Self {
        let mark = |record: &Record| {
            let place = record.header(SETTLED);
            (!place.is_empty()).then(|| (format!("{}:{place}", record.topic), record.header(HOW)))
        };
        let settled: HashMap<String, String> = records.iter().filter_map(mark).collect();
        let is_open = |record: &Record| {
            record.header(SETTLED).is_empty() && !settled.contains_key(&record.position())
        };
        let open = records.into_iter().filter(is_open).collect();
        Self { open, settled }
    }

    fn wanted(&self, letters: &Letters) -> anyhow::Result<Vec<&Record>> {
        if letters.all {
            return Ok(self.open.iter().collect());
        }
        self.named(&letters.letters)
    }

    fn named(&self, names: &[String]) -> anyhow::Result<Vec<&Record>> {
        names.iter().map(|name| self.find(name)).collect()
    }

    fn find(&self, name: &str) -> anyhow::Result<&Record> {
        if let Some(letter) = self.open.iter().find(|letter| letter.position() == name) {
            return Ok(letter);
        }
        if let Some(how) = self.settled.get(name) {
            bail!("letter {name} was {how} already");
        }
        ensure!(
            name.split(':').count() == 3,
            "{name} names no letter: want topic:partition:offset, as `hexcab events dlq list` has it"
        );
        let there: Vec<String> = self.open.iter().map(Record::position).take(5).collect();
        match there.is_empty() {
            true => bail!("there is no letter {name}; there is none at all"),
            false => bail!(
                "there is no letter {name}; there are {} ({}, …)",
                self.open.len(),
                there.join(", ")
            ),
        }
    }
}

fn list(letters: &[Record]) {
    let mut table = Table::new();
    table.load_style(UTF8_FULL_CONDENSED).set_header([
        "letter",
        "time",
        "event",
        "subject",
        "refused by",
        "reason",
    ]);
    for letter in letters {
        let [time, kind, subject, consumer, reason] = [
            "ce_time",
            "ce_type",
            "ce_subject",
            dlq::CONSUMER,
            dlq::REASON,
        ]
        .map(|key| letter.header(key));
        table.add_row([letter.position(), time, kind, subject, consumer, reason]);
    }
    if !letters.is_empty() {
        println!("{table}");
    }
    println!("{} dead letters", letters.len());
}

async fn settle(brokers: &str, letters: &[&Record], how: How) -> anyhow::Result<()> {
    let writer = Writer::new(brokers)?;
    for (done, letter) in letters.iter().enumerate() {
        let settled = settle_one(&writer, letter, how).await;
        settled.with_context(|| {
            let (position, total) = (letter.position(), letters.len());
            format!(
                "letter {position} stays; {done} of {total} are {}",
                how.name()
            )
        })?;
        println!("{} {}", letter.position(), how.name());
    }
    println!("{} {}", letters.len(), how.name());
    Ok(())
}

async fn settle_one(writer: &Writer, letter: &Record, how: How) -> anyhow::Result<()> {
    match how {
        How::Replayed => writer.write(origin(letter)?, &original(letter)).await?,
        How::Dropped => {}
    }
    writer.write(&letter.topic, &mark(letter, how)).await
}

/// The topic it came from: as it says, or the one whose dead letters these are.
fn origin(letter: &Record) -> anyhow::Result<&'static str> {
    let said = letter.header(dlq::TOPIC);
    let is_origin = |topic: &&str| *topic == said || topic::dead_letters(topic) == letter.topic;
    let known = topic::ALL.into_iter().find(is_origin);
    known.with_context(|| format!("it came from {said:?}, which is no topic of ours"))
}

/// The event as it was before it was put aside.
fn original(letter: &Record) -> Record {
    let is_its_own = |key: &str| !dlq::HEADERS.contains(&key);
    let headers = letter.headers.iter().filter(|(key, _)| is_its_own(key));
    Record {
        headers: headers.cloned().collect(),
        ..letter.clone()
    }
}

fn mark(letter: &Record, how: How) -> Record {
    let place = format!("{}:{}", letter.partition, letter.offset);
    let headers = vec![
        (SETTLED.to_owned(), place.into_bytes()),
        (HOW.to_owned(), how.name().as_bytes().to_vec()),
    ];
    Record {
        payload: Vec::new(),
        headers,
        ..letter.clone()
    }
}

#[cfg(test)]
mod tests;
