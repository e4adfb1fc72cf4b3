//! The city that scenarios run against: one of their own, started as a user would, or the one that `HEXCAB_GATEWAY` names.

use std::{
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use hexcab_chassis::{Clock, ClockConfig};
use parking_lot::Mutex;
use serde_json::Value;
use tokio::process::{Child, Command};

use crate::{Api, PATIENCE, collector::Collector, eventually};

/// City seconds per second: fast, and still slow enough that a 15 s offer can be answered on a busy machine.
const SPEED: &str = "20";
/// Every service that a city runs, in the order they are started.
pub const SERVICES: [&str; 7] = [
    "sandbox", "location", "trip", "pricing", "payment", "dispatch", "gateway",
];

/// A running city.
pub struct City {
    /// Its gateway.
    pub api: Api,
    /// What its folder says.
    pub file: Value,
    /// Every span of it.
    pub spans: Collector,
    dir: tempfile::TempDir,
    launcher: Mutex<Option<Child>>,
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
    /// Starts a city with `hexcab up` and waits until it is healthy.
    pub async fn start() -> Self {
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
            file,
            spans,
            dir,
            launcher: Mutex::new(Some(launcher)),
        };
        city.until_healthy().await;
        city
    }

    /// What its services stand on: postgres and kafka, in the local stack (`HEXCAB_STACK=local`) cassandra too.
    pub fn stores(&self) -> Vec<String> {
        let stores = self.file["stores"].as_object().expect("stores");
        stores.keys().cloned().collect()
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

    /// Asks the launcher.
    pub async fn control(&self, method: &str, path: &str) -> Value {
        let url = format!(
            "{}{path}",
            self.file["control"].as_str().expect("an address")
        );
        let client = reqwest::Client::builder()
            .timeout(Duration::from_secs(90))
            .build()
            .expect("an HTTP client");
        let request = client.request(method.parse().expect("a method"), url);
        let answer = request.send().await.expect("the launcher answers");
        assert!(
            answer.status().is_success(),
            "{method} {path}: {}",
            answer.status()
        );
        answer.json().await.unwrap_or(Value::Null)
    }

    /// Waits until every service is healthy.
    pub async fn until_healthy(&self) {
        // Cassandra takes its time where much else runs.
        hexcab_testkit::within(
            PATIENCE * 3,
            || "every service is healthy",
            || async {
                let status = self.control("GET", "/status").await;
                let services = status["services"].as_array()?;
                services
                    .iter()
                    .all(|service| service["complaint"].is_null())
                    .then_some(())
            },
        )
        .await;
    }

    /// How often a service was started again.
    pub async fn restarts(&self, name: &str) -> u64 {
        let status = self.control("GET", "/status").await;
        let found = status["services"]
            .as_array()
            .expect("services")
            .iter()
            .find(|service| service["name"] == name);
        found
            .and_then(|service| service["restarts"].as_u64())
            .expect("a count")
    }

    /// How often each service was started again; without the stores.
    pub async fn restarts_of_services(&self) -> Vec<u64> {
        let mut all = Vec::new();
        for service in SERVICES {
            all.push(self.restarts(service).await);
        }
        all
    }

    /// Kills a service or a store as a crash would, and waits until it was started again and all are healthy.
    pub async fn kill(&self, name: &str) {
        let before = self.restarts(name).await;
        self.control("POST", &format!("/services/{name}/kill"))
            .await;
        eventually(&format!("{name} is started again"), || async {
            (self.restarts(name).await > before).then_some(())
        })
        .await;
        self.until_healthy().await;
    }

    /// Runs the command line against this city: (exit code, what it printed).
    pub async fn hexcab(&self, arguments: &[&str]) -> (i32, String) {
        self.run(
            "hexcab",
            &[
                arguments,
                &["--dir", &self.dir.path().display().to_string()],
            ]
            .concat(),
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
        self.dir.path().join(file)
    }

    /// Checks every invariant; panics with what is wrong.
    pub async fn verify(&self) {
        let (code, text) = self.hexcab(&["verify"]).await;
        assert_eq!(code, 0, "{text}");
    }

    /// Stops the city as Ctrl-C would, and sees that nothing is left.
    pub async fn stop(&self) {
        let mut launcher = self.launcher.lock().take().expect("a launcher");
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
