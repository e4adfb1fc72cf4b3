//! The table of guards (docs/guards.toml): what is guarded, where in code, where in the database, and which test goes red
//! without it. Read by `./dev guards`, which takes each guard away in a copy of the sources, and by the tidy tests.
//!
//! Invariant: what is to be taken away stands in its file exactly once. Does not: run anything.

use std::{fmt::Write as _, path::Path};

use anyhow::{Context as _, ensure};
use serde::Deserialize;

/// All guards.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Table {
    /// One a row.
    pub guard: Vec<Guard>,
}

/// One guard of one rule.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Guard {
    /// Which rule: I1 to I9, or a rule of the ledger or of events.
    pub rule: String,
    /// The rule in words, as this guard keeps it.
    pub says: String,
    /// Code, or database.
    pub kind: Kind,
    /// What it is called there: a function, or a constraint.
    pub name: String,
    /// The file it stands in.
    pub file: String,
    /// What is taken away.
    pub find: String,
    /// What stands there instead.
    #[serde(default)]
    pub replace: String,
    /// The package whose tests miss it.
    pub package: String,
    /// The test target.
    #[serde(default = "it")]
    pub target: String,
    /// The test that goes red.
    pub test: String,
}

fn it() -> String {
    "it".to_owned()
}

/// Where a guard stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// In Rust.
    Code,
    /// In Postgres.
    Database,
}

impl Table {
    /// Reads docs/guards.toml below this folder.
    ///
    /// # Errors
    /// When it is not there or not readable.
    pub fn read(root: &Path) -> anyhow::Result<Self> {
        let path = root.join("docs/guards.toml");
        let text = std::fs::read_to_string(&path).with_context(|| path.display().to_string())?;
        toml::from_str(&text).with_context(|| path.display().to_string())
    }

    /// The table as a page: a row a rule, with its guard in code, its guard in the database, and the test of each.
    pub fn page(&self) -> String {
        let mut page = String::from(
            "# Guards\n\n\
             Every invariant is kept twice: in code and in the database. This page is made from `docs/guards.toml` by\n\
             `./dev guards --write`; `./dev guards` takes each guard away, one at a time, and sees its test go red.\n\n\
             | rule | | guard in code → test | guard in the database → test |\n\
             |---|---|---|---|\n",
        );
        let mut rows: Vec<(&str, &str)> = Vec::new();
        for guard in &self.guard {
            let row = (guard.rule.as_str(), guard.says.as_str());
            if !rows.contains(&row) {
                rows.push(row);
            }
        }
        for (rule, says) in rows {
            let of = |kind| self.cell(rule, says, kind);
            let _ = writeln!(
                page,
                "| {rule} | {says} | {} | {} |",
                of(Kind::Code),
                of(Kind::Database)
            );
        }
        page
    }

    fn cell(&self, rule: &str, says: &str, kind: Kind) -> String {
        let guards: Vec<String> = self
            .guard
            .iter()
            .filter(|guard| guard.rule == rule && guard.says == says && guard.kind == kind)
            .map(|guard| format!("`{}` in {} → `{}`", guard.name, guard.file, guard.test))
            .collect();
        guards.join("<br>")
    }
}

impl Guard {
    /// The file's text without the guard.
    ///
    /// # Errors
    /// When the file is not there, or what is to be taken away does not stand in it exactly once.
    pub fn taken_away(&self, root: &Path) -> anyhow::Result<String> {
        let path = root.join(&self.file);
        let text = std::fs::read_to_string(&path).with_context(|| path.display().to_string())?;
        let times = text.matches(&self.find).count();
        ensure!(
            times == 1,
            "{} ({}): {:?} stands {times} times in {}",
            self.name,
            self.rule,
            self.find,
            self.file
        );
        Ok(text.replacen(&self.find, &self.replace, 1))
    }
}
