//! Apache Cassandra itself, one node, from the jars that `./dev setup local` puts into the cache.
//!
//! The one of [`cassandra`] is shared by the tests of a process: use keyspaces of your own. It ends with the process, also
//! with one that is killed. Where Java or the jars are missing there is none, and standard error says why.
//! `HEXCAB_TEST_CASSANDRA=host:port` names one that runs already.

use std::{
    fmt::Write as _,
    io::Read as _,
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::OnceLock,
    time::{Duration, Instant},
};

use crate::database::remove_left;

/// Which jars, after a line with the name of their folder.
const JARS: &str = include_str!(concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/../../infra/local/cassandra/jars.sha256"
));
const SETTINGS: &str = include_str!(concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/../../infra/local/cassandra/cassandra.yaml"
));
const LOGGING: &str = include_str!(concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/../../infra/local/cassandra/logback.xml"
));
const JAVA: &str = include_str!(concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/../../infra/local/cassandra/java.options"
));
/// How long it may take to come up: a machine may have much else to do.
const START_MAX: Duration = Duration::from_secs(240);
/// Its folder is named after this and the process.
const PREFIX: &str = "hexcab-test-cassandra-";
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// Ends Java with whoever holds its input's other end: a static is never dropped, and a test may be killed.
const GUARD: &str = r#""$@" </dev/null & java=$!; cat >/dev/null; kill -9 "$java"; wait "$java""#;

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
    class_path: String,
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
        let class_path = match class_path() {
            Ok(class_path) => class_path,
            Err(why) => {
                eprintln!("SKIPPED, as there is no Cassandra: {why}");
                return None;
            }
        };
        remove_left(PREFIX);
        let folder = tempfile::Builder::new()
            .prefix(&format!("{PREFIX}{}-", std::process::id()))
            .tempdir()
            .expect("a temporary directory");
        let (clients, nodes) = (free_port(), free_port());
        settle(folder.path(), clients, nodes);
        let mut cassandra = Self {
            addr: SocketAddr::from((Ipv4Addr::LOCALHOST, clients)),
            own: Some(Own {
                child: None,
                class_path,
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
        let agent = self.class_path.split(':').find(|jar| jar.contains("jamm-"));
        let mut command = Command::new("sh");
        command
            .args(["-c", GUARD, "sh", &java()])
            .args(options())
            .arg(format!("-javaagent:{}", agent.expect("jamm is listed")))
            .arg(format!(
                "-Dcassandra.config=file://{}/cassandra.yaml",
                home.display()
            ))
            .arg(format!(
                "-Dlogback.configurationFile={}/logback.xml",
                home.display()
            ))
            .arg(format!("-Dcassandra.storagedir={}", home.display()))
            .arg(format!("-Djava.io.tmpdir={}", home.display()))
            .args([
                "-cp",
                &self.class_path,
                "org.apache.cassandra.service.CassandraDaemon",
            ])
            .stdin(Stdio::piped())
            .stdout(log.try_clone().expect("the log twice"))
            .stderr(log);
        self.child = Some(command.spawn().expect("start sh"));
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

/// What Java takes, without comments.
fn options() -> impl Iterator<Item = &'static str> {
    JAVA.lines()
        .filter(|line| !line.starts_with('#'))
        .flat_map(str::split_whitespace)
}

/// Writes its settings.
fn settle(home: &Path, clients: u16, nodes: u16) {
    let mut settings = SETTINGS.replace(
        "seeds: \"127.0.0.1\"",
        &format!("seeds: \"127.0.0.1:{nodes}\""),
    );
    let _ = write!(
        settings,
        "\nlisten_address: 127.0.0.1\nrpc_address: 127.0.0.1\nnative_transport_port: {clients}\nstorage_port: {nodes}\n"
    );
    std::fs::write(home.join("cassandra.yaml"), settings).expect("write the settings");
    std::fs::write(home.join("logback.xml"), LOGGING).expect("write the settings of the log");
}

fn class_path() -> Result<String, String> {
    let remedy = "run `./dev setup local`";
    Command::new(java())
        .arg("-version")
        .output()
        .map_err(|error| format!("{} does not run ({error}): {remedy}", java()))?;
    let mut lines = JARS.lines();
    let name = lines.next().and_then(|line| line.strip_prefix("# "));
    let folder = cache().join(name.expect("a list of jars begins with the name of their folder"));
    let jars = lines.filter_map(|line| line.split_once("  "));
    let jars: Vec<PathBuf> = jars.map(|(_, jar)| folder.join(jar)).collect();
    if let Some(missing) = jars.iter().find(|jar| !jar.is_file()) {
        return Err(format!("{} is not there: {remedy}", missing.display()));
    }
    let jars = jars.iter().map(|jar| jar.display().to_string());
    Ok(jars.collect::<Vec<_>>().join(":"))
}

#[expect(clippy::disallowed_methods, reason = "as the launcher finds them")]
fn cache() -> PathBuf {
    let home = || PathBuf::from(std::env::var("HOME").unwrap_or("/root".to_owned()));
    std::env::var("HEXCAB_CACHE").map_or_else(|_| home().join(".cache/hexcab"), PathBuf::from)
}

#[expect(clippy::disallowed_methods, reason = "as the launcher finds it")]
fn java() -> String {
    std::env::var("JAVA_HOME").map_or("java".to_owned(), |home| format!("{home}/bin/java"))
}

fn free_port() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    listener.local_addr().expect("its address").port()
}
