//! The city that scenarios run against: one of their own, started as a user would, or the one that is named to them.
//!
//! Of a city that is up already they are told by the environment: `HEXCAB_GATEWAY` and `HEXCAB_SIGN_IN` where apps find it,
//! `HEXCAB_CLOCK` its clock unless that is the machine's. With that alone, scenarios that look inside are skipped. They
//! run too with `HEXCAB_CITY_DIR`, a folder whose city.json says where all the rest is, as `hexcab up` writes it;
//! `HEXCAB_JAEGER` and `HEXCAB_PROMETHEUS`, which have its spans and numbers; `HEXCAB_REPLICAS`, when it has two of each service; `HEXCAB_COMPOSE_PROJECT`, by which docker knows its containers.

use std::{
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use hexcab_chassis::{Clock, ClockConfig};
use parking_lot::Mutex;
use serde_json::Value;
use tokio::process::{Child, Command};

use crate::{
    Api,
    collector::{Collector, Spans},
    eventually,
    keeper::Keeper,
};

/// City seconds per second: fast, and still slow enough that a 15 s offer can be answered on a busy machine.
const SPEED: &str = "20";
/// Every service that a city runs, in the order they are started.
pub const SERVICES: [&str; 7] = [
    "sandbox", "location", "trip", "pricing", "payment", "dispatch", "gateway",
];
/// Those of which a cluster may have two, the second called `…-2`.
pub const REPLICATED: [&str; 6] = [
    "location", "trip", "pricing", "payment", "dispatch", "gateway",
];

/// A running city.
pub struct City {
    /// Its gateway.
    pub api: Api,
    /// What its folder says.
    pub file: Value,
    /// Every span of it.
    pub spans: Spans,
    pub(crate) keeper: Keeper,
    prometheus: Option<String>,
    /// The folder of city.json.
    dir: PathBuf,
    scratch: tempfile::TempDir,
    launcher: Mutex<Option<Child>>,
}

/// What a scenario must have of a city beside the public API. A city of their own has it all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Has {
    /// Nothing.
    Api,
    /// The addresses of its services and stores.
    Inside,
    /// Its spans.
    Spans,
    /// Its numbers and log lines, which only a city of their own sends here.
    Numbers,
    /// Somebody who kills its processes and starts them again.
    Keeper,
    /// A Prometheus that has its numbers, which only a cluster has.
    Prometheus,
    /// Two of every service of [`REPLICATED`], and a keeper.
    Replicas,
}

impl Has {
    /// Whether there is a point in scenarios that need it: `hexcab up` starts no Prometheus, and one of each service.
    pub fn is_asked_for(self) -> bool {
        match self {
            Self::Api | Self::Inside | Self::Spans | Self::Numbers | Self::Keeper => true,
            Self::Prometheus => given(PROMETHEUS).is_some(),
            Self::Replicas => given(REPLICAS).is_some(),
        }
    }

    /// Why a scenario that needs it cannot run; none when it can.
    pub fn lacking(self) -> Option<&'static str> {
        given("HEXCAB_GATEWAY")?;
        let inside = (
            "HEXCAB_CITY_DIR",
            "looks inside: HEXCAB_CITY_DIR is not set",
        );
        let spans = ("HEXCAB_JAEGER", "looks at spans: HEXCAB_JAEGER is not set");
        let kills = (
            "HEXCAB_COMPOSE_PROJECT",
            "kills processes: HEXCAB_COMPOSE_PROJECT is not set",
        );
        let wanted = match self {
            Self::Api | Self::Prometheus => vec![],
            Self::Inside => vec![inside],
            Self::Spans => vec![inside, spans],
            Self::Numbers => {
                return Some("looks at numbers, which go to this city's own collector");
            }
            Self::Keeper | Self::Replicas => vec![inside, kills],
        };
        let mut lacking = wanted.iter().filter(|(name, _)| given(name).is_none());
        lacking.next().map(|(_, why)| *why)
    }
}

const PROMETHEUS: &str = "HEXCAB_PROMETHEUS";
const REPLICAS: &str = "HEXCAB_REPLICAS";

fn given(variable: &str) -> Option<String> {
    #[expect(clippy::disallowed_methods, reason = "tests find their city here")]
    std::env::var(variable).ok()
}

/// Where the binaries are: beside this test's own.
fn binary(name: &str) -> PathBuf {
    let own = std::env::current_exe().expect("own path");
    let target = own.ancestors().nth(2).expect("target/debug/deps/own");
    let path = target.join(name);
    assert!(
        path.exists(),
        "{} is not built: run cargo build --bins",
        path.display()
    );
    path
}

impl City {
    /// The one that is named, or one of their own.
    pub async fn start() -> Self {
        match given("HEXCAB_GATEWAY") {
            Some(gateway) => Self::named(&gateway).await,
            None => Self::own().await,
        }
    }

    /// One that is up.
    async fn named(gateway: &str) -> Self {
        let dir = given("HEXCAB_CITY_DIR").map(PathBuf::from);
        let file = match &dir {
            Some(dir) => read(dir).expect("HEXCAB_CITY_DIR has a city.json"),
            None => serde_json::json!({
                "sign_in": given("HEXCAB_SIGN_IN").expect("HEXCAB_SIGN_IN says where tokens are had"),
                "clock": given("HEXCAB_CLOCK").unwrap_or_else(|| "system".to_owned()),
            }),
        };
        let sign_in = file["sign_in"].as_str().expect("an address");
        let city = Self {
            api: Api::new(gateway, sign_in),
            spans: given("HEXCAB_JAEGER").map_or(Spans::None, Spans::Jaeger),
            keeper: given("HEXCAB_COMPOSE_PROJECT")
                .map_or(Keeper::Nobody, |project| Keeper::Compose { project }),
            prometheus: given(PROMETHEUS),
            file,
            dir: dir.unwrap_or_default(),
            scratch: tempfile::tempdir().expect("a folder"),
            launcher: Mutex::new(None),
        };
        city.until_healthy().await;
        city
    }

    /// Starts a city with `hexcab up` and waits until it is healthy.
    async fn own() -> Self {
        let spans = Collector::start().await;
        let dir = tempfile::Builder::new()
            .prefix("hexcab-e2e-")
            .tempdir()
            .expect("a folder");
        let mut launcher = Command::new(binary("hexcab"));
        launcher
            .env("HEXCAB_EXIT_WITH_PARENT", std::process::id().to_string())
            .args([
                "up",
                "--speed",
                SPEED,
                "--from",
                "2008-05-30T17:00",
                "--no-fsync",
                "--otlp",
                &spans.url(),
            ])
            .arg("--dir")
            .arg(dir.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::inherit())
            .kill_on_drop(true);
        let mut launcher = launcher.spawn().expect("start hexcab up");
        let file = eventually("the city is up", || {
            let ended = launcher.try_wait().expect("ask the launcher");
            assert!(ended.is_none(), "hexcab up ended: {ended:?}");
            let file = read(dir.path());
            async { file }
        })
        .await;
        let text = |key: &str| file[key].as_str().expect("an address").to_owned();
        let api = Api::new(&text("gateway"), &text("sign_in"));
        let city = Self {
            api,
            spans: Spans::Own(spans),
            keeper: Keeper::Launcher {
                control: text("control"),
            },
            prometheus: None,
            file,
            dir: dir.path().to_owned(),
            scratch: dir,
            launcher: Mutex::new(Some(launcher)),
        };
        city.until_healthy().await;
        city
    }

    /// What its services stand on: postgres and kafka, in the local stack (`HEXCAB_STACK=local`) cassandra too.
    pub fn stores(&self) -> Vec<String> {
        match self.file["stores"].as_object() {
            Some(stores) => stores.keys().cloned().collect(),
            None => ["postgres", "kafka"].map(str::to_owned).to_vec(),
        }
    }

    /// The address of the Prometheus that has its numbers.
    pub fn prometheus(&self) -> Option<&str> {
        self.prometheus.as_deref()
    }

    /// Its clock.
    pub fn clock(&self) -> Clock {
        let spec = self.file["clock"].as_str().expect("a clock");
        spec.parse::<ClockConfig>().expect("a clock").clock()
    }

    /// Where a service is called: gRPC, for the sandbox plain HTTP.
    pub fn service(&self, name: &str) -> &str {
        self.file["services"][name]["grpc"]
            .as_str()
            .expect("a service's address")
    }

    /// The token that services show each other.
    pub fn service_token(&self) -> String {
        let path = self.file["service_token_file"].as_str().expect("a path");
        std::fs::read_to_string(path)
            .expect("the service token")
            .trim()
            .to_owned()
    }

    /// Runs the command line against this city: (exit code, what it printed).
    pub async fn hexcab(&self, arguments: &[&str]) -> (i32, String) {
        self.run(
            "hexcab",
            &[arguments, &["--dir", &self.dir.display().to_string()]].concat(),
        )
        .await
    }

    /// Runs a binary of ours.
    pub async fn run(&self, name: &str, arguments: &[&str]) -> (i32, String) {
        let output = Command::new(binary(name))
            .args(arguments)
            .stdin(Stdio::null())
            .output()
            .await
            .expect("run it");
        let text = [output.stdout, output.stderr].concat();
        (
            output.status.code().unwrap_or(-1),
            String::from_utf8_lossy(&text).into_owned(),
        )
    }

    /// A folder for a scenario's files.
    pub fn scratch(&self, file: &str) -> PathBuf {
        self.scratch.path().join(file)
    }

    /// Checks every invariant; panics with what is wrong.
    pub async fn verify(&self) {
        let (code, text) = self.hexcab(&["verify"]).await;
        assert_eq!(code, 0, "{text}");
    }

    /// Stops a city of their own as Ctrl-C would, and sees that nothing is left.
    pub async fn stop(&self) {
        let Some(mut launcher) = self.launcher.lock().take() else {
            return;
        };
        let status = self.control("GET", "/status").await;
        let services = status["services"].as_array().cloned().unwrap_or_default();
        let mut pids: Vec<u64> = services
            .iter()
            .filter_map(|service| service["pid"].as_u64())
            .collect();
        let pid = launcher.id().expect("a running launcher");
        pids.push(u64::from(pid));
        let told = Command::new("kill")
            .args(["-TERM", &pid.to_string()])
            .status()
            .await
            .expect("kill");
        assert!(told.success());
        let ended = tokio::time::timeout(Duration::from_secs(60), launcher.wait())
            .await
            .expect("it ends by itself");
        assert!(ended.expect("its status").success());
        let left: Vec<_> = pids
            .into_iter()
            .filter(|pid| Path::new(&format!("/proc/{pid}")).exists())
            .collect();
        assert!(left.is_empty(), "left behind: {left:?}");
    }
}

fn read(dir: &Path) -> Option<Value> {
    serde_json::from_str(&std::fs::read_to_string(dir.join("city.json")).ok()?).ok()
}
