//! The processor over HTTP: form-encoded requests, Stripe's JSON answers, one client span per request.
//!
//! - [`calls`] which request each call of the port is
//! - [`failure`] what an answer that is no success means
//!
//! Invariants: every mutation carries its `Idempotency-Key`; whatever is not a clear answer is [`Failure::Unanswered`];
//! the secret key leaves this module in the `Authorization` header only, and a live one over TLS only.

use std::time::Duration;

use anyhow::{Context as _, bail};
use hexcab_chassis::Secret;
use reqwest::{Client, Method, Url, redirect};
use serde::de::DeserializeOwned;
use tracing::{Instrument as _, Span, field::Empty};

use super::Failure;
use crate::config::ProcessorConfig;

mod calls;
mod failure;

/// Idle connections kept to the processor.
const IDLE_CONNECTIONS: usize = 16;
/// Secret keys that move real money begin so at Stripe.
const LIVE_KEYS: [&str; 2] = ["sk_live_", "rk_live_"];
/// Says that an answer is an earlier one, told again.
const REPLAYED: &str = "idempotent-replayed";
/// The id of a request, for the processor's support.
const REQUEST_ID: &str = "request-id";

/// A processor that speaks Stripe's HTTP API.
#[derive(Debug)]
pub struct HttpProcessor {
    client: Client,
    base: Url,
    api_key: Secret,
    api_version: String,
    payment_method: String,
}

/// The fields of a request: the form of a POST, the query of a GET.
type Fields = Vec<(&'static str, String)>;

/// One request about to be sent.
#[derive(Debug)]
struct Call<'a> {
    method: Method,
    path: String,
    /// The path with `{id}`, for span names.
    route: &'static str,
    key: Option<&'a str>,
    fields: &'a Fields,
}

impl HttpProcessor {
    /// A client; nothing is connected yet.
    ///
    /// # Errors
    /// When the URL cannot be read, or a live key would travel in the clear.
    pub fn new(config: &ProcessorConfig) -> anyhow::Result<Self> {
        let base =
            Url::parse(&config.url).with_context(|| format!("processor.url {:?}", config.url))?;
        let live = LIVE_KEYS
            .iter()
            .any(|prefix| config.api_key.expose().starts_with(prefix));
        if live && base.scheme() != "https" {
            bail!(
                "processor.url {:?} is not https, and processor.api_key is a live one",
                config.url
            );
        }
        let client = Client::builder()
            .timeout(Duration::from_millis(config.timeout_ms))
            .pool_max_idle_per_host(IDLE_CONNECTIONS)
            .redirect(redirect::Policy::none())
            .no_proxy()
            .build()
            .context("build the processor's client")?;
        Ok(Self {
            client,
            base,
            api_key: config.api_key.clone(),
            api_version: config.api_version.clone(),
            payment_method: config.payment_method.clone(),
        })
    }

    async fn send<T: DeserializeOwned>(&self, call: Call<'_>) -> Result<T, Failure> {
        let span = self.span(&call);
        let answer = self.exchange(call, &span).instrument(span.clone()).await;
        if let Err(failure) = &answer {
            span.record("error.type", failure::error_type(failure));
            span.record("otel.status_code", "ERROR");
        }
        answer
    }

    async fn exchange<T: DeserializeOwned>(
        &self,
        call: Call<'_>,
        span: &Span,
    ) -> Result<T, Failure> {
        let url = self
            .base
            .join(&call.path)
            .map_err(|error| Failure::Rejected(error.to_string()))?;
        let get = call.method == Method::GET;
        let mut request = self
            .client
            .request(call.method, url)
            .bearer_auth(self.api_key.expose())
            .header("Stripe-Version", &self.api_version);
        if let Some(key) = call.key {
            request = request.header("Idempotency-Key", key);
        }
        if let Some(traceparent) = hexcab_telemetry::traceparent_of(span) {
            request = request.header("traceparent", traceparent);
        }
        let request = if get {
            request.query(call.fields)
        } else {
            request.form(call.fields)
        };
        let response = request.send().await.map_err(failure::unanswered)?;
        let status = response.status();
        span.record("http.response.status_code", status.as_u16());
        let header = |name: &str| {
            let value = response.headers().get(name)?.to_str().ok()?;
            Some(value.to_owned())
        };
        let (replayed, id) = (
            header(REPLAYED).is_some_and(|value| value == "true"),
            header(REQUEST_ID),
        );
        let body = response.bytes().await.map_err(failure::unanswered)?;
        if status.is_success() {
            return serde_json::from_slice(&body)
                .map_err(|error| Failure::Unanswered(format!("unreadable answer: {error}")));
        }
        let body = self.scrub(&body);
        Err(failure::read(status, replayed, id.as_deref(), &body))
    }

    /// An error's body without the secret key, should somebody on the way be so talkative.
    fn scrub(&self, body: &[u8]) -> String {
        let text = String::from_utf8_lossy(body);
        if self.api_key.is_empty() {
            text.into_owned()
        } else {
            text.replace(self.api_key.expose(), "***")
        }
    }

    fn span(&self, call: &Call<'_>) -> Span {
        tracing::info_span!(
            "processor.call",
            otel.name = %format!("{} {}", call.method, call.route),
            otel.kind = "client",
            http.request.method = %call.method,
            url.template = call.route,
            url.full = %format!("{}{}", self.base.as_str().trim_end_matches('/'), call.path),
            server.address = self.base.host_str().unwrap_or_default(),
            server.port = self.base.port_or_known_default().unwrap_or_default(),
            http.response.status_code = Empty,
            error.type = Empty,
            otel.status_code = Empty,
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(url: &str, key: &str) -> anyhow::Result<HttpProcessor> {
        HttpProcessor::new(&ProcessorConfig {
            url: url.into(),
            api_key: Secret::new(key),
            ..ProcessorConfig::default()
        })
    }

    #[test]
    fn a_live_key_travels_over_tls_only() {
        for key in ["sk_live_x", "rk_live_x"] {
            assert!(client("https://api.stripe.com", key).is_ok());
            let refused = client("http://api.stripe.com", key).unwrap_err();
            assert!(!format!("{refused:#}").contains(key), "{refused:#}");
        }
        assert!(client("http://127.0.0.1:1", "sk_test_x").is_ok());
    }
}
