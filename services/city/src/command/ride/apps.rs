//! The rider's app and the driver's app: REST and a WebSocket, as any other app would use them.
//!
//! Does not: know what a ride is ([`super::story`] does).

use std::time::Duration;

use anyhow::{Context as _, bail};
use futures::{SinkExt as _, StreamExt as _};
use hexcab_chassis::Clock;
use serde_json::{Value, json};
use tokio::{net::TcpStream, time::Instant};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, tungstenite::Message};
use uuid::Uuid;

use super::Place;
use crate::{
    command::token::sign_in,
    stack::sign_in::{Role, SignIn, SignedIn},
};

/// How often a driver says where he is, city time.
const PING: Duration = Duration::from_secs(4);
/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(15);

/// REST, as somebody.
pub struct Rest {
    http: reqwest::Client,
    gateway: String,
    /// Who.
    pub who: SignedIn,
}

impl Rest {
    /// Signs in as somebody new.
    pub async fn sign_in(place: &Place, role: Role) -> anyhow::Result<Self> {
        let who = sign_in(&place.sign_in, SignIn { role, id: None }).await?;
        let http = reqwest::Client::builder().timeout(PATIENCE).build()?;
        Ok(Self {
            http,
            gateway: place.gateway.clone(),
            who,
        })
    }

    /// `GET`.
    pub async fn get(&self, path: &str) -> anyhow::Result<Value> {
        let asked = self
            .http
            .get(format!("{}{path}", self.gateway))
            .bearer_auth(&self.who.token)
            .send()
            .await;
        read(path, asked).await
    }

    /// `POST`, each with a key of its own.
    pub async fn post(&self, path: &str, body: &Value) -> anyhow::Result<Value> {
        let url = format!("{}{path}", self.gateway);
        let asked = self
            .http
            .post(url)
            .bearer_auth(&self.who.token)
            .header("Idempotency-Key", Uuid::now_v7().to_string());
        read(path, asked.json(body).send().await).await
    }
}

async fn read(path: &str, asked: reqwest::Result<reqwest::Response>) -> anyhow::Result<Value> {
    let answer = asked.with_context(|| format!("call {path}"))?;
    let (status, body) = (answer.status(), answer.text().await.unwrap_or_default());
    if !status.is_success() {
        bail!("{path}: {status}: {body}");
    }
    serde_json::from_str(&body).with_context(|| format!("{path}: read {body:?}"))
}

/// A driver's session: offers come down, positions and answers go up.
pub struct DriverApp {
    socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
    clock: Clock,
    at: (f64, f64),
    status: &'static str,
    next_ping: Instant,
}

impl DriverApp {
    /// Connects and says where he is.
    pub async fn connect(place: &Place, who: &SignedIn, at: (f64, f64)) -> anyhow::Result<Self> {
        let base = place.gateway.replacen("http", "ws", 1);
        let url = format!(
            "{base}/v1/driver/ws?city={}&access_token={}",
            place.city, who.token
        );
        let (socket, _) = tokio_tungstenite::connect_async(url)
            .await
            .context("connect the driver's app")?;
        let mut app = Self {
            socket,
            clock: place.clock.clone(),
            at,
            status: "available",
            next_ping: Instant::now(),
        };
        app.ping().await?;
        Ok(app)
    }

    /// Is somewhere else, doing something else.
    pub async fn go(&mut self, at: (f64, f64), status: &'static str) -> anyhow::Result<()> {
        (self.at, self.status) = (at, status);
        self.ping().await
    }

    /// Sends a command and waits for its result: the trip as the driver sees it.
    pub async fn command(&mut self, mut command: Value) -> anyhow::Result<Value> {
        let id = Uuid::now_v7().to_string();
        command["request_id"] = json!(id);
        self.send(&command).await?;
        let result = self
            .wait_for(PATIENCE, |message| {
                message["type"] == "result" && message["request_id"] == id.as_str()
            })
            .await?;
        if result["ok"] != true {
            bail!(
                "{} was refused: {} {}",
                command["type"],
                result["reason"],
                result["detail"]
            );
        }
        Ok(result)
    }

    /// Waits for a message, pinging meanwhile.
    pub async fn wait_for(
        &mut self,
        patience: Duration,
        wanted: impl Fn(&Value) -> bool,
    ) -> anyhow::Result<Value> {
        let deadline = Instant::now() + patience;
        loop {
            tokio::select! {
                () = tokio::time::sleep_until(deadline) => bail!("the driver heard nothing for {} s", patience.as_secs()),
                () = tokio::time::sleep_until(self.next_ping) => self.ping().await?,
                message = self.socket.next() => {
                    let message = message.context("the driver's app was disconnected")?.context("read from the gateway")?;
                    let Message::Text(text) = message else { continue };
                    let message: Value = serde_json::from_str(&text).context("read a message of the gateway")?;
                    if message["type"] == "error" {
                        bail!("the gateway says {message}");
                    }
                    if wanted(&message) {
                        return Ok(message);
                    }
                }
            }
        }
    }

    async fn ping(&mut self) -> anyhow::Result<()> {
        self.next_ping = Instant::now() + self.clock.to_real(PING);
        let (lat, lon) = self.at;
        let at_ms = self.clock.now().timestamp_millis();
        let ping = json!({"type": "ping", "lat": lat, "lon": lon, "recorded_at_ms": at_ms, "status": self.status});
        self.send(&ping).await
    }

    async fn send(&mut self, message: &Value) -> anyhow::Result<()> {
        self.socket
            .send(Message::text(message.to_string()))
            .await
            .context("send to the gateway")
    }
}
