//! A rider's trip as he has heard of it: takes news in any order, twice or not at all, and counts each step once.
//! Invariant: older news never undo newer (by version); what was missed is counted from what follows.

use hexcab_types::Timestamp;
use uuid::Uuid;

use crate::{
    api::wire::{Amount, State, TripView},
    tally::{Stage, Tally},
};

/// A rider's trip.
#[derive(Debug)]
pub struct Journey {
    trip: Uuid,
    version: i64,
    state: State,
    stage: Stage,
    requested_at: Timestamp,
    matched: bool,
    arrived: bool,
    picked_up: bool,
    cancelling: bool,
    charge: Option<Amount>,
}

impl Journey {
    /// A trip just requested. Its first news are still to be heard.
    pub fn new(view: &TripView, now: Timestamp) -> Self {
        Self {
            trip: view.id,
            version: i64::MIN,
            state: State::Requested,
            stage: Stage::Waiting,
            requested_at: view.created_at.unwrap_or(now),
            matched: false,
            arrived: false,
            picked_up: false,
            cancelling: false,
            charge: None,
        }
    }

    /// Which trip.
    pub const fn trip(&self) -> Uuid {
        self.trip
    }

    /// Where it is in its life, as last heard.
    pub const fn state(&self) -> State {
        self.state
    }

    /// When it was requested, city time.
    pub const fn requested_at(&self) -> Timestamp {
        self.requested_at
    }

    /// Nothing comes after.
    pub const fn is_over(&self) -> bool {
        self.state.is_final()
    }

    /// What the ride cost, once it is completed.
    pub fn cost(&self) -> Option<&Amount> {
        self.charge
            .as_ref()
            .filter(|_| self.state == State::Completed)
    }

    /// Not in the car, not over, and not cancelled already.
    pub const fn may_cancel(&self) -> bool {
        match self.state {
            State::Requested | State::Offered | State::EnRoute | State::Arrived => !self.cancelling,
            State::InProgress
            | State::Completed
            | State::Cancelled
            | State::Expired
            | State::Unknown => false,
        }
    }

    /// He said that he does not want it any more; once is enough.
    pub const fn asked_to_cancel(&mut self) {
        self.cancelling = true;
    }

    /// News of the trip. News without change are nothing.
    pub fn hear(&mut self, view: &TripView, now: Timestamp, tally: &Tally) {
        if view.version < self.version || self.is_over() {
            return;
        }
        (self.version, self.state) = (view.version, view.state);
        self.charge.clone_from(&view.charge);
        if view.epoch > 0 {
            tally.offered(self.trip);
        }
        let stage = match view.state {
            State::Requested | State::Offered => Stage::Waiting,
            State::EnRoute | State::Arrived => Stage::OnTheWay,
            State::InProgress => Stage::Riding,
            State::Completed => Stage::Done,
            State::Cancelled => Stage::Cancelled,
            State::Expired => Stage::Expired,
            State::Unknown => return,
        };
        self.count(view, stage, now, tally);
        if stage != self.stage {
            tally.moved(self.stage, stage);
            self.stage = stage;
        }
    }

    /// Counts what is new, what was missed included.
    fn count(&mut self, view: &TripView, stage: Stage, now: Timestamp, tally: &Tally) {
        let on = matches!(stage, Stage::OnTheWay | Stage::Riding | Stage::Done);
        if (on || view.accepted_at.is_some()) && !self.matched {
            self.matched = true;
            let accepted = view.accepted_at.unwrap_or(now);
            tally.matched(millis(self.requested_at, accepted));
        }
        if let (Some(accepted), Some(arrived)) = (view.accepted_at, view.arrived_at)
            && !self.arrived
        {
            self.arrived = true;
            tally.arrived(millis(accepted, arrived));
        }
        if matches!(stage, Stage::Riding | Stage::Done) && !self.picked_up {
            self.picked_up = true;
            tally.picked_up();
        }
        if stage == Stage::Cancelled {
            let by = view
                .cancellation
                .as_ref()
                .map(|cancellation| cancellation.by.as_str());
            tally.cancelled(by.filter(|by| !by.is_empty()).unwrap_or("unknown"));
        }
    }
}

fn millis(from: Timestamp, to: Timestamp) -> u64 {
    u64::try_from((to - from).num_milliseconds()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;

    use super::*;
    use crate::api::wire::{Cancellation, Place};

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_timestamp(1_000 + seconds, 0).unwrap()
    }

    fn view(state: State, version: i64) -> TripView {
        let on = matches!(
            state,
            State::EnRoute | State::Arrived | State::InProgress | State::Completed
        );
        let place = Place {
            lat: 37.77,
            lon: -122.41,
        };
        TripView {
            id: Uuid::from_u128(1),
            state,
            version,
            epoch: i32::from(version > 1),
            pickup: place,
            dropoff: place,
            start_code: None,
            cancellation: None,
            charge: None,
            created_at: Some(at(0)),
            accepted_at: on.then(|| at(10)),
            arrived_at: (on && state != State::EnRoute).then(|| at(70)),
            no_show_at: None,
        }
    }

    fn told(views: &[TripView]) -> (Journey, Tally) {
        let tally = Tally::default();
        tally.requested(views[0].id);
        let mut journey = Journey::new(&views[0], at(0));
        for view in views {
            journey.hear(view, at(0) + TimeDelta::seconds(100), &tally);
        }
        (journey, tally)
    }

    #[test]
    fn news_out_of_order_twice_or_missing_count_each_step_once() {
        let whole = [
            view(State::Requested, 1),
            view(State::Offered, 2),
            view(State::EnRoute, 3),
            view(State::Arrived, 4),
            view(State::InProgress, 5),
            view(State::Completed, 6),
        ];
        let mut shaken = whole.to_vec();
        shaken.swap(2, 4);
        shaken.extend(whole.clone());
        let gaps = [whole[0].clone(), whole[5].clone()];
        for views in [&whole[..], &shaken, &gaps] {
            let (journey, tally) = told(views);
            assert!(journey.is_over());
            let report = tally.report();
            assert_eq!(
                (report.accepted, report.picked_up, report.completed),
                (1, 1, 1)
            );
            assert_eq!((report.offered, report.in_progress), (1, 0));
            assert_eq!(report.match_seconds.p50.map(f64::round), Some(10.0));
            assert_eq!(report.pickup_seconds.p50.map(f64::round), Some(60.0));
        }
    }

    #[test]
    fn a_cancelled_trip_is_counted_by_whom() {
        let by = Cancellation {
            by: "RIDER".to_owned(),
            reason: "CHANGED_MIND".to_owned(),
        };
        let cancelled = TripView {
            cancellation: Some(by),
            ..view(State::Cancelled, 4)
        };
        let (journey, tally) = told(&[view(State::EnRoute, 3), cancelled]);
        assert!(!journey.may_cancel());
        assert_eq!(tally.report().cancelled["rider"], 1);
        assert_eq!(tally.open(), 0);
    }

    #[test]
    fn a_rider_cancels_once_and_only_before_the_ride() {
        let (mut journey, _) = told(&[view(State::EnRoute, 3)]);
        assert!(journey.may_cancel());
        journey.asked_to_cancel();
        assert!(!journey.may_cancel());
        let (journey, _) = told(&[view(State::InProgress, 5)]);
        assert!(!journey.may_cancel());
    }
}
