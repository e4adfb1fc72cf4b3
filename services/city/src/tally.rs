//! Which rides are one connected trace: a count over the spans that services export.
//!
//! A trace is *connected* when it has exactly one root and every other span's parent is in it. Only span ids are kept,
//! not spans: about 20 bytes each.
//! Invariants: memory is bounded ([`MAX_SPANS`]); traces of rides are forgotten after all others.
//! Does not: keep spans, judge times, know what a ride should touch.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet, VecDeque};

use serde::Serialize;

/// Span ids kept over all traces; the oldest traces make room.
const MAX_SPANS: usize = 3_000_000;
/// Broken traces that a summary names.
const BROKEN_SHOWN: usize = 20;

/// What the tally takes of a span.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen<'a> {
    /// Trace id.
    pub trace: u128,
    /// Span id.
    pub span: u64,
    /// The parent's span id; none for a root.
    pub parent: Option<u64>,
    /// Which service made it.
    pub service: &'a str,
    /// The trip it belongs to, by `hexcab.trip.id`.
    pub trip: Option<&'a str>,
    /// Whether it is the root of a quote, `POST /v1/quotes`.
    pub quote: bool,
}

/// The traces seen so far.
#[derive(Debug, Default)]
pub struct Tally {
    traces: HashMap<u128, Trace>,
    others: VecDeque<u128>,
    rides: VecDeque<u128>,
    spans: usize,
    forgotten: usize,
    max_spans: Option<usize>,
}

#[derive(Debug, Default)]
struct Trace {
    spans: HashSet<u64>,
    /// Parents that were named and not seen.
    missing: HashSet<u64>,
    roots: u32,
    services: BTreeSet<Box<str>>,
    trips: BTreeSet<Box<str>>,
    quote: bool,
}

/// What is known of one trace.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TraceView {
    /// Trace id in hex.
    pub trace: String,
    /// The trips whose spans are in it; one for a ride.
    pub trips: Vec<String>,
    /// Spans.
    pub spans: usize,
    /// Roots; one in a connected trace.
    pub roots: u32,
    /// Span ids that are named as a parent and were not seen.
    pub missing_parents: Vec<String>,
    /// Services that made spans.
    pub services: Vec<String>,
    /// One root, every parent known.
    pub connected: bool,
}

/// All traces in numbers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Summary {
    /// Traces with a trip's spans.
    pub rides: usize,
    /// Of these, connected.
    pub connected: usize,
    /// Traces of quotes, whether a ride came of them or not.
    pub quotes: usize,
    /// All traces.
    pub traces: usize,
    /// All spans.
    pub spans: usize,
    /// Traces that made room.
    pub forgotten: usize,
    /// Spans' services, with the traces of rides that each is in.
    pub services: BTreeMap<String, usize>,
    /// Some of the rides that are not connected.
    pub broken: Vec<TraceView>,
}

impl Tally {
    /// Counts one span. The same span twice counts once.
    pub fn record(&mut self, seen: &Seen<'_>) {
        if !self.traces.contains_key(&seen.trace) {
            self.others.push_back(seen.trace);
        }
        let trace = self.traces.entry(seen.trace).or_default();
        if trace.spans.insert(seen.span) {
            self.spans += 1;
            trace.missing.remove(&seen.span);
            match seen.parent {
                None => trace.roots += 1,
                Some(parent) if !trace.spans.contains(&parent) => {
                    trace.missing.insert(parent);
                }
                Some(_) => {}
            }
        }
        add(&mut trace.services, seen.service);
        if let Some(trip) = seen.trip {
            add(&mut trace.trips, trip);
        }
        trace.quote |= seen.quote;
        self.make_room();
    }

    /// What is known of one trace, by its id in hex.
    pub fn trace(&self, id: &str) -> Option<TraceView> {
        let id = u128::from_str_radix(id, 16).ok()?;
        self.traces.get(&id).map(|trace| trace.view(id))
    }

    /// All traces in numbers.
    pub fn summary(&self) -> Summary {
        let rides: Vec<(&u128, &Trace)> = self
            .traces
            .iter()
            .filter(|(_, trace)| trace.is_ride())
            .collect();
        let mut services = BTreeMap::new();
        for service in rides.iter().flat_map(|(_, trace)| &trace.services) {
            *services.entry(service.to_string()).or_default() += 1;
        }
        let broken = rides.iter().filter(|(_, trace)| !trace.is_connected());
        Summary {
            rides: rides.len(),
            connected: rides
                .iter()
                .filter(|(_, trace)| trace.is_connected())
                .count(),
            quotes: self.traces.values().filter(|trace| trace.quote).count(),
            traces: self.traces.len(),
            spans: self.spans,
            forgotten: self.forgotten,
            services,
            broken: broken
                .take(BROKEN_SHOWN)
                .map(|(id, trace)| trace.view(**id))
                .collect(),
        }
    }

    /// The oldest traces that are no rides go first, then the oldest rides.
    fn make_room(&mut self) {
        while self.spans > self.max_spans.unwrap_or(MAX_SPANS) {
            let Some(oldest) = self.others.pop_front() else {
                let Some(ride) = self.rides.pop_front() else {
                    return;
                };
                self.forget(ride);
                continue;
            };
            if self.traces.get(&oldest).is_some_and(Trace::is_ride) {
                self.rides.push_back(oldest);
            } else {
                self.forget(oldest);
            }
        }
    }

    fn forget(&mut self, id: u128) {
        if let Some(trace) = self.traces.remove(&id) {
            self.spans -= trace.spans.len();
            self.forgotten += 1;
        }
    }
}

impl Trace {
    fn is_ride(&self) -> bool {
        !self.trips.is_empty()
    }

    fn is_connected(&self) -> bool {
        self.roots == 1 && self.missing.is_empty()
    }

    fn view(&self, id: u128) -> TraceView {
        let text = |all: &BTreeSet<Box<str>>| all.iter().map(ToString::to_string).collect();
        TraceView {
            trace: format!("{id:032x}"),
            trips: text(&self.trips),
            spans: self.spans.len(),
            roots: self.roots,
            missing_parents: self
                .missing
                .iter()
                .map(|span| format!("{span:016x}"))
                .collect(),
            services: text(&self.services),
            connected: self.is_connected(),
        }
    }
}

fn add(all: &mut BTreeSet<Box<str>>, one: &str) {
    if !all.contains(one) {
        all.insert(one.into());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn span(span: u64, parent: Option<u64>) -> Seen<'static> {
        Seen {
            trace: 1,
            span,
            parent,
            service: "trip",
            trip: Some("t"),
            quote: false,
        }
    }

    #[test]
    fn a_trace_is_connected_when_it_has_one_root_and_knows_every_parent() {
        type Case = (&'static str, &'static [(u64, Option<u64>)], bool);
        let table: &[Case] = &[
            ("a root alone", &[(1, None)], true),
            ("a chain", &[(1, None), (2, Some(1)), (3, Some(2))], true),
            (
                "children before their parents",
                &[(3, Some(2)), (2, Some(1)), (1, None)],
                true,
            ),
            (
                "the same span twice",
                &[(1, None), (1, None), (2, Some(1)), (2, Some(1))],
                true,
            ),
            ("two roots", &[(1, None), (2, None)], false),
            ("no root", &[(2, Some(1)), (1, Some(2))], false),
            (
                "a parent that never came",
                &[(1, None), (3, Some(2))],
                false,
            ),
        ];
        for (what, spans, connected) in table {
            let mut tally = Tally::default();
            for (id, parent) in *spans {
                tally.record(&span(*id, *parent));
            }
            let summary = tally.summary();
            assert_eq!(
                (summary.rides, summary.connected == 1),
                (1, *connected),
                "{what}"
            );
            assert_eq!(summary.broken.is_empty(), *connected, "{what}");
        }
    }

    #[test]
    fn a_trace_without_a_trip_is_no_ride() {
        let mut tally = Tally::default();
        tally.record(&Seen {
            trip: None,
            quote: true,
            ..span(1, None)
        });
        let summary = tally.summary();
        assert_eq!((summary.rides, summary.quotes, summary.traces), (0, 1, 1));
    }

    #[test]
    fn a_ride_outlives_other_traces_when_room_is_short() {
        let mut tally = Tally {
            max_spans: Some(10),
            ..Tally::default()
        };
        tally.record(&span(1, None));
        for trace in 2..100 {
            tally.record(&Seen {
                trace,
                trip: None,
                ..span(1, None)
            });
        }
        let summary = tally.summary();
        assert_eq!(
            (summary.rides, summary.spans, summary.forgotten),
            (1, 10, 89)
        );
        assert!(tally.trace("1").is_some_and(|trace| trace.connected));
    }

    #[test]
    fn rides_make_room_for_rides_when_nothing_else_is_left() {
        let mut tally = Tally {
            max_spans: Some(10),
            ..Tally::default()
        };
        for trace in 1..100 {
            tally.record(&Seen {
                trace,
                ..span(1, None)
            });
        }
        assert_eq!(tally.summary().rides, 10);
        assert!(tally.trace("1").is_none() && tally.trace(&format!("{:x}", 99)).is_some());
    }
}
