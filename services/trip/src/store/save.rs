//! Writing a change: the trip's row, its event, the outbox row and the answer, in one statement.
//!
//! Two ways: inside a transaction that has read the trip and claimed its request ([`insert`], [`update`]), or as a
//! transaction of its own that rests on what was read before ([`insert_at_once`], [`update_at_once`]).
//!
//! Invariants: a row changes only from the version that was read (compare-and-set, beside SERIALIZABLE and the trigger);
//! when it has another one, nothing is written at all. Every value is a parameter once, so that the bench can have pgbench
//! send the same text. Does not: decide, retry.

use hexcab_bus::topic;
use hexcab_types::EventId;
use sqlx::{
    PgConnection, Postgres, Row as _, postgres::PgArguments, postgres::PgRow, query::Query,
};

use super::{Encoded, ExecuteError, RequestKey};
use crate::domain::{CancelledBy, Event, ExclusionReason, PaymentMethod, State, Trip};

/// Where a row is at the moment (its `ctid`): found there without a look into any index, and so without being in conflict
/// with everybody who writes into the same page of it.
pub type Place = String;

/// `ce_source` of what is told.
const SOURCE: &str = "trip";

/// One change of one trip, ready to be written.
pub struct Change<'a> {
    /// The trip after it.
    pub after: &'a Trip,
    /// What happened.
    pub event: &'a Event,
    /// The same as the world reads it.
    pub told: Encoded,
    /// The outbox row.
    pub id: EventId,
    /// The request whose answer this is.
    pub key: Option<&'a RequestKey>,
    /// The trace that it is told in.
    pub traceparent: Option<String>,
}

/// The event, the outbox row and, last, the answer, after a `changed` that returns the row. $29 to $36.
macro_rules! told {
    ($answer:literal) => {
        concat!(
            " RETURNING id, version, last_event, updated_at, ctid::text AS place),
    happened AS (
        INSERT INTO trip_events (trip, version, kind, occurred_at, event, payload)
        SELECT id, version, last_event, updated_at, $29::uuid, $30::bytea FROM changed
        RETURNING trip, occurred_at, event, payload),
    told AS (
        INSERT INTO outbox (event_id, topic, key, kind, source, subject, occur_time, traceparent, payload)
        SELECT event, $31::text, $32::text, $33::text, $34::text, 'trips/' || trip, occurred_at, $35::text, payload
        FROM happened),
    answered AS (",
            $answer,
            ")
    SELECT place FROM changed"
        )
    };
}

macro_rules! update {
    ($place:literal, $answer:literal) => {
        concat!(
            "WITH changed AS (
        UPDATE trips SET version = version + 1, epoch = $1, state = $2, last_event = $3, request_expires_at = $4,
            offer_driver = $5, offer_expires_at = $6, offer_decision = $7, offer_eta_s = $8, offer_distance_m = $9,
            excluded_drivers = $10, excluded_epochs = $11, excluded_reasons = $12, driver = $13, accepted_epoch = $14,
            accepted_at = $15, stalls_at = $16, arrived_at = $17, no_show_from = $18, started_at = $19,
            waiting_fee_minor = $20, ended_at = $21, charge_minor = $22, driver_due_minor = $23, cancelled_by = $24,
            cancel_operator = $25, cancel_note = $26, updated_at = $27
        WHERE id = $28 AND version = $37",
            $place,
            told!($answer)
        )
    };
}

macro_rules! insert {
    ($answer:literal) => {
        concat!(
            "WITH changed AS (
        INSERT INTO trips (version, epoch, state, last_event, request_expires_at, offer_driver, offer_expires_at,
            offer_decision, offer_eta_s, offer_distance_m, excluded_drivers, excluded_epochs, excluded_reasons, driver,
            accepted_epoch, accepted_at, stalls_at, arrived_at, no_show_from, started_at, waiting_fee_minor, ended_at,
            charge_minor, driver_due_minor, cancelled_by, cancel_operator, cancel_note, updated_at, id,
            rider, city, product, pickup_lat_e7, pickup_lon_e7, dropoff_lat_e7, dropoff_lon_e7, quote, currency,
            fare_minor, driver_pay_minor, tax_minor, cancellation_minor, duration_s, distance_m, start_code,
            pickup_time, activates_at, payment_method, traceparent, created_at)
        VALUES (1, $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22,
            $23, $24, $25, $26, $27, $28, $37, $38, $39, $40, $41, $42, $43, $44, $45, $46, $47, $48, $49, $50, $51,
            $52, $53, $54, $55, $56, $57)",
            told!($answer)
        )
    };
}

const INSERT: &str = insert!(
    "UPDATE requests r SET trip = c.id, version = c.version FROM changed c WHERE r.request_id = $36::uuid"
);
const UPDATE: &str = update!(
    "",
    "UPDATE requests r SET trip = c.id, version = c.version FROM changed c WHERE r.request_id = $36::uuid"
);
const INSERT_AT_ONCE: &str = insert!(
    "INSERT INTO requests (request_id, body_hash, asked_at, trip, version)
        SELECT $36::uuid, $58::bytea, updated_at, id, version FROM changed"
);
const UPDATE_AT_ONCE: &str = update!(
    " AND ctid = $38::text::tid",
    "INSERT INTO requests (request_id, body_hash, asked_at, trip, version)
        SELECT $36::uuid, $39::bytea, updated_at, id, version FROM changed"
);

/// Writes a new trip.
pub async fn insert(conn: &mut PgConnection, change: &Change<'_>) -> Result<Place, ExecuteError> {
    let row = ordered(changed(INSERT, change), change.after)
        .fetch_one(conn)
        .await?;
    place(&row)
}

/// Writes a trip that was there, from the version before.
pub async fn update(conn: &mut PgConnection, change: &Change<'_>) -> Result<Place, ExecuteError> {
    let row = changed(UPDATE, change)
        .bind(change.after.version - 1)
        .fetch_optional(conn)
        .await?;
    place(&row.ok_or(ExecuteError::VersionConflict)?)
}

/// The statement that claims the request and writes a new trip.
pub fn insert_at_once<'q>(
    change: &Change<'_>,
    key: &RequestKey,
) -> Query<'q, Postgres, PgArguments> {
    ordered(changed(INSERT_AT_ONCE, change), change.after).bind(key.body_hash.to_vec())
}

/// The statement that writes a trip from the version before, if it is where it was, and claims the request. No row when
/// it is not.
pub fn update_at_once<'q>(
    change: &Change<'_>,
    key: &RequestKey,
    place: &str,
) -> Query<'q, Postgres, PgArguments> {
    changed(UPDATE_AT_ONCE, change)
        .bind(change.after.version - 1)
        .bind(place.to_owned())
        .bind(key.body_hash.to_vec())
}

/// Where the row is after the change.
pub fn place(row: &PgRow) -> Result<Place, ExecuteError> {
    Ok(row.try_get("place")?)
}

/// Binds $37 to $57: what was ordered.
fn ordered<'q>(
    query: Query<'q, Postgres, PgArguments>,
    trip: &Trip,
) -> Query<'q, Postgres, PgArguments> {
    let order = &trip.order;
    query
        .bind(order.rider.uuid())
        .bind(order.city.as_str().to_owned())
        .bind(order.product.as_str().to_owned())
        .bind(order.pickup.lat_e7())
        .bind(order.pickup.lon_e7())
        .bind(order.dropoff.lat_e7())
        .bind(order.dropoff.lon_e7())
        .bind(order.quote.uuid())
        .bind(order.fare.currency.code())
        .bind(order.fare.minor)
        .bind(order.driver_pay.minor)
        .bind(order.tax.minor)
        .bind(order.cancellation_fee.minor)
        .bind(order.duration_s)
        .bind(order.distance_m)
        .bind(order.start_code.as_str().to_owned())
        .bind(order.pickup_time)
        .bind(order.activates_at)
        .bind(payment_method(order.payment_method))
        .bind(order.traceparent.clone())
        .bind(trip.created_at)
}

/// Binds $1 to $36: what can change of a trip, its id, its event, the outbox row and the request.
fn changed<'q>(sql: &'static str, change: &Change<'_>) -> Query<'q, Postgres, PgArguments> {
    let Change {
        after,
        event,
        told,
        id,
        key,
        traceparent,
    } = change;
    let offer = match &after.state {
        State::Offered(offer) => Some(offer),
        State::Scheduled
        | State::Requested
        | State::EnRoute(_)
        | State::Arrived(_)
        | State::InProgress(_)
        | State::Completed { .. }
        | State::Cancelled { .. }
        | State::Expired { .. } => None,
    };
    let progress = after.state.progress();
    let (acceptance, arrival, ride) = (progress.acceptance(), progress.arrival(), progress.ride());
    let (cancelled_by, operator, note) = cancelled(&after.state);
    sqlx::query(sql)
        .bind(after.epoch)
        .bind(after.state.name())
        .bind(event.kind())
        .bind(after.request_expires_at)
        .bind(offer.map(|offer| offer.driver.uuid()))
        .bind(offer.map(|offer| offer.expires_at))
        .bind(
            offer
                .and_then(|offer| offer.decision)
                .map(|decision| decision.uuid()),
        )
        .bind(offer.map(|offer| offer.pickup_eta_s))
        .bind(offer.map(|offer| offer.pickup_distance_m))
        .bind(
            after
                .excluded
                .iter()
                .map(|exclusion| exclusion.driver.uuid())
                .collect::<Vec<_>>(),
        )
        .bind(
            after
                .excluded
                .iter()
                .map(|exclusion| exclusion.epoch)
                .collect::<Vec<_>>(),
        )
        .bind(
            after
                .excluded
                .iter()
                .map(|exclusion| reason(exclusion.reason))
                .collect::<Vec<_>>(),
        )
        .bind(acceptance.map(|acceptance| acceptance.driver.uuid()))
        .bind(acceptance.map(|acceptance| acceptance.epoch))
        .bind(acceptance.map(|acceptance| acceptance.at))
        .bind(acceptance.map(|acceptance| acceptance.stalls_at))
        .bind(arrival.map(|arrival| arrival.at))
        .bind(arrival.map(|arrival| arrival.no_show_from))
        .bind(ride.map(|ride| ride.at))
        .bind(ride.map(|ride| ride.waiting_fee.minor))
        .bind(after.state.ended_at())
        .bind(after.charge().map(|charge| charge.minor))
        .bind(after.driver_due().map(|due| due.minor))
        .bind(cancelled_by)
        .bind(operator)
        .bind(note)
        .bind(after.updated_at)
        .bind(after.id.uuid())
        .bind(id.uuid())
        .bind(told.payload.clone())
        .bind(topic::TRIP)
        .bind(after.order.city.as_str().to_owned())
        .bind(told.kind.clone())
        .bind(SOURCE)
        .bind(traceparent.clone())
        .bind(key.map(|key| key.id.uuid()))
}

fn cancelled(state: &State) -> (Option<&'static str>, Option<uuid::Uuid>, Option<String>) {
    let State::Cancelled { cancellation, .. } = state else {
        return (None, None, None);
    };
    match &cancellation.by {
        CancelledBy::RiderChangedMind => (Some("RIDER_CHANGED_MIND"), None, None),
        CancelledBy::RiderWaitedTooLong => (Some("RIDER_WAITED_TOO_LONG"), None, None),
        CancelledBy::PaymentDeclined => (Some("PAYMENT_DECLINED"), None, None),
        CancelledBy::RiderBusy => (Some("RIDER_BUSY"), None, None),
        CancelledBy::NoShow => (Some("NO_SHOW"), None, None),
        CancelledBy::Operator { operator, note } => {
            (Some("OPERATOR"), Some(operator.uuid()), Some(note.clone()))
        }
    }
}

fn reason(reason: ExclusionReason) -> &'static str {
    match reason {
        ExclusionReason::Declined => "DECLINED",
        ExclusionReason::TimedOut => "TIMED_OUT",
        ExclusionReason::Released => "RELEASED",
        ExclusionReason::Stalled => "STALLED",
        ExclusionReason::Reassigned => "REASSIGNED",
    }
}

const fn payment_method(method: PaymentMethod) -> &'static str {
    match method {
        PaymentMethod::Card => "CARD",
        PaymentMethod::Cash => "CASH",
    }
}
