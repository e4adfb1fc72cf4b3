//! A driver: online over a WebSocket, pings where he stands, sees offers, acts by REST.

use std::{sync::Arc, time::Duration};

use futures::{SinkExt as _, StreamExt as _};
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio_tungstenite::tungstenite::Message;

use crate::{Answer, Api, City, Place, eventually};

/// How often he pings, city seconds.
const PING_EVERY_S: f64 = 4.0;

/// A signed-in driver who is online until he is dropped.
pub struct Driver {
    /// The API he uses.
    pub api: Api,
    /// His token.
    pub token: String,
    /// His id.
    pub id: String,
    state: Arc<State>,
    task: tokio::task::JoinHandle<()>,
}

struct State {
    place: Mutex<Place>,
    status: Mutex<&'static str>,
    seen: watch::Sender<Vec<Value>>,
}

impl Driver {
    /// Somebody new, online and free here.
    pub async fn new(city: &City, place: Place) -> Self {
        let (token, id) = city.api.sign_in("driver").await;
        let state = Arc::new(State {
            place: Mutex::new(place),
            status: Mutex::new("available"),
            seen: watch::channel(Vec::new()).0,
        });
        let url = format!(
            "{}/v1/driver/ws?city=sf&access_token={token}",
            city.api.gateway().replacen("http", "ws", 1)
        );
        #[expect(clippy::disallowed_methods, reason = "a test's own task")]
        let task = tokio::spawn(online(url, state.clone(), city.clock()));
        Self {
            api: city.api.clone(),
            token,
            id,
            state,
            task,
        }
    }

    /// Stands somewhere else from now on.
    pub fn stand(&self, place: Place) {
        *self.state.place.lock() = place;
    }

    /// Says so in his pings from now on: available, en_route, on_trip, offline.
    pub fn say(&self, status: &'static str) {
        *self.state.status.lock() = status;
    }

    /// The messages he got so far.
    pub fn seen(&self) -> Vec<Value> {
        self.state.seen.borrow().clone()
    }

    /// Waits for the offer of this trip; a later epoch than `after`.
    pub async fn offer_after(&self, trip: &str, after: i64) -> Value {
        let mut seen = self.state.seen.subscribe();
        let found = async {
            loop {
                let offer = seen
                    .borrow_and_update()
                    .iter()
                    .find(|message| is_offer(message, trip, after))
                    .cloned();
                if let Some(offer) = offer {
                    return offer;
                }
                seen.changed().await.expect("the driver is online");
            }
        };
        tokio::time::timeout(crate::PATIENCE, found)
            .await
            .unwrap_or_else(|_| panic!("trip {trip} is never offered"))
    }

    /// Waits for the first offer of this trip.
    pub async fn offer(&self, trip: &str) -> Value {
        self.offer_after(trip, 0).await
    }

    /// Whether this trip was ever offered to him after this epoch.
    pub fn was_offered(&self, trip: &str, after: i64) -> bool {
        self.state
            .seen
            .borrow()
            .iter()
            .any(|message| is_offer(message, trip, after))
    }

    /// Does something to a trip.
    pub async fn act(&self, trip: &str, verb: &str, body: Value) -> Answer {
        self.api
            .post_surely(&self.token, &format!("/v1/trips/{trip}/{verb}"), &body)
            .await
    }

    /// Accepts an offer he got.
    pub async fn accept(&self, trip: &str, offer: &Value) -> Answer {
        self.act(trip, "accept", json!({"epoch": offer["epoch"]}))
            .await
    }

    /// Drives an accepted trip to its end.
    pub async fn drive(&self, trip: &str, code: &str, pickup: Place, dropoff: Place) {
        self.stand(pickup);
        self.act(trip, "arrive", json!({"position": pickup.json()}))
            .await
            .ok();
        self.act(trip, "start", json!({"code": code})).await.ok();
        self.stand(dropoff);
        self.act(trip, "complete", json!({"position": dropoff.json()}))
            .await
            .ok();
    }

    /// Goes offline and waits until location knows.
    pub async fn leave(self, city: &City) {
        Self::leave_all(vec![self], city).await;
    }

    /// Everybody who is online goes offline; waits until nobody is near where they stood.
    pub async fn leave_all(drivers: Vec<Self>, city: &City) {
        let token = city.api.sign_in("rider").await.0;
        for driver in &drivers {
            driver.say("offline");
        }
        for driver in &drivers {
            let place = *driver.state.place.lock();
            let path = format!("/v1/nearby?city=sf&lat={}&lon={}", place.lat, place.lon);
            eventually("the drivers are gone from the map", || async {
                let near = city.api.get(&token, &path).await;
                near.body["drivers"]
                    .as_array()
                    .is_some_and(Vec::is_empty)
                    .then_some(())
            })
            .await;
        }
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn is_offer(message: &Value, trip: &str, after: i64) -> bool {
    message["type"] == "offer"
        && message["trip"] == trip
        && message["epoch"].as_i64().is_some_and(|e| e > after)
}

/// Stays connected, whatever happens to the gateway.
async fn online(url: String, state: Arc<State>, clock: hexcab_chassis::Clock) {
    loop {
        if let Ok((socket, _)) = tokio_tungstenite::connect_async(&url).await {
            session(socket, &state, &clock).await;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

async fn session<S>(
    socket: tokio_tungstenite::WebSocketStream<S>,
    state: &State,
    clock: &hexcab_chassis::Clock,
) where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin,
{
    let (mut up, mut down) = socket.split();
    let mut every = tokio::time::interval(clock.to_real(Duration::from_secs_f64(PING_EVERY_S)));
    loop {
        tokio::select! {
            _ = every.tick() => {
                let (place, status) = (*state.place.lock(), *state.status.lock());
                let ping = json!({"type": "ping", "lat": place.lat, "lon": place.lon, "status": status,
                                  "recorded_at_ms": clock.now().timestamp_millis()});
                if up.send(Message::text(ping.to_string())).await.is_err() {
                    return;
                }
            }
            message = down.next() => match message {
                Some(Ok(Message::Text(text))) => {
                    let message: Value = serde_json::from_str(&text).expect("JSON from the gateway");
                    state.seen.send_modify(|seen| seen.push(message));
                }
                Some(Ok(_)) => {}
                Some(Err(_)) | None => return,
            },
        }
    }
}
