//! Distances and lines of drives.

use hexcab_types::DriverId;
use proptest::prelude::*;
use uuid::Uuid;

use super::*;
use crate::domain::ProductNumber;

fn seen(number: i64, point: Point, status: Status) -> Sighting {
    Sighting {
        driver: DriverId::from(Uuid::from_u128(7)),
        point,
        recorded_ms: 1_000 + number * 4_000,
        status,
        product: ProductNumber(0),
        heading_deg: 0,
        inaccurate: false,
    }
}

fn at(north_m: f64, east_m: f64) -> Point {
    let (lat, lon) = (37.77, -122.42);
    let degrees = 1.0 / 111_195.0;
    Point::from_degrees(
        lat + north_m * degrees,
        lon + east_m * degrees / f64::cos(lat.to_radians()),
    )
    .unwrap()
}

fn drive(points: &[Point], status: Status) -> Track {
    let (mut track, mut before) = (Track::default(), None);
    for (number, point) in (0..).zip(points) {
        track.add(before, &seen(number, *point, status));
        before = Some(status);
    }
    track
}

#[test]
fn a_straight_drive_is_a_line_of_two_points() {
    let points: Vec<Point> = (0..30)
        .map(|step| at(f64::from(step) * 40.0, 0.0))
        .collect();
    let track = drive(&points, Status::OnTrip);
    let [leg] = track.legs() else {
        panic!("{track:?}")
    };
    assert_eq!(leg.line(), [points[0], points[29]]);
    assert!(
        (leg.distance_m - 29.0 * 40.0).abs() < 0.5,
        "{}",
        leg.distance_m
    );
    assert_eq!((leg.start_ms, leg.end_ms), (1_000, 1_000 + 29 * 4_000));
}

#[test]
fn a_turn_is_kept() {
    let north = (0..10).map(|step| at(f64::from(step) * 40.0, 0.0));
    let east = (1..10).map(|step| at(360.0, f64::from(step) * 40.0));
    let points: Vec<Point> = north.chain(east).collect();
    let track = drive(&points, Status::OnTrip);
    assert_eq!(track.legs()[0].line(), [points[0], points[9], points[18]]);
    assert!((track.legs()[0].distance_m - 720.0).abs() < 0.5);
}

#[test]
fn a_car_that_waits_does_not_drive() {
    let jitter = (0..100).map(|step| at(f64::from(step % 3) * 1.5, f64::from(step % 2) * 2.0));
    let track = drive(&jitter.collect::<Vec<_>>(), Status::EnRoute);
    assert_eq!(track.legs()[0].distance_m, 0.0);
}

#[test]
fn an_inaccurate_position_is_left_out() {
    let mut track = drive(&[at(0.0, 0.0), at(40.0, 0.0)], Status::OnTrip);
    let wild = Sighting {
        inaccurate: true,
        ..seen(2, at(40.0, 900.0), Status::OnTrip)
    };
    track.add(Some(Status::OnTrip), &wild);
    track.add(
        Some(Status::OnTrip),
        &seen(3, at(80.0, 0.0), Status::OnTrip),
    );
    assert!((track.legs()[0].distance_m - 80.0).abs() < 0.5);
    assert_eq!(track.legs()[0].line(), [at(0.0, 0.0), at(80.0, 0.0)]);
}

#[test]
fn a_ride_is_two_legs_and_the_next_begins_anew() {
    let mut track = Track::default();
    let steps = [
        (None, Status::EnRoute, 0.0),
        (Some(Status::EnRoute), Status::EnRoute, 40.0),
        (Some(Status::EnRoute), Status::OnTrip, 80.0),
        (Some(Status::OnTrip), Status::OnTrip, 160.0),
    ];
    for (number, (before, status, north_m)) in (0..).zip(steps) {
        track.add(before, &seen(number, at(north_m, 0.0), status));
    }
    let legs: Vec<(Status, i64)> = track
        .legs()
        .iter()
        .map(|leg| (leg.status, leg.distance_m.round() as i64))
        .collect();
    assert_eq!(
        legs,
        [(Status::EnRoute, 40), (Status::OnTrip, 120)],
        "a leg begins where the one before ended"
    );
    track.add(
        Some(Status::Available),
        &seen(9, at(0.0, 0.0), Status::EnRoute),
    );
    assert_eq!(track.legs().len(), 1);
    assert_eq!(
        (track.end_ms(), track.legs()[0].distance_m),
        (1_000 + 36_000, 0.0)
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn no_position_is_farther_from_the_line_than_it_says(turns in proptest::collection::vec(-0.9..0.9_f64, 2..3_000)) {
        let (mut north, mut east, mut heading) = (0.0, 0.0, 0.0_f64);
        let points: Vec<Point> = turns.iter().map(|turn| {
            heading += turn;
            (north, east) = (north + heading.cos() * 40.0, east + heading.sin() * 40.0);
            at(north, east)
        }).collect();
        let track = drive(&points, Status::OnTrip);
        let leg = &track.legs()[0];
        let line = leg.line();
        prop_assert!(line.len() <= LINE_MAX + 1, "{}", line.len());
        let driven: f64 = points.windows(2).map(|pair| pair[0].distance_m(pair[1])).sum();
        prop_assert!((leg.distance_m - driven).abs() < 1e-6 * driven.max(1.0));
        for point in &points {
            let off = line.windows(2).map(|pair| off_m(*point, pair[0], pair[1])).fold(f64::INFINITY, f64::min);
            prop_assert!(off <= leg.tolerance_m + 0.5, "{off} of {}", leg.tolerance_m);
        }
    }
}
