//! What the service really sends for a life: read from Postgres' own log, so that what pgbench sends cannot drift from it.

use anyhow::{Context as _, ensure};
use hdrhistogram::Histogram;

use super::{
    STEPS,
    lives::{self, Life},
    load,
    stack::Stack,
};

/// The statement of each transition of one life, with its values. The statement is the same each time.
pub struct Captured {
    pub sql: String,
    /// By transition: each parameter as text, or none for NULL.
    pub values: Vec<Vec<Option<String>>>,
    pub life: Life,
}

/// Has the service carry one life while Postgres writes down what it is asked.
pub async fn one_life(stack: &mut Stack) -> anyhow::Result<Captured> {
    log_statements(stack, "ALTER DATABASE trip SET log_statement = 'all'").await?;
    stack.serve().await?;
    let life = lives::prepare(stack, 1)
        .await?
        .into_iter()
        .next()
        .context("a life")?;
    let mut client = stack.clients()?.remove(0);
    load::carry_one(&mut client, &life, &mut Histogram::new(3)?).await?;
    log_statements(stack, "ALTER DATABASE trip RESET log_statement").await?;
    let log = std::fs::read_to_string(stack.postgres_log()).context("read Postgres' log")?;
    let changes = executions(&log)
        .filter(|(sql, values)| sql.contains("UPDATE trips") && of(values, &life))
        .collect::<Vec<_>>();
    ensure!(
        changes.len() == STEPS,
        "a life of {STEPS} transitions is {} statements that change a trip: are they no longer one each?",
        changes.len()
    );
    let sql = changes[0].0.clone();
    ensure!(
        changes.iter().all(|(other, _)| *other == sql),
        "transitions are different statements now"
    );
    Ok(Captured {
        sql,
        values: changes.into_iter().map(|(_, values)| values).collect(),
        life,
    })
}

async fn log_statements(stack: &Stack, sql: &'static str) -> anyhow::Result<()> {
    let mut connection = stack.connect().await?;
    sqlx::raw_sql(sql).execute(&mut connection).await?;
    Ok(())
}

fn of(values: &[Option<String>], life: &Life) -> bool {
    let trip = life.trip.trim_start_matches("trips/");
    values.iter().flatten().any(|value| value == trip)
}

/// Every execution of a prepared statement in the log: its text and its values.
fn executions(log: &str) -> impl Iterator<Item = (String, Vec<Option<String>>)> {
    log.split("LOG:  execute ").skip(1).filter_map(|entry| {
        let (_, entry) = entry.split_once(": ")?;
        let (sql, detail) = entry.split_once("DETAIL:  parameters: ")?;
        // The line before DETAIL ends with the stamp of the DETAIL line: date, time, zone, process.
        let sql = sql.rsplit_once('\n')?.0;
        Some((sql.trim().to_owned(), parameters(detail)))
    })
}

/// `$1 = 'x', $2 = NULL, …` up to the end of the entry.
fn parameters(detail: &str) -> Vec<Option<String>> {
    let mut values = Vec::new();
    let mut rest = detail;
    while let Some(after) = rest.strip_prefix(&format!("${} = ", values.len() + 1)) {
        let (value, left) = value(after);
        values.push(value);
        rest = left.strip_prefix(", ").unwrap_or(left);
    }
    values
}

/// One value and what follows: NULL, or quoted with doubled quotes inside.
fn value(text: &str) -> (Option<String>, &str) {
    let Some(mut rest) = text.strip_prefix('\'') else {
        return (None, text.strip_prefix("NULL").unwrap_or(text));
    };
    let mut value = String::new();
    loop {
        let Some((part, after)) = rest.split_once('\'') else {
            return (Some(value), "");
        };
        value.push_str(part);
        match after.strip_prefix('\'') {
            Some(more) => {
                value.push('\'');
                rest = more;
            }
            None => return (Some(value), after),
        }
    }
}
