//! Events in and out: requested trips are demand, counted supply is supply; surge and demand are told to the city.
//!
//! Invariants: a trip's event is counted once however often it comes; of supply the newest count holds in any order.

use std::sync::Arc;

use async_trait::async_trait;
use hexcab_bus::{Failure, Handler, Incoming, Outgoing, topic};
use hexcab_proto::{
    convert::{FieldError, name, parsed, point, required, timestamp, to_timestamp},
    location::v1::SupplyCounted,
    pricing::v1 as pb,
    trip::v1::{TripEvent, trip_event::Event},
};
use hexcab_types::{BasisPoints, Cell, CityId, RiderId, Timestamp, TripId};
use prost::Message;

use crate::{
    domain::{
        surge::{CellSurge, Snapshot},
        surge_cell,
    },
    market::{Markets, Supply},
    store::{Observed, Store},
};

/// The consumer group that counts trips, and its name in the inbox.
pub const TRIP_CONSUMER: &str = "pricing";
/// The name of the consumer of supply.
pub const SUPPLY_CONSUMER: &str = "pricing-supply";
const SOURCE: &str = "pricing";

/// Counts trips that are looked for as demand: requested ones, and booked ones when their time has come. Other events of
/// trips are no demand and leave no trace.
pub struct TripHandler {
    /// The cities that are priced here.
    pub markets: Markets,
    /// Where demand is kept.
    pub store: Store,
}

#[async_trait]
impl Handler for TripHandler {
    async fn handle(&self, event: &Incoming) -> Result<(), Failure> {
        let trip_event: TripEvent = decode(event)?;
        if !matches!(
            trip_event.event,
            Some(Event::Requested(_) | Event::Activated(_))
        ) {
            return Ok(());
        }
        let request = Request::read(trip_event).map_err(poison)?;
        if !self.markets.contains_key(&request.city) {
            return Ok(()); // another process prices that city
        }
        let counted = self
            .store
            .count_request(
                TRIP_CONSUMER,
                event,
                (request.trip, request.rider),
                (&request.city, request.cell),
                request.at,
            )
            .await
            .map_err(|error| Failure::Dependency(error.into()))?;
        tracing::debug!(trip.id = %request.trip, counted, "trip requested");
        Ok(())
    }
}

struct Request {
    trip: TripId,
    rider: RiderId,
    city: CityId,
    cell: Cell,
    at: Timestamp,
}

impl Request {
    fn read(event: TripEvent) -> Result<Self, FieldError> {
        let after = required(event.after, "after")?;
        Ok(Self {
            trip: name(&event.trip, "trip")?,
            rider: name(&after.rider, "after.rider")?,
            city: parsed(&after.city, "after.city")?,
            cell: surge_cell(point(after.pickup, "after.pickup")?),
            at: timestamp(event.occur_time, "occur_time")?,
        })
    }
}

/// Hears how many drivers are free where.
pub struct SupplyHandler {
    /// The cities that are priced here.
    pub markets: Markets,
}

#[async_trait]
impl Handler for SupplyHandler {
    async fn handle(&self, event: &Incoming) -> Result<(), Failure> {
        let counted: SupplyCounted = decode(event)?;
        let city: CityId = parsed(&counted.city, "city").map_err(poison)?;
        let Some(market) = self.markets.get(&city) else {
            return Ok(());
        };
        let counted_at = timestamp(counted.occur_time, "occur_time").map_err(poison)?;
        let available = counted.cells.iter().map(|cell| {
            let available = u32::try_from(cell.available)
                .map_err(|error| Failure::Poison(error.to_string()))?;
            Ok((
                Cell::from_u64(cell.cell).map_err(|error| Failure::Poison(error.to_string()))?,
                available,
            ))
        });
        market.hear(Supply {
            counted_at,
            available: available.collect::<Result<_, Failure>>()?,
        });
        Ok(())
    }
}

/// A new snapshot, for the topic SURGE.
pub fn surge_computed(city: &CityId, snapshot: &Snapshot) -> Outgoing {
    let event = pb::SurgeComputed {
        snapshot: snapshot.id.name(),
        city: city.to_string(),
        occur_time: Some(to_timestamp(snapshot.created_at)),
        cells: surging_cells(snapshot),
    };
    outgoing(
        topic::SURGE,
        "SurgeComputed",
        city,
        snapshot.id.name(),
        snapshot.created_at,
        &event,
    )
}

/// What riders asked for since the last time, for the topic DEMAND.
pub fn demand_observed(city: &CityId, at: Timestamp, observed: &Observed) -> Outgoing {
    let cells = observed
        .iter()
        .map(|(cell, (quotes, requests))| pb::DemandCell {
            cell: cell.to_u64(),
            quotes: *quotes,
            requests: *requests,
        });
    let event = pb::DemandObserved {
        city: city.to_string(),
        occur_time: Some(to_timestamp(at)),
        cells: cells.collect(),
    };
    outgoing(
        topic::DEMAND,
        "DemandObserved",
        city,
        format!("cities/{city}"),
        at,
        &event,
    )
}

/// The cells of a snapshot that are not at 1, for the wire.
pub fn surging_cells(snapshot: &Snapshot) -> Vec<pb::SurgeCell> {
    let cell = |surge: &CellSurge| pb::SurgeCell {
        cell: surge.cell.to_u64(),
        surge_bp: surge.shown.0.cast_signed(),
        demand: i32::try_from(surge.demand).unwrap_or(i32::MAX),
        supply: i32::try_from(surge.supply).unwrap_or(i32::MAX),
    };
    snapshot
        .cells
        .iter()
        .filter(|surge| surge.shown != BasisPoints::ONE)
        .map(cell)
        .collect()
}

fn outgoing(
    topic: &'static str,
    kind: &str,
    city: &CityId,
    subject: String,
    time: Timestamp,
    event: &impl Message,
) -> Outgoing {
    Outgoing {
        topic,
        key: city.to_string(),
        kind: format!("hexcab.pricing.v1.{kind}"),
        source: SOURCE,
        subject,
        time,
        payload: event.encode_to_vec(),
        traceparent: hexcab_telemetry::current_traceparent(),
    }
}

fn decode<M: Message + Default>(event: &Incoming) -> Result<M, Failure> {
    M::decode(event.payload.clone())
        .map_err(|error| Failure::Poison(format!("{}: {error}", event.kind)))
}

fn poison(error: FieldError) -> Failure {
    Failure::Poison(error.to_string())
}

/// Handlers as the bus wants them.
pub fn handlers(markets: &Markets, store: &Store) -> (Arc<dyn Handler>, Arc<dyn Handler>) {
    let trips = TripHandler {
        markets: markets.clone(),
        store: store.clone(),
    };
    (
        Arc::new(trips),
        Arc::new(SupplyHandler {
            markets: markets.clone(),
        }),
    )
}
