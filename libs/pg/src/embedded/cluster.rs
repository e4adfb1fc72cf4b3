//! The folder of a private server: `data/` (the cluster), `password`, `postgres.log`.
//!
//! Invariants: `initdb` runs once; a folder half made is made again; a pid file of a server that is gone is no
//! obstacle, one of a server that lives is (after it had time to stop: its owner may just have been killed); what a
//! killed server left running is ended, for Postgres refuses to start beside it.
//! Does not: talk SQL.

use std::{
    io::Write,
    os::unix::fs::{OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
    time::Duration,
};

use nix::sys::signal::Signal;

use super::{Account, Binaries, Durability, EmbeddedError, USER, processes, watched::Watched};

/// How long a server of a dead owner may take to go.
const HANDOVER_TIMEOUT: Duration = Duration::from_secs(15);
/// How often it is looked whether what was left of a killed server is gone.
const LEFT_POLL: Duration = Duration::from_millis(10);
/// Lines of the log that an error shows.
const LOG_TAIL_LINES: usize = 12;

/// Small, as many of these live on one machine; the rest is Postgres' default.
const SETTINGS: [&str; 14] = [
    "listen_addresses=127.0.0.1",
    "unix_socket_directories=",
    "max_connections=120",
    "shared_buffers=32MB",
    "huge_pages=off",
    "jit=off",
    "max_pred_locks_per_transaction=256",
    "max_parallel_workers_per_gather=0",
    "wal_level=minimal",
    "max_wal_senders=0",
    "max_wal_size=256MB",
    "random_page_cost=1.1",
    "timezone=UTC",
    "log_timezone=UTC",
];

/// A folder with a cluster in it, and how to serve it.
#[derive(Debug)]
pub struct Cluster {
    pub dir: PathBuf,
    pub password: String,
    account: Option<Account>,
    binaries: Binaries,
}

impl Cluster {
    /// Makes the folder ready: a cluster of an installed version, served by nobody.
    pub async fn prepare(dir: &Path) -> Result<Self, EmbeddedError> {
        std::fs::create_dir_all(dir).map_err(io("make the folder", dir))?;
        let dir = dir.canonicalize().map_err(io("find", dir))?;
        let account = Account::unprivileged(&dir)?;
        if let Some(account) = &account {
            account.own(&dir)?;
            account.reach(&dir)?;
        }
        std::fs::set_permissions(&dir, std::fs::Permissions::from_mode(0o700))
            .map_err(io("close", &dir))?;
        let made = std::fs::read_to_string(dir.join("made")).ok();
        let wanted = made.as_deref().map(str::trim);
        let binaries = Binaries::find(wanted.map(|major| (major, dir.as_path())))?;
        let password = match std::fs::read_to_string(dir.join("password")) {
            Ok(password) if made.is_some() => password,
            _ => hex(&rand::random::<[u8; 24]>()),
        };
        let cluster = Self {
            dir,
            password,
            account,
            binaries,
        };
        if made.is_none() {
            cluster.init().await?;
        }
        cluster.wait_until_unused().await?;
        Ok(cluster)
    }

    /// The server on this port, with these settings over its own, under a watcher.
    pub fn spawn(
        &self,
        port: u16,
        durability: Durability,
        settings: &[String],
    ) -> Result<Watched, EmbeddedError> {
        let mut arguments = vec!["-D".to_owned(), self.data().display().to_string()];
        let durable: &[&str] = match durability {
            Durability::Durable => &["fsync=on", "synchronous_commit=on"],
            // Written to the system at each commit, though not to the disk, and whole pages: a killed server loses nothing.
            Durability::Test => &["fsync=off", "synchronous_commit=on"],
        };
        let port = format!("port={port}");
        let own = SETTINGS.iter().chain(durable).copied().chain([&*port]);
        // Of a setting that comes twice Postgres takes the last.
        for setting in own.chain(settings.iter().map(String::as_str)) {
            arguments.extend(["-c".to_owned(), setting.to_owned()]);
        }
        let path = self.log();
        let log = std::fs::OpenOptions::new()
            .append(true)
            .create(true)
            .open(&path)
            .map_err(io("open", &path))?;
        Watched::spawn(
            &self.binaries.program("postgres"),
            &arguments,
            self.account.as_ref(),
            log,
        )
        .map_err(io("run a server on", &self.dir))
    }

    /// The process that serves the cluster, by its pid file, if it accepts connections.
    pub fn running_pid(&self) -> Option<u32> {
        let file = std::fs::read_to_string(self.data().join("postmaster.pid")).ok()?;
        let mut lines = file.lines();
        let pid = lines.next()?.trim().parse().ok()?;
        lines.any(|line| line.trim() == "ready").then_some(pid)
    }

    /// Forgets what earlier servers logged.
    pub fn truncate_log(&self) -> Result<(), EmbeddedError> {
        let path = self.log();
        std::fs::write(&path, "").map_err(io("write", &path))
    }

    /// The end of the server's log.
    pub fn log_tail(&self) -> String {
        let log = std::fs::read(self.log()).unwrap_or_default();
        let log = String::from_utf8_lossy(&log);
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(LOG_TAIL_LINES)..].join("\n")
    }

    /// The folder that a server works in.
    pub fn data(&self) -> PathBuf {
        self.dir.join("data")
    }

    fn log(&self) -> PathBuf {
        self.dir.join("postgres.log")
    }

    async fn init(&self) -> Result<(), EmbeddedError> {
        let data = self.data();
        if data.exists() {
            std::fs::remove_dir_all(&data).map_err(io("clear the half-made", &data))?;
        }
        self.write_password()?;
        let mut initdb = tokio::process::Command::new(self.binaries.program("initdb"));
        initdb
            .arg("--pgdata")
            .arg(&data)
            .arg("--username")
            .arg(USER);
        initdb
            .arg("--pwfile")
            .arg(self.dir.join("password"))
            .arg("--auth=scram-sha-256");
        initdb.args([
            "--encoding=UTF8",
            "--locale=C",
            "--no-sync",
            "--no-instructions",
        ]);
        initdb
            .env_clear()
            .env("PATH", "/usr/bin:/bin:/usr/local/bin")
            .env("LC_ALL", "C")
            .current_dir("/");
        initdb.kill_on_drop(true);
        if let Some(account) = &self.account {
            initdb.uid(account.uid).gid(account.gid);
        }
        let output = initdb
            .output()
            .await
            .map_err(io("run initdb in", &self.dir))?;
        if !output.status.success() {
            let said = [output.stderr, output.stdout].concat();
            return Err(EmbeddedError::Initdb(
                String::from_utf8_lossy(&said).trim().to_owned(),
            ));
        }
        let made = self.dir.join("made");
        std::fs::write(&made, &self.binaries.major).map_err(io("write", &made))
    }

    fn write_password(&self) -> Result<(), EmbeddedError> {
        let path = self.dir.join("password");
        let opened = std::fs::OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&path);
        opened
            .and_then(|mut file| file.write_all(self.password.as_bytes()))
            .map_err(io("write", &path))?;
        self.account
            .as_ref()
            .map_or(Ok(()), |account| account.own(&path))
    }

    /// A pid file of another server: waits for one that is stopping, removes one that nobody stands behind.
    async fn wait_until_unused(&self) -> Result<(), EmbeddedError> {
        let file = self.data().join("postmaster.pid");
        let deadline = tokio::time::Instant::now() + HANDOVER_TIMEOUT;
        while let Some(pid) = pid_in(&file) {
            if !serves(pid, &self.data()) {
                std::fs::remove_file(&file).map_err(io("remove the stale", &file))?;
                break;
            }
            if tokio::time::Instant::now() > deadline {
                return Err(EmbeddedError::InUse {
                    dir: self.dir.clone(),
                    pid,
                });
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        self.end_what_is_left(deadline).await
    }

    /// A server that was killed cannot end its own children; those in the middle of a query notice only after it, those
    /// that are held up (SIGSTOP) never.
    async fn end_what_is_left(&self, deadline: tokio::time::Instant) -> Result<(), EmbeddedError> {
        let data = self.data();
        loop {
            let left = processes::serving(&data);
            let Some(pid) = left.first() else {
                return Ok(());
            };
            if tokio::time::Instant::now() > deadline {
                return Err(EmbeddedError::InUse {
                    dir: self.dir.clone(),
                    pid: pid.unsigned_abs(),
                });
            }
            for pid in left {
                processes::signal(pid, Signal::SIGKILL);
            }
            tokio::time::sleep(LEFT_POLL).await;
        }
    }
}

fn pid_in(file: &Path) -> Option<u32> {
    std::fs::read_to_string(file)
        .ok()?
        .lines()
        .next()?
        .trim()
        .parse()
        .ok()
}

/// Whether this process is a server of this folder. Where there is no `/proc`, Postgres' own check must do.
fn serves(pid: u32, data: &Path) -> bool {
    let command = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    String::from_utf8_lossy(&command)
        .split('\0')
        .any(|argument| Path::new(argument) == data)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn io<'a>(what: &'static str, path: &'a Path) -> impl FnOnce(std::io::Error) -> EmbeddedError + 'a {
    move |source| EmbeddedError::Io {
        what,
        path: path.to_owned(),
        source,
    }
}
