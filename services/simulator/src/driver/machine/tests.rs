//! The driver's state machine, step by step.

use std::{cell::RefCell, rc::Rc};

use chrono::TimeDelta;
use hexcab_road::{HourOfWeek, Leg, RoadTimes, Route};

use super::*;
use crate::api::wire::{Current, State, TripView};

const MINUTE_S: i64 = 60;

/// Every drive takes a minute.
struct MinuteRoads;

impl RoadTimes for MinuteRoads {
    fn leg(&self, from: Point, to: Point, _: HourOfWeek) -> Option<Leg> {
        Some(Leg {
            seconds: MINUTE_S as f64,
            metres: from.distance_m(to),
        })
    }
    fn legs_to(&self, from: &[Point], to: Point, hour: HourOfWeek) -> Vec<Option<Leg>> {
        from.iter().map(|from| self.leg(*from, to, hour)).collect()
    }
    fn route(&self, from: Point, to: Point, hour: HourOfWeek) -> Option<Route> {
        self.leg(from, to, hour)
            .map(|leg| Route::straight(from, to, leg))
    }
}

#[derive(Default)]
struct Told {
    news: Vec<DriverNews>,
    words: Option<Words>,
}

struct Stage {
    answer: Answer,
    told: Rc<RefCell<Told>>,
}

impl World for Stage {
    fn drive(&self, from: Point, to: Point, now: Timestamp, seconds: Option<f64>) -> Drive {
        Drive::begin(
            &MinuteRoads,
            (from, to),
            HourOfWeek::of_day(5, 17),
            now,
            seconds,
        )
    }
    fn reaction(&self, _: u64) -> Reaction {
        Reaction {
            answer: self.answer,
            after: std::time::Duration::from_secs(3),
        }
    }
    fn key(&self, nth: u64) -> Uuid {
        Uuid::from_u128(1_000 + u128::from(nth))
    }
    fn hear(&self, _: Uuid) -> Option<Words> {
        self.told.borrow().words.clone()
    }
    fn boarding(&self) -> TimeDelta {
        TimeDelta::seconds(30)
    }
    fn note(&self, news: DriverNews) {
        self.told.borrow_mut().news.push(news);
    }
}

/// A driver on a stage, and what is told there.
struct Scene {
    driver: Machine<Stage>,
    told: Rc<RefCell<Told>>,
}

fn scene(answer: Answer) -> Scene {
    let told = Rc::new(RefCell::new(Told {
        words: Some(Words {
            code: "1234".to_owned(),
            ride_s: Some(120),
            late: TimeDelta::zero(),
        }),
        ..Told::default()
    }));
    let pace = Pace {
        answer: TimeDelta::seconds(80),
        pause: TimeDelta::seconds(2),
    };
    let stage = Stage {
        answer,
        told: Rc::clone(&told),
    };
    Scene {
        driver: Machine::new(stage, pace, point(37.76), at(0)),
        told,
    }
}

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_timestamp(1_000_000 + seconds, 0).unwrap()
}

fn point(lat: f64) -> Point {
    Point::from_degrees(lat, -122.41).unwrap()
}

fn trip() -> Uuid {
    Uuid::from_u128(7)
}

fn offer(epoch: i32) -> Offer {
    Offer {
        trip: trip(),
        epoch,
        expires_at: at(15),
        pickup: point(37.77).into(),
        dropoff: point(37.79).into(),
        duration_s: 300.0,
    }
}

fn view(state: State, version: i64) -> TripView {
    TripView {
        id: trip(),
        state,
        version,
        epoch: 1,
        pickup: point(37.77).into(),
        dropoff: point(37.79).into(),
        start_code: None,
        cancellation: None,
        charge: None,
        created_at: None,
        accepted_at: None,
        arrived_at: None,
        no_show_at: None,
    }
}

fn done() -> Outcome {
    Outcome {
        ok: true,
        reason: String::new(),
        trip: None,
    }
}

fn refused(reason: &str) -> Outcome {
    Outcome {
        ok: false,
        reason: reason.to_owned(),
        trip: None,
    }
}

impl Scene {
    /// The command sent now: its key and verb.
    fn sends(&mut self, now: Timestamp) -> Option<(Uuid, &'static str)> {
        self.driver
            .step(now)
            .map(|(key, command)| (key, command.verb()))
    }

    /// Sends this command now, and it is done.
    fn does(&mut self, verb: &str, now: Timestamp) {
        let (key, sent) = self.sends(now).unwrap_or_else(|| panic!("no {verb}"));
        assert_eq!(sent, verb);
        self.driver.on_result(key, &done(), now);
    }

    fn accepts(&mut self) {
        self.driver.on_offer(offer(1), at(0));
        self.does("accept", at(3));
    }

    fn news(&self) -> Vec<DriverNews> {
        self.told.borrow().news.clone()
    }
}

#[test]
fn a_whole_ride_goes_by_the_citys_clock_and_ends_at_the_dropoff() {
    let mut s = scene(Answer::Accept);
    s.driver.on_offer(offer(1), at(0));
    assert_eq!(s.sends(at(2)), None, "he looks at it for three seconds");
    s.does("accept", at(3));
    assert_eq!(
        (s.driver.status(), s.sends(at(62))),
        (Status::EnRoute, None)
    );
    s.does("arrive", at(63));
    assert_eq!(
        (s.driver.motion(at(70)).at, s.sends(at(92))),
        (point(37.77), None)
    );
    let (key, command) = s.driver.step(at(93)).unwrap();
    assert_eq!(
        *command,
        Command::Start {
            trip: trip(),
            code: "1234".to_owned()
        }
    );
    s.driver.on_result(key, &done(), at(93));
    assert_eq!(s.driver.status(), Status::OnTrip);
    assert_eq!(
        s.driver.motion(at(93 + 60)).at,
        point(37.78),
        "half of the recorded two minutes"
    );
    s.does("complete", at(93 + 120));
    assert!(s.driver.is_free());
    assert_eq!(s.driver.motion(at(500)).at, point(37.79));
    assert_eq!(
        s.news(),
        [DriverNews::Offered(trip()), DriverNews::Accepted]
    );
}

#[test]
fn declined_and_ignored_offers_leave_him_free() {
    let mut s = scene(Answer::Decline);
    s.driver.on_offer(offer(1), at(0));
    s.does("decline", at(3));
    assert!(s.driver.is_free());

    let mut s = scene(Answer::Ignore);
    s.driver.on_offer(offer(1), at(0));
    assert_eq!(s.sends(at(19)), None);
    assert!(!s.driver.is_free());
    assert_eq!(
        s.sends(at(20)),
        None,
        "five seconds after the deadline it is over"
    );
    assert!(s.driver.is_free());
    assert_eq!(s.news(), [DriverNews::Offered(trip()), DriverNews::Ignored]);
}

#[test]
fn an_offer_that_is_taken_back_is_forgotten() {
    for state in [State::Requested, State::Cancelled, State::Expired] {
        let mut s = scene(Answer::Accept);
        s.driver.on_offer(offer(1), at(0));
        s.driver.on_trip(&view(state, 3), false, at(1));
        assert!(s.driver.is_free(), "{state:?}");
        assert_eq!(s.news().last(), Some(&DriverNews::Withdrawn));
    }
}

#[test]
fn an_accept_that_lost_against_a_cancel_leaves_him_free_and_he_asks_what_is_true() {
    let mut s = scene(Answer::Accept);
    s.driver.on_offer(offer(1), at(0));
    let (key, _) = s.sends(at(3)).unwrap();
    s.driver.on_trip(&view(State::Cancelled, 3), false, at(3));
    assert!(!s.driver.is_free(), "the answer to his accept says who won");
    s.driver.on_result(key, &refused("TRIP_CANCELLED"), at(4));
    assert!(s.driver.is_free() && s.driver.asks(at(4)) && !s.driver.asks(at(4)));
}

#[test]
fn a_trip_cancelled_on_the_way_leaves_him_where_he_is() {
    let mut s = scene(Answer::Accept);
    s.accepts();
    s.driver.on_trip(&view(State::Cancelled, 5), false, at(33));
    assert!(s.driver.is_free());
    assert_eq!(s.driver.motion(at(400)).at, point(37.765));
    s.driver.on_trip(&view(State::EnRoute, 4), true, at(34));
    s.driver.on_current(
        Current {
            trip: Some(view(State::EnRoute, 4)),
            offer: None,
        },
        at(35),
    );
    assert!(s.driver.is_free(), "older news do not undo newer");
}

#[test]
fn a_command_without_an_answer_is_sent_again_with_its_key() {
    let mut s = scene(Answer::Accept);
    s.driver.on_offer(offer(1), at(0));
    let (key, _) = s.sends(at(3)).unwrap();
    assert_eq!(s.sends(at(82)), None);
    assert_eq!(s.sends(at(83)), Some((key, "accept")));
    s.driver.connected(at(90));
    assert_eq!(
        s.sends(at(90)),
        Some((key, "accept")),
        "a new connection does not wait"
    );
    assert_eq!(s.driver.due(), Some(at(90)), "and asks what is true");
    s.driver.on_result(key, &refused("UNAVAILABLE"), at(91));
    assert_eq!(
        (s.sends(at(92)), s.sends(at(93))),
        (None, Some((key, "accept")))
    );
    s.driver.on_result(key, &refused("UNAVAILABLE"), at(94));
    assert_eq!(
        (s.sends(at(97)), s.sends(at(98))),
        (None, Some((key, "accept")))
    );
    s.driver.on_result(key, &done(), at(99));
    assert_eq!(s.driver.status(), Status::EnRoute);
    s.driver.on_result(key, &done(), at(100));
    assert_eq!(
        s.driver.status(),
        Status::EnRoute,
        "a second answer is nothing"
    );
}

#[test]
fn a_connection_that_never_answers_is_doubted() {
    let mut s = scene(Answer::Accept);
    s.driver.on_offer(offer(1), at(0));
    for n in 0..3 {
        assert!(!s.driver.doubts_connection());
        assert!(s.sends(at(3 + 80 * n)).is_some());
    }
    assert!(s.driver.doubts_connection());
    s.driver.connected(at(300));
    assert!(!s.driver.doubts_connection());
}

#[test]
fn after_a_reconnect_he_goes_on_from_what_is_true() {
    // The answer to his accept was lost, the trip is his.
    let mut s = scene(Answer::Accept);
    s.driver.on_offer(offer(1), at(0));
    s.sends(at(3)).unwrap();
    s.driver.connected(at(20));
    s.driver.on_current(
        Current {
            trip: Some(view(State::EnRoute, 3)),
            offer: None,
        },
        at(20),
    );
    assert_eq!(s.driver.status(), Status::EnRoute);
    s.does("arrive", at(80));

    // The answer to his start was lost, the ride has begun.
    let (key, verb) = s.sends(at(110)).unwrap();
    assert_eq!(verb, "start");
    s.driver.connected(at(130));
    s.driver.on_current(
        Current {
            trip: Some(view(State::InProgress, 5)),
            offer: None,
        },
        at(130),
    );
    assert_eq!(s.driver.status(), Status::OnTrip);
    s.driver.on_result(key, &done(), at(131));

    // The answer to his complete was lost: no trip is left, the repeated command tells.
    let (key, verb) = s.sends(at(250)).unwrap();
    assert_eq!(verb, "complete");
    s.driver.connected(at(260));
    s.driver.on_current(Current::default(), at(260));
    assert_eq!(s.sends(at(260)), Some((key, "complete")));
    s.driver.on_result(key, &done(), at(261));
    assert!(s.driver.is_free());
    assert!(!s.news().contains(&DriverNews::Lost));
}

#[test]
fn a_driver_who_knows_of_nothing_takes_up_the_trip_that_is_his() {
    for (state, status) in [
        (State::EnRoute, Status::EnRoute),
        (State::Arrived, Status::EnRoute),
        (State::InProgress, Status::OnTrip),
        (State::Completed, Status::Available),
    ] {
        let mut s = scene(Answer::Accept);
        s.driver.on_current(
            Current {
                trip: Some(view(state, 4)),
                offer: None,
            },
            at(1),
        );
        assert_eq!(s.driver.status(), status, "{state:?}");
    }
    let mut s = scene(Answer::Accept);
    s.driver.on_current(
        Current {
            trip: None,
            offer: Some(offer(1)),
        },
        at(1),
    );
    s.does("accept", at(4));
}

#[test]
fn a_trip_that_is_gone_after_a_reconnect_is_lost_and_he_asks_once_more() {
    let mut s = scene(Answer::Accept);
    s.accepts();
    s.driver.connected(at(20));
    assert!(s.driver.asks(at(20)));
    s.driver.on_current(Current::default(), at(33));
    assert!(s.driver.is_free() && s.driver.asks(at(113)));
    s.driver.on_current(
        Current {
            trip: Some(view(State::EnRoute, 3)),
            offer: None,
        },
        at(113),
    );
    assert_eq!(
        s.driver.status(),
        Status::EnRoute,
        "that was old news: he goes on"
    );
}

#[test]
fn an_answer_from_before_he_had_the_trip_takes_nothing_from_him() {
    let mut s = scene(Answer::Accept);
    s.driver.on_offer(offer(1), at(0));
    s.sends(at(3)).unwrap();
    s.driver.connected(at(20));
    assert!(s.driver.asks(at(20)));
    s.does("accept", at(20));
    s.driver.on_current(Current::default(), at(21));
    assert_eq!(s.driver.status(), Status::EnRoute);
    assert!(s.driver.asks(at(21)), "he asks again");
}

#[test]
fn who_does_not_come_is_waited_for_and_then_left() {
    let mut s = scene(Answer::Accept);
    s.told.borrow_mut().words = None;
    s.accepts();
    s.does("arrive", at(63));
    let mut now = at(93);
    let sent = loop {
        if let Some((_, verb)) = s.sends(now) {
            break verb;
        }
        now = s.driver.due().expect("he looks for the rider again");
        assert!(now <= at(500), "for ever");
    };
    assert_eq!((sent, now), ("release", at(93 + 60 * 5)));
}

#[test]
fn a_step_refused_again_and_again_gives_the_trip_back() {
    let mut s = scene(Answer::Accept);
    s.accepts();
    let mut now = at(63);
    for n in 0..10 {
        let (key, verb) = s.sends(now).unwrap();
        assert_eq!(verb, "arrive", "try {n}");
        s.driver.on_result(key, &refused("NOT_AT_PICKUP"), now);
        assert_eq!(s.sends(now), None, "a refusal is not answered with a storm");
        assert!(s.driver.asks(now));
        now = s.driver.due().unwrap();
    }
    s.does("release", now);
    assert!(s.driver.is_free());
}

#[test]
fn an_outage_in_which_he_got_there_costs_only_its_time() {
    let mut s = scene(Answer::Accept);
    s.accepts();
    let later = at(3 + 30 * MINUTE_S);
    s.driver.connected(later);
    s.driver.on_current(
        Current {
            trip: Some(view(State::EnRoute, 3)),
            offer: None,
        },
        later,
    );
    s.does("arrive", later);
    assert_eq!(
        s.sends(later + TimeDelta::seconds(30))
            .map(|(_, verb)| verb),
        Some("start")
    );
}

#[test]
fn a_busy_driver_does_not_look_at_offers() {
    let mut s = scene(Answer::Accept);
    s.accepts();
    s.driver.on_offer(
        Offer {
            trip: Uuid::from_u128(8),
            ..offer(1)
        },
        at(5),
    );
    assert_eq!(s.driver.status(), Status::EnRoute);
    assert_eq!(s.news().len(), 2);
    assert!(matches!(s.driver.phase(), Phase::EnRoute { job, .. } if job.trip == trip()));
}

/// At the pickup, by the platform's word; the driver may report a no-show from then on.
fn arrived(scene: &mut Scene, now: Timestamp, no_show_at: Timestamp) {
    let here = TripView {
        no_show_at: Some(no_show_at),
        ..view(State::Arrived, 4)
    };
    scene.driver.on_trip(&here, true, now);
}

#[test]
fn a_rider_who_does_not_come_is_reported_when_the_platform_allows_it_and_not_before() {
    let mut scene = scene(Answer::Accept);
    scene.accepts();
    scene.told.borrow_mut().words = None;
    arrived(&mut scene, at(70), at(370));
    let mut now = at(70);
    while now < at(370) {
        assert_eq!(scene.sends(now), None, "{now}");
        now = scene.driver.due().expect("he looks again");
    }
    scene.does("no_show", now);
    assert!(scene.driver.is_free());
    assert!(scene.told.borrow().news.contains(&DriverNews::NobodyCame));
}

#[test]
fn a_rider_who_is_late_is_waited_for() {
    let mut scene = scene(Answer::Accept);
    scene.accepts();
    if let Some(words) = &mut scene.told.borrow_mut().words {
        words.late = TimeDelta::seconds(200);
    }
    arrived(&mut scene, at(70), at(370));
    assert_eq!(scene.sends(at(100)), None);
    assert_eq!(scene.sends(at(299)), None);
    scene.does("start", at(300));
}
