//! The gateway's public API, as an app on a phone would use it: signs in, calls, keeps trying with the same key.
//!
//! - [`wire`] the JSON, [`fault`] what went wrong and whether it passes, [`socket`] WebSockets
//!
//! Does not: know what a rider or driver wants.

pub mod fault;
pub mod socket;
pub mod wire;

use std::{sync::Arc, time::Duration};

use anyhow::Context as _;
use reqwest::Method;
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Value, json};
use tokio::{sync::Semaphore, time::Instant};
use uuid::Uuid;

use crate::{chance::Chance, tally::Tally};
use fault::Fault;

/// How long one call may take; the gateway's own bound is the same.
const CALL_TIMEOUT: Duration = Duration::from_secs(10);
/// How many people sign in at once: a city's whole fleet comes online in the same minute.
const SIGN_INS_AT_ONCE: usize = 32;
/// A token is renewed when this share of its life is left.
const RENEW_AT_SHARE: f64 = 0.2;
const IDLE_CONNECTIONS: usize = 64;

/// Who someone is to the platform.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// A rider.
    Rider,
    /// A driver.
    Driver,
}

impl Role {
    /// As on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Rider => "rider",
            Self::Driver => "driver",
        }
    }
}

/// The platform, seen from outside.
#[derive(Debug)]
pub struct Api {
    http: reqwest::Client,
    gateway: String,
    web_socket: String,
    sign_in: String,
    signing_in: Semaphore,
}

#[derive(Deserialize)]
struct Token {
    token: String,
    expires_in_s: u64,
}

#[derive(Deserialize)]
struct Problem {
    #[serde(default)]
    reason: String,
}

impl Api {
    /// The platform at these base URLs (`http://…`).
    ///
    /// # Errors
    /// When one is not an `http://` URL.
    pub fn new(gateway: &str, sign_in: &str) -> anyhow::Result<Self> {
        let base = |url: &str| url.trim_end_matches('/').to_owned();
        let rest = gateway
            .strip_prefix("http://")
            .with_context(|| format!("--gateway {gateway:?}: want http://…"))?;
        sign_in
            .strip_prefix("http://")
            .with_context(|| format!("--sign-in {sign_in:?}: want http://…"))?;
        let http = reqwest::Client::builder()
            .no_proxy()
            .tcp_nodelay(true)
            .timeout(CALL_TIMEOUT)
            .pool_max_idle_per_host(IDLE_CONNECTIONS)
            .build()
            .context("HTTP client")?;
        Ok(Self {
            http,
            gateway: base(gateway),
            web_socket: format!("ws://{}", base(rest)),
            sign_in: base(sign_in),
            signing_in: Semaphore::new(SIGN_INS_AT_ONCE),
        })
    }

    /// One call with a token.
    ///
    /// # Errors
    /// When there was no answer, or it was a refusal.
    pub async fn call<T: DeserializeOwned>(
        &self,
        token: &str,
        (method, path): (Method, &str),
        key: Option<Uuid>,
        body: Option<&Value>,
    ) -> Result<T, Fault> {
        let mut request = self
            .http
            .request(method, format!("{}{path}", self.gateway))
            .bearer_auth(token);
        if let Some(key) = key {
            request = request.header("idempotency-key", key.to_string());
        }
        if let Some(body) = body {
            request = request.json(body);
        }
        answer(request).await
    }

    async fn sign_in(&self, role: Role, id: Uuid) -> Result<Token, Fault> {
        let _turn = self
            .signing_in
            .acquire()
            .await
            .map_err(|_| Fault::Network("CLOSED".to_owned()))?;
        let body = json!({ "role": role.as_str(), "id": id });
        answer(
            self.http
                .post(format!("{}/v1/tokens", self.sign_in))
                .json(&body),
        )
        .await
    }
}

async fn answer<T: DeserializeOwned>(request: reqwest::RequestBuilder) -> Result<T, Fault> {
    let network = |error: reqwest::Error| {
        let kind = if error.is_connect() {
            "CONNECT"
        } else if error.is_timeout() {
            "NO_ANSWER"
        } else {
            "CUT"
        };
        Fault::Network(kind.to_owned())
    };
    let response = request.send().await.map_err(network)?;
    let status = response.status();
    let body = response.bytes().await.map_err(network)?;
    if status.is_success() {
        serde_json::from_slice(&body).map_err(|error| {
            tracing::warn!(%error, "an answer of the gateway cannot be read");
            Fault::Refused("UNREADABLE_ANSWER".to_owned())
        })
    } else {
        let problem: Problem = serde_json::from_slice(&body).unwrap_or(Problem {
            reason: String::new(),
        });
        Err(Fault::of(status.as_u16(), problem.reason))
    }
}

/// One person's use of the API.
#[derive(Debug)]
pub struct Login {
    api: Arc<Api>,
    role: Role,
    id: Uuid,
    number: u64,
    chance: Chance,
    tally: Arc<Tally>,
    token: Option<(String, Instant)>,
}

impl Login {
    /// A person who has not signed in yet; `number` is his stream of chance.
    pub const fn new(
        api: Arc<Api>,
        (role, id, number): (Role, Uuid, u64),
        chance: Chance,
        tally: Arc<Tally>,
    ) -> Self {
        Self {
            api,
            role,
            id,
            number,
            chance,
            tally,
            token: None,
        }
    }

    /// The API itself.
    pub const fn api(&self) -> &Arc<Api> {
        &self.api
    }

    /// A token that is good for some time yet.
    ///
    /// # Errors
    /// When signing in failed.
    pub async fn token(&mut self) -> Result<String, Fault> {
        if let Some((token, renew_at)) = &self.token
            && Instant::now() < *renew_at
        {
            return Ok(token.clone());
        }
        let fresh = self.api.sign_in(self.role, self.id).await?;
        let life = Duration::from_secs(fresh.expires_in_s).mul_f64(1.0 - RENEW_AT_SHARE);
        self.token = Some((fresh.token.clone(), Instant::now() + life));
        Ok(fresh.token)
    }

    /// When the token should be renewed; none before the first.
    pub fn renew_at(&self) -> Option<Instant> {
        self.token.as_ref().map(|(_, renew_at)| *renew_at)
    }

    /// The token is not good any more, whatever its life.
    pub fn forget_token(&mut self) {
        self.token = None;
    }

    /// One call, as oneself.
    ///
    /// # Errors
    /// As [`Api::call`], or when signing in failed.
    pub async fn call<T: DeserializeOwned>(
        &mut self,
        call: (Method, &str),
        key: Option<Uuid>,
        body: Option<&Value>,
    ) -> Result<T, Fault> {
        let token = self.token().await?;
        let api = Arc::clone(&self.api);
        let answered = api.call(&token, call, key, body).await;
        if answered.as_ref().is_err_and(|fault| *fault == Fault::Token) {
            self.forget_token();
        }
        answered
    }

    /// The same call again and again, with the same key, until there is an answer or `patience` (real time) is over.
    ///
    /// # Errors
    /// The refusal, or the last fault.
    pub async fn insist<T: DeserializeOwned>(
        &mut self,
        what: &'static str,
        (method, path): (Method, &str),
        key: Option<Uuid>,
        body: Option<&Value>,
        patience: Duration,
    ) -> Result<T, Fault> {
        let gives_up = Instant::now() + patience;
        let mut tries = 0;
        loop {
            let fault = match self.call((method.clone(), path), key, body).await {
                Ok(answer) => return Ok(answer),
                Err(fault) => fault,
            };
            self.tally.error(what, fault.reason());
            let wait = self.chance.backoff(self.number, tries);
            if matches!(fault, Fault::Refused(_)) || Instant::now() + wait > gives_up {
                return Err(fault);
            }
            tokio::time::sleep(wait).await;
            tries += 1;
        }
    }
}
