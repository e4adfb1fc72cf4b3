//! Replicas on one real Cassandra. Where there is none these tests say so on standard error, and hold nothing.

mod kept;
mod outage;
mod process;
mod replica;
mod replicas;
mod stale;
mod whole;

use std::{
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use hexcab_location::store::StoreConfig;
use hexcab_proto::{
    common::v1::LatLng,
    location::v1::{FindNearbyRequest, NearbyDriver, Ping},
};
use hexcab_testkit::within;

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

/// Whom a client finds round here, nearest first.
async fn found(client: &Client, point: LatLng) -> Vec<NearbyDriver> {
    let asked = FindNearbyRequest {
        point: Some(point),
        limit: 200,
        ..around_centre()
    };
    client
        .clone()
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

/// The store answers a replica.
async fn until_kept(endpoint: &str) {
    let kept = || async { outage::is_kept(endpoint).await.then_some(()) };
    within(Duration::from_secs(60), || "the store", kept).await;
}
