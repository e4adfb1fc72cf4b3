//! Whole simulations of one driver and a few riders, at a thousand times the speed.

use std::future::pending;

use clap::Parser as _;
use futures::future::join_all;
use hexcab_chassis::ClockConfig;
use hexcab_simulator::{app::App, config::Flags, report::Report};

use crate::gateway::{Gateway, Mishap};

const SPEED: f64 = 1_000.0;

/// Five minutes with one driver, as many riders as `scale` gives, and these mishaps.
async fn simulate(scale: f64, mishaps: &[Mishap], more: &[&str]) -> (Report, Gateway) {
    let from = "2008-05-31T00:00:00Z".parse().unwrap();
    let clock = ClockConfig::starting_now(from, SPEED).unwrap();
    let (gateway, addr) = Gateway::serve(clock.clock(), mishaps).await;
    let url = format!("http://{addr}");
    let scale = scale.to_string();
    let mut args = vec![
        "sim",
        "--gateway",
        &url,
        "--sign-in",
        &url,
        "--demand-scale",
        &scale,
    ];
    args.extend([
        "--for=5m",
        "--drivers=1",
        "--drain=24h",
        "--follow-rate=1",
        "--cancel-rate=0",
    ]);
    args.extend(["--accept-rate=1", "--decline-rate=0", "--ignore-rate=0"]);
    args.extend(more);
    let flags = Flags::try_parse_from(args).unwrap();
    let app = App::build(&flags.checked().unwrap(), clock.clock()).unwrap();
    let report = app.run(pending()).await;
    (report, gateway)
}

const STEPS: [&str; 4] = ["accept", "arrive", "start", "complete"];
/// About three riders in five minutes.
const FEW: f64 = 0.03;

#[track_caller]
fn all_completed(report: &Report, gateway: &Gateway) {
    assert!(report.requests > 0, "{report:#?}");
    assert_eq!(
        report.completed,
        report.requests,
        "{report:#?}\n{:#?}",
        gateway.commands()
    );
    assert_eq!((report.in_progress, report.offered), (0, report.requests));
    assert_eq!(
        (report.accepted, report.picked_up),
        (report.requests, report.requests)
    );
    assert_eq!(
        gateway.trips() as u64,
        report.requests,
        "one wish, one trip"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rides_go_from_request_to_completion_and_pings_tell_of_them() {
    let (report, gateway) = simulate(FEW, &[], &[]).await;
    all_completed(&report, &gateway);
    assert_eq!(report.errors, [].into());
    let pings = gateway.pings();
    for status in ["available", "en_route", "on_trip"] {
        assert!(pings.iter().any(|(s, _)| s == status), "{status}");
    }
    gateway.said_goodbye(1).await;
    assert!(pings.windows(2).all(|w| w[0].1 <= w[1].1));
    assert!(report.match_seconds.p50.is_some() && report.pickup_seconds.p95.is_some());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_answer_is_asked_for_again_with_the_same_key() {
    let lose = async |verb| (verb, simulate(FEW, &[Mishap::LoseAnswer(verb)], &[]).await);
    for (verb, (report, gateway)) in join_all(STEPS.map(lose)).await {
        all_completed(&report, &gateway);
        assert_eq!(report.reconnects, 1, "{verb}");
        let keys: std::collections::BTreeSet<_> = gateway.keys_of(verb).into_iter().collect();
        assert_eq!(
            keys.len() as u64,
            report.requests,
            "one key for each {verb}: {keys:?}"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_service_that_is_away_costs_only_delay() {
    let away = async |verb| (verb, simulate(FEW, &[Mishap::Unavailable(verb)], &[]).await);
    for (verb, (report, gateway)) in join_all(STEPS.map(away)).await {
        all_completed(&report, &gateway);
        let keys = gateway.keys_of(verb);
        assert_eq!(keys[0], keys[1], "{verb} again with its key");
        assert_eq!(report.errors[&format!("driver.{verb}: UNAVAILABLE")], 1);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_request_is_repeated_and_makes_one_trip() {
    let (report, gateway) = simulate(FEW, &[Mishap::LoseRequest], &[]).await;
    all_completed(&report, &gateway);
    assert_eq!(report.errors["rider.request: UNAVAILABLE"], 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_offer_cancelled_before_the_answer_leaves_the_driver_for_the_next_rider() {
    let (report, gateway) = simulate(FEW, &[Mishap::CancelOffer], &[]).await;
    assert_eq!(
        (report.cancelled["system"], report.in_progress),
        (1, 0),
        "{report:#?}"
    );
    assert_eq!(
        report.completed + 1,
        report.requests,
        "{:#?}",
        gateway.commands()
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rider_who_is_cut_off_comes_back() {
    let (report, gateway) = simulate(FEW, &[Mishap::CutRider], &[]).await;
    all_completed(&report, &gateway);
    assert!(report.reconnects >= 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rider_who_puts_the_phone_away_hears_of_the_end_by_looking() {
    let (report, gateway) = simulate(FEW, &[], &["--follow-rate=0"]).await;
    all_completed(&report, &gateway);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn riders_who_change_their_minds_are_counted_and_drivers_go_on() {
    let changes = ["--cancel-rate=1", "--accept-rate=0.5", "--decline-rate=0.5"];
    let (report, gateway) = simulate(FEW, &[], &changes).await;
    let cancelled = report.cancelled.get("rider").copied().unwrap_or(0);
    assert_eq!(
        cancelled + report.completed,
        report.requests,
        "{report:#?}\n{:#?}",
        gateway.commands()
    );
    assert!(cancelled > 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sigterm_ends_early_with_a_report() {
    let from = "2008-05-31T00:00:00Z".parse().unwrap();
    let clock = ClockConfig::starting_now(from, SPEED).unwrap();
    let (gateway, addr) = Gateway::serve(clock.clock(), &[]).await;
    let url = format!("http://{addr}");
    let flags = Flags::try_parse_from([
        "sim",
        "--gateway",
        &url,
        "--sign-in",
        &url,
        "--for=10h",
        "--drivers=3",
    ])
    .unwrap();
    let app = App::build(&flags, clock.clock()).unwrap();
    let three_online = async {
        while gateway.pings().len() < 30 {
            tokio::task::yield_now().await;
        }
    };
    let report = app.run(three_online).await;
    assert!(report.ended_early);
    assert_eq!(report.drivers_peak, 3);
    gateway.said_goodbye(3).await;
}
