//! The HTTP server that the processor tells things to: `POST /webhooks`.
//!
//! Invariants: nothing of a body is looked at before its signature was checked over its raw bytes; 2xx is answered only
//! when the hint is kept or is none of ours, so whatever is lost on the way here is told again; nobody can make it wait for
//! his body, or keep more than so many bytes.
//! Does not: ask the processor, or change anything but the table of hints.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use anyhow::Context as _;
use axum::{
    Router,
    body::{Body, Bytes},
    extract::State,
    http::{HeaderMap, StatusCode},
    routing::post,
};
use hexcab_chassis::{Clock, crash};
use hexcab_telemetry::metrics::{Counter, KeyValue};
use tokio::{
    net::TcpListener,
    sync::{Notify, Semaphore},
};
use tokio_util::sync::CancellationToken;

use super::{
    event::{self, Hint},
    hints::Hints,
    signature::{Unsigned, Verifier},
};
use crate::config::WebhookConfig;

/// Within this a body must have come.
const BODY_PATIENCE: Duration = Duration::from_secs(10);

static EVENTS: Counter = Counter::new(
    "hexcab.webhook.events",
    "{event}",
    "Webhooks of the processor, by what became of them",
);

/// The server, bound.
#[derive(Debug)]
pub struct Ingress {
    listener: TcpListener,
    addr: SocketAddr,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    verifier: Verifier,
    hints: Hints,
    /// Wakes who follows hints up.
    wake: Arc<Notify>,
    room: Semaphore,
    max_body_bytes: usize,
}

/// What becomes of a webhook.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Became {
    Kept,
    HeardBefore,
    NoneOfOurs,
    Unsigned(Unsigned),
    Malformed,
    TooLarge,
    TooSlow,
    Shed,
    NotKept,
}

impl Became {
    const fn status(self) -> StatusCode {
        match self {
            Self::Kept | Self::HeardBefore | Self::NoneOfOurs => StatusCode::OK,
            Self::Unsigned(_) | Self::Malformed => StatusCode::BAD_REQUEST,
            Self::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::TooSlow => StatusCode::REQUEST_TIMEOUT,
            Self::Shed | Self::NotKept => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    const fn as_str(self) -> &'static str {
        match self {
            Self::Kept => "kept",
            Self::HeardBefore => "heard_before",
            Self::NoneOfOurs => "none_of_ours",
            Self::Unsigned(Unsigned::Missing) => "unsigned",
            Self::Unsigned(Unsigned::Forged) => "forged",
            Self::Unsigned(Unsigned::Stale) => "stale",
            Self::Malformed => "malformed",
            Self::TooLarge => "too_large",
            Self::TooSlow => "too_slow",
            Self::Shed => "shed",
            Self::NotKept => "not_kept",
        }
    }
}

impl Ingress {
    /// Binds the port, if there is a secret to check signatures with. The clock tells real time.
    ///
    /// # Errors
    /// When the address is taken.
    pub async fn bind(
        config: &WebhookConfig,
        clock: Clock,
        hints: Hints,
        wake: Arc<Notify>,
    ) -> anyhow::Result<Option<Self>> {
        let verifier = Verifier::new(&config.secrets, clock);
        if verifier.is_empty() {
            return Ok(None);
        }
        let listener = TcpListener::bind(config.listen)
            .await
            .with_context(|| format!("webhook.listen {}", config.listen))?;
        let shared = Shared {
            verifier,
            hints,
            wake,
            room: Semaphore::new(config.max_concurrent.max(1)),
            max_body_bytes: config.max_body_bytes,
        };
        Ok(Some(Self {
            addr: listener.local_addr()?,
            listener,
            shared: Arc::new(shared),
        }))
    }

    /// Where it listens.
    pub const fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Serves until shutdown.
    ///
    /// # Errors
    /// When serving fails.
    pub async fn run(self, shutdown: CancellationToken) -> anyhow::Result<()> {
        tracing::info!(addr = %self.addr, "taking webhooks");
        let router = Router::new()
            .route("/webhooks", post(take))
            .with_state(self.shared);
        axum::serve(self.listener, router)
            .with_graceful_shutdown(shutdown.cancelled_owned())
            .await
            .context("serve webhooks")
    }
}

async fn take(
    State(shared): State<Arc<Shared>>,
    headers: HeaderMap,
    body: Body,
) -> (StatusCode, &'static str) {
    let became = shared.take(&headers, body).await;
    EVENTS.add(1, &[KeyValue::new("outcome", became.as_str())]);
    (became.status(), became.as_str())
}

impl Shared {
    async fn take(&self, headers: &HeaderMap, body: Body) -> Became {
        let Ok(_room) = self.room.try_acquire() else {
            return Became::Shed;
        };
        let body = axum::body::to_bytes(body, self.max_body_bytes);
        let body = match tokio::time::timeout(BODY_PATIENCE, body).await {
            Ok(Ok(body)) => body,
            Ok(Err(_)) => return Became::TooLarge,
            Err(_) => return Became::TooSlow,
        };
        match self.read(headers, &body) {
            Ok(Some(hint)) => self.keep(&hint).await,
            Ok(None) => Became::NoneOfOurs,
            Err(became) => became,
        }
    }

    fn read(&self, headers: &HeaderMap, body: &Bytes) -> Result<Option<Hint>, Became> {
        let signature = headers
            .get("stripe-signature")
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default();
        self.verifier.verify(signature, body).map_err(|unsigned| {
            tracing::warn!(why = %unsigned, "a webhook was refused");
            Became::Unsigned(unsigned)
        })?;
        event::read(body).map_err(|error| {
            let error = format!("{:#}", anyhow::Error::from(error));
            tracing::error!(error, "a signed webhook cannot be read");
            Became::Malformed
        })
    }

    async fn keep(&self, hint: &Hint) -> Became {
        match self.hints.keep(hint).await {
            Ok(true) => {
                crash::point("payment.webhook.kept");
                self.wake.notify_one();
                Became::Kept
            }
            Ok(false) => Became::HeardBefore,
            Err(error) => {
                tracing::warn!(%error, "a webhook could not be kept; it will be told again");
                Became::NotKept
            }
        }
    }
}
