//! What a service says about itself: spans to OTLP, log lines to stderr, and the W3C context that ties a ride together.
//!
//! - [`init`] once per process, inside the runtime (a batch exporter built outside it loses every span silently)
//! - [`context`] the `traceparent` of a span, as text, in and out
//! - [`metrics`] counters, gauges and histograms
//! - [`log`] how a log line looks: for eyes on a terminal, JSON with trace ids elsewhere
//!
//! Does not: know any service, decide what is worth a span.

pub mod context;
mod log;
pub mod metrics;

use std::time::Duration;

use anyhow::Context as _;
use opentelemetry::trace::TracerProvider as _;
use opentelemetry_otlp::WithExportConfig as _;
use opentelemetry_sdk::{
    Resource,
    metrics::{PeriodicReader, SdkMeterProvider},
    trace::SdkTracerProvider,
};
use serde::{Deserialize, Serialize};
use tracing_subscriber::{
    EnvFilter, Layer as _, layer::SubscriberExt as _, util::SubscriberInitExt as _,
};

pub use context::{add_link, current_traceparent, set_parent, trace_id, traceparent_of};
pub use log::LogFormat;

/// Spans that may wait to be exported. The SDK keeps room for all of them from the start, about 400 bytes each.
const SPAN_QUEUE: usize = 8_192;
/// How often spans are exported: what a killed process loses.
const EXPORT_EVERY: Duration = Duration::from_millis(200);
/// How long one export may take before its spans are dropped.
const EXPORT_TIMEOUT: Duration = Duration::from_secs(5);

/// How often metrics are exported.
const METRICS_EVERY: Duration = Duration::from_secs(5);

/// Where spans, metrics and log lines go.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TelemetryConfig {
    /// OTLP gRPC endpoint, such as `http://127.0.0.1:4317`. Without one no span leaves the process.
    pub otlp_endpoint: Option<String>,
    /// Which log lines are written, in `tracing` filter syntax.
    pub log: String,
    /// `auto` is text on a terminal and JSON elsewhere.
    pub log_format: LogFormat,
}

impl Default for TelemetryConfig {
    fn default() -> Self {
        Self {
            otlp_endpoint: None,
            log: "info".to_owned(),
            log_format: LogFormat::Auto,
        }
    }
}

/// The process's telemetry; [`Telemetry::shutdown`] sends what is still buffered.
#[must_use = "spans that are buffered at the end are lost without shutdown"]
#[derive(Debug)]
pub struct Telemetry {
    provider: SdkTracerProvider,
    meters: Option<SdkMeterProvider>,
}

/// Installs the process's subscriber. Call it once, inside the tokio runtime.
///
/// # Errors
/// When the filter or the endpoint cannot be read, or telemetry is installed already.
pub fn init(service: &'static str, config: &TelemetryConfig) -> anyhow::Result<Telemetry> {
    let resource = Resource::builder()
        .with_service_name(service)
        .with_attribute(opentelemetry::KeyValue::new("service.namespace", "hexcab"))
        .with_attribute(opentelemetry::KeyValue::new(
            "service.version",
            env!("CARGO_PKG_VERSION"),
        ))
        .build();
    let mut provider = SdkTracerProvider::builder().with_resource(resource.clone());
    let mut meters = None;
    if let Some(endpoint) = &config.otlp_endpoint {
        let exporter = opentelemetry_otlp::SpanExporter::builder()
            .with_tonic()
            .with_endpoint(endpoint)
            .with_timeout(EXPORT_TIMEOUT)
            .build()
            .with_context(|| format!("telemetry.otlp_endpoint {endpoint:?}"))?;
        provider = provider.with_span_processor(batch_processor(exporter));
        let exporter = opentelemetry_otlp::MetricExporter::builder()
            .with_tonic()
            .with_endpoint(endpoint)
            .with_timeout(EXPORT_TIMEOUT)
            .build()
            .with_context(|| format!("telemetry.otlp_endpoint {endpoint:?}"))?;
        let reader = PeriodicReader::builder(exporter)
            .with_interval(METRICS_EVERY)
            .build();
        let provider = SdkMeterProvider::builder()
            .with_resource(resource)
            .with_reader(reader)
            .build();
        metrics::install(provider.clone());
        meters = Some(provider);
    }
    let provider = provider.build();

    let filter = EnvFilter::try_new(&config.log)
        .with_context(|| format!("telemetry.log {:?}", config.log))?;
    // Spans are kept whatever the log level is: a quiet log must not break a trace.
    let spans =
        EnvFilter::new("info,h2=off,hyper=off,tower=off,tonic=off,opentelemetry=off,sqlx=off");
    tracing_subscriber::registry()
        .with(
            tracing_opentelemetry::layer()
                .with_tracer(provider.tracer("hexcab"))
                .with_threads(false)
                .with_location(false)
                .with_target(false)
                .with_tracked_inactivity(false)
                .with_filter(spans),
        )
        .with(log::layer(config.log_format).with_filter(filter))
        .try_init()
        .context("install telemetry")?;
    Ok(Telemetry { provider, meters })
}

/// Exports in batches; what does not fit the queue is dropped and counted by the SDK.
fn batch_processor(
    exporter: opentelemetry_otlp::SpanExporter,
) -> opentelemetry_sdk::trace::BatchSpanProcessor {
    let config = opentelemetry_sdk::trace::BatchConfigBuilder::default()
        .with_max_queue_size(SPAN_QUEUE)
        .with_max_export_batch_size(SPAN_QUEUE / 8)
        .with_scheduled_delay(EXPORT_EVERY)
        .build();
    opentelemetry_sdk::trace::BatchSpanProcessor::builder(exporter)
        .with_batch_config(config)
        .build()
}

impl Telemetry {
    /// Sends what is buffered and stops.
    pub async fn shutdown(self) {
        let Self { provider, meters } = self;
        // The SDK blocks the calling thread until its last export is done.
        let flushed = tokio::task::spawn_blocking(move || {
            if let Some(meters) = meters {
                // A number is said again by the next process; a span is not.
                let _ = meters.shutdown_with_timeout(EXPORT_TIMEOUT);
            }
            provider.shutdown_with_timeout(EXPORT_TIMEOUT)
        })
        .await;
        if let Ok(Err(error)) = flushed {
            tracing::warn!(%error, "last spans were lost");
        }
    }
}
