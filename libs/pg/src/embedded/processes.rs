//! The processes of a server, found by the folder that each of them works in.
//!
//! Invariant: only programs named `postgres` are found: whoever else happens to work in that folder is left alone.
//! Does not: find any where there is no `/proc`.

use std::path::Path;

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

/// Every process that serves this data folder: the server, and those that it started, also when it is gone.
pub fn serving(data: &Path) -> Vec<i32> {
    let Ok(all) = std::fs::read_dir("/proc") else {
        return Vec::new();
    };
    let pids = all
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    pids.filter(|pid| serves(*pid, data)).collect()
}

fn serves(pid: i32, data: &Path) -> bool {
    let link = |name| std::fs::read_link(format!("/proc/{pid}/{name}")).ok();
    let is_postgres = |program: &Path| {
        let name = program.file_name().unwrap_or_default();
        // The system adds a word when the file was replaced meanwhile.
        name.to_string_lossy().split(' ').next() == Some("postgres")
    };
    link("cwd").is_some_and(|dir| dir == data) && link("exe").is_some_and(|exe| is_postgres(&exe))
}

/// Sends a signal; to a process that is gone it has no effect.
pub fn signal(pid: i32, signal: Signal) {
    let _gone = kill(Pid::from_raw(pid), signal);
}
