//! What happens on a day, and what may not.

use hexcab_evaluate::{Line, Question, Report, run::EvaluateError, sim::Rules};

use crate::town::{BLOCK_S, Town, date, question};

const HOUR: i64 = 3_600;

fn answer(town: &Town, policies: &[&str]) -> Report {
    town.ground()
        .answer(&question(28, policies), &mut |_| {})
        .unwrap()
}

fn only(report: &Report) -> &Line {
    let [line] = &report.lines[..] else {
        panic!("{} lines", report.lines.len())
    };
    line
}

/// Within a second: corners lie on the streets to a hair.
fn about(seconds: f64, expected: i64) -> bool {
    (seconds - expected as f64).abs() < 1.0
}

#[test]
fn a_rider_waits_as_long_as_the_nearest_cab_drives() {
    let mut town = Town::default();
    town.cab(28, 0, HOUR, (0, 0)).cab(28, 0, HOUR, (9, 5));
    town.ride(28, 100, (5, 5), (5, 9), 160);
    let report = answer(&town, &["nearest"]);
    let it = &only(&report).figures;
    assert_eq!((it.requests, it.served_share), (1, 1.0));
    assert!(about(it.wait_mean_s, 4 * BLOCK_S), "{it:?}");
    assert!(
        (it.empty_m_a_ride - 800.0).abs() < 10.0 && (it.occupied_distance_share - 0.5).abs() < 0.01,
        "{it:?}"
    );
}

#[test]
fn a_rider_who_cannot_be_reached_in_eight_minutes_is_lost() {
    let mut town = Town::default();
    // Twenty blocks are more than eight minutes; nineteen are not.
    town.cab(28, 0, HOUR, (0, 0));
    town.ride(28, 100, (10, 10), (5, 5), 300);
    assert_eq!(only(&answer(&town, &["swaps"])).figures.served_share, 0.0);
    town.ride(28, 200, (10, 9), (5, 5), 300);
    assert_eq!(only(&answer(&town, &["swaps"])).figures.served_share, 0.5);
}

#[test]
fn a_cab_takes_no_rider_before_its_shift_or_after_it() {
    let mut town = Town::default();
    town.cab(28, 1_000, 2_000, (5, 5));
    for at_s in [100, 1_500, 2_100] {
        town.ride(28, at_s, (5, 5), (5, 6), 100);
    }
    let share = only(&answer(&town, &["batched"])).figures.served_share;
    assert!((share - 1.0 / 3.0).abs() < 1e-9, "{share}");
}

#[test]
fn a_cab_that_comes_free_nearer_takes_over_where_pairs_may_be_exchanged() {
    let mut town = Town::default();
    // One is sent from twelve blocks away; two minutes later another sets its rider down next to the pickup.
    town.cab(28, 0, HOUR, (0, 6)).cab(28, 0, HOUR, (12, 7));
    town.ride(28, 60, (12, 7), (12, 7), 200)
        .ride(28, 120, (12, 6), (0, 0), 600);
    let report = answer(&town, &["batched", "swaps"]);
    let [batched, swaps] = &report.lines[..] else {
        panic!()
    };
    assert!(
        about(batched.figures.wait_mean_s * 2.0, 12 * BLOCK_S),
        "{batched:?}"
    );
    // At 260 s the other is free, 25 s away.
    assert!(
        about(swaps.figures.wait_mean_s * 2.0, 140 + BLOCK_S),
        "{swaps:?}"
    );
    assert!((swaps.figures.swaps_a_ride - 0.5).abs() < 1e-9);
    assert!(about(
        swaps.gain.unwrap().wait_both_s.mean * 2.0,
        140 + BLOCK_S - 12 * BLOCK_S
    ));
}

#[test]
fn a_driver_about_to_set_down_is_given_the_next_rider_by_chained_alone() {
    let mut town = Town::default();
    town.cab(28, 0, HOUR, (8, 8)).cab(28, 0, HOUR, (0, 12));
    // The ride is known to take 4 blocks and a minute; the next rider asks where it ends, half a minute before. The other
    // cab is eight blocks away.
    town.ride(28, 60, (8, 8), (8, 12), 160)
        .ride(28, 190, (8, 12), (8, 8), 160);
    let report = answer(&town, &["batched", "chained"]);
    let [batched, chained] = &report.lines[..] else {
        panic!()
    };
    assert!(
        about(batched.figures.wait_mean_s * 2.0, 8 * BLOCK_S),
        "{batched:?}"
    );
    assert!(about(chained.figures.wait_mean_s * 2.0, 30), "{chained:?}");
}

/// Three days alike: riders ask at one end of the town and go to the other, where cabs begin and hardly anybody asks.
fn lopsided() -> Town {
    let mut town = Town::default();
    for day in [26, 27, 28] {
        for cab in 0..6 {
            town.cab(day, cab, 12 * HOUR, (0, 0));
        }
        for ride in 0..60 {
            town.ride(day, HOUR + ride * 600, (9, 9), (0, 0), 510);
        }
        town.ride(day, 11 * HOUR + 300, (0, 0), (1, 1), 110);
    }
    town
}

#[test]
fn idle_cabs_go_where_riders_are_expected() {
    let report = answer(&lopsided(), &["swaps", "swaps+flow"]);
    let [swaps, flow] = &report.lines[..] else {
        panic!()
    };
    assert!(flow.figures.served_share >= swaps.figures.served_share);
    assert!(
        flow.figures.wait_mean_s < swaps.figures.wait_mean_s / 2.0,
        "{flow:?} {swaps:?}"
    );
    assert!(flow.figures.moves_m_a_ride > 0.0 && swaps.figures.moves_m_a_ride == 0.0);
    assert_eq!(report.forecast_from, Some((date(26), date(27), 2)));
}

#[test]
fn drivers_who_follow_nothing_stay_where_they_are() {
    let mut asked = question(28, &["swaps+flow"]);
    asked.rules.follow = 0.0;
    let report = lopsided().ground().answer(&asked, &mut |_| {}).unwrap();
    assert_eq!(only(&report).figures.moves_m_a_ride, 0.0);
}

#[test]
fn a_forecast_from_the_day_judged_or_later_is_refused() {
    let ground = lopsided().ground();
    let mut asked = question(27, &["swaps+flow"]);
    for ahead in [27, 28] {
        asked.forecast_from = Some(vec![date(26), date(ahead)]);
        let error = ground.answer(&asked, &mut |_| {}).unwrap_err();
        assert!(matches!(error, EvaluateError::Forecast(_)), "{error}");
        assert!(
            error.to_string().contains(&format!("2008-05-{ahead}")),
            "{error}"
        );
    }
    asked.forecast_from = Some(vec![date(26)]);
    ground.answer(&asked, &mut |_| {}).unwrap();
}

#[test]
fn what_comes_after_a_day_does_not_change_its_answer() {
    let mut town = lopsided();
    let before = town
        .ground()
        .answer(&question(27, &["swaps+flow"]), &mut |_| {})
        .unwrap();
    for ride in 0..200 {
        town.ride(28, ride * 60, (0, 15), (1, 15), 200);
    }
    let after = town
        .ground()
        .answer(&question(27, &["swaps+flow"]), &mut |_| {})
        .unwrap();
    assert_eq!(timeless(before), timeless(after));
}

#[test]
fn a_day_without_days_before_it_cannot_be_foreseen() {
    let error = lopsided()
        .ground()
        .answer(&question(26, &["swaps+flow"]), &mut |_| {})
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "no rides are recorded before 2008-05-26: there is nothing to make a forecast from"
    );
}

#[test]
fn a_day_without_rides_is_refused_with_the_days_that_have_some() {
    let error = lopsided()
        .ground()
        .answer(&question(20, &["swaps"]), &mut |_| {})
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "no rides are recorded on 2008-05-20; there are some from 2008-05-26 to 2008-05-28"
    );
}

#[test]
fn the_same_question_has_the_same_answer_with_all_its_chance() {
    let ground = lopsided().ground();
    let mut asked = question(28, &["nearest", "chained+flow"]);
    asked.fleets = vec![0.5];
    asked.seeds = 2;
    asked.demand = 2.5;
    asked.rules = Rules {
        refusals: 0.15,
        eta_error: 0.2,
        follow: 0.7,
        unassigned_ms: Some(180_000),
        ..Rules::default()
    };
    let ask = || timeless(ground.answer(&asked, &mut |_| {}).unwrap());
    let first = ask();
    assert_eq!(first, ask());
    let at_once = Question {
        threads: 4,
        ..asked.clone()
    };
    assert_eq!(
        first,
        timeless(ground.answer(&at_once, &mut |_| {}).unwrap())
    );
    assert_eq!(first.lines[0].days.len(), 2);
    assert!((first.lines[0].days[0].figures.requests as f64 / 61.0 - 2.5).abs() < 0.5);
}

#[test]
fn a_refusal_costs_the_rider_time_and_the_driver_is_not_asked_again() {
    let mut town = Town::default();
    town.cab(28, 0, HOUR, (5, 5));
    town.ride(28, 100, (5, 6), (5, 9), 160);
    let mut asked = question(28, &["nearest"]);
    asked.rules.refusals = 1.0;
    let report = town.ground().answer(&asked, &mut |_| {}).unwrap();
    assert_eq!(
        only(&report).figures.served_share,
        0.0,
        "the only driver has refused"
    );
}

#[test]
fn riders_leave_when_nobody_is_on_the_way_in_time() {
    let mut town = Town::default();
    town.cab(28, 0, HOUR, (5, 5));
    town.ride(28, 60, (5, 5), (5, 9), 300)
        .ride(28, 80, (5, 9), (5, 5), 100);
    let mut asked = question(28, &["swaps"]);
    let ground = town.ground();
    assert_eq!(
        only(&ground.answer(&asked, &mut |_| {}).unwrap())
            .figures
            .served_share,
        1.0
    );
    asked.rules.unassigned_ms = Some(180_000);
    assert_eq!(
        only(&ground.answer(&asked, &mut |_| {}).unwrap())
            .figures
            .served_share,
        0.5
    );
}

#[test]
fn no_policy_serves_more_than_perfect_knowledge() {
    let mut asked = question(
        28,
        &["nearest", "batched", "swaps", "chained", "swaps+flow"],
    );
    asked.fleets = vec![0.2, 0.5];
    asked.demand = 4.0;
    asked.bound = true;
    let report = lopsided().ground().answer(&asked, &mut |_| {}).unwrap();
    for line in &report.lines {
        let perfect = report
            .perfect
            .iter()
            .find(|it| it.fleet == line.fleet)
            .unwrap();
        assert!(
            line.figures.served_share <= perfect.at_most_share + 1e-9,
            "{line:?} {perfect:?}"
        );
    }
    let [few, more] = &report.perfect[..] else {
        panic!()
    };
    assert!(few.on_time_share < more.on_time_share && few.on_time_share <= few.at_most_share);
}

#[test]
fn a_cab_cannot_work_another_ones_hours_though_everything_is_known() {
    let mut town = Town::default();
    // Two shifts of an hour; a ride every four minutes for ten hours. Who works one hour serves fifteen at most.
    town.cab(28, 0, HOUR, (5, 5))
        .cab(28, 5 * HOUR, 6 * HOUR, (5, 5));
    for ride in 0..150 {
        town.ride(28, ride * 240, (5, 5), (5, 6), 180);
    }
    let mut asked = question(28, &["nearest"]);
    asked.bound = true;
    let report = town.ground().answer(&asked, &mut |_| {}).unwrap();
    let perfect = report.perfect[0];
    assert!(perfect.on_time_share < 33.0 / 150.0, "{perfect:?}");
    assert!(perfect.at_most_share <= 40.0 / 150.0, "{perfect:?}");
}

/// Without what the machine's speed says.
fn timeless(mut report: Report) -> Report {
    for line in &mut report.lines {
        line.rides_a_second = 0.0;
        line.figures.window_p99_ms = 0.0;
        for day in &mut line.days {
            day.figures.window_p99_ms = 0.0;
        }
    }
    report
}
