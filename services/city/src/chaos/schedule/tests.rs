//! Schedules: the same again, within their bounds, with a part of everything.

use std::collections::BTreeSet;

use super::*;
use crate::chaos::points::Needs;

fn targets() -> Targets {
    let services = Service::ALL.map(Node::Service);
    let point = |service, name| Point {
        service,
        name,
        proves: "nothing",
        rare: false,
        needs: Needs::Requests,
    };
    Targets {
        nodes: services.into_iter().chain([Node::Postgres]).collect(),
        links: vec![
            Link::new(
                Node::Service(Service::Dispatch),
                Node::Service(Service::Trip),
            ),
            Link::new(Node::Service(Service::Trip), Node::Postgres),
        ],
        clocks: vec![Service::Trip, Service::Gateway],
        processor: vec!["decline", "timeout_after"],
        points: vec![
            point(Service::Trip, "trip.one"),
            point(Service::Trip, "relay.sent"),
            point(Service::Payment, "payment.one"),
            point(Service::Payment, "relay.sent"),
        ],
    }
}

const RUN: Duration = Duration::from_secs(180);

#[test]
fn the_same_seed_gives_the_same_schedule_and_another_seed_another() {
    for seed in 0..50 {
        let one = Schedule::new(seed, RUN, &targets());
        assert_eq!(one, Schedule::new(seed, RUN, &targets()));
        assert_ne!(one.faults, Schedule::new(seed + 1, RUN, &targets()).faults);
    }
}

#[test]
fn more_crash_points_leave_the_other_faults_where_they_are() {
    let rest = |targets: &Targets| {
        let mut faults = Schedule::new(7, RUN, targets).faults;
        faults.retain(|planned| !matches!(planned.fault, Fault::CrashPoint { .. }));
        faults
    };
    let mut more = targets();
    more.points.push(Point {
        name: "trip.two",
        ..more.points[0]
    });
    assert_eq!(rest(&targets()), rest(&more));
}

#[test]
fn no_fault_begins_before_the_load_or_lasts_beyond_the_end() {
    for (seed, length_s) in (0..50).flat_map(|seed| [20, 45, 90, 600].map(|s| (seed, s))) {
        let length = Duration::from_secs(length_s);
        let schedule = Schedule::new(seed, length, &targets());
        assert!(!schedule.faults.is_empty(), "seed {seed}, {length_s} s");
        for planned in &schedule.faults {
            assert!(
                planned.at >= LEAD && planned.until() <= length - rest(length),
                "seed {seed}, {length_s} s: {planned:?}"
            );
        }
        assert!(schedule.faults.is_sorted_by_key(|planned| planned.at));
    }
}

#[test]
fn a_long_run_strikes_everything_and_hits_every_point_once() {
    for seed in 0..20 {
        let schedule = Schedule::new(seed, Duration::from_secs(600), &targets());
        let count = |wanted: &dyn Fn(&Fault) -> bool| {
            schedule.faults.iter().filter(|p| wanted(&p.fault)).count()
        };
        for node in targets().nodes {
            assert!(
                count(&|fault| *fault == Fault::Kill { node }) > 0,
                "{seed}: kill {node}"
            );
            assert!(
                count(&|fault| *fault == Fault::Pause { node }) > 0,
                "{seed}: pause {node}"
            );
        }
        for link in targets().links {
            assert!(
                count(&|fault| *fault == Fault::Cut { link }) > 0,
                "{seed}: cut {link}"
            );
        }
        for wanted in targets().points {
            let hits = count(&|fault| {
                matches!(fault, Fault::CrashPoint { service, point, .. }
                    if *service == wanted.service && point == wanted.name)
            });
            assert_eq!(hits, 1, "{seed}: {wanted:?}");
        }
        assert!(schedule.left_out.is_empty());
    }
}

#[test]
fn a_short_run_has_a_part_of_every_kind_and_says_what_it_leaves_out() {
    let length = Duration::from_secs(25);
    let short = Schedule::new(3, length, &targets());
    assert_eq!(short.left_out.len(), 2, "one slot a service: {short:?}");
    let kinds: BTreeSet<&str> = Schedule::new(3, Duration::from_secs(90), &targets())
        .faults
        .iter()
        .map(|planned| planned.fault.kind())
        .collect();
    assert_eq!(kinds.len(), 11, "{kinds:?}");
}

#[test]
fn a_few_short_runs_in_a_row_have_every_crash_point() {
    let many = |number: u8| Point {
        service: Service::Payment,
        name: Box::leak(format!("payment.{number}").into_boxed_str()),
        proves: "nothing",
        rare: false,
        needs: Needs::Requests,
    };
    let targets = Targets {
        points: (0..33).map(many).collect(),
        ..Targets::default()
    };
    for first in [0, 1, 7, 1_000] {
        let mut had = BTreeSet::new();
        for seed in first..first + 5 {
            let schedule = Schedule::new(seed, RUN, &targets);
            let points = schedule
                .faults
                .iter()
                .filter_map(|planned| planned.fault.point());
            had.extend(points.map(str::to_owned));
        }
        assert_eq!(had.len(), 33, "seeds from {first}");
    }
}

#[test]
fn no_service_is_sent_to_what_follows_a_ride_before_there_is_one() {
    let mut targets = targets();
    for point in &mut targets.points {
        point.needs = Needs::Rides;
    }
    for (seed, length_s) in (0..20).flat_map(|seed| [30, 60, 90, 180, 600].map(|s| (seed, s))) {
        let length = Duration::from_secs(length_s);
        let schedule = Schedule::new(seed, length, &targets);
        let mut points = schedule.faults.iter().filter(|p| p.fault.point().is_some());
        assert!(
            points.all(|planned| planned.at >= FIRST_RIDES),
            "seed {seed}"
        );
        let planned = schedule
            .faults
            .iter()
            .filter_map(|planned| planned.fault.point());
        assert_eq!(planned.count() + schedule.left_out.len(), 4, "seed {seed}");
    }
}

#[test]
fn a_service_is_sent_to_one_crash_point_at_a_time() {
    for seed in 0..20 {
        let schedule = Schedule::new(seed, RUN, &targets());
        for service in Service::ALL {
            let of = |planned: &&Planned| matches!(&planned.fault, Fault::CrashPoint { service: own, .. } if *own == service);
            let mut free = Duration::ZERO;
            for planned in schedule.faults.iter().filter(of) {
                assert!(planned.at >= free, "seed {seed}: {planned:?}");
                free = planned.until();
            }
        }
    }
}

#[test]
fn a_schedule_that_is_written_is_read_again() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let schedule = Schedule::new(11, RUN, &targets());
    schedule.write(file.path()).unwrap();
    assert_eq!(Schedule::read(file.path()).unwrap(), schedule);
}

#[test]
fn a_schedule_that_cannot_be_kept_is_refused() {
    let written = |faults: &str| {
        let file = tempfile::NamedTempFile::new().unwrap();
        let text = format!(r#"{{"seed":1,"for_s":60,"left_out":[],"faults":[{faults}]}}"#);
        std::fs::write(file.path(), text).unwrap();
        Schedule::read(file.path()).map_err(|error| format!("{error:#}"))
    };
    let kill = r#"{"at_s":5.5,"lasts_s":0,"fault":"kill","node":"trip"}"#;
    assert_eq!(written(kill).unwrap().faults.len(), 1);
    for (faults, complaint) in [
        (
            r#"{"at_s":55,"lasts_s":9,"fault":"pause","node":"trip"}"#,
            "lasts beyond",
        ),
        (
            r#"{"at_s":5,"lasts_s":0,"fault":"kill","node":"tripp"}"#,
            "tripp",
        ),
        (r#"{"at_s":5,"lasts_s":0,"fault":"explode"}"#, "explode"),
        (
            r#"{"at_s":-5,"lasts_s":0,"fault":"kill","node":"trip"}"#,
            "negative",
        ),
    ] {
        let error = written(faults).unwrap_err();
        assert!(error.contains(complaint), "{error}");
    }
}
