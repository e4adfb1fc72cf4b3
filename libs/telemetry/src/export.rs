//! What leaves the process: spans, log lines and numbers, in batches, over OTLP.
//!
//! Invariants: nobody in the process waits for a collector; a queue that is full drops, and what is dropped is counted:
//! `otel.sdk.processor.span.processed` and `otel.sdk.processor.log.processed` (by the SDK, `error.type` `queue_full`) and
//! `otel.sdk.exporter.span.exported` and `otel.sdk.exporter.log.exported` (here, when a collector refused or was away).
//! Does not: try again (spans and lines are of the moment; numbers are said again in five seconds).

use std::time::Duration;

use anyhow::Context as _;
use opentelemetry::KeyValue;
use opentelemetry_otlp::WithExportConfig as _;
use opentelemetry_sdk::{
    Resource,
    error::OTelSdkResult,
    logs::{self, BatchLogProcessor, LogBatch, LogExporter, SdkLoggerProvider},
    metrics::{PeriodicReader, SdkMeterProvider},
    trace::{self, BatchSpanProcessor, SdkTracerProvider, SpanData, SpanExporter},
};

use crate::metrics::Counter;

/// Spans or log lines that may wait to be exported. The SDK keeps room for all of them from the start, about 400 bytes each.
const QUEUE: usize = 8_192;
/// How often spans and lines are exported: what a killed process loses.
const EXPORT_EVERY: Duration = Duration::from_millis(200);
/// How often metrics are exported.
const METRICS_EVERY: Duration = Duration::from_secs(5);
/// How long one export may take before it is given up.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(5);

static SPANS: Counter = Counter::new(
    "otel.sdk.exporter.span.exported",
    "{span}",
    "spans that were exported, or lost where error.type says why",
);
static LINES: Counter = Counter::new(
    "otel.sdk.exporter.log.exported",
    "{log_record}",
    "log lines that were exported, or lost where error.type says why",
);

macro_rules! exporter {
    ($kind:ident, $endpoint:expr) => {
        opentelemetry_otlp::$kind::builder()
            .with_tonic()
            .with_endpoint($endpoint)
            .with_timeout(TIMEOUT)
            .build()
            .with_context(|| format!("telemetry.otlp_endpoint {:?}", $endpoint))
    };
}

/// Numbers. Made before the others, which count what they drop.
pub fn meters(endpoint: &str, resource: &Resource) -> anyhow::Result<SdkMeterProvider> {
    let reader = PeriodicReader::builder(exporter!(MetricExporter, endpoint)?)
        .with_interval(METRICS_EVERY)
        .build();
    Ok(SdkMeterProvider::builder()
        .with_resource(resource.clone())
        .with_reader(reader)
        .build())
}

/// Spans; without an endpoint they have ids and go nowhere.
pub fn spans(endpoint: Option<&str>, resource: &Resource) -> anyhow::Result<SdkTracerProvider> {
    let provider = SdkTracerProvider::builder().with_resource(resource.clone());
    let Some(endpoint) = endpoint else {
        return Ok(provider.build());
    };
    let exporter = exporter!(SpanExporter, endpoint)?;
    Ok(provider
        .with_span_processor(span_processor(exporter))
        .build())
}

fn span_processor(exporter: impl SpanExporter + 'static) -> BatchSpanProcessor {
    let config = trace::BatchConfigBuilder::default()
        .with_max_queue_size(QUEUE)
        .with_max_export_batch_size(QUEUE / 8)
        .with_scheduled_delay(EXPORT_EVERY)
        .build();
    BatchSpanProcessor::builder(Counted(exporter))
        .with_batch_config(config)
        .build()
}

/// Log lines.
pub fn lines(endpoint: &str, resource: &Resource) -> anyhow::Result<SdkLoggerProvider> {
    let config = logs::BatchConfigBuilder::default()
        .with_max_queue_size(QUEUE)
        .with_max_export_batch_size(QUEUE / 8)
        .with_scheduled_delay(EXPORT_EVERY)
        .build();
    let processor = BatchLogProcessor::builder(Counted(exporter!(LogExporter, endpoint)?))
        .with_batch_config(config)
        .build();
    Ok(SdkLoggerProvider::builder()
        .with_resource(resource.clone())
        .with_log_processor(processor)
        .build())
}

/// Counts what was exported and what was not.
#[derive(Debug)]
struct Counted<E>(E);

fn count(counter: &Counter, many: usize, exported: &OTelSdkResult) {
    let why = KeyValue::new("error.type", "export_failed");
    let attributes = if exported.is_ok() { &[][..] } else { &[why] };
    counter.add(many as u64, attributes);
}

impl<E: SpanExporter> SpanExporter for Counted<E> {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        let many = batch.len();
        let exported = self.0.export(batch).await;
        count(&SPANS, many, &exported);
        exported
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.0.shutdown_with_timeout(timeout)
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.0.force_flush()
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.0.set_resource(resource);
    }
}

impl<E: LogExporter> LogExporter for Counted<E> {
    async fn export(&self, batch: LogBatch<'_>) -> OTelSdkResult {
        let many = batch.iter().count();
        let exported = self.0.export(batch).await;
        count(&LINES, many, &exported);
        exported
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.0.shutdown_with_timeout(timeout)
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.0.set_resource(resource);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use opentelemetry::trace::{Span as _, Tracer as _, TracerProvider as _};

    use super::*;

    /// A collector that is asked and never answers.
    #[derive(Debug)]
    struct Silent;

    impl SpanExporter for Silent {
        async fn export(&self, _: Vec<SpanData>) -> OTelSdkResult {
            std::thread::park_timeout(Duration::from_secs(60));
            Ok(())
        }
    }

    /// A collector that is away.
    #[derive(Debug)]
    struct Away;

    impl SpanExporter for Away {
        async fn export(&self, _: Vec<SpanData>) -> OTelSdkResult {
            Err(opentelemetry_sdk::error::OTelSdkError::InternalFailure(
                "away".to_owned(),
            ))
        }
    }

    fn provider(exporter: impl SpanExporter + 'static) -> SdkTracerProvider {
        SdkTracerProvider::builder()
            .with_span_processor(span_processor(exporter))
            .build()
    }

    fn end_spans(provider: &SdkTracerProvider, many: usize) {
        let tracer = provider.tracer("test");
        (0..many).for_each(|_| tracer.start("work").end());
    }

    #[test]
    fn with_a_silent_collector_nobody_waits_and_what_is_dropped_is_counted() {
        let measured = crate::metrics::in_memory();
        let provider = provider(Silent);
        let begun = Instant::now();
        end_spans(&provider, QUEUE * 3);
        assert!(begun.elapsed() < TIMEOUT, "ending a span waited");
        let full = [KeyValue::new("error.type", "queue_full")];
        let dropped = measured.value("otel.sdk.processor.span.processed", &full);
        // The batch that the collector has is not in the queue.
        let least = QUEUE * 2 - QUEUE / 8;
        assert!(dropped >= least as f64, "{dropped} of {least}");
    }

    #[test]
    fn what_a_collector_that_is_away_did_not_take_is_counted() {
        let measured = crate::metrics::in_memory();
        let provider = provider(Away);
        end_spans(&provider, 10);
        assert!(provider.force_flush().is_err());
        let lost = [KeyValue::new("error.type", "export_failed")];
        let lost = measured.value("otel.sdk.exporter.span.exported", &lost);
        assert_eq!(lost, 10.0);
    }
}
