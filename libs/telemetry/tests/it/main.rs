//! What a process sends to a collector that listens.

#![allow(clippy::unwrap_used, reason = "a test says so by panicking")]

use std::sync::Arc;

use hexcab_telemetry::{TelemetryConfig, metrics::Counter, process};
use opentelemetry_proto::tonic::collector::{
    logs::v1::{
        ExportLogsServiceRequest, ExportLogsServiceResponse,
        logs_service_server::{LogsService, LogsServiceServer},
    },
    metrics::v1::{
        ExportMetricsServiceRequest, ExportMetricsServiceResponse,
        metrics_service_server::{MetricsService, MetricsServiceServer},
    },
    trace::v1::{
        ExportTraceServiceRequest, ExportTraceServiceResponse,
        trace_service_server::{TraceService, TraceServiceServer},
    },
};
use parking_lot::Mutex;
use tonic::{Request, Response, Status, async_trait, transport::server::TcpIncoming};
use tracing::Instrument as _;

/// Keeps what it is sent. Clones share it.
#[derive(Default, Clone)]
struct Collector {
    spans: Arc<Mutex<Vec<ExportTraceServiceRequest>>>,
    lines: Arc<Mutex<Vec<ExportLogsServiceRequest>>>,
    numbers: Arc<Mutex<Vec<ExportMetricsServiceRequest>>>,
}

#[async_trait]
impl TraceService for Collector {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        self.spans.lock().push(request.into_inner());
        Ok(Response::new(Default::default()))
    }
}

#[async_trait]
impl LogsService for Collector {
    async fn export(
        &self,
        request: Request<ExportLogsServiceRequest>,
    ) -> Result<Response<ExportLogsServiceResponse>, Status> {
        self.lines.lock().push(request.into_inner());
        Ok(Response::new(Default::default()))
    }
}

#[async_trait]
impl MetricsService for Collector {
    async fn export(
        &self,
        request: Request<ExportMetricsServiceRequest>,
    ) -> Result<Response<ExportMetricsServiceResponse>, Status> {
        self.numbers.lock().push(request.into_inner());
        Ok(Response::new(Default::default()))
    }
}

impl Collector {
    /// Listens; its address.
    async fn start(&self) -> String {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let server = tonic::transport::Server::builder()
            .add_service(TraceServiceServer::new(self.clone()))
            .add_service(LogsServiceServer::new(self.clone()))
            .add_service(MetricsServiceServer::new(self.clone()));
        #[expect(clippy::disallowed_methods, reason = "it ends with the test")]
        tokio::spawn(server.serve_with_incoming(TcpIncoming::from(listener)));
        format!("http://{address}")
    }

    /// Trace id and text of every log line.
    fn lines(&self) -> Vec<(Vec<u8>, String)> {
        let requests = self.lines.lock();
        let records = requests
            .iter()
            .flat_map(|request| &request.resource_logs)
            .flat_map(|resource| &resource.scope_logs)
            .flat_map(|scope| &scope.log_records);
        records
            .map(|record| (record.trace_id.clone(), format!("{:?}", record.body)))
            .collect()
    }

    /// Trace id and name of every span.
    fn spans(&self) -> Vec<(Vec<u8>, String)> {
        let requests = self.spans.lock();
        let spans = requests
            .iter()
            .flat_map(|request| &request.resource_spans)
            .flat_map(|resource| &resource.scope_spans)
            .flat_map(|scope| &scope.spans);
        spans
            .map(|span| (span.trace_id.clone(), span.name.clone()))
            .collect()
    }

    /// Names of all metrics.
    fn numbers(&self) -> Vec<String> {
        let requests = self.numbers.lock();
        let metrics = requests
            .iter()
            .flat_map(|request| &request.resource_metrics)
            .flat_map(|resource| &resource.scope_metrics)
            .flat_map(|scope| &scope.metrics);
        metrics.map(|metric| metric.name.clone()).collect()
    }
}

static TRIES: Counter = Counter::new("test.tries", "{try}", "tries of this test");

#[tokio::test(flavor = "multi_thread")]
async fn spans_lines_of_their_trace_and_numbers_reach_the_collector_by_the_end() {
    let collector = Collector::default();
    let config = TelemetryConfig {
        otlp_endpoint: Some(collector.start().await),
        ..TelemetryConfig::default()
    };
    let telemetry = hexcab_telemetry::init("test", &config).unwrap();
    async { tracing::info!("the work is done") }
        .instrument(tracing::info_span!("work"))
        .await;
    TRIES.add(1, &[]);
    telemetry.shutdown().await;

    let spans = collector.spans();
    let [(trace, name)] = &spans[..] else {
        panic!("{spans:?}")
    };
    assert_eq!(name, "work");
    let lines = collector.lines();
    let of_ours = lines
        .iter()
        .find(|(_, text)| text.contains("the work is done"));
    assert_eq!(&of_ours.unwrap().0, trace, "{lines:?}");
    assert_eq!(
        lines.len(),
        1,
        "what carries lines has none of its own: {lines:?}"
    );
    let numbers = collector.numbers();
    let wanted = process::LISTED.map(|(name, _, _)| name);
    for name in ["test.tries"].into_iter().chain(wanted) {
        assert!(
            numbers.iter().any(|said| said == name),
            "{name} in {numbers:?}"
        );
    }
}
