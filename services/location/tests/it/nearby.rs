//! Who is near, through the real service.

use std::time::Duration;

use hexcab_proto::location::v1::{
    CountCellsRequest, DriverStatus, FindNearbyBatchRequest, FindNearbyRequest, Ping,
};

use crate::city::{CENTRE, City, around_centre, driver};

/// Ten drivers north of the centre, the n-th about n × 111 m away.
async fn ten_drivers(city: &mut City) {
    let pings = (1..=10).map(|number| Ping {
        lat_e7: CENTRE.lat_e7 + number as i32 * 10_000,
        ..city.ping(number)
    });
    let pings: Vec<Ping> = pings.collect();
    assert_eq!(city.report(pings).await, (10, 0, 0));
}

async fn names(city: &mut City, request: FindNearbyRequest) -> Vec<String> {
    let answer = city.client.find_nearby(request).await.unwrap().into_inner();
    answer
        .drivers
        .into_iter()
        .map(|found| found.driver)
        .collect()
}

#[tokio::test]
async fn the_nearest_come_first_with_distance_and_age() {
    let mut city = City::start().await;
    ten_drivers(&mut city).await;
    city.hand.advance(Duration::from_secs(3));
    let asked = FindNearbyRequest {
        limit: 3,
        ..around_centre()
    };
    let found = city
        .client
        .find_nearby(asked)
        .await
        .unwrap()
        .into_inner()
        .drivers;
    let names: Vec<&str> = found.iter().map(|found| found.driver.as_str()).collect();
    assert_eq!(names, [driver(1), driver(2), driver(3)]);
    assert!(
        (found[2].distance_m - 333.6).abs() < 0.1,
        "{}",
        found[2].distance_m
    );
    assert_eq!(
        (found[0].age_ms, found[0].status()),
        (3_000, DriverStatus::Available)
    );
}

#[tokio::test]
async fn radius_exclusions_status_and_product_are_kept() {
    let mut city = City::start().await;
    ten_drivers(&mut city).await;
    let near = FindNearbyRequest {
        radius_m: 250,
        ..around_centre()
    };
    assert_eq!(names(&mut city, near).await, [driver(1), driver(2)]);
    let without = FindNearbyRequest {
        limit: 2,
        excluded_drivers: vec![driver(1)],
        ..around_centre()
    };
    assert_eq!(names(&mut city, without).await, [driver(2), driver(3)]);
    city.hand.advance(Duration::from_secs(1));
    let busy = Ping {
        status: DriverStatus::OnTrip.into(),
        product: "xl".into(),
        ..city.ping(1)
    };
    city.report(vec![busy]).await;
    let free = FindNearbyRequest {
        limit: 1,
        ..around_centre()
    };
    assert_eq!(names(&mut city, free).await, [driver(2)]);
    let on_trip = FindNearbyRequest {
        statuses: vec![DriverStatus::OnTrip.into()],
        ..around_centre()
    };
    assert_eq!(names(&mut city, on_trip).await, [driver(1)]);
    let xl = FindNearbyRequest {
        product: "xl".into(),
        ..around_centre()
    };
    assert_eq!(names(&mut city, xl).await, Vec::<String>::new());
}

#[tokio::test]
async fn no_answer_is_older_than_max_age() {
    let mut city = City::start().await;
    ten_drivers(&mut city).await;
    city.hand.advance(Duration::from_secs(15));
    assert_eq!(names(&mut city, around_centre()).await.len(), 10);
    city.hand.advance(Duration::from_millis(1));
    assert_eq!(
        names(&mut city, around_centre()).await.len(),
        0,
        "15 s is the usual limit"
    );
    let patient = FindNearbyRequest {
        max_age_ms: 60_000,
        ..around_centre()
    };
    assert_eq!(names(&mut city, patient).await.len(), 10);
}

#[tokio::test]
async fn a_batch_is_answered_in_the_order_asked() {
    let mut city = City::start().await;
    ten_drivers(&mut city).await;
    let queries = (1..=100)
        .map(|number| FindNearbyRequest {
            limit: 1 + number % 3,
            ..around_centre()
        })
        .collect();
    let answers = city
        .client
        .find_nearby_batch(FindNearbyBatchRequest { queries })
        .await
        .unwrap()
        .into_inner()
        .answers;
    let counts: Vec<i32> = answers
        .iter()
        .map(|answer| answer.drivers.len() as i32)
        .collect();
    assert_eq!(
        counts,
        (1..=100).map(|number| 1 + number % 3).collect::<Vec<_>>()
    );
}

#[tokio::test]
async fn available_drivers_are_counted_per_cell() {
    let mut city = City::start().await;
    ten_drivers(&mut city).await;
    let asked = CountCellsRequest {
        city: "sf".into(),
        max_age_ms: 0,
    };
    let cells = city
        .client
        .count_cells(asked.clone())
        .await
        .unwrap()
        .into_inner()
        .cells;
    assert_eq!(cells.iter().map(|cell| cell.available).sum::<i32>(), 10);
    city.hand.advance(Duration::from_secs(16));
    assert_eq!(
        city.client
            .count_cells(asked)
            .await
            .unwrap()
            .into_inner()
            .cells,
        []
    );
}
