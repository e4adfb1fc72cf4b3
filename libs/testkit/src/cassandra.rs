//! Apache Cassandra itself, one node, from the jars that `./dev setup local` puts into the cache.
//!
//! The one of [`cassandra`] is shared by the tests of a process: use keyspaces of your own. It ends with the process, also
//! with one that is killed. Where Java or the jars are missing there is none, and standard error says why.
//! `HEXCAB_TEST_CASSANDRA=host:port` names one that runs already.

use std::{
    io::Read as _,
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    path::PathBuf,
    process::{Child, Command, Stdio},
    sync::OnceLock,
    time::{Duration, Instant},
};

use hexcab_jars::cassandra::{Installed, Ports, Program};

use crate::database::remove_left;

/// How long it may take to come up: a machine may have much else to do.
const START_MAX: Duration = Duration::from_secs(240);
/// Its folder is named after this and the process.
const PREFIX: &str = "hexcab-test-cassandra-";
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// Ends Java with whoever holds its input's other end: a static is never dropped, and a test may be killed. Its first
/// argument is a file for Java's process id.
const GUARD: &str = r#""$@" </dev/null & java=$!; echo "$java" >"$0"; cat >/dev/null; kill -9 "$java"; wait "$java""#;

/// A node.
#[derive(Debug)]
pub struct Cassandra {
    addr: SocketAddr,
    /// None for one that somebody else runs.
    own: Option<Own>,
}

#[derive(Debug)]
struct Own {
    child: Option<Child>,
    program: Program,
    folder: tempfile::TempDir,
}

/// The node of this process, started at the first call; none where it cannot be. Blocks, for half a minute at first.
pub fn cassandra() -> Option<&'static Cassandra> {
    static SHARED: OnceLock<Option<Cassandra>> = OnceLock::new();
    let shared = SHARED.get_or_init(|| {
        #[expect(clippy::disallowed_methods, reason = "tests find their servers here")]
        let given = std::env::var("HEXCAB_TEST_CASSANDRA").ok();
        match given {
            Some(addr) => Some(Cassandra {
                addr: addr.parse().expect("HEXCAB_TEST_CASSANDRA is host:port"),
                own: None,
            }),
            None => Cassandra::start(),
        }
    });
    shared.as_ref()
}

impl Cassandra {
    /// A node of one's own, for a test that stops it; none where it cannot be. Blocks.
    pub fn start() -> Option<Self> {
        let installed = match Installed::find() {
            Ok(installed) => installed,
            Err(why) => {
                eprintln!("SKIPPED, as there is no Cassandra: {why:#}");
                return None;
            }
        };
        remove_left(PREFIX);
        let folder = tempfile::Builder::new()
            .prefix(&format!("{PREFIX}{}-", std::process::id()))
            .tempdir()
            .expect("a temporary directory");
        let ports = Ports {
            clients: free_port(),
            nodes: free_port(),
        };
        let program = installed.program(folder.path(), ports);
        let mut cassandra = Self {
            addr: SocketAddr::from((Ipv4Addr::LOCALHOST, ports.clients)),
            own: Some(Own {
                child: None,
                program: program.expect("make Cassandra's folder ready"),
                folder,
            }),
        };
        cassandra.start_again();
        Some(cassandra)
    }

    /// Where clients find it.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Kills it. What it had taken it still has.
    ///
    /// # Panics
    /// When somebody else runs it.
    pub fn kill(&mut self) {
        let own = self.own.as_mut().expect("it is ours to kill");
        own.stop();
    }

    /// It stands still (SIGSTOP) until [`Self::go_on`]: alive, silent, holding its connections.
    ///
    /// # Panics
    /// When somebody else runs it.
    pub fn hold(&self) {
        self.signal("-STOP");
    }

    /// It goes on.
    ///
    /// # Panics
    /// When somebody else runs it.
    pub fn go_on(&self) {
        self.signal("-CONT");
    }

    fn signal(&self, signal: &str) {
        let own = self.own.as_ref().expect("it is ours to hold up");
        let java = std::fs::read_to_string(own.pid_file()).expect("its process id");
        let done = Command::new("kill").args([signal, java.trim()]).status();
        assert!(
            done.is_ok_and(|done| done.success()),
            "kill {signal} {java}"
        );
    }

    /// Starts it after [`Self::kill`], at the same address; waits until it is up.
    ///
    /// # Panics
    /// When it does not come up: with the end of what it said.
    pub fn start_again(&mut self) {
        let own = self.own.as_mut().expect("it is ours to start");
        own.run();
        let begun = Instant::now();
        while TcpStream::connect(self.addr).is_err() {
            let ended = own.child.as_mut().and_then(|child| child.try_wait().ok()?);
            let (spent, log) = (begun.elapsed() > START_MAX, own.log());
            assert!(ended.is_none() && !spent, "Cassandra does not start: {log}");
            std::thread::sleep(LOOK_EVERY);
        }
    }
}

impl Own {
    fn run(&mut self) {
        let home = self.folder.path();
        let log = std::fs::File::options()
            .create(true)
            .append(true)
            .open(home.join("log"))
            .expect("open the log");
        let mut command = Command::new("sh");
        command
            .args(["-c", GUARD])
            .arg(self.pid_file())
            .arg(&self.program.program)
            .args(&self.program.arguments)
            .stdin(Stdio::piped())
            .stdout(log.try_clone().expect("the log twice"))
            .stderr(log);
        self.child = Some(command.spawn().expect("start sh"));
    }

    fn pid_file(&self) -> PathBuf {
        self.folder.path().join("pid")
    }

    fn stop(&mut self) {
        if let Some(mut child) = self.child.take() {
            drop(child.stdin.take());
            let _ = child.wait();
        }
    }

    fn log(&self) -> String {
        let mut text = Vec::new();
        if let Ok(mut file) = std::fs::File::open(self.folder.path().join("log")) {
            let _ = file.read_to_end(&mut text);
        }
        let text = String::from_utf8_lossy(&text).into_owned();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(30)..].join("\n")
    }
}

impl Drop for Own {
    fn drop(&mut self) {
        self.stop();
    }
}

fn free_port() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    listener.local_addr().expect("its address").port()
}
