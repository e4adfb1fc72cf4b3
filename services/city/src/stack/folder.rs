//! The folder of a running city: `city.json` (where everything is), `keys/`, `logs/`, `postgres/`.
//!
//! Invariants: secrets are files of mode 0600; `city.json` appears whole or not at all; a temporary folder is gone when
//! its city has ended, one that was named is kept. Does not: know what a service needs of it.

use std::{
    collections::BTreeMap,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context as _, bail};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use super::keys::{Keys, write_private};

/// The file that says where everything is.
pub const CITY_FILE: &str = "city.json";
/// Where the folder of the city that was started last is noted, in the user's cache folder.
const LAST: &str = ".cache/hexcab/running";

/// How long the last writers to a temporary folder may take to go …
const REMOVE_PATIENCE: Duration = Duration::from_secs(3);
/// … and how often it is tried to remove it meanwhile.
const REMOVE_POLL: Duration = Duration::from_millis(50);

/// Where everything of a running city is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CityFile {
    /// REST and WebSocket, `http://…`.
    pub gateway: String,
    /// Driver apps' gRPC, `http://…`.
    pub gateway_grpc: String,
    /// `POST /v1/tokens`.
    pub sign_in: String,
    /// The launcher's own endpoint: status, restarts, traces.
    pub control: String,
    /// The server's URL with password, ending in `/`: append a database's name.
    pub postgres: String,
    /// Kafka's bootstrap servers.
    pub brokers: String,
    /// Where spans go (OTLP over gRPC).
    pub otlp: String,
    /// The clock, as `HEXCAB_CLOCK`.
    pub clock: String,
    /// The city's id.
    pub city: String,
    /// The launcher's process.
    pub pid: u32,
    /// Which stores: `embedded` or `local`.
    pub stack: String,
    /// What the services stand on, by name.
    pub stores: BTreeMap<String, StoreEntry>,
    /// The services, by name.
    pub services: BTreeMap<String, ServiceEntry>,
    /// The token that services show each other.
    pub service_token_file: PathBuf,
}

/// A service of a running city.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ServiceEntry {
    /// Where it is called: gRPC, for the sandbox plain HTTP.
    pub grpc: String,
    /// Its process when the city was started; the control endpoint knows the current one.
    pub pid: Option<u32>,
}

/// A store of a running city.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StoreEntry {
    /// Its process when the city was started; the control endpoint knows the current one.
    pub pid: Option<u32>,
}

impl CityFile {
    /// The URL of one database.
    pub fn database(&self, name: &str) -> String {
        format!("{}{name}", self.postgres)
    }

    /// Reads the folder of a running city: the one named, or the one started last by this user.
    ///
    /// # Errors
    /// When no city runs there.
    pub fn find(dir: Option<&Path>) -> anyhow::Result<(PathBuf, Self)> {
        let dir = match dir {
            Some(dir) => dir.to_owned(),
            None => last().context("no running city is known; start one with `hexcab up`, or name its folder with --dir")?,
        };
        let file = Self::read(&dir)?;
        if !Path::new(&format!("/proc/{}", file.pid)).exists() && Path::new("/proc/self").exists() {
            bail!(
                "the city of {} is not running (its launcher, pid {}, is gone)",
                dir.display(),
                file.pid
            );
        }
        Ok((dir, file))
    }

    fn read(dir: &Path) -> anyhow::Result<Self> {
        let path = dir.join(CITY_FILE);
        let text = std::fs::read_to_string(&path).with_context(|| {
            format!(
                "no city runs in {} (cannot read {CITY_FILE})",
                dir.display()
            )
        })?;
        serde_json::from_str(&text).with_context(|| format!("read {}", path.display()))
    }
}

/// The folder itself.
#[derive(Debug)]
pub struct Folder {
    path: PathBuf,
    temporary: Mutex<Option<tempfile::TempDir>>,
}

impl Folder {
    /// Opens the named folder, or a temporary one.
    ///
    /// # Errors
    /// When it cannot be made, or another city runs in it.
    pub fn open(dir: Option<&Path>) -> anyhow::Result<Self> {
        let (path, temporary) = match dir {
            Some(dir) => {
                std::fs::create_dir_all(dir).with_context(|| format!("make {}", dir.display()))?;
                (
                    dir.canonicalize()
                        .with_context(|| format!("find {}", dir.display()))?,
                    None,
                )
            }
            None => {
                let made = tempfile::Builder::new()
                    .prefix("hexcab-")
                    .tempdir()
                    .context("make a temporary folder")?;
                (made.path().canonicalize()?, Some(made))
            }
        };
        if let Ok((_, other)) = CityFile::find(Some(&path)) {
            bail!(
                "a city is running in {} already (pid {})",
                path.display(),
                other.pid
            );
        }
        // Passable, not listable: Postgres may have to run as another user in it.
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o711))
            .context("set the folder's mode")?;
        for part in ["keys", "logs", "clocks", "crash-points"] {
            let part = path.join(part);
            std::fs::create_dir_all(&part)?;
            std::fs::set_permissions(&part, std::fs::Permissions::from_mode(0o700))?;
        }
        Ok(Self {
            path,
            temporary: Mutex::new(temporary),
        })
    }

    /// Its path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether it goes when the city ends.
    pub fn is_temporary(&self) -> bool {
        self.temporary.lock().is_some()
    }

    /// Stays when the city has gone, although it is a temporary one: somebody has to look into it.
    pub fn keep(&self) {
        if let Some(temporary) = self.temporary.lock().take() {
            let _path = temporary.keep();
        }
    }

    /// The log of a service.
    pub fn log(&self, service: &str) -> PathBuf {
        self.path.join("logs").join(format!("{service}.log"))
    }

    /// How much a service's clocks are off, in a city that was started for faults.
    pub fn clock(&self, service: &str) -> PathBuf {
        self.path.join("clocks").join(service)
    }

    /// At which crash point a service dies, in a city that was started for faults.
    pub fn crash_point(&self, service: &str) -> PathBuf {
        self.path.join("crash-points").join(service)
    }

    /// Its keys and secrets; what is not there is made.
    ///
    /// # Errors
    /// When one cannot be written.
    pub fn keys(&self) -> anyhow::Result<Keys> {
        Keys::make(&self.path.join("keys"))
    }

    /// Says where everything is, for other commands.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn publish(&self, city: &CityFile) -> anyhow::Result<()> {
        let (path, fresh) = (self.path.join(CITY_FILE), self.path.join(".city.json.new"));
        let _left_over = std::fs::remove_file(&fresh);
        write_private(&fresh, &serde_json::to_string_pretty(city)?)?;
        std::fs::rename(&fresh, &path).context("write city.json")?;
        if let Some(last) = home().map(|home| home.join(LAST)) {
            let noted = last.parent().map_or(Ok(()), std::fs::create_dir_all);
            // Only a convenience: a home that cannot be written is no reason not to run.
            let _unknown = noted
                .and_then(|()| std::fs::write(&last, self.path.as_os_str().as_encoded_bytes()));
        }
        Ok(())
    }

    /// No city runs here any more. A temporary folder goes with it, once nobody writes to it any more.
    pub async fn withdraw(&self) {
        let _gone = std::fs::remove_file(self.path.join(CITY_FILE));
        if last().as_deref() == Some(&self.path)
            && let Some(home) = home()
        {
            let _gone = std::fs::remove_file(home.join(LAST));
        }
        if !self.is_temporary() {
            return;
        }
        let deadline = Instant::now() + REMOVE_PATIENCE;
        while let Err(error) = std::fs::remove_dir_all(&self.path) {
            if !self.path.exists() {
                return;
            }
            if Instant::now() > deadline {
                let path = self.path.display();
                return crate::say::warn(format_args!("could not remove {path}: {error}"));
            }
            tokio::time::sleep(REMOVE_POLL).await;
        }
    }
}

fn home() -> Option<PathBuf> {
    std::env::var_os("HOME")
        .map(PathBuf::from)
        .filter(|home| home.is_absolute())
}

fn last() -> Option<PathBuf> {
    let text = std::fs::read_to_string(home()?.join(LAST)).ok()?;
    Some(PathBuf::from(text.trim()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_temporary_folder_goes_with_its_city_and_a_named_or_kept_one_stays() {
        let outer = tempfile::tempdir().unwrap();
        let named = Folder::open(Some(outer.path())).unwrap();
        let temporary = Folder::open(None).unwrap();
        let path = temporary.path().to_owned();
        drop((named, temporary));
        assert!(!path.exists() && outer.path().exists());
        let kept = Folder::open(None).unwrap();
        let path = kept.path().to_owned();
        kept.keep();
        drop(kept);
        assert!(path.exists());
        std::fs::remove_dir_all(path).unwrap();
    }

    #[test]
    fn a_folder_whose_launcher_is_gone_is_not_a_running_city() {
        let outer = tempfile::tempdir().unwrap();
        let error = CityFile::find(Some(outer.path())).unwrap_err();
        assert!(error.to_string().contains("no city runs in"), "{error:#}");
    }
}
