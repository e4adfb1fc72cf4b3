//! Programs of others that run on Java: which jars they are, and whether they are on this machine. [`cassandra`] is one of
//! them, as the city and tests run it.
//!
//! `./dev setup local` puts them into the cache, after their checksums in `infra/local/<store>/jars.sha256`.
//! Invariant: what is run is what is listed there, whatever else lies in the folder. Does not: fetch or start anything.

pub mod cassandra;

use std::{
    ffi::OsString,
    ops::RangeInclusive,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, bail};
use sha2::{Digest as _, Sha256};

/// Kafka's, as `sha256sum` writes them, after a line with the name of their folder.
pub const KAFKA: &str = include_str!(concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/../../infra/local/kafka/jars.sha256"
));
/// Cassandra's.
pub const CASSANDRA: &str = include_str!(concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/../../infra/local/cassandra/jars.sha256"
));
/// Any Java from this one on.
pub const SINCE_17: RangeInclusive<u32> = 17..=u32::MAX;
/// What to do when something is missing.
const REMEDY: &str = "run `./dev setup local`";

/// The jars of one program.
#[derive(Debug, Clone)]
pub struct Jars {
    /// With the version, such as `kafka-4.1.1`.
    name: &'static str,
    folder: PathBuf,
    /// Name and SHA-256, in hex.
    files: Vec<(&'static str, &'static str)>,
}

impl Jars {
    /// Those of a list, in the cache.
    ///
    /// # Errors
    /// When some are missing.
    pub fn find(list: &'static str) -> anyhow::Result<Self> {
        Self::find_in(&cache()?, list)
    }

    fn find_in(cache: &Path, list: &'static str) -> anyhow::Result<Self> {
        let jars = Self::listed(cache, list)?;
        let missing = jars.paths().filter(|path| !path.is_file()).count();
        if missing > 0 {
            bail!(
                "{missing} of {} jars of {} are not in {}: {REMEDY}",
                jars.files.len(),
                jars.name,
                jars.folder.display()
            );
        }
        Ok(jars)
    }

    fn listed(cache: &Path, list: &'static str) -> anyhow::Result<Self> {
        let mut lines = list.lines();
        let name = lines.next().and_then(|line| line.strip_prefix("# "));
        let name = name.context("a list of jars begins with the name of their folder")?;
        let files: Vec<_> = lines
            .filter_map(|line| {
                let (sum, file) = line.split_once("  ")?;
                Some((file, sum))
            })
            .collect();
        Ok(Self {
            name,
            folder: cache.join(name),
            files,
        })
    }

    /// With the version.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// Where they are.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// As Java's `-cp` takes it.
    pub fn class_path(&self) -> OsString {
        let mut joined = OsString::new();
        for path in self.paths() {
            if !joined.is_empty() {
                joined.push(":");
            }
            joined.push(path);
        }
        joined
    }

    /// Reads every jar and compares it. Blocks.
    ///
    /// # Errors
    /// When one is another than it should be: which.
    pub fn check(&self) -> anyhow::Result<()> {
        for ((file, sum), path) in self.files.iter().zip(self.paths()) {
            let content =
                std::fs::read(&path).with_context(|| format!("read {}", path.display()))?;
            if hex::encode(Sha256::digest(content)) != *sum {
                bail!(
                    "{} is another file than infra/local lists ({file}): remove it and {REMEDY}",
                    path.display()
                );
            }
        }
        Ok(())
    }

    fn paths(&self) -> impl Iterator<Item = PathBuf> {
        self.files.iter().map(|(file, _)| self.folder.join(file))
    }
}

fn cache() -> anyhow::Result<PathBuf> {
    if let Some(cache) = std::env::var_os("HEXCAB_CACHE").filter(|cache| !cache.is_empty()) {
        return Ok(cache.into());
    }
    let home = std::env::var_os("HOME")
        .context("neither HEXCAB_CACHE nor HOME says where the cache is")?;
    Ok(PathBuf::from(home).join(".cache").join("hexcab"))
}

/// Java of one of these major versions, of `JAVA_HOME` or else in the path. Runs it, to know its version.
///
/// # Errors
/// When there is none, or another one.
pub fn java(wanted: RangeInclusive<u32>) -> anyhow::Result<PathBuf> {
    let home = std::env::var_os("JAVA_HOME").map(|home| PathBuf::from(home).join("bin/java"));
    let java = match home.filter(|java| java.is_file()) {
        Some(java) => java,
        None => which::which("java").with_context(|| format!("Java is not installed: {REMEDY}"))?,
    };
    let said = Command::new(&java)
        .arg("-version")
        .output()
        .with_context(|| format!("run {} -version", java.display()))?;
    let said = String::from_utf8_lossy(&said.stderr).into_owned();
    match major(&said) {
        Some(major) if wanted.contains(&major) => Ok(java),
        Some(major) if major < *wanted.start() => bail!(
            "{} is Java {major}, and {} or newer is needed: {REMEDY}",
            java.display(),
            wanted.start()
        ),
        Some(major) => bail!(
            "{} is Java {major}, and {} is the newest that will do: install it, and name it with JAVA_HOME",
            java.display(),
            wanted.end()
        ),
        None => bail!("{} does not say its version: {said}", java.display()),
    }
}

/// The major version in `openjdk version "17.0.15" 2025-04-15`; before 9 it was called 1.8.
fn major(said: &str) -> Option<u32> {
    let version = said.split_once("version \"")?.1;
    let mut numbers = version.split(|c: char| !c.is_ascii_digit());
    let first: u32 = numbers.next()?.parse().ok()?;
    if first == 1 {
        return numbers.next()?.parse().ok();
    }
    Some(first)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIST: &str = "# tea-1.0\n\
        2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae  cup.jar\n\
        fcde2b2edba56bf408601fb721fe9b5c338d10ee429ea04fae5511b68fbf8fb9  pot.jar\n";

    #[test]
    fn what_is_missing_is_counted_and_its_remedy_is_told() {
        let cache = tempfile::tempdir().unwrap();
        let folder = cache.path().join("tea-1.0");
        std::fs::create_dir(&folder).unwrap();
        std::fs::write(folder.join("cup.jar"), "foo").unwrap();
        let error = Jars::find_in(cache.path(), LIST).unwrap_err().to_string();
        assert!(
            error.starts_with("1 of 2 jars of tea-1.0 are not in") && error.ends_with(REMEDY),
            "{error}"
        );
    }

    #[test]
    fn another_file_is_named_and_nothing_but_the_list_is_run() {
        let cache = tempfile::tempdir().unwrap();
        let folder = cache.path().join("tea-1.0");
        std::fs::create_dir(&folder).unwrap();
        for (file, content) in [("cup.jar", "foo"), ("pot.jar", "bar"), ("spy.jar", "?")] {
            std::fs::write(folder.join(file), content).unwrap();
        }
        let jars = Jars::find_in(cache.path(), LIST).unwrap();
        jars.check().unwrap();
        let path = jars.class_path().into_string().unwrap();
        assert!(
            path.contains("cup.jar:") && path.ends_with("pot.jar"),
            "{path}"
        );
        std::fs::write(folder.join("pot.jar"), "baz").unwrap();
        let error = jars.check().unwrap_err().to_string();
        assert!(error.contains("pot.jar is another file"), "{error}");
    }

    #[test]
    fn the_lists_can_be_read() {
        for (list, name) in [(KAFKA, "kafka-4.1."), (CASSANDRA, "cassandra-5.0.")] {
            let jars = Jars::listed(Path::new("/c"), list).unwrap();
            assert!(jars.name().starts_with(name), "{}", jars.name());
            assert!(jars.files.len() > 40);
            let mut files = jars.files.iter();
            assert!(files.all(|(file, sum)| file.ends_with(".jar") && sum.len() == 64));
        }
    }

    #[test]
    fn javas_major_version_is_read_in_its_old_and_its_new_way() {
        assert_eq!(major("openjdk version \"17.0.15\" 2025-04-15\n"), Some(17));
        assert_eq!(major("openjdk version \"21\" 2023-09-19"), Some(21));
        assert_eq!(major("java version \"1.8.0_392\""), Some(8));
        assert_eq!(major("command not found"), None);
    }
}
