//! Whether every ride is one connected trace: the trips of the database against the spans that were seen.
//!
//! A ride is connected when its trace has one root, knows every parent, is no other ride's, and holds spans of every service
//! that took part. Does not: count rides that no row knows.

use std::{collections::BTreeSet, time::Duration};

use anyhow::Context as _;
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use sqlx::PgConnection;
use tokio::time::Instant;
use uuid::Uuid;

use crate::tally::Tally;

/// Services that take part in every ride with a fare.
const ALWAYS: [&str; 4] = ["gateway", "pricing", "trip", "payment"];
/// Those that take part once a driver was asked.
const OFFERED: [&str; 2] = ["dispatch", "location"];
/// Rides that a report names.
const SHOWN: usize = 20;
/// How often it is looked again: spans are exported in batches.
const POLL: Duration = Duration::from_millis(250);

/// Rides and their traces.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Traces {
    /// Rides.
    pub rides: usize,
    /// Of these, one connected trace.
    pub connected: usize,
    /// Some of the others, `trip: what is wrong`.
    pub broken: Vec<String>,
}

struct Ride {
    trip: Uuid,
    traceparent: Option<String>,
    offered: bool,
}

/// Looks until every ride is connected, or `patience` is over.
///
/// # Errors
/// When the database cannot be asked.
pub async fn look(
    trip: &mut PgConnection,
    tally: &Mutex<Tally>,
    patience: Duration,
) -> anyhow::Result<Traces> {
    let rows: Vec<(Uuid, Option<String>, bool)> = sqlx::query_as(
        "SELECT id, traceparent, EXISTS (SELECT FROM trip_events e WHERE e.trip = t.id AND kind = 'OfferMade')
         FROM trips t ORDER BY created_at",
    )
    .fetch_all(trip)
    .await
    .context("read the traces of trips")?;
    let rides: Vec<Ride> = rows
        .into_iter()
        .map(|(trip, traceparent, offered)| Ride {
            trip,
            traceparent,
            offered,
        })
        .collect();
    let deadline = Instant::now() + patience;
    loop {
        let traces = compare(&rides, &tally.lock());
        if traces.connected == traces.rides || Instant::now() >= deadline {
            return Ok(traces);
        }
        tokio::time::sleep(POLL).await;
    }
}

fn compare(rides: &[Ride], tally: &Tally) -> Traces {
    let broken: Vec<String> = rides
        .iter()
        .filter_map(|ride| {
            complaint(ride, tally).map(|complaint| format!("{}: {complaint}", ride.trip))
        })
        .collect();
    Traces {
        rides: rides.len(),
        connected: rides.len() - broken.len(),
        broken: broken.into_iter().take(SHOWN).collect(),
    }
}

fn complaint(ride: &Ride, tally: &Tally) -> Option<String> {
    let Some(id) = ride
        .traceparent
        .as_deref()
        .and_then(hexcab_telemetry::trace_id)
    else {
        return Some("has no trace".to_owned());
    };
    let Some(trace) = tally.trace(id) else {
        return Some(format!("no span of trace {id} was seen"));
    };
    let others: Vec<&String> = trace
        .trips
        .iter()
        .filter(|trip| !trip.ends_with(&ride.trip.to_string()))
        .collect();
    if !others.is_empty() {
        return Some(format!("shares trace {id} with {others:?}"));
    }
    if !trace.connected {
        let missing = trace.missing_parents.len();
        return Some(format!(
            "trace {id} has {} roots and {missing} unknown parents in {} spans",
            trace.roots, trace.spans
        ));
    }
    let seen: BTreeSet<&str> = trace.services.iter().map(String::as_str).collect();
    let wanted = ALWAYS.iter().chain(OFFERED.iter().filter(|_| ride.offered));
    let missing: Vec<&str> = wanted
        .copied()
        .filter(|service| !seen.contains(service))
        .collect();
    (!missing.is_empty()).then(|| format!("trace {id} lacks {}", missing.join(", ")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tally::Seen;

    fn ride() -> Ride {
        let traceparent = Some(format!("00-{:032x}-{:016x}-01", 7, 1));
        Ride {
            trip: Uuid::from_u128(9),
            traceparent,
            offered: false,
        }
    }

    fn tally(services: &[&str], trip: &str) -> Tally {
        let mut tally = Tally::default();
        for (at, service) in (1..).zip(services) {
            let parent = (at > 1).then(|| at - 1);
            tally.record(&Seen {
                trace: 7,
                span: at,
                parent,
                service,
                trip: Some(trip),
                quote: false,
            });
        }
        tally
    }

    #[test]
    fn a_ride_is_connected_when_every_service_is_in_its_one_trace() {
        let trip = Uuid::from_u128(9).to_string();
        let all = [
            "gateway", "pricing", "trip", "payment", "dispatch", "location",
        ];
        assert_eq!(complaint(&ride(), &tally(&all, &trip)), None);
        assert_eq!(
            complaint(&ride(), &tally(&all[..4], &trip)),
            None,
            "nobody was asked to drive"
        );
        let lacking = complaint(
            &Ride {
                offered: true,
                ..ride()
            },
            &tally(&all[..5], &trip),
        )
        .unwrap();
        assert!(lacking.contains("lacks location"), "{lacking}");
    }

    #[test]
    fn what_is_wrong_with_a_trace_is_said() {
        let (trip, other) = (
            Uuid::from_u128(9).to_string(),
            Uuid::from_u128(8).to_string(),
        );
        let all = ["gateway", "pricing", "trip", "payment"];
        let none = complaint(
            &Ride {
                traceparent: None,
                ..ride()
            },
            &tally(&all, &trip),
        )
        .unwrap();
        assert!(none.contains("no trace"), "{none}");
        let unseen = complaint(&ride(), &Tally::default()).unwrap();
        assert!(unseen.contains("no span"), "{unseen}");
        let shared = complaint(&ride(), &tally(&all, &other)).unwrap();
        assert!(shared.contains("shares"), "{shared}");
        let mut torn = tally(&all, &trip);
        torn.record(&Seen {
            trace: 7,
            span: 99,
            parent: None,
            service: "trip",
            trip: None,
            quote: false,
        });
        assert!(complaint(&ride(), &torn).unwrap().contains("2 roots"));
        let counted = compare(&[ride(), ride()], &torn);
        assert_eq!(
            (counted.rides, counted.connected, counted.broken.len()),
            (2, 0, 2)
        );
    }
}
