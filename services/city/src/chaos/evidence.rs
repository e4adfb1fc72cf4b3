//! What a process said of itself in its log since a moment: that it reached a crash point, that its clock is off.
//!
//! Does not: believe anything that was said before.

use std::{
    io::{Read as _, Seek as _, SeekFrom},
    path::{Path, PathBuf},
};

/// A log from here on.
#[derive(Debug)]
pub struct Evidence {
    log: PathBuf,
    from: u64,
}

impl Evidence {
    /// What is written from now on.
    pub fn from_now(log: &Path) -> Self {
        Self {
            from: log.metadata().map_or(0, |about| about.len()),
            log: log.to_owned(),
        }
    }

    /// Whether it says this by now. A log that cannot be read says nothing.
    pub fn says(&self, wanted: &str) -> bool {
        let mut text = Vec::new();
        let read = std::fs::File::open(&self.log).and_then(|mut log| {
            log.seek(SeekFrom::Start(self.from))?;
            log.read_to_end(&mut text)
        });
        read.is_ok() && String::from_utf8_lossy(&text).contains(wanted)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_said_since_counts() {
        let dir = tempfile::tempdir().unwrap();
        let log = dir.path().join("trip.log");
        let nothing = Evidence::from_now(&log);
        assert!(!nothing.says("point"));
        std::fs::write(&log, "point one reached\n").unwrap();
        let since = Evidence::from_now(&log);
        assert!(nothing.says("point one") && !since.says("point one"));
        std::fs::write(&log, "point one reached\npoint two reached\n").unwrap();
        assert!(since.says("point two") && !since.says("point one"));
    }
}
