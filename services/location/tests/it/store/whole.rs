//! What is said of a whole city or a map by one replica holds what the others heard.

use std::{sync::Arc, time::Duration};

use hexcab_bus::{BusConfig, topic};
use hexcab_chassis::{Clock, Tasks};
use hexcab_proto::{
    common::v1::LatLng,
    location::v1::{CountCellsRequest, Ping, WatchAreaRequest},
};
use hexcab_testkit::{Broker, eventually, within};
use hexcab_types::Point;

use super::{keyspace, north, ping_at, replicas::two, until_kept};
use crate::{
    city::{CENTRE, City, driver, start},
    supply::{Heard, counted, heard},
};

/// Within this a count holds what another replica heard: a flush (1 s), a turn of reading (2 s), and a busy machine.
const COUNTED_WITHIN: Duration = Duration::from_secs(8);

/// All over the city, where nobody asks for anybody.
fn scattered(city: &City, drivers: std::ops::Range<u128>) -> Vec<Ping> {
    let ping = |number: u128| {
        let number32 = number as i32;
        let place = LatLng {
            lat_e7: 376_900_000 + number32 % 10 * 140_000,
            lon_e7: -1_225_000_000 + number32 / 10 * 120_000,
        };
        ping_at(city, number, place)
    };
    drivers.map(ping).collect()
}

async fn count(city: &City) -> i32 {
    let request = CountCellsRequest {
        city: "sf".into(),
        max_age_ms: 0,
    };
    let answer = city.client.clone().count_cells(request).await.unwrap();
    let cells = answer.into_inner().cells;
    cells.iter().map(|cell| cell.available).sum()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_count_of_either_replica_is_of_all_drivers() {
    let Some(store) = keyspace().await else {
        return;
    };
    let (mut one, mut other) = two(store).await;
    until_kept(&other.endpoint).await;
    assert_eq!((count(&one).await, count(&other).await), (0, 0));
    assert_eq!(one.report(scattered(&one, 1..51)).await, (50, 0, 0));
    assert_eq!(other.report(scattered(&other, 51..81)).await, (30, 0, 0));
    for replica in [&one, &other] {
        let all = || async { (count(replica).await == 80).then_some(()) };
        within(COUNTED_WITHIN, || "everybody is counted", all).await;
    }
    // One who ends his shift with one replica is no supply to the other.
    one.hand.advance(Duration::from_secs(1));
    let mut last = scattered(&other, 80..81);
    last[0].status = hexcab_proto::location::v1::DriverStatus::Offline.into();
    other.report(last).await;
    let fewer = || async { (count(&one).await == 79).then_some(()) };
    within(COUNTED_WITHIN, || "he is counted no more", fewer).await;
    one.stop().await;
    other.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn supply_of_either_replica_is_of_all_drivers() {
    let Some(store) = keyspace().await else {
        return;
    };
    let clock = Clock::manual(start());
    let (mut replicas, mut streams) = (Vec::new(), Vec::new());
    for _ in 0..2 {
        // A broker each, so that it is known whose count it is.
        let broker = Broker::start();
        broker.create_topic(topic::SUPPLY, 1);
        let kafka = BusConfig {
            brokers: broker.brokers(),
            ..BusConfig::default()
        };
        let (counts, tasks) = (Arc::new(Heard::default()), Tasks::new());
        heard(&kafka, &counts, &tasks);
        let city = City::kept_and_counted(store.clone(), kafka, clock.clone()).await;
        until_kept(&city.endpoint).await;
        replicas.push(city);
        streams.push((counts, tasks, broker));
    }
    let (first, second) = (
        scattered(&replicas[0], 1..51),
        scattered(&replicas[1], 51..81),
    );
    replicas[0].report(first).await;
    replicas[1].report(second).await;
    for (counts, tasks, _broker) in streams {
        eventually(|| async {
            // Slowly: nobody may become too old to be supply.
            clock.1.advance(Duration::from_millis(5));
            (counted(&counts) == Some(80)).then_some(())
        })
        .await;
        tasks.stop(Duration::from_secs(10)).await;
    }
    for city in replicas {
        city.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_map_shows_whom_another_replica_hears() {
    let Some(store) = keyspace().await else {
        return;
    };
    let (mut one, other) = two(store).await;
    until_kept(&other.endpoint).await;
    let cell = Point::from_e7(CENTRE.lat_e7, CENTRE.lon_e7).unwrap();
    let request = WatchAreaRequest {
        city: "sf".into(),
        cells: vec![cell.cell(9).unwrap().to_u64()],
        interval_ms: 200,
        ..WatchAreaRequest::default()
    };
    one.report(vec![ping_at(&one, 1, CENTRE)]).await;
    let mut client = other.client.clone();
    let answers = client.watch_area(request).await.unwrap().into_inner();
    let answers = tokio::sync::Mutex::new(answers);
    let next = || async {
        other.hand.advance(Duration::from_millis(10));
        let mut answers = answers.lock().await;
        let soon = tokio::time::timeout(Duration::from_millis(5), answers.message());
        soon.await.ok().map(|answer| answer.unwrap().unwrap())
    };
    let come = within(COUNTED_WITHIN, || "he comes", next).await;
    assert_eq!(come.drivers[0].driver, driver(1));
    // He drives out of the view, and that other replica hears of it.
    let away = Ping {
        record_time_ms: one.now_ms(),
        ..ping_at(&one, 1, north(1_000))
    };
    assert_eq!(one.report(vec![away]).await, (1, 0, 0));
    let left = within(COUNTED_WITHIN, || "he leaves", next).await;
    assert_eq!(left.left_drivers, [driver(1)]);
    one.stop().await;
    other.stop().await;
}

/// A city that begins again earlier on the same store: what was kept before is of a future that will not be.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_kept_by_a_clock_far_ahead_is_no_news() {
    let Some(store) = keyspace().await else {
        return;
    };
    let later = start() + chrono::TimeDelta::hours(1);
    let before = City::kept(store.clone(), Clock::manual(later)).await;
    until_kept(&before.endpoint).await;
    let mut before = before;
    before.report(scattered(&before, 1..21)).await;
    before.stop().await; // with its last flush
    let mut again = City::kept(store, Clock::manual(start())).await;
    until_kept(&again.endpoint).await;
    let looked = || async { (count(&again).await == 0).then_some(()) };
    within(COUNTED_WITHIN, || "nobody is known", looked).await;
    again.report(scattered(&again, 1..21)).await;
    assert_eq!(count(&again).await, 20);
    again.stop().await;
}
