//! Pings by stream and by call: late, early, repeated.

use futures::StreamExt as _;
use hexcab_proto::location::v1::{
    GetDriverPositionRequest, Ping, ReportPingsRequest, StreamPingsRequest,
};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

use crate::city::{City, around_centre, driver, refusal};

#[tokio::test]
async fn one_bad_ping_does_not_cost_the_others() {
    let mut city = City::start().await;
    let pings = vec![
        city.ping(1),
        Ping {
            lat_e7: 950_000_000,
            ..city.ping(2)
        },
        city.ping(3),
        Ping {
            status: 99,
            ..city.ping(4)
        },
        Ping {
            driver: "me".into(),
            ..city.ping(5)
        },
        Ping {
            record_time_ms: 0,
            ..city.ping(6)
        },
    ];
    let request = ReportPingsRequest {
        city: "sf".into(),
        pings,
    };
    let answer = city
        .client
        .report_pings(request)
        .await
        .unwrap()
        .into_inner();
    assert_eq!((answer.accepted, answer.stale), (2, 0));
    let rejected: Vec<(i32, &str)> = answer
        .rejected
        .iter()
        .map(|item| (item.index, item.reason.as_str()))
        .collect();
    assert_eq!(
        rejected,
        [
            (1, "POSITION_OFF_EARTH"),
            (3, "STATUS_MISSING"),
            (4, "DRIVER_INVALID"),
            (5, "RECORD_TIME_MISSING")
        ]
    );
    assert!(
        answer.rejected[0].detail.contains("latitude"),
        "{:?}",
        answer.rejected
    );
}

#[tokio::test]
async fn the_same_batch_twice_and_a_late_one_change_nothing() {
    let mut city = City::start().await;
    let moved = Ping {
        lat_e7: 377_900_000,
        ..city.ping(1)
    };
    let late = Ping {
        record_time_ms: city.now_ms() - 1,
        ..city.ping(1)
    };
    assert_eq!(city.report(vec![moved.clone()]).await, (1, 0, 0));
    assert_eq!(city.report(vec![moved, late]).await, (0, 2, 0));
    let asked = GetDriverPositionRequest { driver: driver(1) };
    let found = city
        .client
        .get_driver_position(asked)
        .await
        .unwrap()
        .into_inner();
    assert_eq!(
        (found.position.unwrap().lat_e7, found.city.as_str()),
        (377_900_000, "sf")
    );
}

#[tokio::test]
async fn a_clock_from_the_future_does_not_hide_later_pings() {
    let mut city = City::start().await;
    let hour_ahead = Ping {
        record_time_ms: city.now_ms() + 3_600_000,
        ..city.ping(1)
    };
    assert_eq!(city.report(vec![hour_ahead]).await, (1, 0, 0));
    city.hand.advance(std::time::Duration::from_secs(2));
    let right = Ping {
        lat_e7: 377_900_000,
        ..city.ping(1)
    };
    assert_eq!(
        city.report(vec![right]).await,
        (1, 0, 0),
        "clamped to a second ahead, not an hour"
    );
}

#[tokio::test]
async fn a_stream_answers_each_batch_in_order_and_ends_with_the_process() {
    let mut city = City::start().await;
    let (sender, receiver) = mpsc::channel(4);
    let mut answers = city
        .client
        .stream_pings(ReceiverStream::new(receiver))
        .await
        .unwrap()
        .into_inner();
    for count in 1..=3_u128 {
        let pings = (1..=count).map(|number| city.ping(number)).collect();
        sender
            .send(StreamPingsRequest {
                city: "sf".into(),
                pings,
            })
            .await
            .unwrap();
        let answer = answers.next().await.unwrap().unwrap();
        assert_eq!((answer.accepted, answer.stale), (1, count as i32 - 1));
    }
    city.stop().await; // with the stream open
}

#[tokio::test]
async fn a_stream_for_an_unknown_city_ends_with_its_reason() {
    let mut city = City::start().await;
    let batch = StreamPingsRequest {
        city: "atlantis".into(),
        pings: vec![city.ping(1)],
    };
    let mut answers = city
        .client
        .stream_pings(futures::stream::iter([batch]))
        .await
        .unwrap()
        .into_inner();
    let (reason, code, message) = refusal(answers.message().await);
    assert_eq!(
        (reason.as_str(), code),
        ("CITY_UNKNOWN", tonic::Code::NotFound),
        "{message}"
    );
}

#[tokio::test]
async fn a_driver_silent_for_180_seconds_is_not_found() {
    let mut city = City::start().await;
    let ping = city.ping(1);
    city.report(vec![ping]).await;
    city.hand.advance(std::time::Duration::from_secs(180));
    let asked = GetDriverPositionRequest { driver: driver(1) };
    let found = city
        .client
        .get_driver_position(asked.clone())
        .await
        .unwrap()
        .into_inner();
    assert_eq!(found.age_ms, 180_000);
    city.hand.advance(std::time::Duration::from_millis(1));
    let (reason, code, _) = refusal(city.client.get_driver_position(asked).await);
    assert_eq!(
        (reason.as_str(), code),
        ("DRIVER_NOT_SEEN", tonic::Code::NotFound)
    );
    let nearby = city
        .client
        .find_nearby(around_centre())
        .await
        .unwrap()
        .into_inner();
    assert_eq!(nearby.drivers, []);
}

#[tokio::test]
async fn a_driver_may_be_named_by_the_bytes_of_his_id() {
    let mut city = City::start().await;
    let id = |number: u128| number.to_be_bytes().to_vec();
    let pings = vec![
        Ping {
            driver: String::new(),
            driver_id: id(1),
            ..city.ping(1)
        },
        Ping {
            driver_id: id(2),
            ..city.ping(2)
        },
        Ping {
            driver: String::new(),
            driver_id: vec![1; 15],
            ..city.ping(3)
        },
    ];
    let batch = StreamPingsRequest {
        city: "sf".into(),
        pings,
    };
    let mut answers = city
        .client
        .stream_pings(futures::stream::iter([batch]))
        .await
        .unwrap()
        .into_inner();
    let answer = answers.message().await.unwrap().unwrap();
    assert_eq!((answer.accepted, answer.stale), (1, 0));
    let rejected: Vec<(i32, &str)> = answer
        .rejected
        .iter()
        .map(|item| (item.index, item.reason.as_str()))
        .collect();
    assert_eq!(rejected, [(1, "DRIVER_INVALID"), (2, "DRIVER_INVALID")]);
    assert!(answer.rejected[1].detail.contains("15 bytes"), "{answer:?}");
    let asked = GetDriverPositionRequest { driver: driver(1) };
    assert!(city.client.get_driver_position(asked).await.is_ok());
}

#[tokio::test]
async fn a_stream_refuses_each_bad_ping_with_its_index_and_keeps_the_rest() {
    let mut city = City::start().await;
    let pings = (0..1_000_i32).map(|number| Ping {
        lat_e7: if number % 100 == 99 {
            950_000_000
        } else {
            377_749_000
        },
        ..city.ping(number as u128 + 1)
    });
    let whole = StreamPingsRequest {
        city: "sf".into(),
        pings: pings.collect(),
    };
    let mut too_many = whole.clone();
    too_many.pings.push(city.ping(1));
    let mut answers = city
        .client
        .stream_pings(futures::stream::iter([whole.clone(), whole, too_many]))
        .await
        .unwrap()
        .into_inner();
    let bad: Vec<i32> = (0..10).map(|hundred| hundred * 100 + 99).collect();
    for (accepted, stale) in [(990, 0), (0, 990)] {
        let answer = answers.message().await.unwrap().unwrap();
        assert_eq!((answer.accepted, answer.stale), (accepted, stale));
        let rejected: Vec<i32> = answer.rejected.iter().map(|item| item.index).collect();
        assert_eq!(rejected, bad);
    }
    let (reason, ..) = refusal(answers.message().await);
    assert_eq!(reason, "BATCH_TOO_LARGE");
}
