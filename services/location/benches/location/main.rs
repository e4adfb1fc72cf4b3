//! How many pings and queries a second of a server's CPU is worth: location, beside Redis GEO and Tile38.
//!
//! `./dev bench location`: every server a process of its own on one core, the client on the other, all over TCP, taking
//! turns in the same run, with the same clustered fleet and walks, at 10,000, 100,000 and 1,000,000 drivers; medians of
//! three. Two floors say what gRPC leaves room for: a stream of the same batches that are only decoded (as generated code
//! decodes them), and a unary call of nothing, both by a bare tonic server.
//!
//! - `fleet` drivers and walks; `rpc` the client; `turns` what is done to hexcab and to the floors
//! - `floor` the bare server; `resp` Redis and Tile38; `process` starting, pinning, CPU and memory of a server
//! - `latency` queries under a steady stream of pings; `soak` half the peak for long; `inprocess` the index alone
//! - `away` the store slow and stopped under load; `churn` whether reads of the store meet tombstones
//! - `report` medians, ratios, docs/benchmarks.md
//!
//! Ends with an error only when something failed: a low ratio is a result, printed beside its aim.

mod away;
mod churn;
mod fleet;
mod floor;
mod inprocess;
mod latency;
mod process;
mod report;
mod resp;
mod rpc;
mod soak;
mod turns;

use std::time::Duration;

use anyhow::{Context as _, ensure};

/// Pings in a batch.
pub const BATCH: usize = 1_000;
/// Queries in a batch.
pub const QUERIES: usize = 100;
/// What is searched for: so many, so near.
pub const LIMIT: i32 = 10;
pub const RADIUS_M: i32 = 2_000;

/// What the command line asks for.
pub struct Options {
    /// Length of a turn, seconds.
    pub seconds: f64,
    /// Turns of each kind.
    pub rounds: usize,
    pub sizes: Vec<usize>,
    /// Whether docs/benchmarks.md is written.
    pub write: bool,
    what: What,
}

enum What {
    All,
    /// The index alone, in this process.
    InProcess,
    /// Half the peak, for so long.
    Soak(Duration),
    /// The store stopped for so long.
    Outage(Duration),
    /// Coming, going and crossing cells for so long, at this speed of the city's clock.
    Churn(Duration, f64),
    /// This process is the bare server.
    Floor,
}

impl Options {
    fn read() -> anyhow::Result<Self> {
        let mut options = Self {
            seconds: 4.0,
            rounds: 3,
            sizes: vec![10_000, 100_000, 1_000_000],
            write: false,
            what: What::All,
        };
        let mut words = std::env::args().skip(1);
        while let Some(word) = words.next() {
            let mut value = || words.next().context("want a value");
            match word.as_str() {
                "--seconds" => options.seconds = value()?.parse().context("--seconds")?,
                "--rounds" => options.rounds = value()?.parse().context("--rounds")?,
                "--sizes" => {
                    let sizes = value()?;
                    options.sizes = sizes
                        .split(',')
                        .map(|size| size.parse().context("--sizes"))
                        .collect::<Result<_, _>>()?;
                }
                "--write" => options.write = true,
                "--in-process" => options.what = What::InProcess,
                "--outage" => options.what = What::Outage(duration(&value()?)?),
                "--churn" => {
                    let length = duration(&value()?)?;
                    options.what = What::Churn(length, value()?.parse().context("--churn 4m 20")?);
                }
                "--soak" => options.what = What::Soak(duration(&value()?)?),
                floor::FLAG => options.what = What::Floor,
                // What cargo adds.
                "--bench" => {}
                other => anyhow::bail!(
                    "{other}: want --seconds N, --rounds N, --sizes N,N,…, --write (into docs/benchmarks.md), \
                     --in-process (the index alone), --soak 30m, --outage 2m, --churn 4m SPEED"
                ),
            }
        }
        ensure!(
            options.seconds > 0.0 && options.rounds > 0 && !options.sizes.is_empty(),
            "want something to do"
        );
        ensure!(
            options.sizes.iter().all(|size| *size >= BATCH),
            "a fleet has {BATCH} drivers at least"
        );
        Ok(options)
    }
}

/// `30s`, `30m`, `2h`.
fn duration(text: &str) -> anyhow::Result<Duration> {
    let (number, unit) = text.split_at(text.len().saturating_sub(1));
    let seconds = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3_600,
        _ => anyhow::bail!("{text}: want 30s, 30m or 2h"),
    };
    let number: u64 = number
        .parse()
        .with_context(|| format!("{text}: want 30m"))?;
    Ok(Duration::from_secs(number * seconds))
}

fn main() -> anyhow::Result<()> {
    let options = Options::read()?;
    if let What::InProcess = options.what {
        return inprocess::run(&options.sizes, options.seconds);
    }
    if let What::Floor = options.what {
        return runtime()?.block_on(floor::serve());
    }
    process::pin_client();
    let runtime = runtime()?;
    runtime.block_on(async {
        match options.what {
            What::Soak(length) => soak::run(&options, length).await,
            What::Outage(length) => away::run(&options, length).await,
            What::Churn(length, speed) => churn::run(length, speed).await,
            What::All | What::InProcess | What::Floor => turns::run(&options).await,
        }
    })
}

fn runtime() -> anyhow::Result<tokio::runtime::Runtime> {
    Ok(tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?)
}
