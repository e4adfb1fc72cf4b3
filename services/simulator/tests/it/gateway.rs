//! A gateway of a few trips, without services behind it: it knows the public API's shapes and the order of a ride, remembers
//! every command by its key, and breaks things when the script says so.

use std::{
    collections::{HashMap, VecDeque},
    net::SocketAddr,
    sync::Arc,
};

use axum::{
    Json, Router,
    extract::{
        Path, State, WebSocketUpgrade,
        ws::{Message, WebSocket},
    },
    http::{HeaderMap, StatusCode},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use hexcab_chassis::Clock;
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::sync::broadcast;
use uuid::Uuid;

/// What goes wrong, once each, in any order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Mishap {
    /// This command is done, its answer is lost, and the driver's connection is cut.
    LoseAnswer(&'static str),
    /// This command is not done: the service behind is away.
    Unavailable(&'static str),
    /// The rider's request is done, its answer is lost.
    LoseRequest,
    /// The trip is cancelled by the system while the offer is open, before the driver answers.
    CancelOffer,
    /// The rider's connection is cut when the driver has accepted.
    CutRider,
}

/// The gateway and what it saw.
#[derive(Clone)]
pub struct Gateway(Arc<Inner>);

struct Inner {
    clock: Clock,
    changes: broadcast::Sender<(Value, Value)>,
    book: Mutex<Book>,
}

#[derive(Default)]
struct Book {
    mishaps: Vec<Mishap>,
    /// Trips by id; at most one is not over.
    trips: HashMap<Uuid, Value>,
    /// Requests by idempotency key.
    requests: HashMap<String, Uuid>,
    /// Answers by request id.
    answers: HashMap<String, Value>,
    /// Every command as it came: verb and key.
    commands: Vec<(String, String)>,
    /// The driver's pings: status and when.
    pings: Vec<(String, i64)>,
    waiting: VecDeque<Uuid>,
}

impl Gateway {
    /// Serves on a free port.
    pub async fn serve(clock: Clock, mishaps: &[Mishap]) -> (Self, SocketAddr) {
        let book = Book {
            mishaps: mishaps.to_vec(),
            ..Book::default()
        };
        let (changes, _) = broadcast::channel(256);
        let gateway = Self(Arc::new(Inner {
            clock,
            changes,
            book: Mutex::new(book),
        }));
        let routes = Router::new()
            .route("/v1/tokens", post(token))
            .route("/v1/quotes", post(quote))
            .route("/v1/trips", post(request))
            .route("/v1/trips/{id}", get(trip))
            .route("/v1/trips/{id}/cancel", post(cancel))
            .route("/v1/driver/current", get(current))
            .route("/v1/rider/ws", get(rider))
            .route("/v1/driver/ws", get(driver))
            .with_state(gateway.clone());
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let tasks = hexcab_chassis::Tasks::new();
        tasks.spawn("gateway", async move {
            Ok(axum::serve(listener, routes).await?)
        });
        (gateway, addr)
    }

    /// Every command as it came: verb and key.
    pub fn commands(&self) -> Vec<(String, String)> {
        self.0.book.lock().commands.clone()
    }

    /// The keys of this command, each as often as it came.
    pub fn keys_of(&self, verb: &str) -> Vec<String> {
        self.commands()
            .into_iter()
            .filter(|(v, _)| v == verb)
            .map(|(_, key)| key)
            .collect()
    }

    /// The driver's pings: status and when, milliseconds.
    pub fn pings(&self) -> Vec<(String, i64)> {
        self.0.book.lock().pings.clone()
    }

    /// Waits until so many drivers went offline: the simulator does not wait for the gateway to read it.
    pub async fn said_goodbye(&self, drivers: usize) {
        let offline = || {
            self.pings()
                .iter()
                .filter(|(status, _)| status == "offline")
                .count()
        };
        let all = async {
            while offline() < drivers {
                tokio::task::yield_now().await;
            }
        };
        let waited = tokio::time::timeout(std::time::Duration::from_secs(10), all).await;
        assert!(waited.is_ok(), "{} of {drivers} said goodbye", offline());
    }

    /// How many trips there were.
    pub fn trips(&self) -> usize {
        self.0.book.lock().trips.len()
    }

    fn mishap(&self, mishap: Mishap) -> bool {
        let mut book = self.0.book.lock();
        let at = book.mishaps.iter().position(|m| *m == mishap);
        at.map(|at| book.mishaps.remove(at)).is_some()
    }

    fn set(&self, id: Uuid, state: &str, stamp: Option<&str>) -> Value {
        let view = {
            let mut book = self.0.book.lock();
            let now = json!(self.0.clock.now());
            let trip = book.trips.get_mut(&id).unwrap();
            trip["version"] = json!(trip["version"].as_i64().unwrap() + 1);
            trip["state"] = json!(state);
            if let Some(stamp) = stamp {
                trip[stamp] = now;
            }
            trip.clone()
        };
        self.tell(
            view.clone(),
            json!({ "type": "trip", "trip": without_code(&view), "yours": true }),
        );
        view
    }

    /// Tells the rider this view of a trip and the driver this message.
    fn tell(&self, view: Value, message: Value) {
        // Nobody may be connected; then nobody hears.
        let _ = self
            .0
            .changes
            .send((json!({ "type": "trip", "trip": view }), message));
    }

    /// The trip that the only driver is offered or has.
    fn driven(&self) -> Option<Value> {
        let book = self.0.book.lock();
        book.trips.values().find(|trip| is_driven(trip)).cloned()
    }

    fn offer_of(&self, trip: &Value) -> Value {
        let expires_at = self.0.clock.now() + chrono::TimeDelta::seconds(OFFER_TTL_S);
        json!({
            "type": "offer", "trip": trip["id"], "epoch": trip["epoch"], "expires_at": expires_at, "pickup": trip["pickup"],
            "dropoff": trip["dropoff"], "pickup_eta_s": 60, "duration_s": 120, "distance_m": 900, "traceparent": ""
        })
    }

    /// Offers the next waiting trip, when the driver is free.
    fn offer_next(&self) {
        let next = {
            let mut book = self.0.book.lock();
            if book.trips.values().any(is_driven) {
                None
            } else {
                book.waiting.pop_front()
            }
        };
        let Some(id) = next else { return };
        {
            let mut book = self.0.book.lock();
            let trip = book.trips.get_mut(&id).unwrap();
            trip["epoch"] = json!(trip["epoch"].as_i64().unwrap() + 1);
            trip["version"] = json!(trip["version"].as_i64().unwrap() + 1);
            trip["state"] = json!("OFFERED");
        }
        let trip = self.0.book.lock().trips[&id].clone();
        self.tell(trip.clone(), self.offer_of(&trip));
        if self.mishap(Mishap::CancelOffer) {
            self.0.book.lock().trips.get_mut(&id).unwrap()["cancellation"] =
                json!({ "by": "SYSTEM", "reason": "PAYMENT_DECLINED" });
            self.set(id, "CANCELLED", None);
        }
    }

    /// Does a driver's command once; the same key gets the same answer.
    fn command(&self, command: &Value) -> Value {
        let (verb, key) = (text(&command["type"]), text(&command["request_id"]));
        self.0
            .book
            .lock()
            .commands
            .push((verb.clone(), key.clone()));
        if let Some(answer) = self.0.book.lock().answers.get(&key) {
            return answer.clone();
        }
        let id: Uuid = text(&command["trip"]).parse().unwrap();
        let trip = self.0.book.lock().trips[&id].clone();
        let state = text(&trip["state"]);
        let view = match (verb.as_str(), state.as_str()) {
            ("accept", "OFFERED") => self.set(id, "EN_ROUTE", Some("accepted_at")),
            ("decline", "OFFERED") => {
                self.0.book.lock().waiting.push_back(id);
                self.set(id, "REQUESTED", None)
            }
            ("arrive", "EN_ROUTE") => self.set(id, "ARRIVED", Some("arrived_at")),
            ("start", "ARRIVED") if command["code"] == trip["start_code"] => {
                self.set(id, "IN_PROGRESS", None)
            }
            ("complete", "IN_PROGRESS") => self.set(id, "COMPLETED", None),
            _ => Value::Null,
        };
        let answer = if view.is_null() {
            json!({ "type": "result", "request_id": key, "ok": false, "reason": format!("NOT_WHILE_{state}") })
        } else {
            json!({ "type": "result", "request_id": key, "ok": true, "trip": without_code(&view) })
        };
        self.0.book.lock().answers.insert(key, answer.clone());
        answer
    }
}

async fn token(Json(body): Json<Value>) -> Response {
    let answer = json!({ "token": format!("token-{}", text(&body["role"])), "role": body["role"], "id": body["id"], "expires_in_s": 600 });
    (StatusCode::CREATED, Json(answer)).into_response()
}

async fn quote(Json(body): Json<Value>) -> Response {
    let token = json!({ "pickup": body["pickup"], "dropoff": body["dropoff"] }).to_string();
    (
        StatusCode::CREATED,
        Json(json!({ "id": Uuid::nil(), "token": token, "duration_s": 120 })),
    )
        .into_response()
}

async fn request(
    State(gateway): State<Gateway>,
    headers: HeaderMap,
    Json(body): Json<Value>,
) -> Response {
    let key = headers["idempotency-key"].to_str().unwrap().to_owned();
    let known = gateway.0.book.lock().requests.get(&key).copied();
    let id = known.unwrap_or_else(|| {
        let quote: Value = serde_json::from_str(body["quote_token"].as_str().unwrap()).unwrap();
        let mut book = gateway.0.book.lock();
        let id = Uuid::from_u128(100 + book.trips.len() as u128);
        let trip = json!({
            "id": id, "city": "sf", "product": "standard", "state": "REQUESTED", "version": 1, "epoch": 0, "start_code": "4711",
            "pickup": quote["pickup"], "dropoff": quote["dropoff"], "cancellation": null, "created_at": gateway.0.clock.now(),
        });
        book.trips.insert(id, trip);
        book.requests.insert(key, id);
        book.waiting.push_back(id);
        id
    });
    if gateway.mishap(Mishap::LoseRequest) {
        return (
            StatusCode::SERVICE_UNAVAILABLE,
            Json(json!({ "reason": "UNAVAILABLE" })),
        )
            .into_response();
    }
    let view = gateway.0.book.lock().trips[&id].clone();
    gateway.offer_next();
    (StatusCode::CREATED, Json(view)).into_response()
}

async fn trip(State(gateway): State<Gateway>, Path(id): Path<Uuid>) -> Json<Value> {
    Json(gateway.0.book.lock().trips[&id].clone())
}

async fn cancel(
    State(gateway): State<Gateway>,
    Path(id): Path<Uuid>,
    Json(body): Json<Value>,
) -> Json<Value> {
    gateway.0.book.lock().trips.get_mut(&id).unwrap()["cancellation"] =
        json!({ "by": "RIDER", "reason": body["reason"] });
    gateway
        .0
        .book
        .lock()
        .waiting
        .retain(|waiting| *waiting != id);
    let view = gateway.set(id, "CANCELLED", None);
    gateway.offer_next();
    Json(view)
}

async fn current(State(gateway): State<Gateway>) -> Json<Value> {
    Json(match gateway.driven() {
        Some(trip) if trip["state"] == "OFFERED" => {
            json!({ "offer": gateway.offer_of(&trip), "trip": null })
        }
        Some(trip) => json!({ "offer": null, "trip": without_code(&trip) }),
        None => json!({ "offer": null, "trip": null }),
    })
}

async fn rider(State(gateway): State<Gateway>, upgrade: WebSocketUpgrade) -> Response {
    upgrade.on_upgrade(move |socket| tell_rider(gateway, socket))
}

async fn tell_rider(gateway: Gateway, mut socket: WebSocket) {
    let mut changes = gateway.0.changes.subscribe();
    let known: Vec<_> = gateway.0.book.lock().trips.values().cloned().collect();
    // Riders leave alone what is not theirs, so that all may be told of all.
    for trip in known {
        let _ = socket
            .send(Message::text(
                json!({ "type": "trip", "trip": trip }).to_string(),
            ))
            .await;
    }
    while let Ok((change, _)) = changes.recv().await {
        if change["trip"]["state"] == "EN_ROUTE" && gateway.mishap(Mishap::CutRider) {
            return;
        }
        if socket
            .send(Message::text(change.to_string()))
            .await
            .is_err()
        {
            return;
        }
    }
}

async fn driver(State(gateway): State<Gateway>, upgrade: WebSocketUpgrade) -> Response {
    upgrade.on_upgrade(move |socket| talk_to_driver(gateway, socket))
}

async fn talk_to_driver(gateway: Gateway, mut socket: WebSocket) {
    let mut changes = gateway.0.changes.subscribe();
    loop {
        let down = tokio::select! {
            change = changes.recv() => match change {
                Ok((_, message)) => message,
                Err(_) => return,
            },
            up = socket.recv() => {
                let Some(Ok(Message::Text(up))) = up else { return };
                let up: Value = serde_json::from_str(&up).unwrap();
                if up["type"] == "ping" {
                    let ping = (text(&up["status"]), up["recorded_at_ms"].as_i64().unwrap());
                    gateway.0.book.lock().pings.push(ping);
                    continue;
                }
                let verb = text(&up["type"]);
                if VERBS.iter().any(|v| *v == verb && gateway.mishap(Mishap::Unavailable(v))) {
                    gateway.0.book.lock().commands.push((verb, text(&up["request_id"])));
                    json!({ "type": "result", "request_id": up["request_id"], "ok": false, "reason": "UNAVAILABLE" })
                } else {
                    let answer = gateway.command(&up);
                    if VERBS.iter().any(|v| *v == verb && gateway.mishap(Mishap::LoseAnswer(v))) {
                        return;
                    }
                    gateway.offer_next();
                    answer
                }
            }
        };
        if socket.send(Message::text(down.to_string())).await.is_err() {
            return;
        }
    }
}

/// Long, because a loaded machine at a thousand times the speed thinks long about an offer.
const OFFER_TTL_S: i64 = 3_600;
const VERBS: [&str; 5] = ["accept", "decline", "arrive", "start", "complete"];

fn is_driven(trip: &Value) -> bool {
    matches!(
        trip["state"].as_str(),
        Some("OFFERED" | "EN_ROUTE" | "ARRIVED" | "IN_PROGRESS")
    )
}

fn without_code(view: &Value) -> Value {
    let mut view = view.clone();
    view["start_code"] = Value::Null;
    view
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}
