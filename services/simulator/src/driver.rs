//! A driver with a phone: one task that keeps a WebSocket open, pings, and does what his [`machine`] says.
//! Invariant: whatever dies on the other side, he comes back, asks what is true and goes on; only his shift's end or the
//! simulation's sends him home.

pub mod machine;
pub mod ping;

use std::{sync::Arc, time::Duration};

use chrono::TimeDelta;
use futures::future::{BoxFuture, FutureExt as _, OptionFuture};
use hexcab_types::{Point, Timestamp};
use reqwest::Method;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::{
    api::{
        Login, Role,
        fault::Fault,
        socket::Socket,
        wire::{Current, Down, Keyed},
    },
    chance::{Kind, Reaction},
    drive::Drive,
    meeting::Words,
    scene::Scene,
    supply::DriverPlan,
    tally::DriverNews,
};
use machine::{Machine, Outcome, Pace, Status, World};
use ping::Pinger;

/// How long an answer to a command may take before it is sent again, real time.
const ANSWER: Duration = Duration::from_secs(4);
/// The first wait after a fault or refusal, real time.
const PAUSE: Duration = Duration::from_millis(150);

/// The world as one driver sees it.
struct Eyes {
    scene: Arc<Scene>,
    number: u64,
}

impl World for Eyes {
    fn drive(&self, from: Point, to: Point, now: Timestamp, seconds: Option<f64>) -> Drive {
        let hour = self.scene.city.hour_of_week(now);
        Drive::begin(self.scene.roads.as_ref(), (from, to), hour, now, seconds)
    }

    fn reaction(&self, nth: u64) -> Reaction {
        self.scene
            .chance
            .reaction(self.number, nth, self.scene.answers)
    }

    fn key(&self, nth: u64) -> Uuid {
        self.scene.key(Kind::DriverId, self.number, nth)
    }

    fn hear(&self, trip: Uuid) -> Option<Words> {
        self.scene.meetings.hear(trip)
    }

    fn boarding(&self) -> TimeDelta {
        TimeDelta::seconds(i64::from(self.scene.city.trip.boarding_s))
    }

    fn note(&self, news: DriverNews) {
        self.scene.tally.driver(news);
    }
}

/// Why a connection ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ended {
    /// He goes home.
    Home,
    /// It is lost, or to be made anew.
    Lost,
}

/// A driver at work.
pub struct Driver {
    scene: Arc<Scene>,
    login: Login,
    machine: Machine<Eyes>,
    pinger: Pinger,
    number: u64,
    home: CancellationToken,
    /// An asking of what is true that is under way.
    asking: OptionFuture<BoxFuture<'static, Result<Current, Fault>>>,
}

/// Drives all stints of a plan, shifted by `offset`, until its end or until `home` is called.
pub async fn work(scene: Arc<Scene>, plan: DriverPlan, offset: TimeDelta, home: CancellationToken) {
    let Some(first) = plan.stints.first().copied() else {
        return;
    };
    let number = plan.number;
    let id = scene.chance.id(Kind::DriverId, number, 0);
    let (chance, tally) = (scene.chance, Arc::clone(&scene.tally));
    let login = Login::new(
        Arc::clone(&scene.api),
        (Role::Driver, id, number),
        chance,
        tally,
    );
    let city = |real| TimeDelta::from_std(scene.clock.to_city(real)).unwrap_or(TimeDelta::MAX);
    let pace = Pace {
        answer: city(ANSWER),
        pause: city(PAUSE),
    };
    let eyes = Eyes {
        scene: Arc::clone(&scene),
        number,
    };
    let machine = Machine::new(eyes, pace, first.start, scene.clock.now());
    let mut driver = Driver {
        scene,
        login,
        machine,
        pinger: Pinger::new(number),
        number,
        home,
        asking: None.into(),
    };
    for stint in plan.stints {
        let from = stint.from + offset;
        tokio::select! {
            () = driver.home.cancelled() => return,
            () = driver.scene.clock.sleep_until(from) => {}
        }
        driver.machine.stand_at(stint.start);
        driver.stint(stint.until.map(|until| until + offset)).await;
    }
}

impl Driver {
    /// Online until the shift is over and he is free.
    async fn stint(&mut self, until: Option<Timestamp>) {
        let home = self.home.clone();
        let mut tries = 0;
        while !self.leaves(until) {
            let connected = tokio::select! {
                () = home.cancelled() => return,
                connected = self.connect() => connected,
            };
            match connected {
                Ok(socket) => {
                    tries = 0;
                    self.scene.tally.online(true);
                    let ended = self.session(socket, until).await;
                    self.scene.tally.online(false);
                    if ended == Ended::Home {
                        return;
                    }
                    self.scene.tally.reconnected();
                }
                Err(fault) => {
                    if fault == Fault::Token {
                        self.login.forget_token();
                    }
                    self.scene.tally.error("driver.connect", fault.reason());
                }
            }
            tokio::select! {
                () = home.cancelled() => return,
                () = tokio::time::sleep(self.scene.chance.backoff(self.number, tries)) => tries += 1,
            }
        }
    }

    async fn connect(&mut self) -> Result<Socket, Fault> {
        let token = self.login.token().await?;
        let path = format!("/v1/driver/ws?city={}", self.scene.city.id);
        self.login.api().connect(&token, &path).await
    }

    /// One connection, to its end.
    async fn session(&mut self, mut socket: Socket, until: Option<Timestamp>) -> Ended {
        let home = self.home.clone();
        self.machine.connected(self.scene.clock.now());
        // The gateway ends a connection with its token: better between two messages than within one.
        let renew_at = self.login.renew_at().unwrap_or_else(Instant::now);
        let mut next_ping = self.scene.clock.now();
        loop {
            let now = self.scene.clock.now();
            if self.leaves(until) {
                // He goes home either way; a lost goodbye is a stale position soon.
                let _ = socket
                    .send(
                        self.pinger
                            .ping(self.machine.motion(now), Status::Offline, now),
                    )
                    .await;
                socket.close().await;
                return Ended::Home;
            }
            if self.speak(&mut socket, now).await.is_err() || self.machine.doubts_connection() {
                return Ended::Lost;
            }
            if now >= next_ping {
                let ping = self
                    .pinger
                    .ping(self.machine.motion(now), self.machine.status(), now);
                if socket.send(ping).await.is_err() {
                    return Ended::Lost;
                }
                next_ping = self.pinger.next(now);
            }
            if self.machine.asks(now) {
                self.ask().await;
            }
            let wake = self
                .machine
                .due()
                .map_or(next_ping, |due| due.min(next_ping));
            tokio::select! {
                () = home.cancelled() => {}
                heard = socket.next() => match heard {
                    Some(down) => self.hear(down),
                    None => return Ended::Lost,
                },
                Some(current) = &mut self.asking => self.learn(current),
                () = self.scene.clock.sleep_until(wake) => {}
                () = tokio::time::sleep_until(renew_at), if self.machine.is_free() => {
                    socket.close().await;
                    return Ended::Lost;
                }
            }
        }
    }

    fn leaves(&self, until: Option<Timestamp>) -> bool {
        let over = until.is_some_and(|until| self.scene.clock.now() >= until);
        self.home.is_cancelled() || over && self.machine.is_free()
    }

    /// Sends what is to be sent by now.
    async fn speak(&mut self, socket: &mut Socket, now: Timestamp) -> Result<(), Fault> {
        while let Some((request_id, command)) = self.machine.step(now) {
            let json = serde_json::to_vec(&Keyed {
                request_id,
                command,
            })
            .map_err(|_| Fault::Refused("NOT_JSON".to_owned()))?;
            socket.send(json.into()).await?;
        }
        Ok(())
    }

    fn hear(&mut self, down: Down) {
        let now = self.scene.clock.now();
        match down {
            Down::Offer(offer) => self.machine.on_offer(*offer, now),
            Down::Trip { trip, yours } => self.machine.on_trip(&trip, yours, now),
            Down::Result {
                request_id,
                ok,
                reason,
                trip,
            } => {
                let outcome = Outcome {
                    ok,
                    reason: reason.unwrap_or_default(),
                    trip,
                };
                self.machine.on_result(request_id, &outcome, now);
            }
            Down::Error { reason } => self.scene.tally.error("driver.socket", &reason),
            Down::Other => {}
        }
    }

    /// Begins to ask the platform what is true, beside everything else.
    async fn ask(&mut self) {
        let token = match self.login.token().await {
            Ok(token) => token,
            Err(fault) => return self.learn(Err(fault)),
        };
        let api = Arc::clone(self.login.api());
        let asking = async move {
            api.call(&token, (Method::GET, "/v1/driver/current"), None, None)
                .await
        };
        self.asking = Some(asking.boxed()).into();
    }

    fn learn(&mut self, answer: Result<Current, Fault>) {
        let now = self.scene.clock.now();
        self.asking = None.into();
        match answer {
            Ok(current) => self.machine.on_current(current, now),
            Err(fault) => {
                if fault == Fault::Token {
                    self.login.forget_token();
                }
                self.scene.tally.error("driver.current", fault.reason());
                self.machine.ask_again(now);
            }
        }
    }
}
