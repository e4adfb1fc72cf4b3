//! Waits until everything has arrived and every promise can be checked; sends events again that the broker lost.
//!
//! The embedded broker keeps about 5 MB a partition: a consumer that fell behind by more goes on after a gap. What fills
//! it is what an operator would do, `hexcab events republish`; consumers take in only what they have not had.
//! Invariants: sent again only when deliveries are missing and have not become fewer for a while, at most [`RESENDS`]
//! times. Does not: repair anything else; what is still wrong then is a violation.

use std::time::Duration;

use anyhow::Context as _;
use hexcab_chassis::Clock;
use hexcab_types::Timestamp;
use tokio::time::Instant;

use crate::{
    outboxes, say,
    stack::folder::CityFile,
    verify::{Databases, Outcome, settled, violations},
};

/// How long deliveries may stand still before events are sent again.
const STANDSTILL: Duration = Duration::from_secs(10);
/// How often that is done.
const RESENDS: u32 = 2;
/// Checks that fail when an event did not arrive: by how their names begin.
const DELIVERIES: [&str; 2] = ["events ", "holds"];

/// Checks until nothing is found, or `patience` is over since the start or since events were sent again.
///
/// # Errors
/// When a database cannot be asked.
pub async fn settle(
    databases: &mut Databases,
    city: &CityFile,
    clock: &Clock,
    patience: Duration,
) -> anyhow::Result<Vec<Outcome>> {
    let mut outcomes = settled(databases, clock, Duration::ZERO).await?;
    let mut deliveries = Deliveries::new(undelivered(&outcomes));
    let mut deadline = Instant::now() + patience;
    // A short patience has room for sending again too.
    let step = STANDSTILL.min(patience / 2);
    while violations(&outcomes) > 0 && Instant::now() < deadline {
        outcomes = settled(databases, clock, step).await?;
        if deliveries.stand_still(undelivered(&outcomes)) {
            send_again(city, undelivered(&outcomes)).await?;
            deadline = Instant::now() + patience;
        }
    }
    Ok(outcomes)
}

async fn send_again(city: &CityFile, missing: usize) -> anyhow::Result<()> {
    let sent = outboxes::republish(&city.postgres, Timestamp::UNIX_EPOCH)
        .await
        .context("send the outboxes again")?;
    say::warn(format_args!(
        "{missing} events or holds did not arrive (the embedded broker keeps 5 MB a partition); \
         sent all events again: {}",
        outboxes::told(&sent)
    ));
    Ok(())
}

fn undelivered(outcomes: &[Outcome]) -> usize {
    outcomes
        .iter()
        .filter(|outcome| DELIVERIES.iter().any(|name| outcome.name.starts_with(name)))
        .map(|outcome| outcome.violations)
        .sum()
}

/// Whether what is missing becomes less.
#[derive(Debug)]
struct Deliveries {
    missing: usize,
    resends: u32,
}

impl Deliveries {
    fn new(missing: usize) -> Self {
        Self {
            missing,
            resends: 0,
        }
    }

    /// True when events are to be sent again: as many are missing as a while ago, or more.
    fn stand_still(&mut self, missing: usize) -> bool {
        let before = std::mem::replace(&mut self.missing, missing);
        let still = missing > 0 && missing >= before && self.resends < RESENDS;
        self.resends += u32::from(still);
        still
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(name: &'static str, violations: usize) -> Outcome {
        Outcome {
            violations,
            ..Outcome::new(name, "", 10, Vec::new())
        }
    }

    #[test]
    fn only_checks_of_deliveries_say_that_something_did_not_arrive() {
        let outcomes = [
            found("events trip→payment", 3),
            found("holds", 2),
            found("ledger sum", 40),
        ];
        assert_eq!(undelivered(&outcomes), 5);
    }

    #[test]
    fn events_are_sent_again_when_deliveries_stand_still_and_not_for_ever() {
        let mut deliveries = Deliveries::new(10);
        let seen = [7, 7, 3, 3, 3];
        let again = seen.map(|missing| deliveries.stand_still(missing));
        assert_eq!(again, [false, true, false, true, false]);
        assert!(
            !Deliveries::new(0).stand_still(0),
            "another check fails, nothing is missing"
        );
    }
}
