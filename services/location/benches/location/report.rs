//! Medians over the rounds, ratios beside their aims, and their place in docs/benchmarks.md.

use std::{fmt::Write as _, path::Path};

use anyhow::Context as _;

use super::{
    LIMIT, Options, RADIUS_M,
    latency::Latency,
    process::{load_average, machine},
};

/// Where the table stands.
const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/benchmarks.md");
const BEGIN: &str = "<!-- ./dev bench location -->";
const END: &str = "<!-- end of ./dev bench location -->";
/// The sizes that the aims are for.
const AIMED: [usize; 3] = [10_000, 100_000, 1_000_000];

/// One round at one size, all but the last two per second of the server's processor time.
#[derive(Debug, Clone, Default)]
pub struct Figures {
    pub pings: f64,
    pub nearby: f64,
    pub nearby_batch: f64,
    pub decode_only: f64,
    pub empty_call: f64,
    /// Positions and searches.
    pub redis: Option<(f64, f64)>,
    pub tile38: Option<(f64, f64)>,
    pub bytes_each: f64,
    pub latency: Option<Latency>,
}

/// All rounds.
pub struct Report {
    sizes: Vec<usize>,
    rounds: Vec<(usize, Figures)>,
}

type Of = fn(&Figures) -> Option<f64>;

/// A ratio, what it is of, and what it is to be at each of [`AIMED`].
const RATIOS: [(&str, Of, [f64; 3]); 6] = [
    (
        "pings / Redis GEOADD",
        |round| Some(round.pings / round.redis?.0),
        [2.0, 5.0, 8.0],
    ),
    (
        "pings / decode-only stream",
        |round| Some(round.pings / round.decode_only),
        [0.30, 0.30, 0.20],
    ),
    (
        "FindNearby / empty unary call",
        |round| Some(round.nearby / round.empty_call),
        [0.48, 0.48, 0.36],
    ),
    (
        "FindNearbyBatch points / empty unary call",
        |round| Some(round.nearby_batch / round.empty_call),
        [1.8, 1.5, 0.9],
    ),
    (
        "FindNearby / Redis GEOSEARCH",
        |round| Some(round.nearby / round.redis?.1),
        [1.0, 1.0, 1.0],
    ),
    (
        "FindNearby / Tile38 NEARBY",
        |round| Some(round.nearby / round.tile38?.1),
        [4.5, 7.5, 10.0],
    ),
];

const RATES: [(&str, Of); 9] = [
    ("Redis GEOADD, 100 per command, pipelined", |round| {
        Some(round.redis?.0)
    }),
    ("Tile38 SET, pipelined", |round| Some(round.tile38?.0)),
    ("decode-only stream (floor)", |round| {
        Some(round.decode_only)
    }),
    ("**hexcab pings, stream of batches of 1,000**", |round| {
        Some(round.pings)
    }),
    ("Redis GEOSEARCH, pipelined", |round| Some(round.redis?.1)),
    ("Tile38 NEARBY, pipelined", |round| Some(round.tile38?.1)),
    ("empty unary call (floor)", |round| Some(round.empty_call)),
    ("**hexcab FindNearby**", |round| Some(round.nearby)),
    (
        "**hexcab FindNearbyBatch, points of batches of 100**",
        |round| Some(round.nearby_batch),
    ),
];

impl Report {
    pub fn new(options: &Options) -> Self {
        Self {
            sizes: options.sizes.clone(),
            rounds: Vec::new(),
        }
    }

    pub fn add(&mut self, size: usize, figures: Figures) {
        self.rounds.push((size, figures));
    }

    fn median(&self, size: usize, of: impl Fn(&Figures) -> Option<f64>) -> Option<f64> {
        let rounds = self.rounds.iter().filter(|(known, _)| *known == size);
        let mut values: Vec<f64> = rounds.filter_map(|(_, round)| of(round)).collect();
        values.sort_by(f64::total_cmp);
        values.get(values.len() / 2).copied()
    }

    /// The tables, and what they were measured on.
    pub fn table(&self) -> String {
        let rounds = self.rounds.len() / self.sizes.len();
        let mut table = format!(
            "Per second of the server's processor time, over TCP on one machine, the server on one core and the client on \
             the other; {LIMIT} nearest within {RADIUS_M} m; medians of {rounds} rounds; {}, load average {}.\n\n",
            machine(),
            load_average(),
        );
        self.head(&mut table);
        for (name, of) in RATES {
            self.row(&mut table, name, |size| self.median(size, of).map(rate));
        }
        table.push_str("\nRatios in the same rounds, each beside its aim:\n\n");
        self.head(&mut table);
        for (name, of, aims) in RATIOS {
            self.row(&mut table, name, |size| {
                let ratio = self.median(size, of)?;
                let aim = AIMED
                    .iter()
                    .position(|aimed| *aimed == size)
                    .map(|at| aims[at]);
                let aim = aim.map_or(String::new(), |aim| {
                    format!(
                        " (≥ {aim}{})",
                        if ratio < aim { ", **missed**" } else { "" }
                    )
                });
                Some(format!("{ratio:.2}{aim}"))
            });
        }
        self.row(&mut table, "memory, bytes a driver over the base", |size| {
            Some(format!(
                "{:.0}",
                self.median(size, |round| Some(round.bytes_each))?
            ))
        });
        self.rest(&mut table);
        table
    }

    fn rest(&self, table: &mut String) {
        if let (Some(small), Some(large)) = (
            self.median(AIMED[0], |round| Some(round.pings)),
            self.median(AIMED[2], |round| Some(round.pings)),
        ) {
            let _ = writeln!(
                table,
                "\nA ping at 1,000,000 drivers costs {:.2} times what it costs at 10,000 (≤ 2).",
                small / large
            );
        }
        let quantile = |of: fn(Latency) -> u64| {
            let value = self.median(AIMED[1], |round| Some(of(round.latency?) as f64))?;
            Some(format!("{:.2} ms", value / 1000.0))
        };
        if let (Some(p50), Some(p99), Some(p999)) = (
            quantile(|latency| latency.p50_us),
            quantile(|latency| latency.p99_us),
            quantile(|latency| latency.p999_us),
        ) {
            let _ = writeln!(
                table,
                "\nA query at 100,000 drivers under 50,000 pings a second: p50 {p50}, p99 {p99} (≤ 1 ms), p99.9 {p999}."
            );
        }
    }

    fn head(&self, table: &mut String) {
        self.row(table, "", |size| Some(format!("{size} drivers")));
        let _ = writeln!(table, "|---|{}", "---:|".repeat(self.sizes.len()));
    }

    fn row(&self, table: &mut String, name: &str, cell: impl Fn(usize) -> Option<String>) {
        let cells: Vec<String> = self
            .sizes
            .iter()
            .map(|size| cell(*size).unwrap_or("not here".to_owned()))
            .collect();
        let _ = writeln!(table, "| {name} | {} |", cells.join(" | "));
    }

    /// Puts the tables into the page, between their marks.
    pub fn write(&self, table: &str) -> anyhow::Result<()> {
        let path = Path::new(PAGE);
        let page = std::fs::read_to_string(path).unwrap_or_else(|_| "# Benchmarks\n".to_owned());
        let section = format!("{BEGIN}\n{table}{END}");
        let written = match (page.find(BEGIN), page.find(END)) {
            (Some(begin), Some(end)) => {
                format!("{}{section}{}", &page[..begin], &page[end + END.len()..])
            }
            _ => format!("{page}\n## Location\n\n{section}\n"),
        };
        std::fs::write(path, written).with_context(|| format!("write {}", path.display()))
    }
}

fn rate(value: f64) -> String {
    if value >= 1e6 {
        format!("{:.2}M", value / 1e6)
    } else {
        format!("{:.1}k", value / 1e3)
    }
}
