//! How a driver drove, asked through the real service.

use std::time::Duration;

use hexcab_proto::location::v1::{DriverStatus, GetDriverTrackRequest, Ping};

use crate::city::{CENTRE, City, driver, refusal};

/// Reports a ping of driver 1 so far north of the centre, four seconds after the one before.
async fn drive(city: &mut City, north_e7: i32, status: DriverStatus) {
    city.hand.advance(Duration::from_secs(4));
    let ping = Ping {
        lat_e7: CENTRE.lat_e7 + north_e7,
        status: status.into(),
        ..city.ping(1)
    };
    assert_eq!(city.report(vec![ping]).await, (1, 0, 0));
}

fn asked() -> GetDriverTrackRequest {
    GetDriverTrackRequest { driver: driver(1) }
}

#[tokio::test]
async fn a_ride_is_told_in_two_legs() {
    let mut city = City::start().await;
    drive(&mut city, 0, DriverStatus::Available).await;
    let (reason, code, _) = refusal(city.client.get_driver_track(asked()).await);
    assert_eq!(
        (reason.as_str(), code),
        ("DRIVER_NOT_SEEN", tonic::Code::NotFound)
    );
    for (north_e7, status) in [
        (0, DriverStatus::EnRoute),
        (10_000, DriverStatus::EnRoute),
        (10_000, DriverStatus::OnTrip),
        (20_000, DriverStatus::OnTrip),
        (30_000, DriverStatus::OnTrip),
        (90_000, DriverStatus::Available),
    ] {
        drive(&mut city, north_e7, status).await;
    }
    let track = city
        .client
        .get_driver_track(asked())
        .await
        .unwrap()
        .into_inner();
    assert_eq!(track.driver, driver(1));
    let legs: Vec<(i32, f64, Vec<i32>)> = track
        .legs
        .iter()
        .map(|leg| {
            let line = leg.line.iter().map(|point| point.lat_e7 - CENTRE.lat_e7);
            (
                leg.status,
                (leg.distance_m / 10.0).round() * 10.0,
                line.collect(),
            )
        })
        .collect();
    assert_eq!(
        legs,
        [
            (DriverStatus::EnRoute.into(), 110.0, vec![0, 10_000]),
            (DriverStatus::OnTrip.into(), 220.0, vec![10_000, 30_000]),
        ]
    );
    let seconds = |time: Option<prost_types::Timestamp>| time.unwrap().seconds;
    let leg = track.legs[1].clone();
    assert_eq!(seconds(leg.end_time) - seconds(leg.start_time), 8);
}

#[tokio::test]
async fn the_track_of_a_silent_driver_is_not_told() {
    let mut city = City::start().await;
    drive(&mut city, 0, DriverStatus::OnTrip).await;
    city.hand.advance(Duration::from_secs(181));
    let (reason, ..) = refusal(city.client.get_driver_track(asked()).await);
    assert_eq!(reason, "DRIVER_NOT_SEEN");
}
