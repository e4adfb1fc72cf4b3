//! Dispatch is in the trace of every ride, and location with it.

use std::{collections::HashMap, sync::OnceLock};

use hexcab_testkit::eventually;
use opentelemetry::trace::{SpanId, SpanKind, TracerProvider as _};
use opentelemetry_sdk::{
    error::OTelSdkResult,
    trace::{SdkTracerProvider, SpanData, SpanExporter},
};
use parking_lot::Mutex;
use tracing_subscriber::{
    EnvFilter, Layer as _, layer::SubscriberExt as _, util::SubscriberInitExt as _,
};

use crate::{Bench, place};

static SPANS: Mutex<Vec<SpanData>> = Mutex::new(Vec::new());

#[derive(Debug)]
struct Keep;

impl SpanExporter for Keep {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        SPANS.lock().extend(batch);
        Ok(())
    }
}

/// Keeps all spans of this process, and prints warnings. Every test calls it first.
pub fn install() {
    static ONCE: OnceLock<()> = OnceLock::new();
    ONCE.get_or_init(|| {
        let provider = SdkTracerProvider::builder()
            .with_simple_exporter(Keep)
            .build();
        let spans = tracing_opentelemetry::layer().with_tracer(provider.tracer("test"));
        let log = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("error"));
        tracing_subscriber::registry()
            .with(spans.with_filter(EnvFilter::new("info,h2=off,hyper=off,tower=off,tonic=off")))
            .with(
                tracing_subscriber::fmt::layer()
                    .with_test_writer()
                    .with_filter(log),
            )
            .init();
    });
}

/// The ended spans of a trace, by name.
struct Trace {
    spans: Vec<SpanData>,
    root: SpanId,
}

impl Trace {
    fn of(context: &str) -> Self {
        let (trace, root) = (&context[3..35], SpanId::from_hex(&context[36..52]).unwrap());
        let of_trace = |span: &&SpanData| span.span_context.trace_id().to_string() == trace;
        Self {
            spans: SPANS.lock().iter().filter(of_trace).cloned().collect(),
            root,
        }
    }

    fn named(&self, name: &str) -> Option<&SpanData> {
        self.spans.iter().find(|span| span.name == name)
    }

    fn served(&self, method: &str) -> Option<&SpanData> {
        self.spans
            .iter()
            .find(|span| span.name == method && span.span_kind == SpanKind::Server)
    }

    /// The names from the callee's span of a call up to the ride's root; none while a span of the chain is missing.
    fn path(&self, method: &str) -> Option<Vec<String>> {
        let by_id: HashMap<SpanId, &SpanData> = self
            .spans
            .iter()
            .map(|span| (span.span_context.span_id(), span))
            .collect();
        let mut span = self.served(method)?;
        let mut path = vec![span.name.to_string()];
        while span.parent_span_id != self.root {
            span = by_id.get(&span.parent_span_id)?;
            path.push(span.name.to_string());
        }
        Some(path)
    }
}

fn context(n: u32) -> String {
    format!(
        "00-{:032x}-{:016x}-01",
        uuid::Uuid::new_v4().as_u128(),
        n + 1
    )
}

const FIND: &str = "hexcab.location.v1.LocationService/FindNearby";
const OFFER: &str = "hexcab.trip.v1.TripService/OfferTrip";

#[tokio::test(flavor = "multi_thread")]
async fn every_ride_of_a_window_has_dispatch_and_location_in_its_own_trace() {
    let bench = Bench::new().await;
    let rides: Vec<String> = (0..3).map(context).collect();
    for (steps, ride) in (0..).step_by(4).zip(&rides) {
        bench.location.driver_at(place(steps));
        bench.trip.request_in(place(steps), Some(ride)).await;
    }
    for ride in &rides {
        let (found, offered) = eventually(|| async {
            let trace = Trace::of(ride);
            Some((trace.path(FIND)?, trace.path(OFFER)?))
        })
        .await;
        let told = ["process hexcab.trip.v1", "send hexcab.trip.v1"];
        assert_eq!(
            found,
            [FIND, FIND, "dispatch.search", told[0], told[1]],
            "location's span, below the call's"
        );
        assert_eq!(offered, [OFFER, OFFER, "dispatch.offer", told[0], told[1]]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn riders_left_over_are_searched_together_and_their_offers_link_to_the_search() {
    let bench = Bench::new().await;
    let rides: Vec<String> = (0..2).map(context).collect();
    let mut trips = Vec::new();
    for (steps, ride) in (0..).zip(&rides) {
        trips.push(bench.trip.request_in(place(steps), Some(ride)).await);
    }
    eventually(|| async { bench.location.calls().1.contains(&2).then_some(()) }).await;
    assert_eq!(bench.location.calls().0, 2, "each was searched apart once");
    for steps in 0..2 {
        bench.location.driver_at(place(steps));
    }
    for (trip, ride) in trips.iter().zip(&rides) {
        bench.until_offered(*trip, 1).await;
        let offer = eventually(|| async { Trace::of(ride).named("dispatch.offer").cloned() }).await;
        let linked = offer.links.iter().next().unwrap().span_context.clone();
        let window = eventually(|| async {
            let spans = SPANS.lock();
            spans
                .iter()
                .find(|span| span.span_context.span_id() == linked.span_id())
                .cloned()
        })
        .await;
        assert_eq!(window.name, "dispatch.window");
        assert_eq!(
            window.links.iter().count(),
            1,
            "linked to the other rider's trace"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ride_whose_event_came_in_another_trace_is_served_in_its_own() {
    let bench = Bench::new().await;
    let (ride, other) = (context(0), context(0));
    bench.location.driver_at(place(0));
    let trip = bench
        .trip
        .request_told_in(place(0), Some(&ride), Some(&other))
        .await;
    bench.until_offered(trip, 1).await;
    eventually(|| async { Trace::of(&ride).named("dispatch.offer").map(|_| ()) }).await;
    let (trip, ride) = (trip.to_string(), &ride[3..35]);
    let of_trip = |span: &&SpanData| {
        let attribute = |pair: &opentelemetry::KeyValue| {
            pair.key.as_str() == "hexcab.trip.id" && pair.value.as_str() == trip
        };
        span.attributes.iter().any(attribute)
    };
    let spans = SPANS.lock();
    let stray: Vec<_> = spans
        .iter()
        .filter(of_trip)
        .filter(|span| span.span_context.trace_id().to_string() != ride)
        .map(|span| span.name.clone())
        .collect();
    assert!(stray.is_empty(), "{stray:?}");
    assert!(spans.iter().any(|span| of_trip(&span)));
}
