//! `hexcab events tail`: a line an event, as they come.

use std::io::Write as _;

use anyhow::bail;
use hexcab_bus::topic;
use hexcab_proto::{
    dispatch::v1::DecisionMade,
    location::v1::SupplyCounted,
    payment::v1::PaymentEvent,
    pricing::v1::{DemandObserved, SurgeComputed},
    trip::v1::TripEvent,
};
use prost::Message;

use super::kafka::{Record, follow, read_all};
use crate::stop::Stop;

/// Prints until Ctrl-C, or what is there.
///
/// # Errors
/// When a topic is unknown or the broker does not answer.
pub async fn run(brokers: &str, names: &[String], all: bool, stop: &Stop) -> anyhow::Result<()> {
    let topics = topics(names)?;
    if all {
        let mut records = read_all(brokers, topics).await?;
        records.sort_by_key(|record| record.header("ce_time"));
        records
            .iter()
            .take_while(|record| print(record))
            .for_each(drop);
        return Ok(());
    }
    let consumer = follow(brokers, topics).await?;
    loop {
        tokio::select! {
            () = stop.cancelled() => return Ok(()),
            message = consumer.recv() => if !print(&Record::of(&message?)) { return Ok(()) },
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

/// A line; false when nobody reads any more (`hexcab events tail | head`).
fn print(record: &Record) -> bool {
    let [time, kind, subject, traceparent] =
        ["ce_time", "ce_type", "ce_subject", "traceparent"].map(|key| record.header(key));
    let (trace, place) = (
        hexcab_telemetry::trace_id(&traceparent).unwrap_or("-"),
        record.position(),
    );
    writeln!(
        std::io::stdout(),
        "{time:<32} {kind:<34} {subject:<44} {trace} {place}"
    )
    .is_ok()
}

/// What a payload says, for eyes; or that it cannot be read.
pub fn describe(topic: &str, payload: &[u8]) -> String {
    fn read<M: Message + Default + std::fmt::Debug>(payload: &[u8]) -> String {
        M::decode(payload).map_or_else(
            |error| format!("cannot be read: {error}"),
            |message| format!("{message:#?}"),
        )
    }
    match topic {
        topic::TRIP => read::<TripEvent>(payload),
        topic::PAYMENT => read::<PaymentEvent>(payload),
        topic::DISPATCH => read::<DecisionMade>(payload),
        topic::SURGE => read::<SurgeComputed>(payload),
        topic::SUPPLY => read::<SupplyCounted>(payload),
        topic::DEMAND => read::<DemandObserved>(payload),
        _ => "of no topic that is known".to_owned(),
    }
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
