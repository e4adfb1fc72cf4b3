//! Replicas on one real Cassandra. Where there is none these tests say so on standard error, and hold nothing.

mod kept;
mod outage;
mod process;
mod replicas;

use std::{
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use hexcab_location::store::StoreConfig;
use hexcab_proto::{
    common::v1::LatLng,
    location::v1::{FindNearbyRequest, NearbyDriver, Ping},
};

use crate::city::{CENTRE, City, Client, around_centre};

/// Within this one replica has to know what another one heard.
const KNOWN_WITHIN: Duration = Duration::from_secs(2);

/// A keyspace of the test's own on the node that tests share; none where there is no Cassandra.
async fn keyspace() -> Option<StoreConfig> {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let node = tokio::task::spawn_blocking(hexcab_testkit::cassandra)
        .await
        .unwrap()?;
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    Some(StoreConfig {
        nodes: node.addr().to_string(),
        keyspace: format!("test_{}_{count}", std::process::id()),
        ..StoreConfig::default()
    })
}

/// As `hexcab_testkit::within`, for a look that borrows what it looks with.
async fn within<T>(patience: Duration, what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let begun = tokio::time::Instant::now();
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(
            begun.elapsed() < patience,
            "not within {patience:?}: {what}"
        );
        pause(Duration::from_millis(10)).await;
    }
}

/// The store's times are real ones: a turn of these tests takes its time.
async fn pause(length: Duration) {
    tokio::time::sleep(length).await;
}

/// Whom a client finds round here, nearest first.
async fn found(client: &mut Client, point: LatLng) -> Vec<NearbyDriver> {
    let asked = FindNearbyRequest {
        point: Some(point),
        limit: 200,
        ..around_centre()
    };
    client
        .find_nearby(asked)
        .await
        .unwrap()
        .into_inner()
        .drivers
}

/// A point so many metres north of the centre.
fn north(metres: i32) -> LatLng {
    LatLng {
        lat_e7: CENTRE.lat_e7 + metres * 90,
        ..CENTRE
    }
}

/// A ping of a driver there.
fn ping_at(city: &City, number: u128, point: LatLng) -> Ping {
    Ping {
        lat_e7: point.lat_e7,
        lon_e7: point.lon_e7,
        ..city.ping(number)
    }
}
