//! How many transitions a second the trip service makes of a Postgres, beside what pgbench makes of the same one.
//!
//! `./dev bench trip`: a private Postgres with fsync on, the service as a process of its own, 32 clients. In the same run,
//! taking turns: (a) pgbench with the very statement that the service sends, in one round trip; (b) pgbench with the same
//! work in the classic six; (c) the service over gRPC, whole lives (offer, accept, arrive, start, complete).
//!
//! - `stack` Postgres, broker and service; `lives` trips to be carried; `capture` the statement, read from Postgres' log
//! - `pgbench` runs (a) and (b), `load` runs (c); `report` medians, the table, docs/benchmarks.md
//!
//! Ends with an error only when something failed: a low ratio is a result. Does not: tune Postgres for the occasion.

#![allow(clippy::unwrap_used, reason = "a bench says so by panicking")]

mod capture;
mod lives;
mod load;
mod pgbench;
mod report;
mod stack;

use anyhow::{Context as _, ensure};

use report::{Figures, Report};
use stack::Stack;

/// Clients of each kind.
const CLIENTS: usize = 32;
/// Transitions in a life.
const STEPS: usize = 5;
/// Lives for the first guess at what this machine makes of it.
const TRIAL_LIVES: usize = 320;

const HELP: &str = "\
What the trip service makes of a Postgres, beside what pgbench makes of the same one.

  --seconds N  length of each turn (6)
  --rounds N   turns of each kind (3); the table has their medians
  --write      also write the table into docs/benchmarks.md";

/// What the command line asks for.
struct Options {
    /// Length of each turn, seconds.
    seconds: f64,
    /// Turns of each kind.
    rounds: usize,
    /// Whether docs/benchmarks.md is written.
    write: bool,
}

impl Options {
    fn read() -> anyhow::Result<Self> {
        let mut options = Self {
            seconds: 6.0,
            rounds: 3,
            write: false,
        };
        let mut words = std::env::args().skip(1);
        while let Some(word) = words.next() {
            let mut value = || words.next().context("want a value");
            match word.as_str() {
                "--seconds" => options.seconds = value()?.parse().context("--seconds")?,
                "--rounds" => options.rounds = value()?.parse().context("--rounds")?,
                "--write" => options.write = true,
                "--help" | "-h" => {
                    println!("{HELP}");
                    std::process::exit(0);
                }
                // What cargo adds.
                "--bench" => {}
                other => anyhow::bail!("{other} is no option\n{HELP}"),
            }
        }
        ensure!(
            options.seconds > 0.0 && options.rounds > 0,
            "want something to do"
        );
        Ok(options)
    }
}

fn main() -> anyhow::Result<()> {
    let options = Options::read()?;
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?
        .block_on(run(&options))
}

async fn run(options: &Options) -> anyhow::Result<()> {
    let mut stack = Stack::start().await?;
    eprintln!("reading what the service sends …");
    let captured = capture::one_life(&mut stack).await?;
    stack.serve().await?;

    eprintln!("finding out how much is enough …");
    let trial = lives::prepare(&stack, TRIAL_LIVES).await?;
    let trial = load::carry(&stack, &trial).await?;
    let a_turn = |rate: f64| ((rate * options.seconds / STEPS as f64) as usize).max(TRIAL_LIVES);

    let mut report = Report::default();
    let (mut ours, mut theirs) = (a_turn(trial.per_second), a_turn(trial.per_second * 1.4));
    for round in 1..=options.rounds {
        eprintln!(
            "round {round} of {}: pgbench, one round trip",
            options.rounds
        );
        let one = lives::prepare(&stack, theirs).await?;
        let one = pgbench::one_trip(&stack, &captured, &one).await?;
        eprintln!("round {round} of {}: the service", options.rounds);
        let carried = lives::prepare(&stack, ours).await?;
        let carried = load::carry(&stack, &carried).await?;
        eprintln!(
            "round {round} of {}: pgbench, six round trips",
            options.rounds
        );
        let six = lives::prepare(&stack, ours).await?;
        let six = pgbench::six_trips(&stack, &captured, &six).await?;
        (ours, theirs) = (a_turn(carried.per_second), a_turn(one.per_second));
        report.round(Figures { one, carried, six });
    }
    let table = report.table(&stack).await?;
    println!("{table}");
    if options.write {
        report::write(&table)?;
    }
    stack.stop().await
}
