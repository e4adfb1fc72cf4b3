//! The processor over HTTP: form-encoded requests, Stripe's JSON answers, one client span per request.
//!
//! Invariants: every mutation carries its `Idempotency-Key`; whatever is not a clear answer is [`Failure::Unanswered`].

use std::time::Duration;

use anyhow::Context as _;
use async_trait::async_trait;
use hexcab_chassis::Secret;
use hexcab_types::{IntentId, Money};
use reqwest::{Client, Method, RequestBuilder, StatusCode, Url};
use serde::de::DeserializeOwned;
use tracing::{Instrument as _, Span, field::Empty};

use super::{Failure, HoldRequest, Payment, Processor, wire};
use crate::{config::ProcessorConfig, domain::ProcessorId};

/// What riders pay with until they can choose.
const PAYMENT_METHOD: &str = "pm_card_visa";
/// Everything about payments lives under this.
const PAYMENTS: &str = "/v1/payment_intents";
/// Idle connections kept to the processor.
const IDLE_CONNECTIONS: usize = 16;

/// A processor that speaks Stripe's HTTP API.
#[derive(Debug)]
pub struct HttpProcessor {
    client: Client,
    base: Url,
    api_key: Secret,
}

/// One request about to be sent.
struct Call<'a> {
    method: Method,
    path: String,
    /// The path with `{id}`, for span names.
    route: &'static str,
    key: Option<&'a str>,
}

impl HttpProcessor {
    /// A client; nothing is connected yet.
    ///
    /// # Errors
    /// When the URL cannot be read.
    pub fn new(config: &ProcessorConfig) -> anyhow::Result<Self> {
        let base =
            Url::parse(&config.url).with_context(|| format!("processor.url {:?}", config.url))?;
        let client = Client::builder()
            .timeout(Duration::from_millis(config.timeout_ms))
            .pool_max_idle_per_host(IDLE_CONNECTIONS)
            .no_proxy()
            .build()
            .context("build the processor's client")?;
        Ok(Self {
            client,
            base,
            api_key: config.api_key.clone(),
        })
    }

    async fn send<T: DeserializeOwned>(
        &self,
        call: Call<'_>,
        fill: impl FnOnce(RequestBuilder) -> RequestBuilder,
    ) -> Result<T, Failure> {
        let span = self.span(&call);
        let answer = self
            .exchange(call, fill, &span)
            .instrument(span.clone())
            .await;
        if let Err(failure) = &answer {
            span.record("error.type", error_type(failure));
            span.record("otel.status_code", "ERROR");
        }
        answer
    }

    async fn exchange<T: DeserializeOwned>(
        &self,
        call: Call<'_>,
        fill: impl FnOnce(RequestBuilder) -> RequestBuilder,
        span: &Span,
    ) -> Result<T, Failure> {
        let url = self
            .base
            .join(&call.path)
            .map_err(|error| Failure::Rejected(error.to_string()))?;
        let mut request = self
            .client
            .request(call.method, url)
            .bearer_auth(self.api_key.expose());
        if let Some(key) = call.key {
            request = request.header("Idempotency-Key", key);
        }
        if let Some(traceparent) = hexcab_telemetry::traceparent_of(span) {
            request = request.header("traceparent", traceparent);
        }
        let response = fill(request).send().await.map_err(unanswered)?;
        let status = response.status();
        span.record("http.response.status_code", status.as_u16());
        let body = response.bytes().await.map_err(unanswered)?;
        if status.is_success() {
            return serde_json::from_slice(&body)
                .map_err(|error| Failure::Unanswered(format!("unreadable answer: {error}")));
        }
        Err(failure(status, &body))
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

#[async_trait]
impl Processor for HttpProcessor {
    async fn hold(&self, key: &str, request: &HoldRequest) -> Result<Payment, Failure> {
        let form = [
            ("amount", request.amount.minor.to_string()),
            (
                "currency",
                request.amount.currency.code().to_ascii_lowercase(),
            ),
            ("capture_method", "manual".to_owned()),
            ("confirm", "true".to_owned()),
            ("payment_method", PAYMENT_METHOD.to_owned()),
            ("metadata[intent]", request.intent.to_string()),
            ("metadata[trip]", request.trip.to_string()),
            ("metadata[rider]", request.rider.to_string()),
        ];
        let call = Call {
            method: Method::POST,
            path: PAYMENTS.to_owned(),
            route: PAYMENTS,
            key: Some(key),
        };
        self.send::<wire::PaymentIntent>(call, |request| request.form(&form))
            .await?
            .try_into()
    }

    async fn capture(
        &self,
        key: &str,
        id: &ProcessorId,
        amount: Money,
    ) -> Result<Payment, Failure> {
        let form = [("amount_to_capture", amount.minor.to_string())];
        let path = format!("{PAYMENTS}/{id}/capture");
        let call = Call {
            method: Method::POST,
            path,
            route: "/v1/payment_intents/{id}/capture",
            key: Some(key),
        };
        self.send::<wire::PaymentIntent>(call, |request| request.form(&form))
            .await?
            .try_into()
    }

    async fn cancel(&self, key: &str, id: &ProcessorId) -> Result<Payment, Failure> {
        let path = format!("{PAYMENTS}/{id}/cancel");
        let call = Call {
            method: Method::POST,
            path,
            route: "/v1/payment_intents/{id}/cancel",
            key: Some(key),
        };
        let form: [(&str, &str); 0] = [];
        self.send::<wire::PaymentIntent>(call, |request| request.form(&form))
            .await?
            .try_into()
    }

    async fn get(&self, id: &ProcessorId) -> Result<Payment, Failure> {
        let path = format!("{PAYMENTS}/{id}");
        let call = Call {
            method: Method::GET,
            path,
            route: "/v1/payment_intents/{id}",
            key: None,
        };
        self.send::<wire::PaymentIntent>(call, |request| request)
            .await?
            .try_into()
    }

    async fn find(&self, intent: IntentId) -> Result<Option<Payment>, Failure> {
        let query = [("query", format!("metadata['intent']:'{intent}'"))];
        let route = "/v1/payment_intents/search";
        let call = Call {
            method: Method::GET,
            path: route.to_owned(),
            route,
            key: None,
        };
        let page: wire::PaymentIntents = self.send(call, |request| request.query(&query)).await?;
        page.data
            .into_iter()
            .next()
            .map(Payment::try_from)
            .transpose()
    }
}

fn unanswered(error: reqwest::Error) -> Failure {
    let what = if error.is_timeout() {
        "timed out"
    } else {
        "connection failed"
    };
    Failure::Unanswered(format!("{what}: {error}"))
}

fn failure(status: StatusCode, body: &[u8]) -> Failure {
    let error = serde_json::from_slice::<wire::ErrorBody>(body)
        .ok()
        .map(|body| body.error);
    let described = error
        .as_ref()
        .map_or_else(|| "no reason given".to_owned(), wire::ApiError::describe);
    match status {
        StatusCode::PAYMENT_REQUIRED => Failure::Declined {
            code: error.map_or_else(|| "card_declined".to_owned(), |error| error.code()),
        },
        StatusCode::CONFLICT => Failure::InFlight,
        StatusCode::TOO_MANY_REQUESTS => Failure::Unanswered(format!("{status}: {described}")),
        status if status.is_client_error() => Failure::Rejected(format!("{status}: {described}")),
        status => Failure::Unanswered(format!("{status}: {described}")),
    }
}

const fn error_type(failure: &Failure) -> &'static str {
    match failure {
        Failure::Declined { .. } => "declined",
        Failure::Unanswered(_) => "unanswered",
        Failure::InFlight => "in_flight",
        Failure::Rejected(_) => "rejected",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_status_is_told_apart_by_what_to_do_next() {
        let body = br#"{"error":{"type":"card_error","code":"card_declined","decline_code":"insufficient_funds"}}"#;
        let declined = Failure::Declined {
            code: "insufficient_funds".into(),
        };
        assert_eq!(failure(StatusCode::PAYMENT_REQUIRED, body), declined);
        assert_eq!(failure(StatusCode::CONFLICT, b""), Failure::InFlight);
        for status in [
            StatusCode::INTERNAL_SERVER_ERROR,
            StatusCode::BAD_GATEWAY,
            StatusCode::TOO_MANY_REQUESTS,
        ] {
            assert!(
                matches!(failure(status, b"<html>"), Failure::Unanswered(_)),
                "{status}"
            );
        }
        for status in [
            StatusCode::BAD_REQUEST,
            StatusCode::UNAUTHORIZED,
            StatusCode::NOT_FOUND,
        ] {
            assert!(
                matches!(failure(status, b"{}"), Failure::Rejected(_)),
                "{status}"
            );
        }
    }
}
