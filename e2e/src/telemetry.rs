//! What is measured: every instrument in the sources, and the page that lists them (docs/telemetry.md).
//!
//! Does not: measure. Whether what is emitted is what is listed is a scenario's question.

use std::{collections::BTreeMap, fmt::Write as _, path::Path};

use anyhow::{Context as _, ensure};

/// An instrument as it stands in the sources.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Instrument {
    /// `counter`, `gauge` or `histogram`.
    pub kind: &'static str,
    /// UCUM.
    pub unit: String,
    /// What it says.
    pub says: String,
    /// Whose: the crate's folder.
    pub of: String,
}

/// Between these lines the page is made from the sources.
const BEGIN: &str = "<!-- instruments: begin -->\n";
const END: &str = "<!-- instruments: end -->";

const KINDS: [(&str, &str); 3] = [
    ("= Counter::new(", "counter"),
    ("= Gauge::new(", "gauge"),
    ("= Histogram::new(", "histogram"),
];

/// Every instrument of libs and services by name; those that are observed (`process.*`) too.
///
/// # Errors
/// When a source cannot be read, or a name stands for two things.
pub fn instruments(root: &Path) -> anyhow::Result<BTreeMap<String, Instrument>> {
    let mut found = BTreeMap::new();
    for folder in ["libs", "services"] {
        collect(root, &root.join(folder), &mut found)?;
    }
    for (name, unit, says) in hexcab_telemetry::process::LISTED {
        let instrument = Instrument {
            kind: if name == "process.cpu.time" {
                "counter"
            } else {
                "gauge"
            },
            unit: unit.to_owned(),
            says: says.to_owned(),
            of: "libs/telemetry".to_owned(),
        };
        found.insert(name.to_owned(), instrument);
    }
    Ok(found)
}

fn collect(
    root: &Path,
    folder: &Path,
    found: &mut BTreeMap<String, Instrument>,
) -> anyhow::Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default();
        if path.is_dir()
            && !["tests", "benches", "target"]
                .iter()
                .any(|skip| name == *skip)
        {
            collect(root, &path, found)?;
        } else if path.extension().is_some_and(|ending| ending == "rs") {
            let text = std::fs::read_to_string(&path)?;
            let of: Vec<_> = path.strip_prefix(root)?.iter().take(2).collect();
            let of = of
                .join(std::ffi::OsStr::new("/"))
                .to_string_lossy()
                .into_owned();
            for (name, instrument) in
                written(&text, &of).with_context(|| format!("instruments of {}", path.display()))?
            {
                let before = found.insert(name.clone(), instrument);
                ensure!(before.is_none(), "{name} is in two places");
            }
        }
    }
    Ok(())
}

/// The instruments of a source, without those of its tests.
fn written(source: &str, of: &str) -> anyhow::Result<Vec<(String, Instrument)>> {
    let source = source
        .split("#[cfg(test)]\nmod tests {")
        .next()
        .unwrap_or_default();
    let mut found = Vec::new();
    for (begin, kind) in KINDS {
        for rest in source.split(begin).skip(1) {
            let mut texts = rest.split('"').skip(1).step_by(2).map(str::to_owned);
            let mut next = |what| texts.next().with_context(|| format!("no {what}"));
            let (name, unit, says) = (next("name")?, next("unit")?, next("description")?);
            let of = of.to_owned();
            found.push((
                name,
                Instrument {
                    kind,
                    unit,
                    says,
                    of,
                },
            ));
        }
    }
    Ok(found)
}

/// The page with the table as the sources have it.
///
/// # Errors
/// When the page has no place for it.
pub fn page(page: &str, instruments: &BTreeMap<String, Instrument>) -> anyhow::Result<String> {
    let (before, rest) = page.split_once(BEGIN).context("no begin of the table")?;
    let (_, after) = rest.split_once(END).context("no end of the table")?;
    let mut table = String::from("| name | kind | unit | says | of |\n|---|---|---|---|---|\n");
    for (
        name,
        Instrument {
            kind,
            unit,
            says,
            of,
        },
    ) in instruments
    {
        writeln!(table, "| `{name}` | {kind} | `{unit}` | {says} | {of} |")?;
    }
    Ok(format!("{before}{BEGIN}{table}{END}{after}"))
}
