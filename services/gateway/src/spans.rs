//! The trace of a ride through this door: a request or command about a trip is a child of the ride's own context, and
//! what the client brought is linked.
//!
//! - a quote begins a trace of its own; pricing signs its context into the quote
//! - a request for a trip goes on from the quote's context
//! - every later command goes on from the trip's context, as trip events told it, or trip is asked
//! - a read is nobody's step: it has a trace of its own
//!
//! Invariant: only a span in the ride's trace has `hexcab.trip.id`, so whoever looks for a trip finds one trace.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use hexcab_proto::trip::v1::Trip;
use hexcab_types::TripId;
use serde::Deserialize;
use tracing::{Span, field::Empty};

use crate::{gateway::Gateway, status::Problem};

/// What a request's span is told of.
#[derive(Debug)]
pub struct RequestLine<'a> {
    /// GET, POST, ….
    pub method: &'a str,
    /// The route's template; empty when there is none.
    pub route: &'a str,
    /// As asked for, without the query (tokens may stand there).
    pub path: &'a str,
    /// What the client brought.
    pub traceparent: Option<&'a str>,
    /// The trip that is commanded.
    pub trip: Option<TripId>,
}

/// The span of an HTTP request, a child of `ride` if there is one.
pub fn request(line: &RequestLine<'_>, ride: Option<&str>) -> Span {
    let name = if line.route.is_empty() {
        line.method.to_owned()
    } else {
        format!("{} {}", line.method, line.route)
    };
    let span = tracing::info_span!(
        parent: None,
        "gateway.request",
        otel.name = name,
        otel.kind = "server",
        otel.status_code = Empty,
        http.request.method = line.method,
        http.route = line.route,
        url.path = line.path,
        url.scheme = "http",
        http.response.status_code = Empty,
        error.type = Empty,
        hexcab.user = Empty,
        hexcab.trip.id = Empty,
    );
    put_in_ride(&span, ride, line.trip);
    if let Some(client) = line.traceparent {
        hexcab_telemetry::add_link(&span, client);
    }
    span
}

/// The span of a command that came over a session, a child of `ride` if there is one.
pub fn command(verb: &'static str, trip: TripId, ride: Option<&str>) -> Span {
    let span = tracing::info_span!(
        parent: None,
        "gateway.command",
        otel.name = verb,
        otel.kind = "server",
        otel.status_code = Empty,
        error.type = Empty,
        hexcab.trip.id = Empty,
    );
    put_in_ride(&span, ride, Some(trip));
    span
}

/// The span of telling an event, where the event is handled: that is in the ride's trace if the event came in it.
pub fn push(id: TripId, trip: &Trip) -> Span {
    let span = tracing::info_span!(
        "gateway.push",
        hexcab.trip.id = Empty,
        hexcab.version = trip.version,
        hexcab.sessions = Empty,
    );
    let own = hexcab_telemetry::traceparent_of(&span);
    let trace = own.as_deref().and_then(hexcab_telemetry::trace_id);
    if trace.is_some() && trace == hexcab_telemetry::trace_id(&trip.traceparent) {
        name_trip(&span, id);
    }
    span
}

fn put_in_ride(span: &Span, ride: Option<&str>, trip: Option<TripId>) {
    let Some(ride) = ride.filter(|text| hexcab_telemetry::trace_id(text).is_some()) else {
        return;
    };
    hexcab_telemetry::set_parent(span, ride);
    if let Some(trip) = trip {
        name_trip(span, trip);
    }
}

fn name_trip(span: &Span, trip: TripId) {
    span.record("hexcab.trip.id", tracing::field::display(trip));
}

/// Records how it went.
pub fn outcome(span: &Span, problem: Option<&Problem>) {
    let Some(problem) = problem else { return };
    span.record("error.type", problem.reason.as_str());
    if problem.status.is_server_error() {
        span.record("otel.status_code", "ERROR");
    }
}

impl Gateway {
    /// The ride's context: remembered, or trip is asked. None when there is no such trip.
    pub async fn ride_of(&self, trip: TripId) -> Option<String> {
        if let Some(ride) = self.rides.get(trip) {
            return ride.traceparent.clone();
        }
        let found = self.peers.get_trip(trip).await.ok()?;
        self.rides.observe(trip, &found);
        Some(found.traceparent).filter(|text| !text.is_empty())
    }
}

/// The context that pricing signed into a quote, read without checking: trip checks the quote, and a wrong context
/// harms nobody but the one who made it up.
pub fn context_of_quote(token: &str) -> Option<String> {
    #[derive(Deserialize)]
    struct Claims {
        traceparent: Option<String>,
    }
    let claims = URL_SAFE_NO_PAD.decode(token.split('.').nth(1)?).ok()?;
    let claims: Claims = serde_json::from_slice(&claims).ok()?;
    claims
        .traceparent
        .filter(|text| hexcab_telemetry::trace_id(text).is_some())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(claims: &str) -> String {
        format!("e30.{}.c2ln", URL_SAFE_NO_PAD.encode(claims))
    }

    #[test]
    fn the_context_of_a_quote_is_read_and_nonsense_is_not() {
        let context = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        assert_eq!(
            context_of_quote(&token(&format!(r#"{{"traceparent":"{context}","x":1}}"#))).as_deref(),
            Some(context)
        );
        for bad in [
            token(r#"{"traceparent":"hello"}"#),
            token("{}"),
            token("x"),
            String::new(),
            "a.b".to_owned(),
        ] {
            assert_eq!(context_of_quote(&bad), None, "{bad}");
        }
    }
}
