//! The store away, or slow: nobody notices but the health service.

use std::{
    net::{Ipv4Addr, SocketAddr},
    time::Duration,
};

use hexcab_chassis::{
    Clock,
    client::{ClientConfig, channel},
};
use hexcab_location::store::{HEALTH, StoreConfig};
use hexcab_proto::location::v1::Ping;
use hexcab_proxy::{Mode, Proxy};
use hexcab_testkit::{Cassandra, within};
use tokio::time::Instant;
use tonic_health::pb::{
    HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient,
};

use super::{
    found, keyspace, north, ping_at,
    replica::{Replica, count},
    until_kept,
};
use crate::city::{CENTRE, City, start};

/// How long the store is away in these tests.
const AWAY: Duration = Duration::from_secs(8);
/// Drivers who go on meanwhile.
const DRIVERS: u128 = 200;

pub fn any_port() -> SocketAddr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, 0))
}

async fn health(endpoint: &str, service: &str) -> ServingStatus {
    let channel = channel(endpoint, &ClientConfig::default()).unwrap();
    let request = HealthCheckRequest {
        service: service.to_owned(),
    };
    let answer = HealthClient::new(channel).check(request).await.unwrap();
    answer.into_inner().status()
}

/// Whether the health service says that the store is there.
pub async fn is_kept(endpoint: &str) -> bool {
    health(endpoint, HEALTH).await == ServingStatus::Serving
}

/// Everybody pings and is asked for, once; how long the slowest call took.
async fn turn(city: &mut City, number: i64) -> Duration {
    let begun = Instant::now();
    let place = north((number % 400) as i32);
    let pings = (1..=DRIVERS).map(|driver| Ping {
        record_time_ms: city.now_ms() + number % 900,
        ..ping_at(city, driver, place)
    });
    assert_eq!(city.report(pings.collect()).await, (DRIVERS as i32, 0, 0));
    let pinged = begun.elapsed();
    let drivers = found(&city.client, CENTRE).await;
    assert_eq!(drivers.len(), DRIVERS as usize);
    assert!(drivers.iter().all(|found| found.position == Some(place)));
    pinged.max(begun.elapsed() - pinged)
}

#[tokio::test(flavor = "multi_thread")]
async fn while_the_store_is_away_nothing_is_refused_and_all_is_kept_after() {
    let Some(mut store) = keyspace().await else {
        return;
    };
    let direct = store.nodes.clone();
    let proxy = Proxy::start(any_port(), direct.parse().unwrap())
        .await
        .unwrap();
    store.nodes = proxy.addr().to_string();
    let clock = Clock::manual(start());
    let mut city = City::kept(store.clone(), clock.clone()).await;
    until_kept(&city.endpoint).await;
    turn(&mut city, 0).await;

    proxy.set(Mode::Refuse);
    let begun = Instant::now();
    let mut number = 0;
    while begun.elapsed() < AWAY {
        number += 1;
        city.hand.advance(Duration::from_secs(1));
        turn(&mut city, number).await;
        if number == 50 {
            let told = || async { (!is_kept(&city.endpoint).await).then_some(()) };
            within(Duration::from_secs(10), || "the health service tells", told).await;
        }
    }
    assert_eq!(health(&city.endpoint, "").await, ServingStatus::Serving);
    println!("{number} turns of {DRIVERS} drivers while the store was away");

    proxy.set(Mode::Pass);
    until_kept(&city.endpoint).await;
    // Another replica, by a way of its own, finds everybody where he was last.
    store.nodes = direct;
    let other = City::kept(store, clock).await;
    let place = north((number % 400) as i32);
    let all_there = || async {
        let drivers = found(&other.client, CENTRE).await;
        let there = drivers.iter().filter(|found| found.position == Some(place));
        (there.count() == DRIVERS as usize).then_some(())
    };
    within(Duration::from_secs(30), || "all is kept", all_there).await;
    city.stop().await;
    other.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_store_slows_nobody_down() {
    let Some(mut store) = keyspace().await else {
        return;
    };
    let proxy = Proxy::start(any_port(), store.nodes.parse().unwrap())
        .await
        .unwrap();
    store.nodes = proxy.addr().to_string();
    let mut city = City::kept(store, Clock::manual(start())).await;
    until_kept(&city.endpoint).await;
    // What is slow is the store, not its beginning: cells are known.
    turn(&mut city, 0).await;
    let mut measure = async |from: i64| {
        let mut all = Vec::new();
        for number in from..from + 200 {
            city.hand.advance(Duration::from_secs(1));
            all.push(turn(&mut city, number).await);
        }
        all.sort();
        (all[100], all[197])
    };
    let (median, slow) = measure(1).await;
    proxy.set(Mode::Slow(Duration::from_secs(1)));
    let (median_then, slow_then) = measure(201).await;
    println!("median {median:?} and {median_then:?}, p99 {slow:?} and {slow_then:?}");
    assert!(
        median_then < median * 3 + Duration::from_millis(5),
        "{median:?} {median_then:?}"
    );
    // No call waited for the store, whose every answer takes two seconds.
    assert!(slow_then < Duration::from_millis(250), "{slow_then:?}");
    proxy.set(Mode::Pass);
    city.stop().await;
}

/// Drivers under load, and how much the replica may grow while nothing can be kept.
const FLEET: u128 = 2_000;
const GROWTH_MAX: u64 = 32 << 20;

/// Everybody pings again and again, and others ask all the time, for so long; how long the calls took, in order.
async fn load(replica: &Replica, length: Duration) -> Vec<Duration> {
    let begun = Instant::now();
    let pinging = async {
        let mut took = Vec::new();
        while begun.elapsed() < length {
            let call = Instant::now();
            replica.hear(1..FLEET + 1).await;
            took.push(call.elapsed());
        }
        took
    };
    let asking = async {
        let mut took = Vec::new();
        while begun.elapsed() < length {
            let call = Instant::now();
            let drivers = found(&replica.client, CENTRE).await;
            took.push(call.elapsed());
            assert_eq!(drivers.len(), 200, "the nearest, as many as were asked for");
            assert!(drivers.iter().all(|driver| driver.age_ms < 5_000));
        }
        took
    };
    let (pinged, one, other) = tokio::join!(pinging, asking, async {
        let mut counts = 0;
        while begun.elapsed() < length {
            assert_eq!(count(&replica.client).await, Some(FLEET as i64));
            counts += 1;
        }
        counts
    });
    println!(
        "{} rounds of pings, {} queries, {other} counts",
        pinged.len(),
        one.len()
    );
    let mut all = [pinged, one].concat();
    all.sort();
    all
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_stands_still_under_load_costs_nobody_anything() {
    let node = tokio::task::spawn_blocking(Cassandra::start).await.unwrap();
    let Some(node) = node else {
        return;
    };
    let store = StoreConfig {
        nodes: node.addr().to_string(),
        ..StoreConfig::default()
    };
    let replica = Replica::start(&store).await;
    until_kept(&replica.endpoint).await;
    replica.hear(1..FLEET + 1).await;
    let usual = load(&replica, Duration::from_secs(3)).await;
    let before = replica.memory();
    node.hold();
    let took = load(&replica, AWAY + Duration::from_secs(2)).await;
    let after = replica.memory();
    assert!(
        !is_kept(&replica.endpoint).await,
        "the health service tells"
    );
    node.go_on();
    println!("{} MB and {} MB", before >> 20, after >> 20);
    // Beside what they take on this machine otherwise. Who waited for the store would wait for 300 ms.
    for (percent, late) in [(50, 50), (99, 250)] {
        let at = |all: &[Duration]| all[all.len() * percent / 100];
        let (usual, now) = (at(&usual), at(&took));
        println!("p{percent} {usual:?}, with the store held up {now:?}");
        let limit = usual * 3 + Duration::from_millis(late);
        assert!(now < limit, "p{percent} {usual:?}, then {now:?}");
    }
    assert!(after < before + GROWTH_MAX, "{before} {after} bytes");

    until_kept(&replica.endpoint).await;
    // One who learns of them from the store alone knows everybody.
    let other = Replica::start(&store).await;
    let everybody = || async { (count(&other.client).await? == FLEET as i64).then_some(()) };
    within(Duration::from_secs(30), || "everybody", everybody).await;
    // It was said once each way, and nothing every second.
    assert_eq!(replica.said("the store does not answer").len(), 1);
    assert_eq!(replica.said("the store answers again").len(), 1);
    assert_eq!(replica.said("ERROR"), [""; 0]);
    assert_eq!(replica.said("scylla"), [""; 0]);
}
