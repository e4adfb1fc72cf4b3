//! Replicas as processes, killed as the kernel does it.

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
use hexcab_proto::location::v1::{
    CountCellsRequest, DriverStatus, GetDriverPositionRequest, Ping, ReportPingsRequest,
};
use tokio::time::Instant;

use super::{keyspace, north, outage::until_kept, pause, within};
use crate::city::{Client, driver};

/// A fleet to be warm with. With 100,000, which a busy machine takes minutes to keep, it was warm after 2 s.
const FLEET: u128 = 20_000;
const WARM_WITHIN: Duration = Duration::from_secs(5);
/// A flush interval (1 s), how long a flush takes, and what a busy machine adds.
const LOST_AT_MOST_MS: i64 = 3_000;

/// A replica; killed with this value.
struct Replica {
    child: Child,
    client: Client,
    endpoint: String,
}

impl Replica {
    async fn start(store: &StoreConfig) -> Self {
        Self::with(store, &[]).await
    }

    async fn with(store: &StoreConfig, more: &[&str]) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let addr = listener.local_addr().unwrap();
        drop(listener);
        let sets = [
            format!("server.listen={addr}"),
            format!("store.nodes={}", store.nodes),
            format!("store.keyspace={}", store.keyspace),
            "supply_interval_ms=0".to_owned(),
        ];
        let child = Command::new(env!("CARGO_BIN_EXE_hexcab-location"))
            .args(sets.iter().flat_map(|set| ["--set", set]))
            .args(more.iter().flat_map(|set| ["--set", *set]))
            // What the tests are told by HEXCAB_TEST_… is no key of the service's.
            .env_clear()
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let endpoint = format!("http://{addr}");
        let replica = Self {
            child,
            client: Client::new(channel(&endpoint, &ClientConfig::default()).unwrap()),
            endpoint,
        };
        let mut client = replica.client.clone();
        within(Duration::from_secs(20), "the replica", async || {
            count(&mut client).await.map(drop)
        })
        .await;
        replica
    }

    /// All of these at once, as often as they fit into calls.
    async fn hear(&mut self, drivers: std::ops::Range<u128>) {
        let now_ms = Clock::system().now().timestamp_millis();
        let pings: Vec<Ping> = drivers.map(|number| ping(number, now_ms)).collect();
        for pings in pings.chunks(1_000) {
            let request = ReportPingsRequest {
                city: "sf".into(),
                pings: pings.to_vec(),
            };
            self.client.report_pings(request).await.unwrap();
        }
    }

    /// SIGKILL.
    fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Replica {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// All over the city.
fn ping(number: u128, recorded_ms: i64) -> Ping {
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
async fn count(client: &mut Client) -> Option<i64> {
    let request = CountCellsRequest {
        city: "sf".into(),
        max_age_ms: 170_000,
    };
    let cells = client.count_cells(request).await.ok()?.into_inner().cells;
    Some(cells.iter().map(|cell| i64::from(cell.available)).sum())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_replica_loses_a_flush_at_most_and_the_other_takes_over() {
    let Some(store) = keyspace().await else {
        return;
    };
    let mut one = Replica::start(&store).await;
    until_kept(&one.endpoint).await;
    let mut other = Replica::start(&store).await;
    until_kept(&other.endpoint).await;
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_secs(5) {
        one.hear(1..1_001).await;
    }
    one.kill();
    let killed_ms = Clock::system().now().timestamp_millis();
    for number in [1, 500, 1_000] {
        let request = GetDriverPositionRequest {
            driver: driver(number),
        };
        let seen = other
            .client
            .get_driver_position(request)
            .await
            .unwrap()
            .into_inner();
        let recorded = seen.record_time.unwrap();
        let recorded_ms = recorded.seconds * 1_000 + i64::from(recorded.nanos) / 1_000_000;
        println!("of driver {number} {} ms are lost", killed_ms - recorded_ms);
        assert!(
            killed_ms - recorded_ms <= LOST_AT_MOST_MS,
            "{}",
            killed_ms - recorded_ms
        );
    }
    // His stream goes to the other.
    other.hear(1..1_001).await;
    assert_eq!(count(&mut other.client).await, Some(1_000));
    other.kill();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_that_is_started_again_is_warm_in_five_seconds() {
    let Some(store) = keyspace().await else {
        return;
    };
    let mut one = Replica::start(&store).await;
    until_kept(&one.endpoint).await;
    let begun = Instant::now();
    // All is kept once somebody who starts learns of all. They go on pinging meanwhile: on a busy machine it takes long.
    within(Duration::from_secs(180), "all is kept", async || {
        one.hear(1..FLEET + 1).await;
        let mut check = Replica::start(&store).await;
        until_kept(&check.endpoint).await;
        let settled = settled(&mut check.client).await;
        println!("{settled} are kept after {:?}", begun.elapsed());
        check.kill();
        (settled == FLEET as i64).then_some(())
    })
    .await;
    one.kill();

    let begun = Instant::now();
    let mut again = Replica::start(&store).await;
    let up = begun.elapsed();
    let mut client = again.client.clone();
    within(Duration::from_secs(60), "everybody", async || {
        (count(&mut client).await? == FLEET as i64).then_some(())
    })
    .await;
    println!("up after {up:?}, warm after {:?}", begun.elapsed());
    assert!(begun.elapsed() < WARM_WITHIN, "{:?}", begun.elapsed());
    again.kill();
}

/// How many a replica knows when it learns of nobody more for a second.
async fn settled(client: &mut Client) -> i64 {
    let mut known = -1;
    loop {
        let now = count(client).await.unwrap();
        if now == known {
            return now;
        }
        known = now;
        pause(Duration::from_secs(1)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn migrate_makes_the_tables_that_a_replica_which_makes_none_does_without() {
    let without = Command::new(env!("CARGO_BIN_EXE_hexcab-location"))
        .arg("migrate")
        .env_clear()
        .stderr(Stdio::null())
        .status();
    assert!(!without.unwrap().success(), "there is no store to migrate");
    let Some(store) = keyspace().await else {
        return;
    };
    let migrate = || {
        Command::new(env!("CARGO_BIN_EXE_hexcab-location"))
            .args(["migrate", "--set", &format!("store.nodes={}", store.nodes)])
            .args(["--set", &format!("store.keyspace={}", store.keyspace)])
            .env_clear()
            .stderr(Stdio::null())
            .status()
            .unwrap()
    };
    let mut replica = Replica::with(&store, &["store.make_tables=false"]).await;
    assert_eq!(count(&mut replica.client).await, Some(0), "it serves");
    assert!(migrate().success() && migrate().success());
    until_kept(&replica.endpoint).await;
    replica.kill();
}
