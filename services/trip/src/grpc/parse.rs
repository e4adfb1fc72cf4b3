//! Proto → domain types, or INVALID_ARGUMENT naming the field.

use chrono::SubsecRound as _;
use hexcab_chassis::token::Verifier;
use hexcab_proto::{
    convert::{FieldError, name, optional_name, parsed, point, timestamp},
    trip::v1 as proto,
};
use hexcab_types::{CityId, QUOTE_TOKEN_TYPE, RequestId, Timestamp, TripId};
use prost::Message;
use sha2::{Digest as _, Sha256};
use tonic::Status;
use uuid::Uuid;

use crate::{
    domain::{
        Canceller, Command, NewTrip, OfferRef, OfferTo, PaymentMethod, Refusal, RiderReason,
        StartCode,
    },
    store::{ExecuteError, Filter, PageToken, RequestKey},
};

/// Trips on a page when the caller does not say.
const PAGE_SIZE: u32 = 100;
/// Trips on a page at most.
const PAGE_SIZE_MAX: u32 = 1000;
/// Instants that a page token may name, microseconds since 1970: up to the year 9999, which Postgres can still hold
/// (chrono goes further in both directions).
const PAGE_MICROS: std::ops::RangeInclusive<i64> = 0..=253_402_300_799_999_999;
/// Characters of an operator's note at most.
const NOTE_MAX: usize = 1000;

/// What a mutation asks for.
type Parsed = Result<(RequestKey, TripId, Command), FieldError>;

/// A trip's name.
pub fn trip(text: &str) -> Result<TripId, FieldError> {
    name(text, "name")
}

/// The signature of the quote is checked here; its rider and its age are the domain's.
pub fn create_trip(
    request: proto::CreateTripRequest,
    quotes: &Verifier,
) -> Result<(RequestKey, NewTrip), Status> {
    let key = key("CreateTrip", &request.request_id, &request)?;
    let rider = name(&request.rider, "rider")?;
    if request.quote_token.is_empty() {
        return Err(FieldError::new("quote_token", "is required").into());
    }
    let quote = quotes
        .verify(QUOTE_TOKEN_TYPE, &request.quote_token)
        .map_err(|error| {
            tracing::info!(%error, "a quote token was refused");
            ExecuteError::Refused(Refusal::QuoteForged)
        })?;
    let pickup_time = request
        .pickup_time
        .map(|wanted| timestamp(Some(wanted), "pickup_time"))
        .transpose()?
        .map(|wanted| wanted.trunc_subsecs(6)); // as Postgres keeps it
    let payment_method = payment_method(request.payment_method)?;
    // Ids of trips are random rather than in order of time: trips of one evening lie on many pages of the index, and
    // SERIALIZABLE, which watches pages, sees fewer conflicts that are none.
    let id = TripId::from(Uuid::new_v4());
    let start_code = StartCode::of(rand::random_range(0..10_000));
    Ok((
        key,
        NewTrip {
            id,
            rider,
            quote,
            pickup_time,
            payment_method,
            start_code,
            traceparent: hexcab_telemetry::current_traceparent(),
        },
    ))
}

pub fn offer_trip(request: proto::OfferTripRequest) -> Parsed {
    let key = key("OfferTrip", &request.request_id, &request)?;
    let to = OfferTo {
        driver: name(&request.driver, "driver")?,
        version: match request.version {
            0 => None,
            1.. => Some(request.version),
            _ => return Err(FieldError::new("version", "must not be negative")),
        },
        decision: optional_name(&request.decision, "decision")?,
        pickup_eta_s: not_negative(request.pickup_eta_s, "pickup_eta_s")?,
        pickup_distance_m: not_negative(request.pickup_distance_m, "pickup_distance_m")?,
    };
    Ok((key, trip(&request.name)?, Command::Offer(to)))
}

pub fn accept_offer(request: proto::AcceptOfferRequest) -> Parsed {
    let key = key("AcceptOffer", &request.request_id, &request)?;
    let answer = OfferRef {
        driver: name(&request.driver, "driver")?,
        epoch: epoch(request.epoch)?,
    };
    Ok((key, trip(&request.name)?, Command::Accept(answer)))
}

pub fn decline_offer(request: proto::DeclineOfferRequest) -> Parsed {
    let key = key("DeclineOffer", &request.request_id, &request)?;
    let answer = OfferRef {
        driver: name(&request.driver, "driver")?,
        epoch: epoch(request.epoch)?,
    };
    Ok((key, trip(&request.name)?, Command::Decline(answer)))
}

pub fn arrive_trip(request: proto::ArriveTripRequest) -> Parsed {
    let key = key("ArriveTrip", &request.request_id, &request)?;
    let driver = name(&request.driver, "driver")?;
    let position = point(request.position, "position")?;
    Ok((
        key,
        trip(&request.name)?,
        Command::Arrive { driver, position },
    ))
}

pub fn start_trip(request: proto::StartTripRequest) -> Parsed {
    let key = key("StartTrip", &request.request_id, &request)?;
    let driver = name(&request.driver, "driver")?;
    let code = StartCode::parse(&request.start_code)
        .ok_or_else(|| FieldError::new("start_code", "must be four digits"))?;
    Ok((key, trip(&request.name)?, Command::Start { driver, code }))
}

pub fn complete_trip(request: proto::CompleteTripRequest) -> Parsed {
    let key = key("CompleteTrip", &request.request_id, &request)?;
    let driver = name(&request.driver, "driver")?;
    if request.position.is_some() {
        point(request.position, "position")?;
    }
    Ok((key, trip(&request.name)?, Command::Complete { driver }))
}

pub fn cancel_trip(request: proto::CancelTripRequest) -> Parsed {
    use proto::{CancelReason, cancel_trip_request::By};
    let key = key("CancelTrip", &request.request_id, &request)?;
    let trip = trip(&request.name)?;
    let reason = CancelReason::try_from(request.reason)
        .map_err(|_| FieldError::new("reason", format!("{} is no reason", request.reason)))?;
    let canceller = match (&request.by, reason) {
        (None, _) => return Err(FieldError::new("by", "is required")),
        (_, CancelReason::Unspecified) => return Err(FieldError::new("reason", "is required")),
        (Some(By::Rider(rider)), CancelReason::ChangedMind) => Canceller::Rider {
            rider: name(rider, "rider")?,
            reason: RiderReason::ChangedMind,
        },
        (Some(By::Rider(rider)), CancelReason::WaitedTooLong) => Canceller::Rider {
            rider: name(rider, "rider")?,
            reason: RiderReason::WaitedTooLong,
        },
        (Some(By::System(_)), CancelReason::PaymentDeclined) => Canceller::PaymentDeclined,
        (
            Some(By::Rider(_)),
            CancelReason::PaymentDeclined
            | CancelReason::Operator
            | CancelReason::NoShow
            | CancelReason::RiderBusy,
        ) => {
            return Err(FieldError::new("reason", "is not a rider's"));
        }
        // That a rider is busy is this service's own finding.
        (
            Some(By::System(_)),
            CancelReason::ChangedMind
            | CancelReason::WaitedTooLong
            | CancelReason::Operator
            | CancelReason::NoShow
            | CancelReason::RiderBusy,
        ) => {
            return Err(FieldError::new("reason", "is not a service's"));
        }
    };
    Ok((key, trip, Command::Cancel(canceller)))
}

pub fn release_trip(request: proto::ReleaseTripRequest) -> Parsed {
    let key = key("ReleaseTrip", &request.request_id, &request)?;
    let driver = name(&request.driver, "driver")?;
    Ok((key, trip(&request.name)?, Command::Release { driver }))
}

pub fn report_no_show(request: proto::ReportNoShowRequest) -> Parsed {
    let key = key("ReportNoShow", &request.request_id, &request)?;
    let driver = name(&request.driver, "driver")?;
    Ok((key, trip(&request.name)?, Command::NoShow { driver }))
}

pub fn reassign_trip(request: proto::ReassignTripRequest) -> Parsed {
    let key = key("ReassignTrip", &request.request_id, &request)?;
    let operator = name(&request.operator, "operator")?;
    let note = note(&request.note)?;
    Ok((
        key,
        trip(&request.name)?,
        Command::Reassign { operator, note },
    ))
}

pub fn force_end_trip(request: proto::ForceEndTripRequest) -> Parsed {
    let key = key("ForceEndTrip", &request.request_id, &request)?;
    let operator = name(&request.operator, "operator")?;
    let note = note(&request.note)?;
    Ok((
        key,
        trip(&request.name)?,
        Command::ForceEnd { operator, note },
    ))
}

pub fn list_trips(request: proto::ListTripsRequest) -> Result<Filter, FieldError> {
    let city = match request.city.as_str() {
        "" => None,
        city => Some(parsed::<CityId>(city, "city")?),
    };
    let limit = match u32::try_from(request.page_size) {
        Ok(0) => PAGE_SIZE,
        Ok(size) => size.min(PAGE_SIZE_MAX),
        Err(_) => return Err(FieldError::new("page_size", "must not be negative")),
    };
    Ok(Filter {
        city,
        rider: optional_name(&request.rider, "rider")?,
        driver: optional_name(&request.driver, "driver")?,
        states: request
            .states
            .iter()
            .map(|state| state_name(*state))
            .collect::<Result<_, _>>()?,
        after: match request.page_token.as_str() {
            "" => None,
            token => Some(
                read_page_token(token)
                    .ok_or_else(|| FieldError::new("page_token", "is not one of ours"))?,
            ),
        },
        limit,
    })
}

/// A page token for the wire. Opaque to callers.
pub fn write_page_token(token: PageToken) -> String {
    format!("{}.{}", token.created_at.timestamp_micros(), token.trip)
}

fn read_page_token(text: &str) -> Option<PageToken> {
    let (micros, trip) = text.split_once('.')?;
    let micros = micros
        .parse()
        .ok()
        .filter(|micros| PAGE_MICROS.contains(micros))?;
    Some(PageToken {
        created_at: Timestamp::from_timestamp_micros(micros)?,
        trip: trip.parse().ok()?,
    })
}

fn state_name(state: i32) -> Result<&'static str, FieldError> {
    match proto::State::try_from(state) {
        Ok(proto::State::Scheduled) => Ok("SCHEDULED"),
        Ok(proto::State::Requested) => Ok("REQUESTED"),
        Ok(proto::State::Offered) => Ok("OFFERED"),
        Ok(proto::State::EnRoute) => Ok("EN_ROUTE"),
        Ok(proto::State::Arrived) => Ok("ARRIVED"),
        Ok(proto::State::InProgress) => Ok("IN_PROGRESS"),
        Ok(proto::State::Completed) => Ok("COMPLETED"),
        Ok(proto::State::Cancelled) => Ok("CANCELLED"),
        Ok(proto::State::Expired) => Ok("EXPIRED"),
        Ok(proto::State::Unspecified) | Err(_) => {
            Err(FieldError::new("states", format!("{state} is no state")))
        }
    }
}

/// The key of a mutation: its id, and the hash of its method and body.
fn key(method: &str, request_id: &str, body: &impl Message) -> Result<RequestKey, FieldError> {
    let id: RequestId = parsed(request_id, "request_id")?;
    let mut hash = Sha256::new();
    hash.update(method.as_bytes());
    hash.update([0]);
    hash.update(body.encode_to_vec());
    Ok(RequestKey {
        id,
        body_hash: hash.finalize().into(),
    })
}

/// An operator's reason.
fn note(text: &str) -> Result<String, FieldError> {
    let note = text.trim();
    if note.is_empty() || note.chars().count() > NOTE_MAX || note.contains('\0') {
        return Err(FieldError::new(
            "note",
            format!("must be 1 to {NOTE_MAX} characters"),
        ));
    }
    Ok(note.to_owned())
}

/// By card, unless something else is said.
fn payment_method(method: i32) -> Result<PaymentMethod, FieldError> {
    match proto::PaymentMethod::try_from(method) {
        Ok(proto::PaymentMethod::Unspecified | proto::PaymentMethod::Card) => {
            Ok(PaymentMethod::Card)
        }
        Ok(proto::PaymentMethod::Cash) => Ok(PaymentMethod::Cash),
        Err(_) => Err(FieldError::new(
            "payment_method",
            format!("{method} is no payment method"),
        )),
    }
}

fn epoch(epoch: i32) -> Result<i32, FieldError> {
    if epoch >= 1 {
        Ok(epoch)
    } else {
        Err(FieldError::new("epoch", "must be 1 or more"))
    }
}

fn not_negative(value: i32, field: &str) -> Result<i32, FieldError> {
    if value >= 0 {
        Ok(value)
    } else {
        Err(FieldError::new(field, "must not be negative"))
    }
}
