//! Records that are handed out at once: a line for each subject, in which one waits for another.
//!
//! Invariants: of one subject they stay in order, one at a time; what became of them is told in the order they came, of each
//! partition up to the first that failed, for those behind it come again. Does not: hand anything out.

use std::collections::{HashMap, HashSet};

use super::client::Partition;

/// What became of a record: done, or why it must be tried again.
pub type Outcome = Result<(), anyhow::Error>;

/// Some records, in the order they came.
pub struct Handful<R>(Vec<Held<R>>);

struct Held<R> {
    partition: Partition,
    subject: String,
    record: R,
}

/// A record of a line.
pub struct Place<'a, R> {
    /// Its number in the handful.
    pub number: usize,
    pub record: &'a R,
    /// Whether its partition stands at it.
    pub is_first: bool,
    pub partition: &'a Partition,
}

impl<R> Handful<R> {
    pub const fn new() -> Self {
        Self(Vec::new())
    }

    /// One more. Those whose subject cannot be read are taken for one.
    pub fn put(&mut self, partition: Partition, subject: Option<String>, record: R) {
        self.0.push(Held {
            partition,
            subject: subject.unwrap_or_default(),
            record,
        });
    }

    /// The lines, which do not wait for each other.
    pub fn lines(&self) -> Vec<Vec<Place<'_, R>>> {
        let mut lines: Vec<Vec<Place<'_, R>>> = Vec::new();
        let mut line_of: HashMap<(&Partition, &str), usize> = HashMap::new();
        let mut begun: HashSet<&Partition> = HashSet::new();
        for (number, held) in self.0.iter().enumerate() {
            let line = *line_of
                .entry((&held.partition, &held.subject))
                .or_insert_with(|| {
                    lines.push(Vec::new());
                    lines.len() - 1
                });
            lines[line].push(Place {
                number,
                record: &held.record,
                is_first: begun.insert(&held.partition),
                partition: &held.partition,
            });
        }
        lines
    }

    /// What became of them by number, in the order they came; without those behind one that failed.
    pub fn in_order(
        self,
        outcomes: impl IntoIterator<Item = (usize, Outcome)>,
    ) -> Vec<(Partition, R, Outcome)> {
        let mut outcomes: HashMap<usize, Outcome> = outcomes.into_iter().collect();
        let mut stopped: HashSet<Partition> = HashSet::new();
        let mut told = Vec::with_capacity(self.0.len());
        for (number, held) in self.0.into_iter().enumerate() {
            if stopped.contains(&held.partition) {
                continue;
            }
            // One that was not tried waits behind one that failed.
            let Some(outcome) = outcomes.remove(&number) else {
                continue;
            };
            if outcome.is_err() {
                stopped.insert(held.partition.clone());
            }
            told.push((held.partition, held.record, outcome));
        }
        told
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn partition(number: i32) -> Partition {
        ("trip".to_owned(), number)
    }

    /// `(partition, subject)` each; the record is its place.
    fn handful(of: &[(i32, &str)]) -> Handful<usize> {
        let mut handful = Handful::new();
        for (record, (number, subject)) in of.iter().enumerate() {
            handful.put(partition(*number), Some((*subject).to_owned()), record);
        }
        handful
    }

    fn failed() -> Outcome {
        Err(anyhow::Error::msg("postgres is away"))
    }

    #[test]
    fn a_subject_has_one_line_and_stays_in_order() {
        let handful = handful(&[(0, "a"), (0, "b"), (0, "a"), (1, "a"), (0, "b")]);
        let lines: Vec<Vec<usize>> = handful
            .lines()
            .iter()
            .map(|line| line.iter().map(|place| *place.record).collect())
            .collect();
        assert_eq!(lines, [vec![0, 2], vec![1, 4], vec![3]]);
    }

    #[test]
    fn a_partition_stands_at_its_first() {
        let handful = handful(&[(0, "a"), (0, "b"), (1, "a"), (0, "a")]);
        let first: Vec<usize> = handful
            .lines()
            .iter()
            .flatten()
            .filter(|place| place.is_first)
            .map(|place| place.number)
            .collect();
        assert_eq!(first, [0, 2]);
    }

    #[test]
    fn nothing_behind_one_that_failed_counts_as_done() {
        let handful = handful(&[(0, "a"), (0, "b"), (1, "c"), (0, "b"), (0, "d")]);
        let outcomes = [(4, Ok(())), (1, failed()), (2, Ok(())), (0, Ok(()))];
        let told: Vec<(usize, bool)> = handful
            .in_order(outcomes)
            .into_iter()
            .map(|(_, record, outcome)| (record, outcome.is_ok()))
            .collect();
        assert_eq!(told, [(0, true), (1, false), (2, true)]);
    }
}
