//! `hexcab events tail`: events as they come, or what the broker still has of them.

use std::io::Write as _;

use anyhow::bail;
use hexcab_bus::topic;

use super::{
    kafka::{Record, follow, read_all},
    view::{self, Look},
};
use crate::stop::Stop;

/// Prints until Ctrl-C, or what is there.
///
/// # Errors
/// When a topic is unknown or the broker does not answer.
pub async fn run(
    brokers: &str,
    names: &[String],
    all: bool,
    look: Look,
    stop: &Stop,
) -> anyhow::Result<()> {
    let topics = topics(names)?;
    if all {
        let mut records = read_all(brokers, topics).await?;
        records.sort_by_key(|record| record.header("ce_time"));
        records
            .iter()
            .take_while(|record| print(record, look))
            .for_each(drop);
        return Ok(());
    }
    let consumer = follow(brokers, topics).await?;
    loop {
        tokio::select! {
            () = stop.cancelled() => return Ok(()),
            message = consumer.recv() => if !print(&Record::of(&message?), look) { return Ok(()) },
        }
    }
}

fn topics(names: &[String]) -> anyhow::Result<Vec<String>> {
    if names.is_empty() {
        return Ok(topic::ALL.map(str::to_owned).to_vec());
    }
    let full = |name: &String| {
        let known = topic::ALL
            .into_iter()
            .find(|topic| topic == name || *topic == format!("hexcab.{name}.v1"));
        match known {
            Some(topic) => Ok(topic.to_owned()),
            None => bail!(
                "there is no topic {name}; there are {}",
                topic::ALL.join(", ")
            ),
        }
    };
    names.iter().map(full).collect()
}

/// Prints one; false when nobody reads any more (`hexcab events tail | head`).
fn print(record: &Record, look: Look) -> bool {
    writeln!(std::io::stdout(), "{}", view::event(record, look)).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_topic_may_be_named_in_short() {
        assert_eq!(
            topics(&["trip".into(), topic::SURGE.into()]).unwrap(),
            [topic::TRIP, topic::SURGE]
        );
        assert_eq!(topics(&[]).unwrap().len(), topic::ALL.len());
        assert!(
            topics(&["trips".into()])
                .unwrap_err()
                .to_string()
                .contains("there are")
        );
    }
}
