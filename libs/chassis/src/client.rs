//! A channel to a peer that passes on what must travel: the trace, the deadline, the service token.
//!
//! Connects when first used and again whenever the peer comes back. Does not retry: that is the gateway's and the
//! consumers' business.

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use anyhow::Context as _;
use http::{HeaderValue, Request, Response, header::AUTHORIZATION};
use serde::{Deserialize, Serialize};
use tonic::{Status, body::Body, transport::Endpoint};
use tower::Service;
use tracing::{Instrument as _, Span, field::Empty};

use crate::{Secret, deadline, server::code_name};

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
        Box::pin(
            async move {
                let response = match left {
                    None => inner.call(request).await?,
                    Some(left) => match tokio::time::timeout(left, inner.call(request)).await {
                        Ok(answered) => answered?,
                        Err(_) => Status::deadline_exceeded(format!("no answer within {left:?}"))
                            .into_http(),
                    },
                };
                let code = Status::from_header_map(response.headers())
                    .map_or(tonic::Code::Ok, |status| status.code());
                recorded.record("rpc.response.status_code", code_name(code));
                Ok(response)
            }
            .instrument(span),
        )
    }
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
