//! The offers of a window, and what trip says to them.
//!
//! - made → the book knows at once, before the event comes
//! - DRIVER_BUSY → the driver is left alone for a while, the request is in the next window
//! - refused for another reason → the trip is looked up; it moved on, or it is held back for a while
//! - no answer → the trip is in doubt: looked up before it is in a window again

use futures::{StreamExt as _, stream};
use hexcab_chassis::{crash, status::reason};
use hexcab_proto::trip::v1::{OfferTripRequest, Trip};
use hexcab_telemetry::metrics::{Counter, KeyValue};
use tonic::{Code, Status};
use tracing::{Instrument as _, Span, field::Empty};

use super::Window;
use crate::{
    domain::{Chosen, Decision, Planned, Request, offer_request_id},
    peers::Heard,
    resync,
    wire::{self, whole},
};

static OFFERS: Counter = Counter::new(
    "hexcab.dispatch.offers",
    "{offer}",
    "offers that dispatch asked trip to make, by city and what trip said",
);

/// Offers in flight at once.
const OFFERS_AT_ONCE: usize = 32;

/// What trip said to an offer.
#[derive(Debug)]
enum Verdict {
    Made(Box<Trip>),
    DriverBusy,
    /// For a reason that lies in the trip, or in us.
    Refused(String),
    Unknown(Status),
}

impl Window<'_> {
    /// Keeps and tells all decisions, and makes the offers among them.
    pub(super) async fn offer_all(&self, planned: Vec<Planned>) -> Heard {
        let offers = stream::iter(planned)
            .map(|planned| self.settle(planned))
            .buffer_unordered(OFFERS_AT_ONCE);
        offers
            .fold(Heard::default(), async |all, heard| all.and(heard))
            .await
    }

    async fn settle(&self, planned: Planned) -> Heard {
        let (decision, new) = self.decide(&planned);
        let Some(chosen) = planned.chosen else {
            if new {
                self.tell(&decision, planned.request.context.clone());
            }
            return Heard::default();
        };
        let span = self.span(&planned, &decision, &chosen);
        let context =
            hexcab_telemetry::traceparent_of(&span).or_else(|| planned.request.context.clone());
        self.tell(&decision, context);
        crash::point("dispatch.decided");
        self.offer(&planned.request, &decision, &chosen)
            .instrument(span)
            .await
    }

    async fn offer(&self, request: &Request, decision: &Decision, chosen: &Chosen) -> Heard {
        let offer = OfferTripRequest {
            name: request.trip.name(),
            request_id: offer_request_id(request.trip, request.version, decision.id).to_string(),
            driver: chosen.driver.name(),
            version: request.version,
            decision: decision.id.name(),
            pickup_eta_s: whole(chosen.eta_s),
            pickup_distance_m: whole(chosen.distance_m),
        };
        let verdict = verdict(self.run.trips.offer(&offer).await);
        crash::point("dispatch.offered");
        Span::current().record("hexcab.offer.outcome", verdict.name());
        let city = KeyValue::new("hexcab.city", self.desk.city.id.to_string());
        let outcome = KeyValue::new("hexcab.offer.outcome", verdict.name().to_owned());
        OFFERS.add(1, &[city, outcome]);
        self.take_in(request, chosen, verdict).await
    }

    async fn take_in(&self, request: &Request, chosen: &Chosen, verdict: Verdict) -> Heard {
        let now = self.run.clock.now();
        match verdict {
            Verdict::Made(trip) => {
                match wire::seen(&trip) {
                    Ok(seen) => self.desk.on_answer(seen),
                    Err(error) => {
                        tracing::error!(trip = %request.trip, %error, "the offered trip cannot be read");
                        self.doubt(request);
                    }
                }
                Heard::answer()
            }
            Verdict::DriverBusy => {
                self.desk.on_driver_busy(chosen.driver, now);
                Heard::answer()
            }
            Verdict::Refused(reason) => {
                tracing::debug!(trip = %request.trip, reason, "offer refused");
                self.look_up(request).await;
                Heard::answer()
            }
            Verdict::Unknown(status) => {
                tracing::warn!(trip = %request.trip, code = ?status.code(), error = status.message(), "nobody knows what became of an offer");
                self.doubt(request);
                Heard::silence(status)
            }
        }
    }

    /// Asks trip what it is, unless its event was faster.
    async fn look_up(&self, request: &Request) {
        let (trip, version) = (request.trip, request.version);
        if self.desk.with(|book| book.version(trip)).flatten() != Some(version) {
            return;
        }
        let asked = resync::look_up(self.desk, &self.run.trips, vec![trip]).await;
        if let Some(status) = asked.failure {
            tracing::warn!(%trip, code = ?status.code(), "a trip could not be looked up");
            self.doubt(request);
            return;
        }
        // Still what it was: the reason is not to be seen in the trip, so it may well be given again.
        let now = self.run.clock.now();
        self.desk.with(|book| book.hold(trip, version, now));
    }

    fn doubt(&self, request: &Request) {
        self.desk
            .with(|book| book.doubt(request.trip, request.version));
    }

    /// In the ride's trace; linked to the search if that was in another's. None for a ride that has no trace.
    fn span(&self, planned: &Planned, decision: &Decision, chosen: &Chosen) -> Span {
        let Some(context) = &planned.request.context else {
            return Span::none();
        };
        let span = tracing::info_span!(
            parent: None,
            "dispatch.offer",
            hexcab.city = %self.desk.city.id,
            hexcab.trip.id = %planned.request.trip,
            hexcab.driver.id = %chosen.driver,
            hexcab.decision.id = %decision.id,
            hexcab.dispatch.window = self.number,
            hexcab.dispatch.window_requests = self.requests,
            hexcab.dispatch.candidates = decision.considered.len(),
            hexcab.dispatch.policy = decision.policy,
            hexcab.offer.pickup_eta_s = whole(chosen.eta_s),
            hexcab.offer.outcome = Empty,
        );
        hexcab_telemetry::set_parent(&span, context);
        if let Some(searched_in) = &planned.searched_in {
            hexcab_telemetry::add_link(&span, searched_in);
        }
        span
    }
}

impl Verdict {
    fn name(&self) -> &str {
        match self {
            Self::Made(_) => "made",
            Self::DriverBusy => "DRIVER_BUSY",
            Self::Refused(reason) => reason,
            Self::Unknown(_) => "unknown",
        }
    }
}

fn verdict(answer: Result<Trip, Status>) -> Verdict {
    let status = match answer {
        Ok(trip) => return Verdict::Made(Box::new(trip)),
        Err(status) => status,
    };
    let why = reason(&status).unwrap_or_default();
    match status.code() {
        Code::FailedPrecondition if why == "DRIVER_BUSY" => Verdict::DriverBusy,
        Code::FailedPrecondition
        | Code::InvalidArgument
        | Code::NotFound
        | Code::AlreadyExists
        | Code::PermissionDenied
        | Code::OutOfRange => Verdict::Refused(why),
        Code::Aborted if why == "TRIP_CHANGED" => Verdict::Refused(why),
        Code::Ok
        | Code::Aborted
        | Code::Cancelled
        | Code::Unknown
        | Code::DeadlineExceeded
        | Code::ResourceExhausted
        | Code::Unimplemented
        | Code::Internal
        | Code::Unavailable
        | Code::DataLoss
        | Code::Unauthenticated => Verdict::Unknown(status),
    }
}
