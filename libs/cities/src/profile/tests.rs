//! A profile's figures, and that drawing follows them.

use std::collections::HashMap;

use hexcab_road::{HourOfWeek, RoadTimes};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

use super::*;

const FRIDAY_17: HourOfWeek = HourOfWeek::of_day(5, 17);
const SEED: u64 = 20_080_530;
const BUILT_IN_FILES: [&str; 9] = [
    file::POINTS,
    file::RIDES,
    file::FLOWS,
    file::SUPPLY,
    file::STARTS,
    file::SECONDS,
    file::METRES,
    file::SPEED,
    file::SOURCE,
];

fn sf() -> Profile {
    Profile::built_in("sf").unwrap()
}

fn rng() -> ChaCha8Rng {
    println!("seed {SEED}");
    ChaCha8Rng::seed_from_u64(SEED)
}

#[test]
fn every_built_in_profile_reads_and_is_not_empty() {
    for id in crate::BUILT_IN {
        let profile = Profile::built_in(id).unwrap();
        let hours_with_rides = HourOfWeek::all()
            .filter(|&hour| profile.rides_per_hour(hour) > 0.0)
            .count();
        assert_eq!(hours_with_rides, 168, "{id}");
        assert!(
            HourOfWeek::all().all(|hour| profile.supply(hour).serving > 0.0),
            "{id}"
        );
        assert!(
            profile.cells().all(|cell| !profile.places(cell).is_empty()),
            "{id}"
        );
        assert!(!profile.source().is_empty(), "{id}");
    }
    assert!(matches!(
        Profile::built_in("atlantis"),
        Err(ProfileError::NotBuiltIn(_))
    ));
}

#[test]
fn the_rate_of_an_hour_is_the_sum_of_its_cells() {
    let profile = sf();
    for hour in HourOfWeek::all() {
        let sum: f64 = profile
            .cells()
            .map(|cell| profile.rides_in(cell, hour))
            .sum();
        assert!((sum - profile.rides_per_hour(hour)).abs() < 1e-6, "{hour}");
    }
}

#[test]
fn drawn_origins_and_destinations_follow_the_figures() {
    const DRAWS: u32 = 20_000;
    let (profile, mut rng) = (sf(), rng());
    let mut origins: HashMap<Cell, u32> = HashMap::new();
    for _ in 0..DRAWS {
        *origins
            .entry(profile.draw_origin(FRIDAY_17, &mut rng).unwrap())
            .or_default() += 1;
    }
    for (cell, drawn) in &origins {
        let expected = profile.rides_in(*cell, FRIDAY_17) / profile.rides_per_hour(FRIDAY_17);
        assert!(
            (f64::from(*drawn) / f64::from(DRAWS) - expected).abs() < 0.02,
            "{cell}"
        );
    }
    let busiest = *origins.iter().max_by_key(|(_, drawn)| **drawn).unwrap().0;
    let mut to: HashMap<Cell, u32> = HashMap::new();
    for _ in 0..DRAWS {
        *to.entry(profile.draw_destination(busiest, &mut rng).unwrap())
            .or_default() += 1;
    }
    assert!(to.iter().all(|(cell, drawn)| {
        (f64::from(*drawn) / f64::from(DRAWS) - profile.flow(busiest, *cell)).abs() < 0.02
    }));
}

#[test]
fn the_same_seed_draws_the_same_rides_and_all_have_a_drive() {
    let profile = sf();
    let draw = || {
        let mut rng = rng();
        (0..500)
            .map(|_| profile.draw_ride(FRIDAY_17, &mut rng).unwrap())
            .collect::<Vec<_>>()
    };
    let rides = draw();
    assert_eq!(rides, draw());
    let travel = profile.travel();
    for (from, to) in rides {
        let leg = travel.leg(from, to, FRIDAY_17).unwrap();
        assert!(
            from != to && leg.seconds > 0.0 && leg.seconds < 5_400.0,
            "{from:?} to {to:?}: {leg:?}"
        );
    }
}

#[test]
fn drivers_start_on_streets_of_the_city() {
    let (profile, mut rng) = (sf(), rng());
    let area = crate::City::built_in("sf").unwrap().area;
    for _ in 0..200 {
        let cell = profile.draw_start(&mut rng).unwrap();
        assert!(area.contains(profile.draw_place(cell, &mut rng).unwrap()));
    }
}

#[test]
fn a_cell_of_another_city_has_no_rides_and_no_places() {
    let (profile, mut rng) = (sf(), rng());
    let elsewhere = Point::from_degrees(48.85, 2.35).unwrap().cell(8).unwrap();
    assert_eq!(profile.rides_in(elsewhere, FRIDAY_17), 0.0);
    assert_eq!(profile.draw_place(elsewhere, &mut rng), None);
    assert_eq!(profile.flow(elsewhere, elsewhere), 0.0);
    assert!(
        profile.draw_destination(elsewhere, &mut rng).is_some(),
        "where the city's rides go"
    );
}

/// The built-in profile as a folder, with one file changed.
fn folder_with(name: &str, change: impl Fn(&str) -> String) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir(dir.path().join("profile")).unwrap();
    let built_in = Folder::built_in("sf").unwrap();
    for each in BUILT_IN_FILES {
        let text = built_in.text(&format!("profile/{each}")).unwrap();
        let text = if each == name { change(&text) } else { text };
        std::fs::write(dir.path().join("profile").join(each), text).unwrap();
    }
    dir
}

#[test]
fn a_profile_read_from_disk_is_the_built_in_one() {
    let dir = folder_with("", str::to_owned);
    let (disk, built_in) = (Profile::read(dir.path()).unwrap(), sf());
    assert!(disk.cells().eq(built_in.cells()));
    assert_eq!(
        disk.rides_per_hour(FRIDAY_17),
        built_in.rides_per_hour(FRIDAY_17)
    );
    assert_eq!(disk.source(), built_in.source());
}

type Change<'a> = &'a dyn Fn(&str) -> String;

#[test]
fn a_wrong_file_is_refused_by_its_name() {
    let without_last_line =
        |text: &str| text.trim_end().rsplit_once('\n').unwrap().0.to_owned() + "\n";
    let negative = |text: &str| text.replacen("\n0,", "\n0,-", 1);
    let cut_header = |text: &str| text.replacen("cell,", "cell,x", 1);
    let cases: [(&str, Change<'_>); 9] = [
        (file::SUPPLY, &without_last_line),
        (file::SUPPLY, &negative),
        (file::SPEED, &without_last_line),
        (file::SPEED, &negative),
        (file::SECONDS, &without_last_line),
        (file::METRES, &cut_header),
        (file::RIDES, &cut_header),
        (file::FLOWS, &cut_header),
        (file::POINTS, &without_last_line_of_cells),
    ];
    for (name, change) in cases {
        let dir = folder_with(name, change);
        let error = Profile::read(dir.path()).err().expect(name).to_string();
        assert!(error.contains("profile/"), "{name}: {error}");
        println!("{error}");
    }
    let dir = folder_with("", str::to_owned);
    std::fs::remove_file(dir.path().join("profile").join(file::STARTS)).unwrap();
    let error = Profile::read(dir.path()).err().unwrap().to_string();
    assert!(error.contains(file::STARTS), "{error}");
}

/// All places of the last cell go, so that the matrices have a cell too many.
fn without_last_line_of_cells(text: &str) -> String {
    let last = text.trim_end().rsplit('\n').next().unwrap();
    let cell = last.split(',').next().unwrap().to_owned();
    text.lines()
        .filter(|line| !line.starts_with(&cell))
        .map(|line| format!("{line}\n"))
        .collect()
}
