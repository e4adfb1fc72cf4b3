//! Requests → the domain's words. A field that cannot be read is named.

use hexcab_proto::{
    convert::{self, FieldError, name, parsed},
    payment::v1::{
        ConfirmPayoutBatchRequest, CreatePayoutBatchRequest, GetDriverStatementRequest,
        IntentState, ListIntentsRequest, RefundTripRequest, TipTripRequest,
    },
};
use hexcab_types::{DriverId, Money, PayoutId, RiderId, Timestamp, TripId};
use prost::Message;
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

use crate::{
    domain::{Intent, refund::Ask},
    store::{Page, PayoutAsk, RequestKey},
};

/// Intents on a page when the caller does not say …
const PAGE: i32 = 100;
/// … and at most.
const PAGE_MAX: i32 = 1_000;
/// Characters of a reason at most.
const REASON_MAX: usize = 500;

/// The states, where to begin, and how many.
pub fn list_intents(
    request: &ListIntentsRequest,
) -> Result<(Vec<&'static str>, Option<Page>, i32), FieldError> {
    let mut states = Vec::new();
    for state in &request.states {
        let known = IntentState::try_from(*state).ok().and_then(column);
        states
            .push(known.ok_or_else(|| FieldError::new("states", format!("{state} is no state")))?);
    }
    let size = match request.page_size {
        0 => PAGE,
        size if size > 0 => size.min(PAGE_MAX),
        _ => return Err(FieldError::new("page_size", "is below zero")),
    };
    Ok((states, page(&request.page_token)?, size))
}

const fn column(state: IntentState) -> Option<&'static str> {
    match state {
        IntentState::Unspecified => None,
        IntentState::RequiresHold => Some("REQUIRES_HOLD"),
        IntentState::Held => Some("HELD"),
        IntentState::Captured => Some("CAPTURED"),
        IntentState::Voided => Some("VOIDED"),
        IntentState::Declined => Some("DECLINED"),
        IntentState::Unknown => Some("UNKNOWN"),
        IntentState::PartlyRefunded => Some("PARTLY_REFUNDED"),
        IntentState::Refunded => Some("REFUNDED"),
        IntentState::CaptureFailed => Some("CAPTURE_FAILED"),
        IntentState::AwaitsCash => Some("AWAITS_CASH"),
        IntentState::CashCollected => Some("CASH_COLLECTED"),
        IntentState::Owed => Some("OWED"),
    }
}

/// Where the next page begins: creation time in microseconds and id of the last intent.
pub fn write_page_token(last: &Intent) -> String {
    format!("{}.{}", last.created_at.timestamp_micros(), last.id)
}

fn page(token: &str) -> Result<Option<Page>, FieldError> {
    if token.is_empty() {
        return Ok(None);
    }
    let read = || {
        let (micros, id) = token.split_once('.')?;
        let created_at = Timestamp::from_timestamp_micros(micros.parse().ok()?)?;
        Some(Page {
            created_at,
            id: Uuid::parse_str(id).ok()?,
        })
    };
    read()
        .ok_or_else(|| FieldError::new("page_token", "is not one of ours"))
        .map(Some)
}

/// Key, trip and what is asked for.
pub fn refund_trip(request: RefundTripRequest) -> Result<(RequestKey, TripId, Ask), FieldError> {
    let key = key("RefundTrip", &request.request_id, &request)?;
    let amount = request
        .amount
        .map(|amount| positive(Some(amount), "amount"));
    let ask = Ask {
        amount: amount.transpose()?,
        clawback: request.clawback,
        reason: text(request.reason, "reason")?,
        operator: name(&request.operator, "operator")?,
    };
    Ok((key, name(&request.trip, "trip")?, ask))
}

/// Key, trip, who tips, and how much.
pub fn tip_trip(
    request: TipTripRequest,
) -> Result<(RequestKey, TripId, RiderId, Money), FieldError> {
    let key = key("TipTrip", &request.request_id, &request)?;
    Ok((
        key,
        name(&request.trip, "trip")?,
        name(&request.rider, "rider")?,
        positive(request.amount, "amount")?,
    ))
}

/// Key and what is asked for.
pub fn create_payout_batch(
    request: CreatePayoutBatchRequest,
) -> Result<(RequestKey, PayoutAsk), FieldError> {
    let key = key("CreatePayoutBatch", &request.request_id, &request)?;
    let as_of = request
        .as_of_time
        .map(|time| convert::timestamp(Some(time), "as_of_time"));
    let minimum = request
        .minimum
        .map(|minimum| positive(Some(minimum), "minimum"));
    let ask = PayoutAsk {
        currency: parsed(&request.currency_code, "currency_code")?,
        as_of: as_of.transpose()?,
        minimum: minimum.transpose()?,
    };
    Ok((key, ask))
}

/// Whom the bank did not pay, and why.
type Unpaid = Vec<(DriverId, String)>;

/// Key, batch, and what the bank did not pay.
pub fn confirm_payout_batch(
    request: ConfirmPayoutBatchRequest,
) -> Result<(RequestKey, PayoutId, Unpaid), FieldError> {
    let key = key("ConfirmPayoutBatch", &request.request_id, &request)?;
    let failed = request
        .failed
        .into_iter()
        .map(|line| {
            let driver = name(&line.driver, "failed.driver")?;
            Ok((driver, text(line.reason, "failed.reason")?))
        })
        .collect::<Result<_, FieldError>>()?;
    Ok((key, name(&request.name, "name")?, failed))
}

/// Whose statement, from when and until when.
pub fn driver_statement(
    request: GetDriverStatementRequest,
) -> Result<(DriverId, Timestamp, Option<Timestamp>), FieldError> {
    let from = match request.from_time {
        None => Timestamp::UNIX_EPOCH,
        time => convert::timestamp(time, "from_time")?,
    };
    let to = match request.to_time {
        None => None,
        time => Some(convert::timestamp(time, "to_time")?),
    };
    if to.is_some_and(|to| to < from) {
        return Err(FieldError::new("to_time", "is before from_time"));
    }
    Ok((name(&request.driver, "driver")?, from, to))
}

/// The request's id, and the hash of what is asked under it.
fn key(operation: &str, id: &str, request: &impl Message) -> Result<RequestKey, FieldError> {
    let mut hash = Sha256::new();
    hash.update(operation.as_bytes());
    hash.update([0]);
    hash.update(request.encode_to_vec());
    Ok(RequestKey {
        id: parsed(id, "request_id")?,
        body_hash: hash.finalize().into(),
    })
}

fn positive(
    amount: Option<hexcab_proto::common::v1::Money>,
    field: &str,
) -> Result<Money, FieldError> {
    let amount = convert::money(amount, field)?;
    if amount.minor > 0 {
        Ok(amount)
    } else {
        Err(FieldError::new(field, "must be more than zero"))
    }
}

fn text(text: String, field: &str) -> Result<String, FieldError> {
    match text.chars().count() {
        0 => Err(FieldError::new(field, "is required")),
        count if count > REASON_MAX => Err(FieldError::new(
            field,
            format!("has more than {REASON_MAX} characters"),
        )),
        _ => Ok(text),
    }
}
