//! Recorded rides and shifts, read in order and in part.

use super::*;

const RIDES: &str =
    "trip_id,driver,pickup_utc,pickup_lat,pickup_lon,dropoff_lat,dropoff_lon,duration_s,in_graph\n";
const SHIFTS: &str = "driver,start_utc,start_lat,start_lon,end_utc,end_lat,end_lon\n";

fn at(seconds: i64) -> Timestamp {
    DateTime::from_timestamp(seconds, 0).unwrap()
}

fn ride(trip: u64, driver: u32, utc: i64) -> String {
    format!("{trip},{driver},{utc},37.77,-122.41,37.78,-122.4{trip},300,1\n")
}

fn folder(files: &[(&str, String)]) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    for (name, text) in files {
        std::fs::write(dir.path().join(name), text).unwrap();
    }
    dir
}

fn trips(dir: &Path, window: Range<i64>) -> Vec<u64> {
    rides(dir, at(window.start)..at(window.end))
        .unwrap()
        .map(|ride| ride.unwrap().trip)
        .collect()
}

#[test]
fn rides_of_a_window_come_in_order_through_all_files() {
    let dir = folder(&[
        (
            "trips-2.csv",
            format!("{RIDES}{}{}", ride(3, 1, 300), ride(4, 1, 400)),
        ),
        (
            "trips-1.csv",
            format!("{RIDES}{}{}", ride(1, 1, 100), ride(2, 1, 200)),
        ),
        ("notes.csv", "a\n".to_owned()),
    ]);
    assert_eq!(trips(dir.path(), 0..999), [1, 2, 3, 4]);
    assert_eq!(
        trips(dir.path(), 200..400),
        [2, 3],
        "the start is in, the end is not"
    );
    assert_eq!(trips(dir.path(), 500..999), [0; 0]);
}

#[test]
fn a_row_that_goes_back_in_time_is_an_error_and_the_end() {
    let dir = folder(&[(
        "trips-1.csv",
        format!(
            "{RIDES}{}{}{}",
            ride(1, 1, 200),
            ride(2, 1, 100),
            ride(3, 1, 300)
        ),
    )]);
    let mut rides = rides(dir.path(), at(0)..at(999)).unwrap();
    assert!(rides.next().unwrap().is_ok());
    let error = rides.next().unwrap().unwrap_err().to_string();
    assert!(
        error.contains("trips-1.csv:3") && error.contains("pickup_utc"),
        "{error}"
    );
    assert!(rides.next().is_none());
}

#[test]
fn a_wrong_field_is_named() {
    for (from, to, field) in [
        (",300,1\n", ",x,1\n", "duration_s"),
        (",300,1\n", ",300,yes\n", "in_graph"),
        ("37.77", "97.77", "pickup_lat"),
    ] {
        let dir = folder(&[(
            "trips-1.csv",
            format!("{RIDES}{}", ride(1, 1, 200).replace(from, to)),
        )]);
        let error = rides(dir.path(), at(0)..at(999))
            .unwrap()
            .next()
            .unwrap()
            .unwrap_err()
            .to_string();
        assert!(
            error.contains(&format!("trips-1.csv:2: field \"{field}\"")),
            "{error}"
        );
    }
}

#[test]
fn a_folder_without_recordings_is_an_error_that_says_what_is_missing() {
    let dir = folder(&[("trips-1.csv", RIDES.to_owned())]);
    let error = shifts(dir.path(), at(0)..at(999))
        .err()
        .unwrap()
        .to_string();
    assert!(error.contains("shifts-*.csv.gz"), "{error}");
    assert!(rides(Path::new("/nowhere"), at(0)..at(1)).is_err());
}

#[test]
fn shifts_that_reach_into_a_window_are_given_whole() {
    let shift = |driver: u32, start: i64, end: i64| {
        format!("{driver},{start},37.7,-122.4,{end},37.8,-122.4\n")
    };
    let text = [
        shift(1, 0, 100),
        shift(2, 50, 150),
        shift(3, 120, 500),
        shift(4, 200, 300),
    ]
    .concat();
    let dir = folder(&[("shifts-1.csv", format!("{SHIFTS}{text}"))]);
    let given: Vec<Shift> = shifts(dir.path(), at(100)..at(200))
        .unwrap()
        .map(Result::unwrap)
        .collect();
    assert_eq!(
        given
            .iter()
            .map(|shift| (shift.driver, shift.start_at))
            .collect::<Vec<_>>(),
        [(2, at(50)), (3, at(120))]
    );
    let dir = folder(&[("shifts-1.csv", format!("{SHIFTS}{}", shift(1, 100, 50)))]);
    let error = shifts(dir.path(), at(0)..at(200))
        .unwrap()
        .next()
        .unwrap()
        .unwrap_err()
        .to_string();
    assert!(error.contains("end_utc"), "{error}");
}

#[test]
fn a_driver_was_last_where_he_let_someone_out_or_took_someone_in() {
    let dir = folder(&[(
        "trips-1.csv",
        format!(
            "{RIDES}{}{}{}",
            ride(1, 7, 0),
            ride(2, 8, 500),
            ride(3, 9, 1_000)
        ),
    )]);
    let places = last_places(dir.path(), at(700)).unwrap();
    assert_eq!(
        places[&7],
        (at(300), Point::from_degrees(37.78, -122.41).unwrap()),
        "ride over"
    );
    assert_eq!(
        places[&8],
        (at(500), Point::from_degrees(37.77, -122.41).unwrap()),
        "ride under way"
    );
    assert!(!places.contains_key(&9));
}
