//! Who is near the riders of a window.
//!
//! A request's first search is a call of its own, in its ride's trace, so that every ride shows where its drivers came
//! from. Requests left over by earlier windows are searched together, a call per [`BATCH_MAX`]: its span is in the trace
//! of the first of them and linked to the others, whose offers link back to it.

use futures::{FutureExt as _, StreamExt as _, stream};
use hexcab_proto::location::v1::{DriverStatus, FindNearbyRequest};
use hexcab_types::DriverId;
use tonic::{Code, Status};
use tracing::{Instrument as _, Span};

use super::Window;
use crate::{
    domain::{Found, Nearby, Request, Taken, Waiting, plan},
    peers::Heard,
};

/// First searches of a window; beyond, new requests go with those left over, and their trace has a link in its place.
const FIRST_SEARCHES_MAX: usize = 256;
/// Calls at once.
const CALLS_AT_ONCE: usize = 32;
/// Queries of a batch: with all exclusions below gRPC's 4 MiB.
const BATCH_MAX: usize = 200;
/// Links of a batch's span: OpenTelemetry keeps no more.
const LINKS_MAX: usize = 128;
/// Drivers left out by location itself; the others are left out here.
const EXCLUDED_MAX: usize = 200;
/// The most that location answers.
const LIMIT_MAX: usize = 200;

/// What a search came to. Requests that could not be searched for are not in it.
pub(super) struct Searched {
    pub found: Vec<Found>,
    pub heard: Heard,
}

impl Window<'_> {
    /// Searches for all requests of the window, at once.
    pub(super) async fn search(&self, taken: &Taken) -> Searched {
        let mut first = Vec::new();
        let mut together = Vec::new();
        for waiting in &taken.requests {
            let apart = !waiting.searched && first.len() < FIRST_SEARCHES_MAX;
            if apart {
                first.push(waiting)
            } else {
                together.push(waiting)
            }
        }
        let apart: Vec<_> = first
            .into_iter()
            .map(|waiting| self.search_one(taken, waiting).boxed())
            .collect();
        let batches = together
            .chunks(BATCH_MAX)
            .map(|chunk| self.search_batch(taken, chunk).boxed());
        let calls: Vec<_> = batches.chain(apart).collect();
        let answers: Vec<_> = stream::iter(calls)
            .buffer_unordered(CALLS_AT_ONCE)
            .collect()
            .await;
        self.gather(taken, answers.into_iter())
    }

    fn gather(
        &self,
        taken: &Taken,
        answers: impl Iterator<Item = Result<Vec<Found>, Status>>,
    ) -> Searched {
        let most = usize::try_from(self.desk.city.dispatch.max_candidates).unwrap_or(usize::MAX);
        let mut searched = Searched {
            found: Vec::new(),
            heard: Heard::default(),
        };
        for answer in answers {
            match answer {
                Ok(found) => {
                    searched.found.extend(found);
                    searched.heard.answered += 1;
                }
                Err(status) if is_refusal(&status) => searched.heard.answered += 1,
                Err(status) => {
                    tracing::warn!(city = %self.desk.city.id, code = ?status.code(), error = status.message(), "drivers could not be searched");
                    searched.heard.failure = Some(status);
                }
            }
        }
        for found in &mut searched.found {
            plan::narrow(found, &taken.busy, most);
            self.desk
                .with(|book| book.note_searched(found.request.trip, found.request.version));
        }
        searched.found.sort_by_key(|found| found.request.trip);
        searched
    }

    async fn search_one(&self, taken: &Taken, waiting: &Waiting) -> Result<Vec<Found>, Status> {
        let request = &waiting.request;
        let span = self.search_span(request);
        let query = self.query(taken, request);
        let answer = self.run.location.find_nearby(query).instrument(span).await;
        match answer {
            Ok(nearby) => Ok(vec![found(waiting, nearby, None)]),
            Err(status) => {
                if is_refusal(&status) {
                    // Asked again now and then: the rider waits, whatever is wrong.
                    tracing::error!(trip = %request.trip, error = status.message(), "location refuses the search");
                    self.desk
                        .with(|book| book.hold(request.trip, request.version, self.now));
                }
                Err(status)
            }
        }
    }

    async fn search_batch(&self, taken: &Taken, chunk: &[&Waiting]) -> Result<Vec<Found>, Status> {
        let span = self.window_span(chunk);
        let own = hexcab_telemetry::traceparent_of(&span);
        let queries = chunk
            .iter()
            .map(|waiting| self.query(taken, &waiting.request))
            .collect();
        let answers = self
            .run
            .location
            .find_nearby_batch(queries)
            .instrument(span)
            .await;
        if let Err(status) = &answers
            && is_refusal(status)
        {
            tracing::error!(city = %self.desk.city.id, error = status.message(), "location refuses a batch");
        }
        let answers = answers?;
        let found = chunk
            .iter()
            .zip(answers)
            .map(|(waiting, nearby)| found(waiting, nearby, own.clone()));
        Ok(found.collect())
    }

    fn query(&self, taken: &Taken, request: &Request) -> FindNearbyRequest {
        let rules = &self.desk.city.dispatch;
        let room = EXCLUDED_MAX.saturating_sub(request.excluded.len());
        let beyond = taken.lately_busy.len().saturating_sub(room);
        let limit = (usize::try_from(rules.max_candidates).unwrap_or(LIMIT_MAX) + beyond)
            .clamp(1, LIMIT_MAX);
        let excluded = request
            .excluded
            .iter()
            .chain(taken.lately_busy.iter())
            .take(EXCLUDED_MAX);
        FindNearbyRequest {
            city: self.desk.city.id.to_string(),
            point: Some(request.pickup.into()),
            radius_m: i32::try_from(rules.radius_m).unwrap_or(i32::MAX),
            limit: i32::try_from(limit).unwrap_or(i32::MAX),
            max_age_ms: i32::try_from(rules.max_position_age_s.saturating_mul(1_000))
                .unwrap_or(i32::MAX),
            statuses: vec![DriverStatus::Available.into()],
            product: request.product.to_string(),
            excluded_drivers: excluded.copied().map(DriverId::name).collect(),
        }
    }

    /// In the ride's trace; none for a ride that has no trace.
    fn search_span(&self, request: &Request) -> Span {
        let Some(context) = &request.context else {
            return Span::none();
        };
        let span = tracing::info_span!(
            parent: None,
            "dispatch.search",
            hexcab.city = %self.desk.city.id,
            hexcab.trip.id = %request.trip,
            hexcab.dispatch.window = self.number,
            hexcab.dispatch.window_requests = self.requests,
        );
        hexcab_telemetry::set_parent(&span, context);
        span
    }

    /// In the trace of the first ride that has one, linked to the others.
    fn window_span(&self, chunk: &[&Waiting]) -> Span {
        let mut contexts = chunk
            .iter()
            .filter_map(|waiting| waiting.request.context.as_deref());
        let Some(first) = contexts.next() else {
            return Span::none();
        };
        let span = tracing::info_span!(
            parent: None,
            "dispatch.window",
            hexcab.city = %self.desk.city.id,
            hexcab.dispatch.window = self.number,
            hexcab.dispatch.window_requests = self.requests,
            hexcab.dispatch.searched_together = chunk.len(),
        );
        hexcab_telemetry::set_parent(&span, first);
        for context in contexts.take(LINKS_MAX) {
            hexcab_telemetry::add_link(&span, context);
        }
        span
    }
}

fn found(waiting: &Waiting, nearby: Vec<Nearby>, searched_in: Option<String>) -> Found {
    Found {
        request: waiting.request.clone(),
        nearby,
        searched_in,
    }
}

/// Whether location answered, and will answer the same again.
fn is_refusal(status: &Status) -> bool {
    match status.code() {
        Code::InvalidArgument
        | Code::NotFound
        | Code::FailedPrecondition
        | Code::OutOfRange
        | Code::AlreadyExists => true,
        Code::Ok
        | Code::Cancelled
        | Code::Unknown
        | Code::DeadlineExceeded
        | Code::PermissionDenied
        | Code::ResourceExhausted
        | Code::Aborted
        | Code::Unimplemented
        | Code::Internal
        | Code::Unavailable
        | Code::DataLoss
        | Code::Unauthenticated => false,
    }
}
