//! Which event comes next in each partition: says so when the broker dropped events before they were read.
//!
//! Our topics are neither compacted nor written in transactions, so that offsets have no gaps of their own. Does not
//! bring the events back: see [`crate::republish`].

use std::collections::HashMap;

use super::client::Partition;

/// The offset that must come next, for partitions of which something was read in this assignment.
#[derive(Default)]
pub struct Positions(HashMap<Partition, i64>);

impl Positions {
    /// An event is at hand; it is the one to come next until it is [`Positions::done`].
    pub fn at(&mut self, consumer: &str, partition: &Partition, offset: i64) {
        let expected = self.0.insert(partition.clone(), offset);
        if let Some(expected) = expected.filter(|expected| offset > *expected) {
            let (topic, partition) = partition;
            tracing::error!(
                consumer,
                topic,
                partition,
                expected,
                got = offset,
                "the broker dropped events before they were read"
            );
        }
    }

    /// The event was handled.
    pub fn done(&mut self, partition: &Partition, offset: i64) {
        self.0.insert(partition.clone(), offset + 1);
    }

    /// The offset that must come next, once something was read.
    pub fn next(&self, partition: &Partition) -> Option<i64> {
        self.0.get(partition).copied()
    }

    /// These partitions begin anew, here or elsewhere.
    pub fn forget(&mut self, partitions: &[Partition]) {
        self.0.retain(|key, _| !partitions.contains(key));
    }
}
