//! Takes the services' spans, metrics and log lines (OTLP over gRPC), tallies them, and passes them on to a collector if there
//! is one.
//!
//! Invariants: services are answered at once; what a slow or missing collector does not take in time is dropped and
//! counted, never waited for. Does not: keep spans.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use anyhow::Context as _;
use hexcab_chassis::Tasks;
use opentelemetry_proto::tonic::{
    collector::{
        logs::v1::{
            ExportLogsServiceRequest, ExportLogsServiceResponse,
            logs_service_client::LogsServiceClient,
            logs_service_server::{LogsService, LogsServiceServer},
        },
        metrics::v1::{
            ExportMetricsServiceRequest, metrics_service_client::MetricsServiceClient,
            metrics_service_server::MetricsServiceServer,
        },
        trace::v1::{
            ExportTraceServiceRequest, ExportTraceServiceResponse,
            trace_service_client::TraceServiceClient,
            trace_service_server::{TraceService, TraceServiceServer},
        },
    },
    common::v1::{KeyValue, any_value::Value},
    trace::v1::{ResourceSpans, Span},
};
use parking_lot::Mutex;
use tokio::sync::mpsc;
use tonic::{
    Request, Response, Status,
    transport::{Channel, Endpoint},
};

use super::meters::Meters;
use crate::tally::{Seen, Tally};

/// The largest batch of spans.
const MAX_MESSAGE_BYTES: usize = 16 << 20;
/// Batches that wait for the collector.
const FORWARD_QUEUE: usize = 256;
/// How long the collector may take for one.
const FORWARD_TIMEOUT: Duration = Duration::from_secs(5);

/// Where spans go. Clones share the tally.
#[derive(Debug, Clone)]
pub struct Receiver {
    tally: Arc<Mutex<Tally>>,
    meters: Meters,
    forward: Option<mpsc::Sender<ExportTraceServiceRequest>>,
    lines: Option<mpsc::Sender<ExportLogsServiceRequest>>,
    dropped: Arc<AtomicU64>,
}

impl Receiver {
    /// Listens on loopback; `collector` gets everything too.
    ///
    /// # Errors
    /// When the port is taken or the collector's address is none.
    pub async fn start(port: u16, collector: Option<&str>, tasks: &Tasks) -> anyhow::Result<Self> {
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        let listener = tokio::net::TcpListener::bind(address)
            .await
            .with_context(|| format!("bind {address}"))?;
        let collector = collector
            .map(|url| Collector::new(url, tasks))
            .transpose()?;
        let receiver = Self {
            tally: Arc::default(),
            meters: Meters::new(collector.as_ref().map(Collector::numbers)),
            forward: collector.as_ref().map(Collector::spans),
            lines: collector.as_ref().map(Collector::lines),
            dropped: Arc::default(),
        };
        let spans =
            TraceServiceServer::new(receiver.clone()).max_decoding_message_size(MAX_MESSAGE_BYTES);
        let lines =
            LogsServiceServer::new(receiver.clone()).max_decoding_message_size(MAX_MESSAGE_BYTES);
        let metrics = MetricsServiceServer::new(receiver.meters.clone())
            .max_decoding_message_size(MAX_MESSAGE_BYTES);
        let stop = tasks.shutdown();
        tasks.spawn("receiver", async move {
            tonic::transport::Server::builder()
                .add_service(spans)
                .add_service(lines)
                .add_service(metrics)
                .serve_with_incoming_shutdown(
                    tonic::transport::server::TcpIncoming::from(listener).with_nodelay(Some(true)),
                    stop.cancelled_owned(),
                )
                .await
                .context("receive spans, metrics and log lines")
        });
        Ok(receiver)
    }

    /// What was seen so far.
    pub fn tally(&self) -> Arc<Mutex<Tally>> {
        self.tally.clone()
    }

    /// What services say about themselves in numbers.
    pub fn meters(&self) -> &Meters {
        &self.meters
    }

    /// Batches that the collector did not take.
    pub fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }
}

#[tonic::async_trait]
impl TraceService for Receiver {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        let batch = request.into_inner();
        {
            let mut tally = self.tally.lock();
            batch
                .resource_spans
                .iter()
                .for_each(|spans| record(&mut tally, spans));
        }
        if let Some(forward) = &self.forward
            && forward.try_send(batch).is_err()
        {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
        Ok(Response::new(ExportTraceServiceResponse::default()))
    }
}

#[tonic::async_trait]
impl LogsService for Receiver {
    async fn export(
        &self,
        request: Request<ExportLogsServiceRequest>,
    ) -> Result<Response<ExportLogsServiceResponse>, Status> {
        if let Some(lines) = &self.lines {
            // Full: they stand in the services' log files.
            let _full = lines.try_send(request.into_inner());
        }
        Ok(Response::new(ExportLogsServiceResponse::default()))
    }
}

/// The collector that everything is passed on to, as far as it takes it in time.
struct Collector<'a> {
    url: &'a str,
    channel: Channel,
    tasks: &'a Tasks,
}

impl<'a> Collector<'a> {
    fn new(url: &'a str, tasks: &'a Tasks) -> anyhow::Result<Self> {
        let endpoint =
            Endpoint::from_shared(url.to_owned()).with_context(|| format!("--otlp {url}"))?;
        let channel = endpoint.timeout(FORWARD_TIMEOUT).connect_lazy();
        Ok(Self {
            url,
            channel,
            tasks,
        })
    }

    fn spans(&self) -> mpsc::Sender<ExportTraceServiceRequest> {
        let (client, url) = (
            TraceServiceClient::new(self.channel.clone()),
            self.url.to_owned(),
        );
        let told = Arc::new(AtomicBool::new(false));
        self.forward("forward.spans", move |batch| {
            let (mut client, url, told) = (client.clone(), url.clone(), told.clone());
            async move {
                let sent = client.export(batch).await.map(drop);
                if let Err(status) = &sent
                    && !told.swap(true, Ordering::Relaxed)
                {
                    crate::say::warn(format_args!(
                        "the collector at {url} does not take spans: {}",
                        status.message()
                    ));
                }
                sent
            }
        })
    }

    // That the collector is away is said for the spans; the next batch has newer numbers, and lines stand in files.

    fn numbers(&self) -> mpsc::Sender<ExportMetricsServiceRequest> {
        let client = MetricsServiceClient::new(self.channel.clone());
        self.forward("forward.metrics", move |batch| {
            let mut client = client.clone();
            async move { client.export(batch).await.map(drop) }
        })
    }

    fn lines(&self) -> mpsc::Sender<ExportLogsServiceRequest> {
        let client = LogsServiceClient::new(self.channel.clone());
        self.forward("forward.lines", move |batch| {
            let mut client = client.clone();
            async move { client.export(batch).await.map(drop) }
        })
    }

    /// A queue whose batches are sent one after the other; what waits when everything stops is sent, too.
    fn forward<T, Sent>(
        &self,
        name: &'static str,
        mut send: impl FnMut(T) -> Sent + Send + 'static,
    ) -> mpsc::Sender<T>
    where
        T: Send + 'static,
        Sent: Future<Output = Result<(), Status>> + Send,
    {
        let (sender, mut queue) = mpsc::channel(FORWARD_QUEUE);
        let stop = self.tasks.shutdown();
        self.tasks.spawn(name, async move {
            loop {
                let batch = tokio::select! {
                    batch = queue.recv() => batch,
                    () = stop.cancelled() => queue.try_recv().ok(),
                };
                let Some(batch) = batch else { return Ok(()) };
                let _refused = send(batch).await;
            }
        });
        sender
    }
}

fn record(tally: &mut Tally, spans: &ResourceSpans) {
    let attributes = spans
        .resource
        .as_ref()
        .map_or(&[][..], |resource| &resource.attributes);
    let service = text(attributes, "service.name").unwrap_or("unknown");
    for span in spans.scope_spans.iter().flat_map(|scope| &scope.spans) {
        let (Some(trace), Some(id)) = (trace_id(&span.trace_id), span_id(&span.span_id)) else {
            continue;
        };
        let parent = span_id(&span.parent_span_id);
        tally.record(&Seen {
            trace,
            span: id,
            parent,
            service,
            trip: text(&span.attributes, "hexcab.trip.id"),
            quote: parent.is_none() && is_quote(span),
        });
    }
}

fn is_quote(span: &Span) -> bool {
    span.name == "POST /v1/quotes"
        || (text(&span.attributes, "http.route") == Some("/v1/quotes")
            && text(&span.attributes, "http.request.method") == Some("POST"))
}

fn text<'a>(attributes: &'a [KeyValue], key: &str) -> Option<&'a str> {
    let value = attributes
        .iter()
        .find(|attribute| attribute.key == key)?
        .value
        .as_ref()?;
    if let Some(Value::StringValue(text)) = &value.value {
        Some(text)
    } else {
        None
    }
}

fn trace_id(bytes: &[u8]) -> Option<u128> {
    bytes
        .try_into()
        .ok()
        .map(u128::from_be_bytes)
        .filter(|id| *id != 0)
}

fn span_id(bytes: &[u8]) -> Option<u64> {
    bytes
        .try_into()
        .ok()
        .map(u64::from_be_bytes)
        .filter(|id| *id != 0)
}
