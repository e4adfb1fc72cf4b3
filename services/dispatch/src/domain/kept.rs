//! The last decisions of a city, so that they can be explained.
//!
//! Invariants: never more than so many, never (about) more than so many bytes; the oldest go first.

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
};

use hexcab_types::{DecisionId, TripId};

use super::decision::Decision;

/// See the module.
#[derive(Debug)]
pub struct Kept {
    most: usize,
    most_bytes: usize,
    bytes: usize,
    order: VecDeque<DecisionId>,
    decisions: HashMap<DecisionId, Arc<Decision>>,
    last_of: HashMap<TripId, DecisionId>,
}

impl Kept {
    /// Keeps at most so many decisions and so many bytes.
    pub fn new(most: usize, most_bytes: usize) -> Self {
        let (order, decisions, last_of) = (VecDeque::new(), HashMap::new(), HashMap::new());
        Self {
            most,
            most_bytes,
            bytes: 0,
            order,
            decisions,
            last_of,
        }
    }

    /// Keeps a decision, in the place of the one with the same id if there is one.
    pub fn record(&mut self, decision: Arc<Decision>) {
        self.bytes += decision.bytes();
        self.last_of.insert(decision.trip, decision.id);
        match self.decisions.insert(decision.id, decision.clone()) {
            Some(before) => self.bytes -= before.bytes(),
            None => self.order.push_back(decision.id),
        }
        while self.order.len() > self.most || self.bytes > self.most_bytes {
            let Some(oldest) = self.order.pop_front() else {
                break;
            };
            self.drop_decision(oldest);
        }
    }

    /// A decision that is still kept.
    pub fn decision(&self, id: DecisionId) -> Option<Arc<Decision>> {
        self.decisions.get(&id).cloned()
    }

    /// The last decision made for a trip, if it is still kept.
    pub fn last_of(&self, trip: TripId) -> Option<Arc<Decision>> {
        self.decision(*self.last_of.get(&trip)?)
    }

    fn drop_decision(&mut self, id: DecisionId) {
        let Some(gone) = self.decisions.remove(&id) else {
            return;
        };
        self.bytes -= gone.bytes();
        if self.last_of.get(&gone.trip) == Some(&id) {
            self.last_of.remove(&gone.trip);
        }
    }
}

#[cfg(test)]
mod tests {
    use hexcab_types::Timestamp;
    use uuid::Uuid;

    use super::*;

    fn decision(id: u128, trip: u128) -> Arc<Decision> {
        Arc::new(Decision {
            id: Uuid::from_u128(id).into(),
            trip: Uuid::from_u128(trip).into(),
            trip_version: 1,
            at: Timestamp::from_timestamp(0, 0).unwrap(),
            policy: "batched",
            policy_version: 1,
            window: id as u64,
            window_requests: 1,
            driver: None,
            considered: Vec::new(),
        })
    }

    fn id(of: u128) -> DecisionId {
        Uuid::from_u128(of).into()
    }

    #[test]
    fn the_oldest_decision_goes_first() {
        let mut kept = Kept::new(2, usize::MAX);
        for n in 1..=3 {
            kept.record(decision(n, n));
        }
        assert!(kept.decision(id(1)).is_none());
        assert!(kept.last_of(Uuid::from_u128(1).into()).is_none());
        assert_eq!(kept.decision(id(2)).unwrap().window, 2);
        assert_eq!(
            (kept.decisions.len(), kept.last_of.len(), kept.order.len()),
            (2, 2, 2)
        );
    }

    #[test]
    fn bytes_are_bounded_too() {
        let one = decision(1, 1).bytes();
        let mut kept = Kept::new(usize::MAX, 10 * one);
        for n in 1..=100 {
            kept.record(decision(n, n % 7));
        }
        assert_eq!((kept.decisions.len(), kept.bytes), (10, 10 * one));
    }

    #[test]
    fn a_decision_with_the_same_id_takes_the_place_of_the_one_before() {
        let mut kept = Kept::new(5, usize::MAX);
        kept.record(decision(1, 1));
        kept.record(decision(1, 1));
        assert_eq!((kept.order.len(), kept.bytes), (1, decision(1, 1).bytes()));
    }

    #[test]
    fn the_last_decision_of_a_trip_is_found_by_the_trip() {
        let mut kept = Kept::new(5, usize::MAX);
        kept.record(decision(1, 7));
        kept.record(decision(2, 7));
        assert_eq!(kept.last_of(Uuid::from_u128(7).into()).unwrap().id, id(2));
    }
}
