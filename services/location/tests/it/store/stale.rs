//! The staleness contract over replicas: whatever is dropped, late, doubled or slow, and however far the clocks are apart, no
//! answer holds a driver who is older than was asked for, each says how old it is, nobody is where he never was, and no
//! replica goes back behind what it has answered.

use std::{collections::BTreeMap, time::Duration};

use hexcab_chassis::Clock;
use hexcab_location::store::StoreConfig;
use hexcab_proto::{
    common::v1::LatLng,
    location::v1::{FindNearbyRequest, NearbyDriver, Ping},
};
use hexcab_proxy::{Mode, Proxy};
use hexcab_testkit::{ChaCha8Rng, seeded, within};
use rand::{RngExt as _, seq::SliceRandom as _};

use super::{keyspace, north, outage::any_port, ping_at, until_kept};
use crate::city::{City, start};

const DRIVERS: u128 = 40;
const STEPS: i64 = 150;
/// How far the clocks of replicas and drivers are from the city's, milliseconds. By such figures no two pings of a driver are
/// of one moment.
const SKEWS_MS: [i64; 3] = [0, 2_537, -2_491];
const DRIVER_SKEW_MS: i64 = 1_500;

/// A replica with a clock of its own and a way of its own to the store.
struct Skewed {
    city: City,
    proxy: Proxy,
    skew_ms: i64,
    /// What it has answered of each driver: his newest.
    answered: BTreeMap<String, i64>,
}

impl Skewed {
    async fn start(store: &StoreConfig, skew_ms: i64) -> Self {
        let node = store.nodes.parse().unwrap();
        let proxy = Proxy::start(any_port(), node).await.unwrap();
        let store = StoreConfig {
            nodes: proxy.addr().to_string(),
            ..store.clone()
        };
        let clock = Clock::manual(start() + chrono::TimeDelta::milliseconds(skew_ms));
        let city = City::kept(store, clock).await;
        until_kept(&city.endpoint).await;
        Self {
            city,
            proxy,
            skew_ms,
            answered: BTreeMap::new(),
        }
    }

    async fn find(&self, max_age_ms: i32) -> Vec<NearbyDriver> {
        let asked = FindNearbyRequest {
            city: "sf".into(),
            point: Some(north(2_000)),
            limit: 200,
            max_age_ms,
            ..FindNearbyRequest::default()
        };
        let mut client = self.city.client.clone();
        client
            .find_nearby(asked)
            .await
            .unwrap()
            .into_inner()
            .drivers
    }

    /// Asks, and holds the answer against what was reported: when, by driver and place, as its replica kept it.
    async fn check(&mut self, reported: &Reported, max_age_ms: i32) {
        let now_ms = self.city.now_ms();
        let found = self.find(max_age_ms).await;
        let mut names: Vec<&str> = found.iter().map(|seen| seen.driver.as_str()).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), found.len(), "somebody is there twice");
        for seen in found {
            let place = seen.position.unwrap();
            let recorded = reported.get(&(seen.driver.clone(), place.lat_e7));
            let recorded = recorded.expect("he was there");
            let age_ms = i64::from(seen.age_ms);
            let fits = |ms: &&i64| (now_ms - **ms).max(0) == age_ms;
            let fitting: Vec<i64> = recorded.iter().filter(fits).copied().collect();
            let recorded_ms = *fitting.first().expect("it says how old it is");
            assert!(seen.age_ms <= max_age_ms, "{age_ms} of {max_age_ms} ms");
            // By the city's own clock he is older by as much as this replica's is behind, and not more.
            let true_age_ms = now_ms - self.skew_ms - recorded_ms;
            assert!(true_age_ms <= i64::from(max_age_ms) + self.skew_ms.abs());
            // Of a ping that is ahead of this clock it is not known by which replica's it was taken.
            if fitting.iter().all(|ms| *ms == recorded_ms) {
                let before = self.answered.entry(seen.driver).or_insert(recorded_ms);
                assert!(recorded_ms >= *before, "it goes back");
                *before = recorded_ms;
            }
        }
    }

    fn disturb(&self, chance: &mut ChaCha8Rng) {
        self.proxy.set(match chance.random_range(0..10) {
            0 => Mode::Refuse,
            1 => Mode::HalfOpen,
            2 => Mode::Slow(Duration::from_millis(chance.random_range(10..400))),
            _ => Mode::Pass,
        });
    }
}

/// When each driver was recorded at each of his places (no place is of two pings): several times when replicas took the same
/// ping for early by different clocks.
type Reported = BTreeMap<(String, i32), Vec<i64>>;

/// A ping on its way.
#[derive(Clone)]
struct Sent {
    ping: Ping,
    arrives: i64,
}

/// What drivers send in a step: by their own clocks, some dropped, some doubled, all late.
fn sent(city: &City, skew_ms: i64, step: i64, chance: &mut ChaCha8Rng) -> Vec<Sent> {
    let true_ms = city.now_ms() - skew_ms;
    let mut all = Vec::new();
    for number in 1..=DRIVERS {
        let driver_skew_ms = (number as i64 * 7_919) % (2 * DRIVER_SKEW_MS) - DRIVER_SKEW_MS;
        // A place of its own for each ping: a row a driver, a few centimetres a step.
        let place = north(number as i32 * 90);
        let ping = Ping {
            record_time_ms: true_ms + driver_skew_ms,
            ..ping_at(
                city,
                number,
                LatLng {
                    lat_e7: place.lat_e7 + step as i32,
                    ..place
                },
            )
        };
        // None: it is lost.
        for _ in 0..chance.random_range(0..3) {
            all.push(Sent {
                ping: ping.clone(),
                arrives: step + chance.random_range(0..12),
            });
        }
    }
    all
}

#[tokio::test(flavor = "multi_thread")]
async fn no_replica_shows_anybody_older_than_asked_whatever_is_lost_late_or_skewed() {
    let Some(store) = keyspace().await else {
        return;
    };
    let (_, mut chance) = seeded("stale");
    let mut replicas = Vec::new();
    for skew_ms in SKEWS_MS {
        replicas.push(Skewed::start(&store, skew_ms).await);
    }
    let mut reported = Reported::new();
    let (mut under_way, mut steps) = (Vec::new(), tokio::time::interval(Duration::from_millis(40)));
    for step in 0..STEPS {
        under_way.extend(sent(&replicas[0].city, SKEWS_MS[0], step, &mut chance));
        let (mut arriving, rest): (Vec<Sent>, Vec<Sent>) =
            under_way.into_iter().partition(|sent| sent.arrives <= step);
        under_way = rest;
        arriving.shuffle(&mut chance);
        for Sent { ping, .. } in arriving {
            let replica = &mut replicas[chance.random_range(0..SKEWS_MS.len())];
            // A clock that is ahead of the replica's is taken to be a second ahead.
            let recorded_ms = ping.record_time_ms.min(replica.city.now_ms() + 1_000);
            let key = (ping.driver.clone(), ping.lat_e7);
            let (accepted, _, rejected) = replica.city.report(vec![ping]).await;
            assert_eq!(rejected, 0);
            if accepted == 1 {
                reported.entry(key).or_default().push(recorded_ms);
            }
        }
        for replica in &mut replicas {
            if step % 25 == 24 {
                replica.disturb(&mut chance);
            }
            let max_age_ms = [2_000, 5_000, 15_000][chance.random_range(0..3)];
            replica.check(&reported, max_age_ms).await;
            replica.city.hand.advance(Duration::from_millis(500));
        }
        steps.tick().await;
    }
    // When all is well again each knows everybody's newest.
    for replica in &replicas {
        replica.proxy.set(Mode::Pass);
    }
    let mut newest = BTreeMap::new();
    for ((driver, lat_e7), recorded_ms) in &reported {
        let last = recorded_ms.iter().max().map(|ms| (*ms, *lat_e7)).unwrap();
        let known = newest.entry(driver.clone()).or_insert(last);
        *known = last.max(*known);
    }
    for replica in &replicas {
        let all_right = || async {
            let found = replica.find(60_000).await;
            let right = found.iter().filter(|seen| {
                let place = seen.position.map(|place| place.lat_e7);
                newest.get(&seen.driver).map(|(_, lat_e7)| *lat_e7) == place
            });
            (right.count() == newest.len()).then_some(())
        };
        within(Duration::from_secs(20), || "everybody's newest", all_right).await;
    }
    for replica in replicas {
        replica.city.stop().await;
    }
}
