//! Servers as processes on a core of their own, and what they use of it.

use std::{
    net::{Ipv4Addr, TcpListener},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::Context as _;

/// The core of whichever server is measured; the client has the next.
const SERVER_CORE: &str = "0";
const CLIENT_CORE: &str = "1";
/// How long a server may take to come up.
const START_TIMEOUT: Duration = Duration::from_secs(30);
/// Ticks of a hundredth of a second in /proc.
const TICKS_PER_SECOND: f64 = 100.0;

/// A server; it ends with this value.
pub struct Server {
    child: Child,
    pub port: u16,
}

impl Server {
    /// Starts a program on the server's core and waits until it takes connections.
    pub async fn start(
        program: &str,
        port: u16,
        args: impl IntoIterator<Item = String>,
    ) -> anyhow::Result<Self> {
        let mut command = if has_two_cores() {
            let mut command = Command::new("taskset");
            command.args(["-c", SERVER_CORE, program]);
            command
        } else {
            Command::new(program)
        };
        let child = command
            .args(args)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::inherit())
            .spawn()
            .with_context(|| format!("start {program}"))?;
        let mut server = Self { child, port };
        let begun = Instant::now();
        while tokio::net::TcpStream::connect((Ipv4Addr::LOCALHOST, port))
            .await
            .is_err()
        {
            if let Some(status) = server.child.try_wait()? {
                anyhow::bail!("{program} ended: {status}");
            }
            anyhow::ensure!(begun.elapsed() < START_TIMEOUT, "{program} did not come up");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Ok(server)
    }

    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Processor time so far, seconds.
    pub fn cpu(&self) -> f64 {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.child.id()));
        let stat = stat.unwrap_or_default();
        let fields: Vec<&str> = stat
            .rsplit_once(") ")
            .map_or(Vec::new(), |(_, fields)| fields.split(' ').collect());
        let ticks = |at: usize| {
            fields
                .get(at)
                .and_then(|field| field.parse::<f64>().ok())
                .unwrap_or(0.0)
        };
        (ticks(11) + ticks(12)) / TICKS_PER_SECOND
    }

    /// Memory in use, bytes.
    pub fn memory(&self) -> f64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id()));
        let status = status.unwrap_or_default();
        let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        resident
            .and_then(|line| line.trim().trim_end_matches(" kB").parse::<f64>().ok())
            .unwrap_or(0.0)
            * 1024.0
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A port that was free a moment ago.
pub fn free_port() -> anyhow::Result<u16> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    Ok(listener.local_addr()?.port())
}

/// Keeps this process off the server's core.
pub fn pin_client() {
    let pinned = has_two_cores()
        && Command::new("taskset")
            .args([
                "-a",
                "-c",
                "-p",
                CLIENT_CORE,
                &std::process::id().to_string(),
            ])
            .stdout(Stdio::null())
            .status()
            .is_ok_and(|status| status.success());
    if !pinned {
        eprintln!("client and server share the cores: taskset is not here, or there is one core");
    }
}

fn has_two_cores() -> bool {
    let info = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let cores = info.lines().filter(|line| line.starts_with("processor"));
    cores.count() >= 2
        && Command::new("taskset")
            .arg("--version")
            .stdout(Stdio::null())
            .status()
            .is_ok()
}

/// Whether a program is on the PATH.
pub fn on_path(program: &str) -> bool {
    Command::new(program)
        .arg("--version")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok()
}

/// What is measured on.
pub fn machine() -> String {
    let info = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let cores = info
        .lines()
        .filter(|line| line.starts_with("processor"))
        .count();
    let model = info
        .lines()
        .find(|line| line.starts_with("model name"))
        .and_then(|line| Some(line.split_once(':')?.1.trim().to_owned()))
        .unwrap_or_else(|| std::env::consts::ARCH.to_owned());
    format!("{cores} × {model}")
}

/// The load of the last minute.
pub fn load_average() -> String {
    let text = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split(' ').next().unwrap_or("unknown").to_owned()
}
