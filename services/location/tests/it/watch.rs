//! A map's stream, through the real service.

use std::time::Duration;

use hexcab_proto::location::v1::{Ping, WatchAreaRequest, WatchAreaResponse};
use hexcab_testkit::eventually;
use hexcab_types::Point;
use tonic::{Code, Streaming};

use crate::city::{CENTRE, City, driver, refusal};

fn here(resolution: u8) -> u64 {
    let point = Point::from_e7(CENTRE.lat_e7, CENTRE.lon_e7).unwrap();
    point.cell(resolution).unwrap().to_u64()
}

fn asked() -> WatchAreaRequest {
    WatchAreaRequest {
        city: "sf".into(),
        cells: vec![here(8)],
        ..WatchAreaRequest::default()
    }
}

/// The next answer, which comes when the city's clock has gone on.
async fn next(city: &City, answers: &mut Streaming<WatchAreaResponse>) -> WatchAreaResponse {
    let answers = tokio::sync::Mutex::new(answers);
    eventually(async || {
        city.hand.advance(Duration::from_millis(250));
        let mut answers = answers.lock().await;
        let soon = tokio::time::timeout(Duration::from_millis(20), answers.message());
        soon.await.ok().map(|answer| answer.unwrap().unwrap())
    })
    .await
}

fn names(answer: &WatchAreaResponse) -> Vec<&str> {
    let mut names: Vec<&str> = answer
        .drivers
        .iter()
        .map(|seen| seen.driver.as_str())
        .collect();
    names.sort_unstable();
    names
}

#[tokio::test]
async fn a_map_hears_who_comes_and_who_leaves() {
    let mut city = City::start().await;
    let pings = vec![city.ping(1), city.ping(2)];
    city.report(pings).await;
    let mut answers = city.client.watch_area(asked()).await.unwrap().into_inner();
    let first = answers.message().await.unwrap().unwrap();
    assert_eq!(names(&first), [driver(1), driver(2)]);
    assert_eq!(first.drivers[0].position, Some(CENTRE));

    city.hand.advance(Duration::from_millis(100));
    let away = Ping {
        lat_e7: CENTRE.lat_e7 + 2_000_000,
        ..city.ping(2)
    };
    let come = city.ping(3);
    city.report(vec![away, come]).await;
    let second = next(&city, &mut answers).await;
    assert_eq!(
        (names(&second), second.left_drivers.as_slice()),
        (vec![driver(3).as_str()], [driver(2)].as_slice())
    );
    city.stop().await; // with the stream open
    let (_, code, _) = refusal(answers.message().await);
    assert_eq!(code, Code::Unavailable);
}

#[tokio::test]
async fn a_watch_of_nonsense_is_refused_by_its_field() {
    let mut city = City::start().await;
    let usual = asked;
    for (request, reason, field) in [
        (
            WatchAreaRequest {
                city: "atlantis".into(),
                ..usual()
            },
            "CITY_UNKNOWN",
            "atlantis",
        ),
        (
            WatchAreaRequest {
                cells: vec![],
                ..usual()
            },
            "FIELD_INVALID",
            "cells",
        ),
        (
            WatchAreaRequest {
                cells: vec![here(8), 7],
                ..usual()
            },
            "FIELD_INVALID",
            "cells[1]",
        ),
        (
            WatchAreaRequest {
                cells: vec![here(5)],
                ..usual()
            },
            "FIELD_INVALID",
            "cells[0]",
        ),
        (
            WatchAreaRequest {
                cells: vec![here(10)],
                ..usual()
            },
            "FIELD_INVALID",
            "cells[0]",
        ),
        (
            WatchAreaRequest {
                cells: vec![here(8); 501],
                ..usual()
            },
            "BATCH_TOO_LARGE",
            "cells",
        ),
        (
            WatchAreaRequest {
                interval_ms: 199,
                ..usual()
            },
            "FIELD_INVALID",
            "interval_ms",
        ),
        (
            WatchAreaRequest {
                max_age_ms: 180_001,
                ..usual()
            },
            "FIELD_INVALID",
            "max_age_ms",
        ),
    ] {
        let (said, _, message) = refusal(city.client.watch_area(request).await);
        assert!(
            said == reason && message.contains(field),
            "{said} {message}"
        );
    }
}
