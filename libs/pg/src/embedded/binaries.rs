//! Finds the server binaries that the system's packages installed.
//!
//! Order: `PATH`, `pg_config --bindir`, then the folders of Debian, RPM and Homebrew packages, newest version first.
//! Does not: install anything, run the server.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use super::EmbeddedError;

/// A folder with `postgres` and `initdb`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Binaries {
    /// The folder.
    pub dir: PathBuf,
    /// The major version, such as `17`.
    pub major: String,
}

impl Binaries {
    /// The best installed version: the wanted major one, or the newest.
    ///
    /// # Errors
    /// When none is installed, or none of the wanted version.
    pub fn find(wanted: Option<(&str, &Path)>) -> Result<Self, EmbeddedError> {
        let all = Self::installed();
        let Some((major, dir)) = wanted else {
            return all.into_iter().next().ok_or(EmbeddedError::NotInstalled);
        };
        let found = all
            .iter()
            .map(|one| one.major.clone())
            .collect::<Vec<_>>()
            .join(", ");
        if all.is_empty() {
            return Err(EmbeddedError::NotInstalled);
        }
        all.into_iter()
            .find(|one| one.major == major)
            .ok_or_else(|| EmbeddedError::WrongVersion {
                dir: dir.to_owned(),
                wanted: major.to_owned(),
                found,
            })
    }

    /// Every installed version, the preferred one first.
    pub fn installed() -> Vec<Self> {
        let mut all: Vec<Self> = Vec::new();
        for dir in candidates() {
            if let Some(one) = Self::at(&dir)
                && !all.contains(&one)
            {
                all.push(one);
            }
        }
        all
    }

    /// The path of one program.
    pub fn program(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    fn at(dir: &Path) -> Option<Self> {
        // Where links lead to lie the programs that nobody has linked, too.
        let postgres = dir.join("postgres").canonicalize().ok()?;
        let dir = postgres.parent()?;
        if !postgres.is_file() || !dir.join("initdb").is_file() {
            return None;
        }
        let output = Command::new(&postgres).arg("--version").output().ok()?;
        let major = major(&String::from_utf8_lossy(&output.stdout))?;
        Some(Self {
            dir: dir.to_owned(),
            major,
        })
    }
}

/// The major version in `postgres (PostgreSQL) 16.9 (Debian 16.9-1)`.
fn major(version: &str) -> Option<String> {
    let number = version
        .split_whitespace()
        .find(|word| word.starts_with(|c: char| c.is_ascii_digit()))?;
    Some(number.chars().take_while(char::is_ascii_digit).collect())
}

fn candidates() -> Vec<PathBuf> {
    let mut dirs: Vec<PathBuf> = std::env::var_os("PATH")
        .map(|path| std::env::split_paths(&path).collect())
        .unwrap_or_default();
    if let Ok(output) = Command::new("pg_config").arg("--bindir").output() {
        dirs.push(String::from_utf8_lossy(&output.stdout).trim().into());
    }
    for (parent, prefix) in [
        ("/usr/lib/postgresql", ""),
        ("/usr", "pgsql-"),
        ("/usr/local", "pgsql"),
        ("/opt/homebrew/opt", "postgresql@"),
        ("/usr/local/opt", "postgresql@"),
    ] {
        dirs.extend(versions(Path::new(parent), prefix));
    }
    dirs
}

/// `parent/<prefix><version>/bin`, newest version first.
fn versions(parent: &Path, prefix: &str) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(parent) else {
        return Vec::new();
    };
    let mut found: Vec<(u32, PathBuf)> = entries
        .flatten()
        .filter_map(|entry| {
            let name = entry.file_name();
            let version = name.to_str()?.strip_prefix(prefix)?.parse().ok()?;
            Some((version, entry.path().join("bin")))
        })
        .collect();
    found.sort_by_key(|(version, _)| std::cmp::Reverse(*version));
    found.into_iter().map(|(_, dir)| dir).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_major_version_is_the_first_number() {
        assert_eq!(
            major("postgres (PostgreSQL) 16.9 (Debian 16.9-1.pgdg120+1)").as_deref(),
            Some("16")
        );
        assert_eq!(
            major("postgres (PostgreSQL) 18beta1").as_deref(),
            Some("18")
        );
        assert_eq!(major("nonsense"), None);
    }

    #[test]
    fn versions_are_numbers_and_not_text() {
        let dir = tempfile::tempdir().unwrap();
        for version in ["9", "17", "10", "extension"] {
            std::fs::create_dir_all(dir.path().join(version).join("bin")).unwrap();
        }
        let found = versions(dir.path(), "");
        assert_eq!(
            found,
            ["17", "10", "9"].map(|version| dir.path().join(version).join("bin"))
        );
    }

    #[test]
    fn a_missing_version_is_named() {
        let error = Binaries::find(Some(("7", Path::new("/x")))).unwrap_err();
        assert!(
            matches!(
                error,
                EmbeddedError::WrongVersion { .. } | EmbeddedError::NotInstalled
            ),
            "{error}"
        );
    }
}
