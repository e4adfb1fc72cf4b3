//! Tells events to whoever is to know, by signed webhooks, until they are taken.
//!
//! - [`signature`] `Stripe-Signature` over the raw body
//!
//! Invariants: an event is told at least once, in no particular order; what is not answered with 2xx is told again, with
//! growing pauses; what is still to be told is in the book, so that a process that dies forgets none.
//! Does not: follow redirects, or look at what is answered.

use std::{sync::Arc, time::Duration};

use anyhow::Context as _;
use hexcab_chassis::{Clock, Secret};
use hexcab_pg::PgError;
use reqwest::{Client, redirect};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::{
    book::{Book, Delivery},
    config::WebhookConfig,
    faults::{Fault, Faults, Kind},
    operation::Verb,
};

pub mod signature;

/// The pause after the first try, doubled with each further one up to the configured longest.
const PAUSE_FROM: Duration = Duration::from_millis(250);
/// What is leased for longer than a try may take is taken for abandoned.
const LEASE_MARGIN: Duration = Duration::from_secs(5);
/// How often is looked for what nobody announced: retries, abandoned ones.
const POLL: Duration = Duration::from_millis(250);
/// How old a webhook is that is played again.
const STALE: Duration = Duration::from_secs(600);

/// One of a pool of senders.
#[derive(Debug, Clone)]
pub struct Sender {
    book: Book,
    faults: Arc<Faults>,
    clock: Clock,
    client: Client,
    url: String,
    secret: Secret,
    timeout: Duration,
    pause_max: Duration,
    wake: Arc<Notify>,
}

impl Sender {
    /// A sender, if somebody is to be told. `wake` is notified after every change.
    ///
    /// # Errors
    /// When there is nothing to sign with.
    pub fn new(
        config: &WebhookConfig,
        book: Book,
        faults: Arc<Faults>,
        clock: Clock,
        wake: Arc<Notify>,
    ) -> anyhow::Result<Option<Self>> {
        let Some(url) = config.url.clone() else {
            return Ok(None);
        };
        anyhow::ensure!(
            !config.secret.is_empty(),
            "webhooks.url is set and webhooks.secret is not"
        );
        let timeout = Duration::from_millis(config.timeout_ms);
        let client = Client::builder()
            .timeout(timeout)
            .redirect(redirect::Policy::none())
            .no_proxy()
            .build()
            .context("build the webhooks' client")?;
        Ok(Some(Self {
            book,
            faults,
            clock,
            client,
            url,
            secret: config.secret.clone(),
            timeout,
            pause_max: Duration::from_millis(config.pause_max_ms),
            wake,
        }))
    }

    /// Sends until shutdown.
    ///
    /// # Errors
    /// Never: what goes wrong is logged and tried again. The type is that of a task.
    pub async fn run(self, shutdown: CancellationToken) -> anyhow::Result<()> {
        while !shutdown.is_cancelled() {
            match self.send_once().await {
                Ok(true) => continue,
                Ok(false) => {}
                Err(error) => tracing::warn!(%error, "webhooks cannot be read"),
            }
            tokio::select! {
                () = shutdown.cancelled() => {}
                () = self.wake.notified() => {}
                () = tokio::time::sleep(POLL) => {}
            }
        }
        Ok(())
    }

    /// Sends one, if one is due. False when there is none.
    async fn send_once(&self) -> Result<bool, PgError> {
        let lease = self.timeout + LEASE_MARGIN;
        let Some(delivery) = self.book.claim(lease).await? else {
            return Ok(false);
        };
        self.wake.notify_one(); // There may be more: wake the next.
        let fault = self.faults.draw(Verb::Webhook, &delivery.metadata);
        self.tell(&delivery, fault.as_ref()).await?;
        Ok(true)
    }

    async fn tell(&self, delivery: &Delivery, fault: Option<&Fault>) -> Result<(), PgError> {
        let kind = fault.map(|fault| fault.kind);
        match kind {
            Some(Kind::WebhookLost) => {
                return self.book.delivered(delivery, "lost on demand").await;
            }
            Some(Kind::WebhookReorder) if delivery.attempt == 1 => {
                let pause = fault.map_or(Duration::ZERO, Fault::delay);
                return self.book.again(delivery, "late on demand", pause).await;
            }
            Some(Kind::WebhookDuplicate) => self.book.copy(delivery).await?,
            Some(
                Kind::WebhookReorder
                | Kind::WebhookWrongSignature
                | Kind::WebhookStale
                | Kind::Decline
                | Kind::Error500
                | Kind::Error500Kept
                | Kind::TimeoutBefore
                | Kind::TimeoutAfter
                | Kind::Slow,
            )
            | None => {}
        }
        let age = if kind == Some(Kind::WebhookStale) {
            STALE
        } else {
            Duration::ZERO
        };
        let wrong = kind == Some(Kind::WebhookWrongSignature);
        match self.post(delivery, age, wrong).await {
            Ok(answer) => self.book.delivered(delivery, &answer).await,
            Err(why) => {
                tracing::debug!(event.id = delivery.event.id, why, "a webhook was not taken");
                let pause = self.pause(delivery.attempt);
                self.book.again(delivery, &why, pause).await
            }
        }
    }

    /// Sends it once, signed `age` ago. Ok when it was taken.
    async fn post(
        &self,
        delivery: &Delivery,
        age: Duration,
        wrong: bool,
    ) -> Result<String, String> {
        let body = delivery.event.json().to_string();
        let at = (self.clock.now() - age).timestamp();
        let secret = if wrong {
            Secret::new("whsec_of_somebody_else")
        } else {
            self.secret.clone()
        };
        let response = self
            .client
            .post(&self.url)
            .header("Content-Type", "application/json; charset=utf-8")
            .header("Stripe-Signature", signature::header(&secret, at, &body))
            .body(body)
            .send()
            .await
            .map_err(|error| error.to_string())?;
        let status = response.status();
        if status.is_success() {
            Ok(status.to_string())
        } else {
            Err(status.to_string())
        }
    }

    fn pause(&self, attempt: i32) -> Duration {
        let doublings = u32::try_from(attempt.saturating_sub(1))
            .unwrap_or_default()
            .min(16);
        PAUSE_FROM
            .saturating_mul(1 << doublings)
            .min(self.pause_max)
    }
}
