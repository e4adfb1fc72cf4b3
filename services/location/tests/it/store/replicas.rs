//! Replicas know each other's drivers, each in one place.

use std::{collections::BTreeMap, time::Duration};

use hexcab_chassis::Clock;
use hexcab_location::store::StoreConfig;
use hexcab_proto::location::v1::{GetDriverPositionRequest, Ping};
use hexcab_testkit::{seeded, within};
use rand::{RngExt as _, seq::SliceRandom as _};
use tokio::time::Instant;

use super::{KNOWN_WITHIN, found, keyspace, north, ping_at};
use crate::city::{CENTRE, City, driver, start};

pub async fn two(store: StoreConfig) -> (City, City) {
    let clock = Clock::manual(start());
    let one = City::kept(store.clone(), clock.clone()).await;
    // Tables are made by one, as a deployment does it.
    super::until_kept(&one.endpoint).await;
    (one, City::kept(store, clock).await)
}

#[tokio::test(flavor = "multi_thread")]
async fn replicas_see_each_others_drivers_within_two_seconds() {
    let Some(store) = keyspace().await else {
        return;
    };
    let (mut one, other) = two(store).await;
    super::until_kept(&other.endpoint).await;
    // As a replica in use does: it has been asked about the place before.
    assert_eq!(found(&other.client, CENTRE).await.len(), 0);
    let mut took = Vec::new();
    for round in 1..=5 {
        let heard = Instant::now();
        let pings = (1..=100).map(|number| Ping {
            record_time_ms: one.now_ms() + round,
            ..ping_at(&one, number, north(round as i32 * 10))
        });
        assert_eq!(one.report(pings.collect()).await, (100, 0, 0));
        let expected = north(round as i32 * 10);
        let moved = || async {
            let drivers = found(&other.client, CENTRE).await;
            let there = drivers
                .iter()
                .filter(|found| found.position == Some(expected));
            (there.count() == 100).then_some(())
        };
        within(Duration::from_secs(20), || "all in their new place", moved).await;
        took.push(heard.elapsed());
    }
    took.sort();
    println!("known by the other after {took:?}");
    // On a machine that does much else at once a single one may take longer.
    assert!(took[2] < KNOWN_WITHIN, "{took:?}");
    one.stop().await;
    other.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_driver_asked_for_by_name_is_known_wherever_he_was_heard() {
    let Some(store) = keyspace().await else {
        return;
    };
    let (mut one, other) = two(store).await;
    super::until_kept(&other.endpoint).await;
    assert_eq!(one.report(vec![one.ping(7)]).await, (1, 0, 0));
    let asked = GetDriverPositionRequest { driver: driver(7) };
    let known = || async {
        let mut client = other.client.clone();
        let answer = client.get_driver_position(asked.clone()).await.ok()?;
        (answer.into_inner().position == Some(CENTRE)).then_some(())
    };
    within(KNOWN_WITHIN, || "his position", known).await;
    one.stop().await;
    other.stop().await;
}

/// Drivers are heard now by one replica and now by the other, in cells 8 km apart, late, twice and out of order.
#[tokio::test(flavor = "multi_thread")]
async fn drivers_who_cross_cells_and_replicas_are_never_doubled_and_never_lost() {
    const DRIVERS: u128 = 50;
    const STEPS: i64 = 40;
    let Some(store) = keyspace().await else {
        return;
    };
    let (_, mut chance) = seeded("drivers who cross cells");
    let (one, other) = two(store).await;
    super::until_kept(&other.endpoint).await;
    let mut replicas = [one, other];
    let mut newest: BTreeMap<String, Ping> = BTreeMap::new();
    for step in 0..STEPS {
        let mut pings: Vec<Ping> = (1..=DRIVERS)
            .flat_map(|number| {
                let metres = if chance.random_bool(0.5) { 0 } else { 8_000 };
                let ping = Ping {
                    // 64 and 101 have nothing in common: no two of his are of one moment.
                    record_time_ms: replicas[0].now_ms() + chance.random_range(-14..14) * 64 + step,
                    ..ping_at(
                        &replicas[0],
                        number,
                        north(metres + chance.random_range(0..500)),
                    )
                };
                vec![ping; chance.random_range(0..3)]
            })
            .collect();
        pings.shuffle(&mut chance);
        for ping in pings {
            let replica = &mut replicas[chance.random_range(0..2)];
            replica.report(vec![ping.clone()]).await;
            let known = newest
                .entry(ping.driver.clone())
                .or_insert_with(|| ping.clone());
            if ping.record_time_ms > known.record_time_ms {
                *known = ping;
            }
        }
        // Each is asked all the time, and never shows anybody twice.
        for replica in &replicas {
            let mut names = Vec::new();
            for place in [north(0), north(8_000)] {
                let drivers = found(&replica.client, place).await;
                names.extend(drivers.into_iter().map(|found| found.driver));
            }
            let all = names.len();
            names.sort();
            names.dedup();
            assert_eq!(names.len(), all, "doubled in step {step}");
        }
        replicas[0].hand.advance(Duration::from_millis(100));
    }
    for replica in &replicas {
        let all_right = || async {
            let mut there = BTreeMap::new();
            for place in [north(0), north(8_000)] {
                for drivers in found(&replica.client, place).await {
                    there.insert(drivers.driver.clone(), drivers.position);
                }
            }
            let right = newest.iter().filter(|(driver, ping)| {
                there.get(*driver).is_some_and(|position| {
                    position.is_some_and(|at| (at.lat_e7, at.lon_e7) == (ping.lat_e7, ping.lon_e7))
                })
            });
            (right.count() == newest.len() && there.len() == newest.len()).then_some(())
        };
        within(
            KNOWN_WITHIN * 2,
            || "everybody in his newest place",
            all_right,
        )
        .await;
    }
    let [one, other] = replicas;
    one.stop().await;
    other.stop().await;
}
