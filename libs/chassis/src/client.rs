//! A channel to a peer that passes on what must travel: the trace, the deadline, the service token.
//!
//! Connects when first used and again whenever the peer comes back. A connection that cannot be made, or breaks before
//! the answer is whole, is UNAVAILABLE with DEPENDENCY_UNAVAILABLE, whatever the transport calls it. Does not retry:
//! that is the gateway's and the consumers' business.

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use anyhow::Context as _;
use http::{HeaderValue, Request, Response, header::AUTHORIZATION};
use http_body_util::BodyExt as _;
use serde::{Deserialize, Serialize};
use tonic::{Code, Status, TimeoutExpired, body::Body, transport::Endpoint};
use tower::Service;
use tracing::{Instrument as _, Span, field::Empty};

use crate::{Secret, deadline, server::code_name, status};

/// How a service calls its peers.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ClientConfig {
    /// The longest a call may take, milliseconds; 0 for streams that stay open.
    pub timeout_ms: u64,
    /// Sent as `authorization: Bearer …` when set.
    pub service_token: Option<Secret>,
}

impl Default for ClientConfig {
    fn default() -> Self {
        Self {
            timeout_ms: 2_000,
            service_token: None,
        }
    }
}

impl ClientConfig {
    /// The same with another timeout.
    pub fn with_timeout(&self, timeout: Duration) -> Self {
        Self {
            timeout_ms: timeout.as_millis() as u64,
            ..self.clone()
        }
    }
}

/// A channel to one peer; clones share its connection.
#[derive(Debug, Clone)]
pub struct Channel {
    inner: tonic::transport::Channel,
    timeout: Option<Duration>,
    authorization: Option<HeaderValue>,
}

/// A channel to `endpoint`, such as `http://127.0.0.1:50051`. Must be called inside the runtime.
///
/// # Errors
/// When the endpoint or the token cannot be written in a header.
pub fn channel(endpoint: &str, config: &ClientConfig) -> anyhow::Result<Channel> {
    let inner = Endpoint::from_shared(endpoint.to_owned())
        .with_context(|| format!("peer endpoint {endpoint:?}"))?
        .connect_timeout(Duration::from_secs(2))
        .http2_keep_alive_interval(Duration::from_secs(30))
        .keep_alive_timeout(Duration::from_secs(10))
        .tcp_nodelay(true)
        .connect_lazy();
    let authorization = match &config.service_token {
        Some(token) if !token.is_empty() => {
            let mut value = HeaderValue::from_str(&format!("Bearer {}", token.expose()))
                .context("service token")?;
            value.set_sensitive(true);
            Some(value)
        }
        Some(_) | None => None,
    };
    let timeout = (config.timeout_ms > 0).then(|| Duration::from_millis(config.timeout_ms));
    Ok(Channel {
        inner,
        timeout,
        authorization,
    })
}

impl Service<Request<Body>> for Channel {
    type Response = Response<Body>;
    type Error = tonic::transport::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, Self::Error>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<Body>) -> Self::Future {
        let spare = self.inner.clone();
        let mut inner = std::mem::replace(&mut self.inner, spare);
        let span = span(&request);
        if let Some(value) = &self.authorization {
            request
                .headers_mut()
                .entry(AUTHORIZATION)
                .or_insert_with(|| value.clone());
        }
        if let Some(value) = hexcab_telemetry::traceparent_of(&span)
            .and_then(|text| HeaderValue::from_str(&text).ok())
        {
            request.headers_mut().insert("traceparent", value);
        }
        let left = match (
            self.timeout,
            self.timeout.and_then(|_| deadline::remaining()),
        ) {
            (Some(own), Some(inherited)) => Some(own.min(inherited)),
            (own, _) => own,
        };
        if let Some(value) =
            left.and_then(|left| HeaderValue::from_str(&deadline::format_grpc_timeout(left)).ok())
        {
            request.headers_mut().entry("grpc-timeout").or_insert(value);
        }
        let recorded = span.clone();
        let peer = peer(&request);
        Box::pin(
            async move {
                let answer = async {
                    match inner.call(request).await {
                        Ok(response) => until_broken(response, peer.clone()),
                        Err(error) => failed(&peer, &error).into_http(),
                    }
                };
                let response = match left {
                    None => answer.await,
                    Some(left) => tokio::time::timeout(left, answer)
                        .await
                        .unwrap_or_else(|_| too_late(&peer).into_http()),
                };
                let code = Status::from_header_map(response.headers())
                    .map_or(Code::Ok, |status| status.code());
                recorded.record("rpc.response.status_code", code_name(code));
                Ok(response)
            }
            .instrument(span),
        )
    }
}

/// The domain of errors about the called service: `trip.hexcab` for `/hexcab.trip.v1.TripService/…`.
fn peer(request: &Request<Body>) -> String {
    let path = request.uri().path();
    format!("{}.hexcab", path.split('.').nth(1).unwrap_or("peer"))
}

/// The connection could not be made or broke while the call was on its way, or the call's own time ran out, which tonic
/// watches too. The cause goes to the log only: it names addresses.
fn failed(peer: &str, error: &(dyn std::error::Error + 'static)) -> Status {
    let causes = std::iter::successors(Some(error), |error| error.source());
    if causes.clone().any(|cause| cause.is::<TimeoutExpired>()) {
        return too_late(peer);
    }
    let text: Vec<String> = causes.map(ToString::to_string).collect();
    tracing::debug!(peer, error = text.join(": "), "the connection broke");
    status::unavailable(peer, "the connection broke before the answer came")
}

/// The same answer; when the connection breaks in the middle of its body, that says so too. What the peer itself
/// answers comes in trailers and stays as it is.
fn until_broken(response: Response<Body>, peer: String) -> Response<Body> {
    response.map(|body| Body::new(body.map_err(move |error| failed(&peer, &error))))
}

fn too_late(peer: &str) -> Status {
    let message = "no answer within the time the call had";
    status::error(Code::DeadlineExceeded, "DEADLINE_EXCEEDED", peer, message)
}

/// A client span in the current trace; calls made outside of any span are not traced.
fn span(request: &Request<Body>) -> Span {
    if Span::current().is_none() {
        return Span::none();
    }
    let path = request.uri().path().trim_start_matches('/');
    tracing::info_span!(
        "rpc.client",
        otel.name = path,
        otel.kind = "client",
        rpc.system.name = "grpc",
        rpc.method = path,
        rpc.response.status_code = Empty,
    )
}

#[cfg(test)]
mod tests {
    use std::{
        io::{Read, Write},
        net::{TcpListener, TcpStream},
    };

    use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};

    use super::*;

    /// An empty SETTINGS frame.
    const SETTINGS: [u8; 9] = [0, 0, 0, 4, 0, 0, 0, 0, 0];
    /// A HEADERS frame on stream 1 that says `:status: 200` and leaves the stream open.
    const OK_SO_FAR: [u8; 10] = [0, 0, 1, 1, 4, 0, 0, 0, 1, 0x88];

    #[tokio::test]
    async fn a_connection_that_is_dropped_at_once_is_unavailable() {
        is_unavailable(&call(drop).await);
    }

    #[tokio::test]
    async fn a_connection_that_breaks_while_the_call_is_in_flight_is_unavailable() {
        is_unavailable(&call(|mut connection| read_call(&mut connection)).await);
    }

    #[tokio::test]
    async fn a_connection_that_breaks_within_the_answer_is_unavailable() {
        let status = call(|mut connection| {
            read_call(&mut connection);
            connection.write_all(&OK_SO_FAR).unwrap();
        });
        is_unavailable(&status.await);
    }

    #[tokio::test]
    async fn a_peer_that_is_not_there_is_unavailable() {
        let gone = TcpListener::bind("127.0.0.1:0").unwrap();
        let addr = gone.local_addr().unwrap();
        drop(gone);
        is_unavailable(&check(&format!("http://{addr}"), Duration::from_secs(10)).await);
    }

    #[tokio::test]
    async fn a_late_answer_says_why() {
        let silent = TcpListener::bind("127.0.0.1:0").unwrap();
        let endpoint = format!("http://{}", silent.local_addr().unwrap());
        let status = check(&endpoint, Duration::from_millis(50)).await;
        assert_eq!(status.code(), Code::DeadlineExceeded);
        assert_eq!(
            status::reason(&status).as_deref(),
            Some("DEADLINE_EXCEEDED")
        );
    }

    fn is_unavailable(status: &Status) {
        assert_eq!(status.code(), Code::Unavailable, "{status:?}");
        let reason = status::reason(status);
        assert_eq!(reason.as_deref(), Some("DEPENDENCY_UNAVAILABLE"));
    }

    /// What a call gets from a server that does this with every connection and then drops it.
    async fn call(serve: impl Fn(TcpStream) + Send + 'static) -> Status {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        std::thread::spawn(move || listener.incoming().flatten().for_each(serve));
        check(&endpoint, Duration::from_secs(10)).await
    }

    async fn check(endpoint: &str, timeout: Duration) -> Status {
        let config = ClientConfig::default().with_timeout(timeout);
        let mut client = HealthClient::new(channel(endpoint, &config).unwrap());
        let answer = client.check(HealthCheckRequest::default()).await;
        answer.expect_err("nobody answers")
    }

    /// Shakes hands and reads until the call's HEADERS frame has come.
    fn read_call(connection: &mut TcpStream) {
        connection.write_all(&SETTINGS).unwrap();
        connection.read_exact(&mut [0; 24]).unwrap();
        loop {
            let mut head = [0; 9];
            connection.read_exact(&mut head).unwrap();
            let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
            let mut payload = vec![0; length as usize];
            connection.read_exact(&mut payload).unwrap();
            if head[3] == 1 {
                return;
            }
        }
    }
}
