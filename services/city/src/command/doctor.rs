//! `hexcab doctor`: what this machine lacks for a city, and how to get it, before anything fails.
//!
//! Invariant: it leaves nothing behind; what it tries (Postgres, ports) it tries for real. Does not: install anything.

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
};

use hexcab_pg::embedded::{self, Account, Binaries, EmbeddedError, Postgres};
use nix::sys::statvfs::statvfs;

use crate::{
    cli::DoctorArguments,
    stack::{
        self, Programs,
        ports::Ports,
        services::{self, PortPlan, Service, WantedPorts},
    },
};

/// What an evening writes, with room to spare.
const DISK_BYTES: u64 = 2 << 30;
/// A city at rest is below 400 MB; an evening at four times the demand needs more.
const MEMORY_BYTES: u64 = 1 << 30;
/// Every rider and driver of the simulator is a connection.
const FILES: u64 = 4_096;
/// What a data folder has, of which at least one is needed.
const DATA_FILES: [&str; 4] = ["trips", "shifts", "road-nodes", "road-edges"];

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mark {
    Good,
    /// It will go, but not everywhere or not well.
    Note,
    /// A city cannot start.
    Missing,
}

struct Finding {
    mark: Mark,
    what: &'static str,
    said: String,
}

/// Looks at everything and says what it found; exit 1 when a city cannot start.
///
/// # Errors
/// Never for what it looks for; only when it cannot look.
pub async fn run(arguments: DoctorArguments) -> anyhow::Result<ExitCode> {
    let dir = arguments.dir.clone().unwrap_or_else(std::env::temp_dir);
    let mut findings = binaries();
    findings.push(unprivileged_user());
    findings.push(postgres(arguments.dir.as_deref()).await);
    findings.push(local_stack());
    findings.push(ports());
    findings.push(disk(&dir));
    findings.push(memory());
    findings.push(open_files(stack::open_files::at_most()));
    findings.extend(arguments.data.as_deref().map(data));
    for Finding { mark, what, said } in &findings {
        let sign = match mark {
            Mark::Good => "ok",
            Mark::Note => "note",
            Mark::Missing => "MISSING",
        };
        println!("{sign:<8} {what:<18} {said}");
    }
    let missing = findings
        .iter()
        .filter(|finding| finding.mark == Mark::Missing)
        .count();
    println!(
        "{}",
        if missing == 0 {
            "a city can start here".to_owned()
        } else {
            format!("{missing} to mend first")
        }
    );
    Ok(if missing == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

fn finding(what: &'static str, mark: Mark, said: impl Into<String>) -> Finding {
    Finding {
        mark,
        what,
        said: said.into(),
    }
}

fn binaries() -> Vec<Finding> {
    let folder = match services::binaries() {
        Ok(folder) => folder,
        Err(error) => return vec![finding("binaries", Mark::Missing, format!("{error:#}"))],
    };
    let names = Service::ALL.map(Service::binary);
    let missing: Vec<String> = names
        .iter()
        .chain([&services::SIMULATOR])
        .filter_map(|name| services::binary(&folder, name).err())
        .map(|error| error.to_string())
        .collect();
    if missing.is_empty() {
        return vec![finding(
            "binaries",
            Mark::Good,
            format!("{} and the simulator in {}", names.len(), folder.display()),
        )];
    }
    missing
        .into_iter()
        .map(|said| finding("binaries", Mark::Missing, said))
        .collect()
}

fn unprivileged_user() -> Finding {
    const WHAT: &str = "unprivileged user";
    match tempfile::tempdir().map(|dir| Account::unprivileged(dir.path())) {
        Ok(Ok(None)) => finding(WHAT, Mark::Good, "not root, so Postgres runs as you"),
        Ok(Ok(Some(account))) => finding(
            WHAT,
            Mark::Good,
            format!("root, so Postgres runs as {}", account.name),
        ),
        Ok(Err(error)) => finding(WHAT, Mark::Missing, error.to_string()),
        Err(error) => finding(
            WHAT,
            Mark::Missing,
            format!("the temporary folder cannot be written: {error}"),
        ),
    }
}

async fn postgres(dir: Option<&Path>) -> Finding {
    const WHAT: &str = "postgres";
    let found = match Binaries::find(None) {
        Ok(found) => found,
        Err(error) => return finding(WHAT, Mark::Missing, error.to_string()),
    };
    match try_postgres(dir).await {
        Ok(()) => finding(
            WHAT,
            Mark::Good,
            format!(
                "{} in {}, starts and stops",
                found.major,
                found.dir.display()
            ),
        ),
        Err(error) => finding(
            WHAT,
            Mark::Missing,
            format!("{} in {}: {error}", found.major, found.dir.display()),
        ),
    }
}

/// In the folder asked for, because that is where it may fail.
async fn try_postgres(dir: Option<&Path>) -> Result<(), EmbeddedError> {
    let made = match dir {
        Some(dir) => std::fs::create_dir_all(dir).and_then(|()| tempfile::tempdir_in(dir)),
        None => tempfile::tempdir(),
    };
    let path = dir.map_or_else(std::env::temp_dir, PathBuf::from);
    let made = made.map_err(|source| EmbeddedError::Io {
        what: "make a folder in",
        path,
        source,
    })?;
    Postgres::start(embedded::Options::for_tests(made.path()))
        .await?
        .stop()
        .await;
    Ok(())
}

/// Not needed for a city, but for one with `--stack local`.
fn local_stack() -> Finding {
    const WHAT: &str = "local stack";
    match Programs::find().and_then(|programs| programs.check()) {
        Ok(said) => finding(WHAT, Mark::Good, said),
        Err(error) => finding(WHAT, Mark::Note, format!("{error:#}")),
    }
}

fn ports() -> Finding {
    match PortPlan::find(WantedPorts::default(), &mut Ports::default()) {
        Ok(_) => finding("ports", Mark::Good, "enough free ones on 127.0.0.1"),
        Err(error) => finding("ports", Mark::Missing, format!("{error:#}")),
    }
}

fn disk(dir: &Path) -> Finding {
    const WHAT: &str = "disk";
    let existing = dir
        .ancestors()
        .find(|ancestor| ancestor.exists())
        .unwrap_or(Path::new("/"));
    match statvfs(existing) {
        Ok(stat) => {
            let free = stat.blocks_available() * stat.fragment_size();
            let said = format!("{:.1} GiB free in {}", gib(free), existing.display());
            let mark = if free < DISK_BYTES {
                Mark::Missing
            } else {
                Mark::Good
            };
            finding(
                WHAT,
                mark,
                if mark == Mark::Good {
                    said
                } else {
                    format!("{said}; name another folder with --dir")
                },
            )
        }
        Err(error) => finding(
            WHAT,
            Mark::Note,
            format!("cannot ask about {}: {error}", existing.display()),
        ),
    }
}

fn memory() -> Finding {
    const WHAT: &str = "memory";
    let info = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let line = info
        .lines()
        .find_map(|line| line.strip_prefix("MemAvailable:"));
    let kib: Option<u64> = line
        .and_then(|line| line.trim().strip_suffix("kB"))
        .and_then(|kib| kib.trim().parse().ok());
    match kib.map(|kib| kib * 1024) {
        None => finding(
            WHAT,
            Mark::Note,
            "this system does not say how much is free",
        ),
        Some(free) if free < MEMORY_BYTES => finding(
            WHAT,
            Mark::Note,
            format!(
                "{:.1} GiB free; an evening may need {:.0}",
                gib(free),
                gib(MEMORY_BYTES)
            ),
        ),
        Some(free) => finding(WHAT, Mark::Good, format!("{:.1} GiB free", gib(free))),
    }
}

fn open_files(hard: Option<u64>) -> Finding {
    const WHAT: &str = "open files";
    match hard {
        Some(hard) if hard < FILES => finding(
            WHAT,
            Mark::Note,
            format!(
                "at most {hard}; large evenings need {FILES}: raise the hard limit (`nofile` in /etc/security/limits.conf, `docker run --ulimit nofile={FILES}`)"
            ),
        ),
        Some(hard) => finding(WHAT, Mark::Good, format!("up to {hard}")),
        None => finding(
            WHAT,
            Mark::Note,
            "this system does not say how many are allowed",
        ),
    }
}

fn data(dir: &Path) -> Finding {
    const WHAT: &str = "data";
    let Ok(entries) = std::fs::read_dir(dir) else {
        return finding(
            WHAT,
            Mark::Missing,
            format!(
                "{} is no folder that can be read; leave --data (HEXCAB_DATA) out to use the built-in profile",
                dir.display()
            ),
        );
    };
    let names: Vec<String> = entries
        .flatten()
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect();
    let found: Vec<&str> = DATA_FILES
        .into_iter()
        .filter(|part| names.iter().any(|name| name.contains(part)))
        .collect();
    if found.is_empty() {
        return finding(
            WHAT,
            Mark::Missing,
            format!(
                "{} holds no rides, shifts or street graph of a city",
                dir.display()
            ),
        );
    }
    finding(
        WHAT,
        Mark::Good,
        format!("{} with {}", dir.display(), found.join(", ")),
    )
}

fn gib(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 30)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn too_low_a_hard_limit_of_open_files_is_noted() {
        assert_eq!(open_files(Some(FILES - 1)).mark, Mark::Note);
        assert_eq!(open_files(Some(FILES)).mark, Mark::Good);
        assert_eq!(open_files(Some(u64::MAX)).mark, Mark::Good);
    }
}
