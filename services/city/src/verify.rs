//! Whether a city kept its promises: the invariants of DESIGN section 4, the ledger, and the events, recomputed from the
//! rows of the live databases.
//!
//! - [`rows`] checks that one SQL statement on one database can make: trip's, the money's
//! - [`history`] checks over the life of each trip, event by event
//! - [`money`] trips, intents, ledger and processor, which must all tell the same story
//! - [`across`] checks that compare databases: those, and outboxes with inboxes
//!
//! Invariants: read-only (every session is); a check says how much it looked at, so that looking at nothing shows; what is
//! still on its way is waited for, within a bound. Does not: repair anything.

pub mod across;
pub mod history;
pub mod money;
pub mod rows;

use std::time::Duration;

use anyhow::Context as _;
use hexcab_types::Timestamp;
use serde::Serialize;
use sqlx::{AssertSqlSafe, Connection as _, PgConnection, Row as _, postgres::PgConnectOptions};
use tokio::time::Instant;

/// Offenders that a check names.
pub const SHOWN: usize = 20;
/// How often it is looked again while something is still on its way.
const SETTLE_POLL: Duration = Duration::from_millis(500);

/// The databases of a city, each on a read-only session.
#[derive(Debug)]
pub struct Databases {
    /// Trips.
    pub trip: PgConnection,
    /// Intents and the ledger.
    pub payment: PgConnection,
    /// Quotes and surge.
    pub pricing: PgConnection,
    /// The sandbox processor's own book.
    pub sandbox: PgConnection,
}

impl Databases {
    /// Opens them on one server, given its URL ending in `/`.
    ///
    /// # Errors
    /// When one of them cannot be opened.
    pub async fn open(server: &str) -> anyhow::Result<Self> {
        let server = server.trim_end_matches('/');
        Ok(Self {
            trip: open(&format!("{server}/trip")).await?,
            payment: open(&format!("{server}/payment")).await?,
            pricing: open(&format!("{server}/pricing")).await?,
            sandbox: open(&format!("{server}/sandbox")).await?,
        })
    }
}

/// A session that cannot change anything.
///
/// # Errors
/// When the database cannot be reached.
pub async fn open(url: &str) -> anyhow::Result<PgConnection> {
    let options: PgConnectOptions = url.parse().context("read the URL of a database")?;
    let name = options.get_database().unwrap_or_default().to_owned();
    let options = options.options([
        ("default_transaction_read_only", "on"),
        ("statement_timeout", "120s"),
    ]);
    PgConnection::connect_with(&options)
        .await
        .with_context(|| format!("open database {name}"))
}

/// One offender.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// Whose: a trip's id, an intent's, an event's.
    pub id: String,
    /// What is wrong with it.
    pub detail: String,
}

/// What a check found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Outcome {
    /// The check's name, such as `I2 history`.
    pub name: &'static str,
    /// What it promises.
    pub says: &'static str,
    /// How many rows it looked at.
    pub looked_at: usize,
    /// How many of them break the promise.
    pub violations: usize,
    /// The first of those.
    pub findings: Vec<Finding>,
}

impl Outcome {
    /// From every offender.
    pub fn new(
        name: &'static str,
        says: &'static str,
        looked_at: usize,
        mut findings: Vec<Finding>,
    ) -> Self {
        let violations = findings.len();
        findings.truncate(SHOWN);
        Self {
            name,
            says,
            looked_at,
            violations,
            findings,
        }
    }
}

/// A check that is one SQL statement: `over` counts what is looked at, `bad` gives `id` and `detail` of offenders.
#[derive(Debug)]
pub struct SqlCheck {
    /// See [`Outcome::name`].
    pub name: &'static str,
    /// See [`Outcome::says`].
    pub says: &'static str,
    /// `SELECT count(*) FROM …`
    pub over: &'static str,
    /// `SELECT …::text AS id, … AS detail FROM …`
    pub bad: &'static str,
}

impl SqlCheck {
    /// Looks.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn run(&self, database: &mut PgConnection) -> anyhow::Result<Outcome> {
        let asked = async {
            let looked_at: i64 = sqlx::query_scalar(self.over)
                .fetch_one(&mut *database)
                .await?;
            let bad = format!(
                "SELECT id, detail, count(*) OVER () AS n FROM ({}) bad ORDER BY id LIMIT {SHOWN}",
                self.bad
            );
            // Only constants of this module.
            let rows = sqlx::query(AssertSqlSafe(bad))
                .fetch_all(&mut *database)
                .await?;
            let violations: i64 = rows.first().map_or(Ok(0), |row| row.try_get("n"))?;
            let finding = |row| -> Result<Finding, sqlx::Error> {
                let row: &sqlx::postgres::PgRow = row;
                Ok(Finding {
                    id: row.try_get("id")?,
                    detail: row.try_get("detail")?,
                })
            };
            let findings = rows
                .iter()
                .map(finding)
                .collect::<Result<_, sqlx::Error>>()?;
            Ok::<_, sqlx::Error>((looked_at, violations, findings))
        };
        let (looked_at, violations, findings) = asked
            .await
            .with_context(|| format!("check {}", self.name))?;
        Ok(Outcome {
            name: self.name,
            says: self.says,
            looked_at: usize::try_from(looked_at)?,
            violations: usize::try_from(violations)?,
            findings,
        })
    }
}

/// Makes every check once. `now` reads the city's clock, `slack_s` is how many of its seconds a deadline may be late.
///
/// # Errors
/// When a database cannot be asked.
pub async fn once(
    databases: &mut Databases,
    now: Timestamp,
    slack_s: f64,
) -> anyhow::Result<Vec<Outcome>> {
    let mut outcomes = Vec::new();
    for check in rows::TRIP {
        outcomes.push(check.run(&mut databases.trip).await?);
    }
    outcomes.extend(history::run(&mut databases.trip).await?);
    outcomes.push(rows::nobody_is_forgotten(&mut databases.trip, now, slack_s).await?);
    for check in rows::MONEY {
        outcomes.push(check.run(&mut databases.payment).await?);
    }
    outcomes.extend(across::run(databases).await?);
    outcomes.sort_by_key(|outcome| outcome.name);
    Ok(outcomes)
}

/// Makes every check until none finds anything, or `settle` is over: what services still have to tell each other is no
/// violation until then. `now` reads the city's clock.
///
/// # Errors
/// When a database cannot be asked.
pub async fn settled(
    databases: &mut Databases,
    clock: &hexcab_chassis::Clock,
    settle: Duration,
) -> anyhow::Result<Vec<Outcome>> {
    let deadline = Instant::now() + settle;
    loop {
        // A second of the machine's, and one of the city's (the grace of an acceptance), and the sweeper's own pace.
        let slack_s = 5.0 * clock.speed().max(1.0);
        let outcomes = once(databases, clock.now(), slack_s).await?;
        if violations(&outcomes) == 0 || Instant::now() >= deadline {
            return Ok(outcomes);
        }
        tokio::time::sleep(SETTLE_POLL).await;
    }
}

/// Offenders over all checks.
pub fn violations(outcomes: &[Outcome]) -> usize {
    outcomes.iter().map(|outcome| outcome.violations).sum()
}

#[cfg(test)]
mod tests;
