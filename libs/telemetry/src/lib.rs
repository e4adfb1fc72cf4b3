//! What a service says about itself: spans to OTLP, log lines to stderr, and the W3C context that ties a ride together.
//!
//! - [`init`] once per process, inside the runtime (a batch exporter built outside it loses every span silently)
//! - [`context`] the `traceparent` of a span, as text, in and out
//! - [`metrics`] counters, gauges and histograms; [`process`] those of the process itself
//! - `export` how all of it leaves: in batches, dropped and counted where nobody takes it
//! - [`log`] how a log line looks: for eyes on a terminal, JSON with trace ids elsewhere
//!
//! Does not: know any service, decide what is worth a span.

pub mod context;
mod export;
mod log;
pub mod metrics;
pub mod process;

use anyhow::Context as _;
use opentelemetry::trace::TracerProvider as _;
use opentelemetry_appender_tracing::layer::OpenTelemetryTracingBridge;
use opentelemetry_sdk::{
    Resource, logs::SdkLoggerProvider, metrics::SdkMeterProvider, trace::SdkTracerProvider,
};
use serde::{Deserialize, Serialize};
use tracing_subscriber::{
    EnvFilter, Layer as _, layer::SubscriberExt as _, util::SubscriberInitExt as _,
};

pub use context::{add_link, current_traceparent, set_parent, trace_id, traceparent_of};
pub use log::LogFormat;

/// Who carries log lines to the collector, and keeps his own to stderr.
const OWN_LINES: [&str; 5] = [
    "h2=off",
    "hyper=off",
    "tower=off",
    "tonic=off",
    "opentelemetry=off",
];

/// Where spans, metrics and log lines go.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TelemetryConfig {
    /// OTLP gRPC endpoint, such as `http://127.0.0.1:4317`. Without one no span and no number leaves the process.
    pub otlp_endpoint: Option<String>,
    /// Whether log lines go there, too, beside stderr.
    pub otlp_logs: bool,
    /// Which log lines are written, in `tracing` filter syntax.
    pub log: String,
    /// `auto` is text on a terminal and JSON elsewhere.
    pub log_format: LogFormat,
}

impl Default for TelemetryConfig {
    fn default() -> Self {
        Self {
            otlp_endpoint: None,
            otlp_logs: true,
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
    lines: Option<SdkLoggerProvider>,
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
    let endpoint = config.otlp_endpoint.as_deref();
    let meters = endpoint
        .map(|to| export::meters(to, &resource))
        .transpose()?;
    if let Some(meters) = &meters {
        metrics::install(meters.clone());
        process::observe(meters);
    }
    let provider = export::spans(endpoint, &resource)?;
    let lines = endpoint.filter(|_| config.otlp_logs);
    let lines = lines.map(|to| export::lines(to, &resource)).transpose()?;

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
        .with(log::layer(config.log_format).with_filter(filter.clone()))
        .with(lines.as_ref().map(|lines| {
            // Lines of what carries them would make more of them.
            let of_ours = OWN_LINES.iter().fold(filter, |filter, line| {
                filter.add_directive(line.parse().expect("a directive"))
            });
            OpenTelemetryTracingBridge::new(lines).with_filter(of_ours)
        }))
        .try_init()
        .context("install telemetry")?;
    Ok(Telemetry {
        provider,
        meters,
        lines,
    })
}

impl Telemetry {
    /// Sends what is buffered and stops.
    pub async fn shutdown(self) {
        let Self {
            provider,
            meters,
            lines,
        } = self;
        // The SDK blocks the calling thread until its last export is done.
        let flushed = tokio::task::spawn_blocking(move || {
            if let Some(meters) = meters {
                // A number is said again by the next process; a span is not.
                let _ = meters.shutdown_with_timeout(export::TIMEOUT);
            }
            if let Some(lines) = lines {
                // They were written to stderr, too.
                let _ = lines.shutdown_with_timeout(export::TIMEOUT);
            }
            provider.shutdown_with_timeout(export::TIMEOUT)
        })
        .await;
        if let Ok(Err(error)) = flushed {
            tracing::warn!(%error, "last spans were lost");
        }
    }
}
