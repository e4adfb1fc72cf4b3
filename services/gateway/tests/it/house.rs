//! A gateway of one's own for each test, and what is needed to call on it.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use futures::{SinkExt as _, StreamExt as _};
use hexcab_bus::{Outgoing, Producer, topic};
use hexcab_chassis::{
    Clock, ManualClock, Secret, Tasks,
    token::{Signer, USER_TOKEN_TYPE, generate_keys, user_claims},
};
use hexcab_gateway::{App, Config};
use hexcab_proto::{
    common::v1::{LatLng, Money},
    trip::v1::{Offer, State, Trip, TripEvent, trip_event::Event},
};
use hexcab_testkit::eventually;
use hexcab_types::Timestamp;
use opentelemetry_sdk::{
    error::OTelSdkResult,
    trace::{SpanData, SpanExporter},
};
use parking_lot::Mutex;
use prost::Message as _;
use serde_json::{Value, json};
use tokio::{net::TcpStream, time::timeout};
use tokio_tungstenite::{
    MaybeTlsStream, WebSocketStream,
    tungstenite::{Message, client::IntoClientRequest as _, protocol::CloseFrame},
};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::peers::{self, Peers};

pub const PICKUP: LatLng = LatLng {
    lat_e7: 377_700_000,
    lon_e7: -1_224_100_000,
};
pub const RIDE: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
pub const RIDE_TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
/// How long a message may take to come.
const PATIENCE: Duration = Duration::from_secs(20);

/// A running gateway and its peers.
pub struct House {
    pub peers: Arc<Peers>,
    pub clock: ManualClock,
    pub http: SocketAddr,
    pub grpc: SocketAddr,
    pub signer: Signer,
    pub stop: CancellationToken,
    tasks: Tasks,
    producer: Producer,
    client: reqwest::Client,
}

impl House {
    pub async fn open() -> Self {
        Self::with(|_| {}).await
    }

    /// With another configuration.
    pub async fn with(change: impl FnOnce(&mut Config)) -> Self {
        let (tasks, peers) = (Tasks::new(), Arc::new(Peers::default()));
        let at = peers::serve(peers.clone(), &tasks).await;
        Self::before(peers, at, tasks, change).await
    }

    /// In front of these peers.
    pub async fn before(
        peers: Arc<Peers>,
        at: SocketAddr,
        tasks: Tasks,
        change: impl FnOnce(&mut Config),
    ) -> Self {
        traced();
        let (private, public) = generate_keys().unwrap();
        let mut config = Config::default();
        config.auth.public_key = Secret::new(public);
        config.kafka.brokers = hexcab_testkit::broker().brokers();
        config.peers_token = Some(Secret::new("between-us"));
        for peer in [
            &mut config.peers.trip,
            &mut config.peers.pricing,
            &mut config.peers.location,
        ] {
            *peer = format!("http://{at}");
        }
        // Nobody listens there.
        config.peers.dispatch = "http://127.0.0.1:1".to_owned();
        config.peers.payment = "http://127.0.0.1:1".to_owned();
        change(&mut config);
        let producer = Producer::connect(&config.kafka).unwrap();
        let (clock, manual) = Clock::manual(evening());
        let app = App::build(config, clock).await.unwrap();
        let (http, grpc, stop) = (app.http_addr(), app.addr(), CancellationToken::new());
        let signal = stop.clone().cancelled_owned();
        tasks.spawn("gateway", async move { app.run(signal).await });
        let signer = Signer::from_pem(&private).unwrap();
        let client = reqwest::Client::new();
        let house = Self {
            peers,
            clock: manual,
            http,
            grpc,
            signer,
            stop,
            tasks,
            producer,
            client,
        };
        eventually(async || house.is_ready().await.then_some(())).await;
        house
    }

    async fn is_ready(&self) -> bool {
        let answer = self.client.get(self.url("/readyz")).send().await;
        answer.is_ok_and(|answer| answer.status().is_success())
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.http)
    }

    pub fn token(&self, name: &str) -> String {
        self.token_for(name, 600)
    }

    /// A token that ends in so many seconds.
    pub fn token_for(&self, name: &str, ttl_s: i64) -> String {
        let claims = user_claims(name.to_owned(), now_s(), ttl_s);
        self.signer.sign(USER_TOKEN_TYPE, &claims).unwrap()
    }

    /// Someone who calls, as `riders/…`, `drivers/…` or `operators/…`.
    pub fn user(&self, name: &str) -> User<'_> {
        User {
            house: self,
            token: self.token(name),
        }
    }

    /// The same, for so many seconds.
    pub fn user_for(&self, name: &str, ttl_s: i64) -> User<'_> {
        User {
            house: self,
            token: self.token_for(name, ttl_s),
        }
    }

    /// Publishes an event as trip would.
    pub async fn publish(&self, event: &TripEvent) {
        self.publish_in(event, None).await;
    }

    /// In this trace.
    pub async fn publish_in(&self, event: &TripEvent, traceparent: Option<&str>) {
        let outgoing = Outgoing {
            topic: topic::TRIP,
            key: "sf".to_owned(),
            kind: "hexcab.trip.v1.Any".to_owned(),
            source: "trip",
            subject: event.trip.clone(),
            time: evening(),
            payload: event.encode_to_vec(),
            traceparent: traceparent.map(str::to_owned),
        };
        self.producer.publish(outgoing).await.unwrap();
    }

    /// Publishes that the trip is as it is.
    pub async fn publish_as(&self, trip: &Trip, event_of: Event) {
        self.publish(&event(trip, event_of)).await;
    }

    /// Stops the gateway and waits until all of it is gone.
    pub async fn close(self) {
        self.stop.cancel();
        eventually(async || (!self.is_ready().await).then_some(())).await;
        self.tasks.stop(Duration::from_secs(1)).await;
    }
}

/// A user with a token.
pub struct User<'a> {
    house: &'a House,
    pub token: String,
}

/// An answer, read.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: reqwest::header::HeaderMap,
    pub body: Value,
}

impl Answer {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    #[track_caller]
    pub fn refused(self, status: u16, reason: &str) -> Self {
        assert_eq!(
            (self.status, self.body["reason"].as_str()),
            (status, Some(reason)),
            "{self:?}"
        );
        assert_eq!(
            self.header("content-type"),
            Some("application/problem+json")
        );
        assert_eq!(self.body["status"], status);
        assert!(
            self.body["title"].is_string() && self.body["detail"].is_string(),
            "{self:?}"
        );
        assert!(
            self.body["type"]
                .as_str()
                .unwrap()
                .starts_with("urn:hexcab:problem:"),
            "{self:?}"
        );
        assert!(
            self.header("traceparent")
                .unwrap()
                .contains(self.body["instance"].as_str().unwrap())
        );
        self
    }
}

impl User<'_> {
    pub async fn get(&self, path: &str) -> Answer {
        read(
            self.house
                .client
                .get(self.house.url(path))
                .bearer_auth(&self.token),
        )
        .await
    }

    pub async fn post(&self, path: &str, body: Value) -> Answer {
        self.post_with(path, &[], body).await
    }

    pub async fn post_with(
        &self,
        path: &str,
        headers: &[(&'static str, &str)],
        body: Value,
    ) -> Answer {
        let mut request = self
            .house
            .client
            .post(self.house.url(path))
            .bearer_auth(&self.token)
            .json(&body);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        read(request).await
    }

    pub async fn ws(&self, path: &str) -> Ws {
        let mut request = format!("ws://{}{path}", self.house.http)
            .into_client_request()
            .unwrap();
        let bearer = format!("Bearer {}", self.token).parse().unwrap();
        request.headers_mut().insert("authorization", bearer);
        let (socket, _) = tokio_tungstenite::connect_async(request).await.unwrap();
        Ws(socket)
    }
}

pub async fn read(request: reqwest::RequestBuilder) -> Answer {
    let response = request.send().await.unwrap();
    let (status, headers) = (response.status().as_u16(), response.headers().clone());
    let text = response.text().await.unwrap();
    let body = serde_json::from_str(&text).unwrap_or(Value::String(text));
    Answer {
        status,
        headers,
        body,
    }
}

/// A WebSocket of an app.
pub struct Ws(pub WebSocketStream<MaybeTlsStream<TcpStream>>);

impl Ws {
    pub async fn say(&mut self, message: Value) {
        self.say_text(&message.to_string()).await;
    }

    pub async fn say_text(&mut self, text: &str) {
        self.0
            .send(Message::Text(text.to_owned().into()))
            .await
            .unwrap();
    }

    /// The next message.
    pub async fn hear(&mut self) -> Value {
        match self.next().await {
            Some(Message::Text(text)) => serde_json::from_str(&text).unwrap(),
            other => panic!("no message but {other:?}"),
        }
    }

    /// What comes until the close frame.
    pub async fn hear_to_the_end(&mut self) -> (Vec<Value>, Option<CloseFrame>) {
        let mut heard = Vec::new();
        loop {
            match self.next().await {
                Some(Message::Text(text)) => heard.push(serde_json::from_str(&text).unwrap()),
                Some(Message::Close(frame)) => return (heard, frame),
                Some(_) => {}
                None => return (heard, None),
            }
        }
    }

    async fn next(&mut self) -> Option<Message> {
        loop {
            match timeout(PATIENCE, self.0.next())
                .await
                .expect("a message in time")
            {
                Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
                Some(Ok(message)) => return Some(message),
                Some(Err(_)) | None => return None,
            }
        }
    }
}

/// A trip of nobody in particular.
pub fn trip(state: State, version: i64) -> Trip {
    Trip {
        name: format!("trips/{}", Uuid::new_v4()),
        city: "sf".to_owned(),
        product: "standard".to_owned(),
        rider: format!("riders/{}", Uuid::new_v4()),
        state: state.into(),
        version,
        pickup: Some(PICKUP),
        dropoff: Some(PICKUP),
        fare: Some(usd(1_500)),
        driver_pay: Some(usd(1_100)),
        start_code: "1234".to_owned(),
        traceparent: RIDE.to_owned(),
        ..Trip::default()
    }
}

/// The trip, offered to this driver.
pub fn offered(driver: &str, version: i64) -> Trip {
    let offer = Offer {
        driver: driver.to_owned(),
        epoch: 1,
        pickup_eta_s: 120,
        ..Offer::default()
    };
    Trip {
        offer: Some(offer),
        epoch: 1,
        ..trip(State::Offered, version)
    }
}

/// The same trip later on, with this driver.
pub fn then(before: &Trip, state: State, driver: &str) -> Trip {
    let (version, driver) = (before.version + 1, driver.to_owned());
    Trip {
        state: state.into(),
        version,
        driver,
        offer: None,
        ..before.clone()
    }
}

pub fn event(after: &Trip, event: Event) -> TripEvent {
    TripEvent {
        trip: after.name.clone(),
        version: after.version,
        occur_time: None,
        after: Some(after.clone()),
        event: Some(event),
    }
}

pub fn usd(amount_minor: i64) -> Money {
    Money {
        currency_code: "USD".to_owned(),
        amount_minor,
    }
}

pub fn rider() -> String {
    format!("riders/{}", Uuid::new_v4())
}

pub fn driver() -> String {
    format!("drivers/{}", Uuid::new_v4())
}

/// `{id}` of `collection/{id}`.
pub fn id(name: &str) -> &str {
    name.split_once('/').unwrap().1
}

pub fn ping(recorded_at_ms: i64) -> Value {
    json!({"type": "ping", "lat": 37.77, "lon": -122.41, "recorded_at_ms": recorded_at_ms, "status": "available"})
}

pub fn evening() -> Timestamp {
    "2008-05-30T17:00:00Z".parse().unwrap()
}

#[expect(
    clippy::disallowed_methods,
    reason = "user tokens follow the machine's time"
)]
pub fn now_s() -> i64 {
    chrono::Utc::now().timestamp()
}

static SPANS: Mutex<Vec<SpanData>> = Mutex::new(Vec::new());

/// The ended spans of all tests of this process that have an attribute of this value.
pub fn spans_with(key: &str, value: &str) -> Vec<SpanData> {
    let is_it =
        |pair: &opentelemetry::KeyValue| pair.key.as_str() == key && pair.value.as_str() == value;
    let spans = SPANS.lock();
    let found = spans
        .iter()
        .filter(|span| span.attributes.iter().any(is_it));
    found.cloned().collect()
}

#[derive(Debug)]
struct Keep;

impl SpanExporter for Keep {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        SPANS.lock().extend(batch);
        Ok(())
    }
}

/// Spans with real contexts, kept.
fn traced() {
    use opentelemetry::trace::TracerProvider as _;
    use tracing_subscriber::{layer::SubscriberExt as _, util::SubscriberInitExt as _};
    static ONCE: std::sync::Once = std::sync::Once::new();
    ONCE.call_once(|| {
        let provider = opentelemetry_sdk::trace::SdkTracerProvider::builder()
            .with_simple_exporter(Keep)
            .build();
        let layer = tracing_opentelemetry::layer().with_tracer(provider.tracer("test"));
        let filter = tracing_subscriber::EnvFilter::new("info");
        let _ = tracing_subscriber::registry()
            .with(filter)
            .with(layer)
            .try_init();
    });
}
