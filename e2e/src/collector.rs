//! The spans of a city, to be asked about a trace: a real OTLP receiver that keeps every one it gets, or the city's Jaeger. Of
//! numbers and log lines the receiver keeps who says what.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use opentelemetry_proto::tonic::{
    collector::{
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
    },
    common::v1::any_value,
    resource::v1::Resource,
    trace::v1::span::SpanKind,
};
use parking_lot::Mutex;
use tonic::{Request, Response, Status};

/// One span, as far as scenarios ask.
#[derive(Debug, Clone)]
pub struct Span {
    /// Which service it is of.
    pub service: String,
    /// Its name.
    pub name: String,
    /// What it is: server, client, producer, consumer or internal.
    pub kind: SpanKind,
    /// Hexadecimal.
    pub id: String,
    /// Hexadecimal; empty for a root.
    pub parent: String,
    /// The spans it is linked to, hexadecimal.
    pub links: Vec<String>,
    /// Its attributes that are text.
    pub attributes: BTreeMap<String, String>,
}

type Traces = Arc<Mutex<BTreeMap<String, Vec<Span>>>>;
/// Services and what they say.
type Said = Arc<Mutex<BTreeSet<(String, String)>>>;

/// The collector.
#[derive(Debug, Clone)]
pub struct Collector {
    traces: Traces,
    numbers: Said,
    lines: Said,
    url: String,
}

impl Collector {
    /// Starts on a free port.
    pub async fn start() -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0")
            .await
            .expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("its address"));
        let collector = Self {
            traces: Traces::default(),
            numbers: Said::default(),
            lines: Said::default(),
            url,
        };
        let max = 64 << 20;
        let spans = TraceServiceServer::new(collector.clone()).max_decoding_message_size(max);
        let numbers = MetricsServiceServer::new(collector.clone()).max_decoding_message_size(max);
        let lines = LogsServiceServer::new(collector.clone()).max_decoding_message_size(max);
        let incoming = tokio_stream::wrappers::TcpListenerStream::new(listener);
        let serving = tonic::transport::Server::builder()
            .add_service(spans)
            .add_service(numbers)
            .add_service(lines)
            .serve_with_incoming(incoming);
        #[expect(clippy::disallowed_methods, reason = "a test's own task")]
        tokio::spawn(serving);
        collector
    }

    /// Names of the metrics of each service so far: service and metric.
    pub fn numbers(&self) -> BTreeSet<(String, String)> {
        self.numbers.lock().clone()
    }

    /// Whose log lines belong to which traces: service and trace id, hexadecimal, empty for a line of no trace.
    pub fn lines(&self) -> BTreeSet<(String, String)> {
        self.lines.lock().clone()
    }

    /// Where spans are to be sent.
    pub fn url(&self) -> String {
        self.url.clone()
    }
}

/// Where the spans of a city are.
#[derive(Debug, Clone)]
pub enum Spans {
    /// Here: it sends them to us.
    Own(Collector),
    /// In the Jaeger of this address.
    Jaeger(String),
    /// Nobody knows.
    None,
}

/// What a span that is of a trip says it is of.
const OF_TRIP: &str = "hexcab.trip.id";

impl Spans {
    /// The collector of a city that sends to us.
    pub fn own(&self) -> Option<&Collector> {
        match self {
            Self::Own(collector) => Some(collector),
            Self::Jaeger(_) | Self::None => None,
        }
    }

    /// Every trace with a span that says it is of this trip, by its id: one, that of the ride.
    pub async fn of_trip(&self, trip: &str) -> Vec<(String, Vec<Span>)> {
        let is_of = |span: &Span| {
            let said = span.attributes.get(OF_TRIP);
            said.is_some_and(|id| id.ends_with(trip))
        };
        match self {
            Self::Own(collector) => {
                let traces = collector.traces.lock();
                let found = traces.iter().filter(|(_, spans)| spans.iter().any(is_of));
                found
                    .map(|(id, spans)| (id.clone(), spans.clone()))
                    .collect()
            }
            Self::Jaeger(jaeger) => crate::jaeger::with_tag(jaeger, OF_TRIP, trip).await,
            Self::None => Vec::new(),
        }
    }

    /// The spans of a trace so far.
    pub async fn trace(&self, id: &str) -> Trace {
        Trace(match self {
            Self::Own(collector) => collector.traces.lock().get(id).cloned().unwrap_or_default(),
            Self::Jaeger(jaeger) => crate::jaeger::trace(jaeger, id).await,
            Self::None => Vec::new(),
        })
    }
}

/// The spans of one trace.
#[derive(Debug, Clone)]
pub struct Trace(pub Vec<Span>);

impl Trace {
    /// The span with this id.
    pub fn get(&self, id: &str) -> Option<&Span> {
        self.0.iter().find(|span| span.id == id)
    }

    /// The spans of a service whose name contains this.
    pub fn named<'a>(&'a self, service: &'a str, name: &'a str) -> impl Iterator<Item = &'a Span> {
        self.0
            .iter()
            .filter(move |span| span.service == service && span.name.contains(name))
    }

    /// Spans whose parent is not in the trace: one in a whole trace, the root.
    pub fn roots(&self) -> Vec<&Span> {
        self.0
            .iter()
            .filter(|span| self.get(&span.parent).is_none())
            .collect()
    }

    /// From the span up to the root: `service name`, nearest first.
    pub fn ancestry(&self, span: &Span) -> Vec<String> {
        let mut line = vec![format!("{} {}", span.service, span.name)];
        let mut at = span;
        while let Some(parent) = self.get(&at.parent) {
            line.push(format!("{} {}", parent.service, parent.name));
            at = parent;
        }
        line
    }
}

#[tonic::async_trait]
impl TraceService for Collector {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        let mut traces = self.traces.lock();
        for resource in request.into_inner().resource_spans {
            let service = service(resource.resource);
            for span in resource
                .scope_spans
                .into_iter()
                .flat_map(|scope| scope.spans)
            {
                traces.entry(hex(&span.trace_id)).or_default().push(Span {
                    service: service.clone(),
                    kind: span.kind(),
                    id: hex(&span.span_id),
                    parent: hex(&span.parent_span_id),
                    links: span.links.iter().map(|link| hex(&link.span_id)).collect(),
                    name: span.name,
                    attributes: text_attributes(span.attributes),
                });
            }
        }
        Ok(Response::new(ExportTraceServiceResponse {
            partial_success: None,
        }))
    }
}

#[tonic::async_trait]
impl MetricsService for Collector {
    async fn export(
        &self,
        request: Request<ExportMetricsServiceRequest>,
    ) -> Result<Response<ExportMetricsServiceResponse>, Status> {
        let mut numbers = self.numbers.lock();
        for resource in request.into_inner().resource_metrics {
            let service = service(resource.resource);
            let metrics = resource
                .scope_metrics
                .into_iter()
                .flat_map(|scope| scope.metrics);
            numbers.extend(metrics.map(|metric| (service.clone(), metric.name)));
        }
        Ok(Response::new(ExportMetricsServiceResponse::default()))
    }
}

#[tonic::async_trait]
impl LogsService for Collector {
    async fn export(
        &self,
        request: Request<ExportLogsServiceRequest>,
    ) -> Result<Response<ExportLogsServiceResponse>, Status> {
        let mut lines = self.lines.lock();
        for resource in request.into_inner().resource_logs {
            let service = service(resource.resource);
            let records = resource
                .scope_logs
                .into_iter()
                .flat_map(|scope| scope.log_records);
            lines.extend(records.map(|record| (service.clone(), hex(&record.trace_id))));
        }
        Ok(Response::new(ExportLogsServiceResponse::default()))
    }
}

/// Whose it is.
fn service(resource: Option<Resource>) -> String {
    let attributes = resource.map(|resource| text_attributes(resource.attributes));
    attributes
        .and_then(|mut attributes| attributes.remove("service.name"))
        .unwrap_or_default()
}

fn text_attributes(
    all: Vec<opentelemetry_proto::tonic::common::v1::KeyValue>,
) -> BTreeMap<String, String> {
    let text = |value| {
        if let any_value::Value::StringValue(text) = value {
            Some(text)
        } else {
            None
        }
    };
    all.into_iter()
        .filter_map(|pair| Some((pair.key, text(pair.value?.value?)?)))
        .collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
