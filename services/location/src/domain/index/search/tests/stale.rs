//! The staleness contract, as a property: whatever is dropped, late, repeated or stamped by a wrong clock, no answer holds
//! a driver older than `max_age`, each carries its age and a position that its driver had just then, and nobody of whom
//! something fresh was heard is missing.

use std::collections::HashMap;

use proptest::prelude::*;

use super::*;
use crate::domain::{FUTURE_MAX_MS, KEEP_S, Ping, ping::Name};

const PING_MS: i64 = 4_000;
const DRIVERS: u32 = 12;

#[derive(Debug, Clone)]
struct Sent {
    driver: u32,
    /// By the city's clock.
    at_ms: i64,
    /// What the app's clock is off.
    skew_ms: i64,
    /// Until it arrives; each is one arrival, none is a drop.
    delays_ms: Vec<i64>,
    lat_e7: i32,
    lon_e7: i32,
}

/// Two minutes of a few drivers.
fn sent() -> impl Strategy<Value = Vec<Sent>> {
    let skews = proptest::collection::vec(
        prop_oneof![Just(0), -20_000..20_000_i64, Just(3_600_000)],
        DRIVERS as usize,
    );
    let delay = prop_oneof![6 => 0..300_i64, 2 => 300..30_000_i64, 1 => Just(200_000)];
    let delays = prop_oneof![
        2 => Just(Vec::new()),
        6 => delay.clone().prop_map(|delay| vec![delay]),
        1 => proptest::collection::vec(delay, 2..4),
    ];
    let ping = (delays, -30_000..30_000_i32, -30_000..30_000_i32);
    let pings = proptest::collection::vec(ping, 30 * DRIVERS as usize);
    (skews, pings).prop_map(|(skews, pings)| {
        let numbered = pings.into_iter().zip(0_u32..);
        numbered
            .map(|((delays_ms, lat, lon), number)| Sent {
                driver: number % DRIVERS,
                at_ms: now().timestamp_millis() + i64::from(number / DRIVERS) * PING_MS,
                skew_ms: skews[(number % DRIVERS) as usize],
                delays_ms,
                lat_e7: 377_700_000 + lat,
                lon_e7: -1_224_200_000 + lon,
            })
            .collect()
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn no_answer_is_older_than_it_may_be(sent in sent(), max_age_ms in 1_000..60_000_i64) {
        let mut arrivals: Vec<(i64, &Sent)> = sent
            .iter()
            .flat_map(|sent| sent.delays_ms.iter().map(move |delay| (sent.at_ms + delay, sent)))
            .collect();
        arrivals.sort_by_key(|(at_ms, _)| *at_ms);
        let products = [ProductId::new("standard").unwrap()];
        let index = index();
        let mut newest: HashMap<u32, Sighting> = HashMap::new();
        let mut heard: Vec<Sighting> = Vec::new();
        for (number, (at_ms, sent)) in arrivals.into_iter().enumerate() {
            let at = Timestamp::from_timestamp_millis(at_ms).unwrap();
            let id = driver(sent.driver).uuid().into_bytes();
            let ping = Ping {
                driver: Name::Id(&id),
                lat_e7: sent.lat_e7,
                lon_e7: sent.lon_e7,
                recorded_ms: sent.at_ms + sent.skew_ms,
                status: Some(Status::Available),
                product: "",
                heading_deg: 0,
                accuracy_m: 5,
            };
            let seen = ping.sighting(&products, at).unwrap();
            prop_assert!(seen.recorded_ms <= at_ms + FUTURE_MAX_MS);
            let is_newer = seen.recorded_ms >= at_ms - KEEP_S * 1_000
                && newest.get(&sent.driver).is_none_or(|known| known.recorded_ms < seen.recorded_ms);
            let verdict = index.report(CITY, seen, at);
            prop_assert_eq!(verdict, if is_newer { Verdict::Accepted } else { Verdict::Stale });
            if is_newer {
                newest.insert(sent.driver, seen);
                heard.push(seen);
            }
            if number % 5 > 0 {
                continue;
            }
            let query = Query { max_age_ms, ..query(point(37.77, -122.42), 50_000.0, 50) };
            let answers = index.nearest(CITY, &query, at);
            for answer in &answers {
                prop_assert!(answer.age_ms <= max_age_ms);
                prop_assert_eq!(answer.age_ms, (at_ms - answer.seen.recorded_ms).max(0));
                prop_assert!(heard.contains(&answer.seen), "a position he never had at that time: {answer:?}");
            }
            let fresh = newest.values().filter(|seen| at_ms - seen.recorded_ms <= max_age_ms).count();
            prop_assert_eq!(answers.len(), fresh);
        }
    }
}
