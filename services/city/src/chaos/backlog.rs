//! What a city still has to do from before a moment: when all of it is done, the city has got over its faults.
//!
//! Rides go on meanwhile, so there is always something on its way; what counts is what was written before the faults were
//! lifted. Invariant: reads only. Does not: judge what was done ([`crate::verify`] does).

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use anyhow::Context as _;
use hexcab_chassis::Clock;
use hexcab_types::Timestamp;
use sqlx::PgConnection;

use crate::{
    say,
    stack::Stack,
    verify::{Databases, across, rows},
};

/// How long a city may take to get over its faults.
pub const CONVERGENCE_MAX: Duration = Duration::from_secs(60);
/// How often it is looked.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// How often it is told what is left.
const TELL_EVERY: Duration = Duration::from_secs(5);
/// How late a deadline may be carried out, seconds of the machine.
const SLACK_S: f64 = 5.0;

/// How long it took, and what was still to be done at the last look.
#[derive(Debug, Clone, PartialEq)]
pub struct Convergence {
    /// None when it was not over within [`CONVERGENCE_MAX`].
    pub took: Option<Duration>,
    /// What is left, by kind; empty when it converged.
    pub left: BTreeMap<String, usize>,
}

/// Looks until nothing from before now is left.
///
/// # Errors
/// When a database cannot be asked at all.
pub async fn converge(stack: &Stack, city: &Clock) -> anyhow::Result<Convergence> {
    let (begun, lifted) = (Instant::now(), Clock::system().now());
    let mut told = begun;
    loop {
        let looked = look(stack, city, lifted).await;
        let took = begun.elapsed();
        let late = took >= CONVERGENCE_MAX;
        if told.elapsed() >= TELL_EVERY {
            told = Instant::now();
            say::step(format_args!(
                "{:>6.1} s  {}",
                took.as_secs_f64(),
                tell(&looked)
            ));
        }
        match looked {
            Ok(left) if left.is_empty() => {
                return Ok(Convergence {
                    took: (!late).then_some(took),
                    left,
                });
            }
            Ok(left) if late => return Ok(Convergence { took: None, left }),
            Err(error) if late => return Err(error),
            // Postgres may just be coming back.
            Ok(_) | Err(_) => tokio::time::sleep(LOOK_EVERY).await,
        }
    }
}

fn tell(looked: &anyhow::Result<BTreeMap<String, usize>>) -> String {
    match looked {
        Ok(left) => {
            let each: Vec<String> = left.iter().map(|(what, n)| format!("{n} {what}")).collect();
            format!("left: {}", each.join(", "))
        }
        Err(error) => format!("cannot look: {error:#}"),
    }
}

/// What is left from before `lifted` (the machine's time), by kind.
async fn look(
    stack: &Stack,
    city: &Clock,
    lifted: Timestamp,
) -> anyhow::Result<BTreeMap<String, usize>> {
    let mut left = BTreeMap::new();
    for node in stack.nodes() {
        if let Some(complaint) = stack.complaint(node).await {
            left.insert(format!("{node} {complaint}"), 1);
        }
    }
    if left.is_empty() {
        let mut databases = Databases::open(&stack.file().postgres).await?;
        left = in_rows(&mut databases, lifted).await?;
        let slack_s = SLACK_S * city.speed().max(1.0);
        let overdue = rows::nobody_is_forgotten(&mut databases.trip, city.now(), slack_s).await?;
        left.insert("overdue deadlines".to_owned(), overdue.violations);
        left.retain(|_, count| *count > 0);
    }
    Ok(left)
}

/// The same, of what the databases say.
async fn in_rows(
    databases: &mut Databases,
    lifted: Timestamp,
) -> anyhow::Result<BTreeMap<String, usize>> {
    const OUTBOX: &str = "SELECT count(*) FROM outbox o, outbox_cursor c
        WHERE (o.tx_id, o.seq) > (c.tx_id, c.seq) AND o.write_time <= $1";
    const WORK: &str = "SELECT count(*) FROM work WHERE finished_at IS NULL AND created_at <= $1";
    const UNKNOWN: &str = "SELECT count(*) FROM intents i WHERE state = 'UNKNOWN' AND EXISTS
        (SELECT FROM work w WHERE w.intent = i.id AND w.finished_at IS NULL AND w.created_at <= $1)";
    let mut left = BTreeMap::new();
    let outboxes = [
        ("trip", &mut databases.trip),
        ("payment", &mut databases.payment),
        ("pricing", &mut databases.pricing),
    ];
    for (name, database) in outboxes {
        let count = count(database, OUTBOX, lifted).await?;
        left.insert(format!("events in the outbox of {name}"), count);
    }
    let payment = &mut databases.payment;
    left.insert(
        "work of payment".to_owned(),
        count(payment, WORK, lifted).await?,
    );
    left.insert(
        "unknown intents".to_owned(),
        count(payment, UNKNOWN, lifted).await?,
    );
    for (name, count) in across::undelivered(databases, lifted).await? {
        left.insert(format!("undelivered {name}"), count);
    }
    Ok(left)
}

async fn count(
    database: &mut PgConnection,
    sql: &'static str,
    lifted: Timestamp,
) -> anyhow::Result<usize> {
    let count: i64 = sqlx::query_scalar(sql)
        .bind(lifted)
        .fetch_one(database)
        .await
        .context("count what is left to do")?;
    Ok(usize::try_from(count)?)
}

#[cfg(test)]
mod tests;
