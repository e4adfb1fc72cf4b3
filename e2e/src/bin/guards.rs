//! `./dev guards [FILTER…] [--list] [--write]`: takes every guard away, one at a time, and sees its test go red.
//!
//! Works on a worktree of HEAD below target/, so that the sources here stay as they are. A guard passes when its test is
//! green with it and red without it; code that no longer compiles proves nothing and fails.

use std::{
    path::{Path, PathBuf},
    process::{Command, ExitCode},
    time::Instant,
};

use anyhow::{Context as _, bail, ensure};
use hexcab_e2e::guards::{Guard, Table};

/// What a run of one test came to.
#[derive(Debug, PartialEq, Eq)]
enum Run {
    Green,
    Red,
    /// It did not compile, or there is no such test.
    Neither(String),
}

fn main() -> anyhow::Result<ExitCode> {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("..")
        .canonicalize()?;
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let unknown =
        |word: &&String| word.starts_with("--") && !matches!(&word[..], "--list" | "--write");
    if let Some(word) = arguments.iter().find(unknown) {
        eprintln!(
            "{word}: want [FILTER…] (words of rules, names, files or tests), --list (which), --write (docs/guards.md)"
        );
        return Ok(ExitCode::from(2));
    }
    let filters: Vec<&String> = arguments
        .iter()
        .filter(|word| !word.starts_with("--"))
        .collect();
    let table = Table::read(&root)?;
    if arguments.iter().any(|word| word == "--write") {
        std::fs::write(root.join("docs/guards.md"), table.page())?;
        return Ok(ExitCode::SUCCESS);
    }
    let chosen: Vec<&Guard> = table
        .guard
        .iter()
        .filter(|guard| {
            let line = format!(
                "{} {} {} {}",
                guard.rule, guard.name, guard.file, guard.test
            );
            filters.is_empty() || filters.iter().any(|word| line.contains(word.as_str()))
        })
        .collect();
    if arguments.iter().any(|word| word == "--list") {
        for guard in chosen {
            println!("{:5} {} ({})", guard.rule, guard.name, guard.test);
        }
        return Ok(ExitCode::SUCCESS);
    }
    ensure!(!chosen.is_empty(), "no guard of docs/guards.toml fits");
    let tree = Worktree::add(&root)?;
    let mut missed = green_with_all(&root, &tree.0, &chosen)?;
    for (number, guard) in chosen.iter().enumerate() {
        let begun = Instant::now();
        let verdict = try_one(&root, &tree.0, guard);
        let took = begun.elapsed().as_secs();
        let at = format!("[{}/{}]", number + 1, chosen.len());
        match verdict {
            Ok(()) => println!("{at} red   {:5} {} ({took} s)", guard.rule, guard.name),
            Err(error) => {
                missed += 1;
                println!(
                    "{at} MISS  {:5} {}: {error:#} ({took} s)",
                    guard.rule, guard.name
                );
            }
        }
    }
    println!(
        "{} passed, {missed} failed",
        chosen.len().saturating_sub(missed)
    );
    Ok(if missed == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// Every test is green while all guards stand. Returns how many are not.
fn green_with_all(root: &Path, tree: &Path, chosen: &[&Guard]) -> anyhow::Result<usize> {
    let mut missed = 0;
    for guard in chosen {
        let why = match run(root, tree, guard)? {
            Run::Green => continue,
            Run::Red => "is red with its guard in place".to_owned(),
            Run::Neither(why) => format!("did not run: {why}"),
        };
        println!(
            "MISS  {:5} {}: {} {why}",
            guard.rule, guard.name, guard.test
        );
        missed += 1;
    }
    println!(
        "{} tests are green with their guards in place",
        chosen.len() - missed
    );
    Ok(missed)
}

fn try_one(root: &Path, tree: &Path, guard: &Guard) -> anyhow::Result<()> {
    let path = tree.join(&guard.file);
    let whole = std::fs::read_to_string(&path).with_context(|| guard.file.clone())?;
    let without = guard.taken_away(tree)?;
    std::fs::write(&path, without)?;
    let ended = run(root, tree, guard);
    std::fs::write(&path, whole)?;
    match ended? {
        Run::Red => Ok(()),
        Run::Green => bail!("{} is green without it", guard.test),
        Run::Neither(why) => bail!("without it: {why}"),
    }
}

fn run(root: &Path, tree: &Path, guard: &Guard) -> anyhow::Result<Run> {
    let mut cargo = Command::new("cargo");
    cargo
        .current_dir(tree)
        .env("CARGO_TARGET_DIR", root.join("target"))
        .args(["test", "--locked", "--package", &guard.package]);
    if guard.target == "lib" {
        cargo.arg("--lib");
    } else {
        cargo.args(["--test", &guard.target]);
    }
    let output = cargo
        .args(["--", &guard.test])
        .output()
        .context("run cargo")?;
    let (said, errors) = (
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    let ran = |ending: &str| {
        said.lines().any(|line| {
            line.starts_with("test ") && line.contains(&guard.test) && line.ends_with(ending)
        })
    };
    // A test may print on its own line between its name and its verdict.
    let failed = ran("FAILED") || said.contains("test result: FAILED");
    Ok(if failed {
        Run::Red
    } else if output.status.success() && !said.contains(" 0 passed;") {
        Run::Green
    } else {
        let last = errors.lines().rev().find(|line| line.contains("error"));
        Run::Neither(last.unwrap_or("no such test").to_owned())
    })
}

/// A worktree of HEAD, gone with its value.
struct Worktree(PathBuf);

impl Worktree {
    fn add(root: &Path) -> anyhow::Result<Self> {
        let path = root.join("target/guards");
        let git = |arguments: &[&str]| {
            Command::new("git")
                .current_dir(root)
                .args(arguments)
                .output()
        };
        let name = path.display().to_string();
        let _none_there = git(&["worktree", "remove", "--force", &name]);
        let added = git(&["worktree", "add", "--detach", &name, "HEAD"])?;
        ensure!(
            added.status.success(),
            "git worktree add: {}",
            String::from_utf8_lossy(&added.stderr)
        );
        Ok(Self(path))
    }
}

impl Drop for Worktree {
    fn drop(&mut self) {
        let _left = Command::new("git")
            .args(["worktree", "remove", "--force"])
            .arg(&self.0)
            .current_dir(&self.0)
            .output();
    }
}
