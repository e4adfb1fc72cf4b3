//! Medians over the rounds, as a table, and its place in docs/benchmarks.md.

use std::{fmt::Write as _, path::Path, time::Duration};

use anyhow::Context as _;

use super::{CLIENTS, load::Carried, pgbench::Raw, stack::Stack};

/// Where the table stands.
const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/benchmarks.md");
const BEGIN: &str = "<!-- ./dev bench trip -->";
const END: &str = "<!-- end of ./dev bench trip -->";

/// Processor time, microseconds.
#[derive(Debug, Clone, Copy, Default)]
pub struct Cpu {
    pub postgres: f64,
    pub service: f64,
    pub client: f64,
}

impl Cpu {
    /// Used so far by each process.
    pub fn now(stack: &Stack) -> Self {
        Self {
            postgres: used_with_children(stack.postgres.pid()),
            service: stack.service_pid().map_or(0.0, used),
            client: used(std::process::id()),
        }
    }

    pub fn until_now(self, stack: &Stack) -> Self {
        let now = Self::now(stack);
        Self {
            postgres: now.postgres - self.postgres,
            service: now.service - self.service,
            client: now.client - self.client,
        }
    }

    pub fn of_each(self, count: f64) -> Self {
        Self {
            postgres: self.postgres / count,
            service: self.service / count,
            client: self.client / count,
        }
    }
}

/// One round's figures.
pub struct Figures {
    pub one: Raw,
    pub carried: Carried,
    pub six: Raw,
}

/// All rounds.
#[derive(Default)]
pub struct Report {
    rounds: Vec<Figures>,
}

impl Report {
    pub fn round(&mut self, figures: Figures) {
        eprintln!(
            "  one round trip {:.0}/s, the service {:.0}/s ({:.2}, p99 {:.1} ms), six {:.0}/s",
            figures.one.per_second,
            figures.carried.per_second,
            figures.carried.per_second / figures.one.per_second,
            ms(figures.carried.p99),
            figures.six.per_second,
        );
        self.rounds.push(figures);
    }

    fn median(&self, of: impl Fn(&Figures) -> f64) -> f64 {
        let mut values: Vec<f64> = self.rounds.iter().map(of).collect();
        values.sort_by(f64::total_cmp);
        values[values.len() / 2]
    }

    /// The table, and what it was measured on.
    pub async fn table(&self, stack: &Stack) -> anyhow::Result<String> {
        let mut connection = stack.connect().await?;
        let version: String = sqlx::query_scalar("SHOW server_version")
            .fetch_one(&mut connection)
            .await?;
        let fsync: String = sqlx::query_scalar("SHOW fsync")
            .fetch_one(&mut connection)
            .await?;
        let one = self.median(|round| round.one.per_second);
        let six = self.median(|round| round.six.per_second);
        let ours = self.median(|round| round.carried.per_second);
        let mut table = String::new();
        writeln!(
            table,
            "{CLIENTS} clients, medians of {} rounds, {}, PostgreSQL {version}, fsync {fsync}, load average {}.\n",
            self.rounds.len(),
            machine(),
            load_average(),
        )?;
        writeln!(
            table,
            "| | transitions/s | ratio | mean or p50 | p95 | p99 | rolled back |"
        )?;
        writeln!(table, "|---|---:|---:|---:|---:|---:|---:|")?;
        writeln!(
            table,
            "| pgbench, the same statement, one round trip | {one:.0} | 1.00 | {:.1} ms | | | {:.0} |",
            self.median(|round| round.one.mean_ms),
            self.median(|round| round.one.failed as f64),
        )?;
        writeln!(
            table,
            "| pgbench, the same work, six round trips | {six:.0} | {:.2} | {:.1} ms | | | {:.0} |",
            six / one,
            self.median(|round| round.six.mean_ms),
            self.median(|round| round.six.failed as f64),
        )?;
        writeln!(
            table,
            "| **hexcab-trip over gRPC** | **{ours:.0}** | **{:.2}** | {:.1} ms | {:.1} ms | {:.1} ms | {:.0} |",
            self.median(|round| round.carried.per_second / round.one.per_second),
            self.median(|round| ms(round.carried.p50)),
            self.median(|round| ms(round.carried.p95)),
            self.median(|round| ms(round.carried.p99)),
            self.median(|round| round.carried.rolled_back as f64),
        )?;
        writeln!(
            table,
            "\nProcessor time of a transition over gRPC: Postgres {:.0} µs, the service {:.0} µs (its relay included), \
             the callers and the broker {:.0} µs. The ratio is the median of the rounds' own ratios.",
            self.median(|round| round.carried.cpu.postgres),
            self.median(|round| round.carried.cpu.service),
            self.median(|round| round.carried.cpu.client),
        )?;
        Ok(table)
    }
}

/// Puts the table into the page, between its marks.
pub fn write(table: &str) -> anyhow::Result<()> {
    let path = Path::new(PAGE);
    let page = std::fs::read_to_string(path).unwrap_or_else(|_| "# Benchmarks\n".to_owned());
    let section = format!("{BEGIN}\n{table}{END}");
    let written = match (page.find(BEGIN), page.find(END)) {
        (Some(begin), Some(end)) => {
            format!("{}{section}{}", &page[..begin], &page[end + END.len()..])
        }
        _ => format!("{page}\n## Trip\n\n{section}\n"),
    };
    std::fs::write(path, written).with_context(|| format!("write {}", path.display()))
}

fn ms(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1000.0
}

fn machine() -> String {
    let cpus = std::thread::available_parallelism().map_or(0, usize::from);
    let model = std::fs::read_to_string("/proc/cpuinfo")
        .ok()
        .and_then(|info| {
            let line = info.lines().find(|line| line.starts_with("model name"))?;
            Some(line.split_once(':')?.1.trim().to_owned())
        })
        .unwrap_or_else(|| std::env::consts::ARCH.to_owned());
    format!("{cpus} × {model}")
}

fn load_average() -> String {
    let text = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split(' ').next().unwrap_or("unknown").to_owned()
}

/// User and system time of a process, microseconds.
fn used(pid: u32) -> f64 {
    fields(pid).map_or(0.0, |fields| fields[11] + fields[12]) * 10_000.0
}

/// The same with its children, those that ended included.
fn used_with_children(pid: u32) -> f64 {
    let ended = fields(pid).map_or(0.0, |fields| fields[13] + fields[14]) * 10_000.0;
    let children = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children"));
    let children = children.unwrap_or_default();
    let alive: f64 = children
        .split_whitespace()
        .filter_map(|pid| pid.parse().ok())
        .map(used)
        .sum();
    used(pid) + ended + alive
}

/// The fields of /proc/PID/stat behind the name, in ticks of a hundredth of a second where they are times.
fn fields(pid: u32) -> Option<Vec<f64>> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, fields) = stat.rsplit_once(") ")?;
    Some(
        fields
            .split_whitespace()
            .map(|field| field.parse().unwrap_or(0.0))
            .collect(),
    )
}
