//! A replica as a process: killed as the kernel does it, looked at from outside.

use std::{
    net::{Ipv4Addr, TcpListener},
    process::{Child, Command, Stdio},
    time::Duration,
};

use hexcab_chassis::{
    Clock,
    client::{ClientConfig, channel},
};
use hexcab_location::store::StoreConfig;
use hexcab_proto::location::v1::{CountCellsRequest, DriverStatus, Ping, ReportPingsRequest};
use hexcab_testkit::within;

use super::north;
use crate::city::{Client, driver};

/// A replica; killed with this value.
pub struct Replica {
    pub client: Client,
    pub endpoint: String,
    child: Child,
    log: tempfile::NamedTempFile,
}

impl Replica {
    pub async fn start(store: &StoreConfig) -> Self {
        Self::with(store, &[]).await
    }

    /// With these settings beside.
    pub async fn with(store: &StoreConfig, more: &[&str]) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let addr = listener.local_addr().unwrap();
        drop(listener);
        let sets = [
            format!("server.listen={addr}"),
            format!("store.nodes={}", store.nodes),
            format!("store.keyspace={}", store.keyspace),
            "supply_interval_ms=0".to_owned(),
            // As the launcher does.
            "telemetry.log_format=json".to_owned(),
        ];
        let log = tempfile::NamedTempFile::new().unwrap();
        let child = Command::new(env!("CARGO_BIN_EXE_hexcab-location"))
            .args(sets.iter().flat_map(|set| ["--set", set]))
            .args(more.iter().flat_map(|set| ["--set", *set]))
            // What the tests are told by HEXCAB_TEST_… is no key of the service's.
            .env_clear()
            .stdout(log.reopen().unwrap())
            .stderr(log.reopen().unwrap())
            .stdin(Stdio::null())
            .spawn()
            .unwrap();
        let endpoint = format!("http://{addr}");
        let replica = Self {
            child,
            client: Client::new(channel(&endpoint, &ClientConfig::default()).unwrap()),
            endpoint,
            log,
        };
        let up = || async { count(&replica.client).await };
        within(Duration::from_secs(20), || "the replica", up).await;
        replica
    }

    /// All of these at once, as often as they fit into calls.
    pub async fn hear(&self, drivers: std::ops::Range<u128>) {
        let now_ms = Clock::system().now().timestamp_millis();
        let pings: Vec<Ping> = drivers.map(|number| ping(number, now_ms)).collect();
        for pings in pings.chunks(1_000) {
            let request = ReportPingsRequest {
                city: "sf".into(),
                pings: pings.to_vec(),
            };
            let answer = self.client.clone().report_pings(request).await;
            assert_eq!(answer.unwrap().into_inner().rejected, []);
        }
    }

    /// SIGKILL.
    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// What it said so far that holds these words.
    pub fn said(&self, words: &str) -> Vec<String> {
        let said = std::fs::read_to_string(self.log.path()).unwrap();
        let said = said.lines().filter(|line| line.contains(words));
        said.map(str::to_owned).collect()
    }

    /// Its resident memory, bytes.
    pub fn memory(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kib = line.unwrap().trim().trim_end_matches(" kB");
        kib.parse::<u64>().unwrap() * 1024
    }
}

impl Drop for Replica {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// All over the city.
pub fn ping(number: u128, recorded_ms: i64) -> Ping {
    let number32 = number as i32;
    let place = north(number32 % 100 * 60 - 3_000);
    Ping {
        driver: driver(number),
        lat_e7: place.lat_e7,
        lon_e7: place.lon_e7 - number32 / 100 % 100 * 500,
        record_time_ms: recorded_ms,
        status: DriverStatus::Available.into(),
        ..Ping::default()
    }
}

/// Drivers that a replica knows.
pub async fn count(client: &Client) -> Option<i64> {
    let request = CountCellsRequest {
        city: "sf".into(),
        max_age_ms: 170_000,
    };
    let answer = client.clone().count_cells(request).await.ok()?.into_inner();
    let cells = answer.cells.iter();
    Some(cells.map(|cell| i64::from(cell.available)).sum())
}
