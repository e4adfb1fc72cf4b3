//! Writing a change: the trip's row, its event, the outbox row and the answer, in the caller's transaction.
//!
//! Invariants: a row changes only from the version that was read (compare-and-set, beside SERIALIZABLE and the trigger).

use hexcab_bus::{Outgoing, outbox, topic};
use hexcab_types::{EventId, RequestId};
use sqlx::{PgConnection, Postgres, postgres::PgArguments, query::Query};

use super::{Encode, ExecuteError, requests};
use crate::domain::{CancelledBy, Event, ExclusionReason, PaymentMethod, State, Trip};

/// One change of one trip.
pub struct Change<'a> {
    /// The trip after it.
    pub after: &'a Trip,
    /// What happened.
    pub event: &'a Event,
    /// The request whose answer this is.
    pub request: Option<RequestId>,
}

const INSERT: &str = "
    WITH changed AS (
        INSERT INTO trips (id, version, epoch, state, last_event, request_expires_at, offer_driver, offer_expires_at,
            offer_decision, offer_eta_s, offer_distance_m, excluded_drivers, excluded_epochs, excluded_reasons, driver,
            accepted_epoch, accepted_at, stalls_at, arrived_at, no_show_from, started_at, waiting_fee_minor, ended_at,
            charge_minor, driver_due_minor, cancelled_by, cancel_operator, cancel_note, updated_at,
            rider, city, product, pickup_lat_e7, pickup_lon_e7, dropoff_lat_e7, dropoff_lon_e7, quote, currency,
            fare_minor, driver_pay_minor, tax_minor, cancellation_minor, duration_s, distance_m, start_code,
            pickup_time, activates_at, payment_method, traceparent, created_at)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22,
            $23, $24, $25, $26, $27, $28, $29, $34, $35, $36, $37, $38, $39, $40, $41, $42, $43, $44, $45, $46, $47,
            $48, $49, $50, $51, $52, $53, $54)
        RETURNING id),
    told AS (
        INSERT INTO trip_events (trip, version, kind, occurred_at, event, payload)
        SELECT id, $2, $5, $29, $30, $31 FROM changed),
    answered AS (UPDATE requests SET trip = $33 WHERE request_id = $32)
    SELECT id FROM changed";

const UPDATE: &str = "
    WITH changed AS (
        UPDATE trips SET version = $2, epoch = $3, state = $4, last_event = $5, request_expires_at = $6,
            offer_driver = $7, offer_expires_at = $8, offer_decision = $9, offer_eta_s = $10, offer_distance_m = $11,
            excluded_drivers = $12, excluded_epochs = $13, excluded_reasons = $14, driver = $15, accepted_epoch = $16,
            accepted_at = $17, stalls_at = $18, arrived_at = $19, no_show_from = $20, started_at = $21,
            waiting_fee_minor = $22, ended_at = $23, charge_minor = $24, driver_due_minor = $25, cancelled_by = $26,
            cancel_operator = $27, cancel_note = $28, updated_at = $29
        WHERE id = $1 AND version = $2 - 1
        RETURNING id),
    told AS (
        INSERT INTO trip_events (trip, version, kind, occurred_at, event, payload)
        SELECT id, $2, $5, $29, $30, $31 FROM changed),
    answered AS (UPDATE requests SET trip = $33 WHERE request_id = $32)
    SELECT id FROM changed";

/// Writes a new trip.
pub async fn insert(
    conn: &mut PgConnection,
    change: &Change<'_>,
    encode: Encode,
) -> Result<(), ExecuteError> {
    let order = &change.after.order;
    let query = changed(INSERT, conn, change, encode).await?;
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
        .bind(change.after.created_at)
        .fetch_one(conn)
        .await?;
    Ok(())
}

/// Writes a trip that was there, from the version before.
pub async fn update(
    conn: &mut PgConnection,
    change: &Change<'_>,
    encode: Encode,
) -> Result<(), ExecuteError> {
    let query = changed(UPDATE, conn, change, encode).await?;
    query
        .fetch_optional(conn)
        .await?
        .map(|_| ())
        .ok_or(ExecuteError::VersionConflict)
}

/// Puts the event into the outbox and binds $1 to $33: what can change of a trip, its event and the answer.
async fn changed(
    sql: &'static str,
    conn: &mut PgConnection,
    change: &Change<'_>,
    encode: Encode,
) -> Result<Query<'static, Postgres, PgArguments>, ExecuteError> {
    let Change {
        after,
        event,
        request,
    } = change;
    let encoded = encode(after, event);
    let told = tell(conn, after, &encoded.kind, encoded.payload.clone()).await?;
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
    let answer = request.map(|_| requests::write(after)).transpose()?;
    Ok(sqlx::query(sql)
        .bind(after.id.uuid())
        .bind(after.version)
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
        .bind(told.uuid())
        .bind(encoded.payload)
        .bind(request.map(|request| request.uuid()))
        .bind(answer))
}

async fn tell(
    conn: &mut PgConnection,
    after: &Trip,
    kind: &str,
    payload: Vec<u8>,
) -> Result<EventId, ExecuteError> {
    let outgoing = Outgoing {
        topic: topic::TRIP,
        key: after.order.city.to_string(),
        kind: kind.into(),
        source: "trip",
        subject: after.id.name(),
        time: after.updated_at,
        payload,
        traceparent: hexcab_telemetry::current_traceparent()
            .or_else(|| after.order.traceparent.clone()),
    };
    Ok(outbox::append(conn, &outgoing).await?)
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
