//! How far a consumer is behind: events that the broker has and the consumer has not handled, by partition.
//!
//! As the client knows it from fetching, or, for a partition that is paused, from asking the broker at every measurement.

use rdkafka::{Statistics, statistics::Partition as Known};

use super::client::Partition;
use crate::measures::{self, CONSUMER_LAG};

/// Says the lag of every partition that this consumer has.
pub fn measure(consumer: &str, statistics: &Statistics) {
    for (topic, known) in &statistics.topics {
        for partition in known.partitions.values() {
            if let Some(lag) = of(partition) {
                let of = measures::of_partition(consumer, topic, partition.partition);
                CONSUMER_LAG.set(lag as f64, &of);
            }
        }
    }
}

/// Of partitions that went to another it says nothing more.
pub fn forget(consumer: &str, partitions: &[Partition]) {
    for (topic, number) in partitions {
        CONSUMER_LAG.set(0.0, &measures::of_partition(consumer, topic, *number));
    }
}

/// None for a partition that is not ours or of which nothing is known yet. An offset is stored when its event was handled;
/// before the first one counts what was committed, and before that everything there is.
fn of(partition: &Known) -> Option<i64> {
    let is_ours = partition.partition >= 0 && partition.fetch_state == "active";
    if !is_ours || partition.hi_offset < 0 {
        return None;
    }
    let done = [
        partition.stored_offset,
        partition.committed_offset,
        partition.lo_offset,
    ];
    let done = done.into_iter().find(|offset| *offset >= 0)?;
    Some((partition.hi_offset - done).max(0))
}
