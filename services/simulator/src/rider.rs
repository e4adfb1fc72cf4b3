//! A rider with a phone: one task from the wish to the end of the trip. Quote, request, follow, now and then cancel.
//! Invariant: one wish becomes at most one trip, however often the network fails: the request is repeated with its key.

pub mod journey;

use std::{sync::Arc, time::Duration};

use chrono::TimeDelta;
use futures::future::{FutureExt as _, OptionFuture};
use hexcab_types::Timestamp;
use reqwest::Method;
use serde_json::json;
use tokio::time::Instant;
use uuid::Uuid;

use crate::{
    api::{
        Login, Role,
        fault::Fault,
        socket::Socket,
        wire::{Down, Place, Quote, State, TripView},
    },
    chance::{Kind, RiderMind},
    demand::Request,
    meeting::Words,
    scene::Scene,
};
use journey::Journey;

/// How long a rider goes on trying while the platform does not answer, real time.
const INSISTENCE: Duration = Duration::from_secs(120);
/// A quote that ran out is asked for again so often.
const QUOTES_MAX: u32 = 3;
/// A trip of which nothing is heard for so long is looked up, city time (and at least [`SILENCE_MIN`] of real time).
const SILENCE: TimeDelta = TimeDelta::seconds(60);
/// A ride that the rider does not follow is looked up so often after its expected end, city time.
const AFTER_RIDE: TimeDelta = TimeDelta::seconds(20);
const SILENCE_MIN: Duration = Duration::from_secs(1);
/// A tip that comes before payment knows of the ride's end is given again after so long, real time.
const TIP_AGAIN: Duration = Duration::from_secs(1);
/// And so often.
const TIPS_MAX: u32 = 30;
/// A tip, as a share of what the ride cost: one in so many parts.
const TIP_PART: i64 = 8;

/// A rider and his trip.
struct Rider {
    scene: Arc<Scene>,
    login: Login,
    request: Request,
    mind: RiderMind,
    keys: u64,
}

/// Asks for a ride and follows it to its end.
pub async fn ride(scene: Arc<Scene>, request: Request) {
    let number = request.number;
    let id = scene.chance.id(Kind::RiderId, number, 0);
    let (chance, tally) = (scene.chance, Arc::clone(&scene.tally));
    let login = Login::new(
        Arc::clone(&scene.api),
        (Role::Rider, id, number),
        chance,
        tally,
    );
    let mind = scene.chance.mind(number, scene.riders);
    let mut rider = Rider {
        scene,
        login,
        request,
        mind,
        keys: 0,
    };
    rider.scene.tally.wanted();
    match rider.ask().await {
        Ok((quote, view)) => {
            rider.scene.tally.requested(view.id);
            let trip = view.id;
            rider.follow(&quote, view).await;
            rider.scene.meetings.leave(trip);
        }
        Err(fault) => rider.scene.tally.refused(fault.reason()),
    }
}

impl Rider {
    fn key(&mut self) -> Uuid {
        self.keys += 1;
        self.scene
            .key(Kind::RiderId, self.request.number, self.keys)
    }

    /// Quote and request. The answer to a repeated request is the answer to the first.
    async fn ask(&mut self) -> Result<(Quote, TripView), Fault> {
        let wish = json!({
            "city": self.scene.city.id,
            "pickup": Place::from(self.request.pickup),
            "dropoff": Place::from(self.request.dropoff),
        });
        let mut quotes = 1;
        loop {
            let quote: Quote = self
                .login
                .insist(
                    "rider.quote",
                    (Method::POST, "/v1/quotes"),
                    None,
                    Some(&wish),
                    INSISTENCE,
                )
                .await?;
            let key = self.key();
            let method = if self.mind.pays_cash { "cash" } else { "card" };
            let body = json!({ "quote_token": quote.token, "payment_method": method });
            let call = (Method::POST, "/v1/trips");
            match self
                .login
                .insist("rider.request", call, Some(key), Some(&body), INSISTENCE)
                .await
            {
                Ok(view) => return Ok((quote, view)),
                Err(Fault::Refused(reason)) if reason == "QUOTE_EXPIRED" && quotes < QUOTES_MAX => {
                    quotes += 1;
                }
                Err(fault) => return Err(fault),
            }
        }
    }

    /// Follows the trip to its end: by WebSocket, and by looking it up when nothing is heard.
    async fn follow(&mut self, quote: &Quote, view: TripView) {
        let mut journey = Journey::new(&view, self.scene.clock.now());
        let mut socket: Option<Socket> = None;
        let mut connect_at = Some(Instant::now());
        let mut faults = 0;
        self.heard(&mut journey, &view);
        let ride_s = self.request.ride_s.map_or(quote.duration_s, f64::from);
        let mut look_at = self.silence_ends();
        while !journey.is_over() {
            let rides = journey.state() == State::InProgress;
            if rides && !self.mind.follows_ride && (socket.is_some() || connect_at.is_some()) {
                // The phone is put away; one look when the ride should be over.
                (socket, connect_at) = (None, None);
                look_at = self.scene.clock.now()
                    + TimeDelta::milliseconds((ride_s * 1e3) as i64)
                    + AFTER_RIDE;
            }
            let clock = &self.scene.clock;
            let hearing: OptionFuture<_> = socket.as_mut().map(Socket::next).into();
            let connecting: OptionFuture<_> = connect_at.map(tokio::time::sleep_until).into();
            let leaving = self
                .leaves_at(&journey)
                .map(|(at, reason)| clock.sleep_until(at).map(move |()| reason));
            let leaving = OptionFuture::from(leaving);
            tokio::select! {
                Some(heard) = hearing => match heard {
                    Some(Down::Trip { trip, .. }) => {
                        self.heard(&mut journey, &trip);
                        look_at = self.silence_ends();
                    }
                    Some(_) => {}
                    None => {
                        self.scene.tally.reconnected();
                        (socket, connect_at) = (None, Some(self.after_fault(&mut faults)));
                    }
                },
                Some(()) = connecting => {
                    connect_at = None;
                    match self.connect().await {
                        Ok(connected) => {
                            socket = Some(connected);
                            if faults > 0 {
                                // What ended meanwhile is not in the snapshot of a new connection.
                                look_at = self.scene.clock.now();
                            }
                            faults = 0;
                        }
                        Err(fault) => {
                            self.scene.tally.error("rider.connect", fault.reason());
                            connect_at = Some(self.after_fault(&mut faults));
                        }
                    }
                }
                Some(reason) = leaving => {
                    journey.asked_to_cancel();
                    self.cancel(&mut journey, reason).await;
                }
                () = self.scene.clock.sleep_until(look_at) => {
                    self.look(&mut journey).await;
                    let pause = if rides && !self.mind.follows_ride { AFTER_RIDE } else { SILENCE };
                    look_at = self.later(pause);
                }
            }
        }
        if let Some(socket) = socket {
            socket.close().await;
        }
        self.tip(&journey).await;
    }

    /// Gives the driver a tip, if he has that in mind and the ride was one.
    async fn tip(&mut self, journey: &Journey) {
        let Some(cost) = journey.cost().filter(|_| self.mind.tips) else {
            return;
        };
        let amount = json!({
            "amount_minor": (cost.amount_minor / TIP_PART).max(1),
            "currency": cost.currency,
        });
        let (path, body) = (
            format!("/v1/trips/{}/tip", journey.trip()),
            json!({ "amount": amount }),
        );
        for _ in 0..TIPS_MAX {
            // A refusal is kept under its key, so each try has its own.
            let (key, call) = (self.key(), (Method::POST, path.as_str()));
            let given = self
                .login
                .insist::<serde_json::Value>("rider.tip", call, Some(key), Some(&body), INSISTENCE)
                .await;
            match given {
                Ok(_) => return self.scene.tally.tipped(),
                Err(Fault::Refused(reason)) if is_too_early(&reason) => {
                    tokio::time::sleep(TIP_AGAIN).await;
                }
                Err(_) => return,
            }
        }
    }

    async fn connect(&mut self) -> Result<Socket, Fault> {
        let token = self.login.token().await?;
        let connected = self.login.api().connect(&token, "/v1/rider/ws").await;
        if connected
            .as_ref()
            .is_err_and(|fault| *fault == Fault::Token)
        {
            self.login.forget_token();
        }
        connected
    }

    fn after_fault(&self, faults: &mut u32) -> Instant {
        let wait = self.scene.chance.backoff(self.request.number, *faults);
        *faults += 1;
        Instant::now() + wait
    }

    fn silence_ends(&self) -> Timestamp {
        self.later(SILENCE)
    }

    /// So much city time from now, but at least [`SILENCE_MIN`] of real time: fast clocks must not make riders hectic.
    fn later(&self, city: TimeDelta) -> Timestamp {
        let least = TimeDelta::from_std(self.scene.clock.to_city(SILENCE_MIN)).unwrap_or(city);
        self.scene.clock.now() + city.max(least)
    }

    /// When he no longer wants the ride, and why; none once he is in the car, or has said so.
    fn leaves_at(&self, journey: &Journey) -> Option<(Timestamp, &'static str)> {
        let requested = journey.requested_at();
        let mind = self
            .mind
            .cancels_after
            .and_then(|after| TimeDelta::from_std(after).ok());
        let changed = mind.map(|after| (requested + after, "changed_mind"));
        let tired = self
            .scene
            .patience
            .map(|after| (requested + after, "waited_too_long"));
        changed
            .into_iter()
            .chain(tired)
            .min()
            .filter(|_| journey.may_cancel())
    }

    /// News of the trip.
    fn heard(&self, journey: &mut Journey, view: &TripView) {
        if view.id != journey.trip() {
            return;
        }
        if let Some(code) = &view.start_code
            && !view.state.is_final()
            && !self.mind.no_show
        {
            let words = Words {
                code: code.clone(),
                ride_s: self.request.ride_s,
                late: TimeDelta::from_std(self.mind.late).unwrap_or_default(),
            };
            self.scene.meetings.wait(view.id, words);
        }
        journey.hear(view, self.scene.clock.now(), &self.scene.tally);
    }

    async fn look(&mut self, journey: &mut Journey) {
        let path = format!("/v1/trips/{}", journey.trip());
        match self
            .login
            .call::<TripView>((Method::GET, &path), None, None)
            .await
        {
            Ok(view) => self.heard(journey, &view),
            Err(fault) => self.scene.tally.error("rider.look", fault.reason()),
        }
    }

    async fn cancel(&mut self, journey: &mut Journey, reason: &'static str) {
        let path = format!("/v1/trips/{}/cancel", journey.trip());
        let (key, body) = (self.key(), json!({ "reason": reason }));
        let call = (Method::POST, path.as_str());
        // A refusal is a lost race (the ride began): the trip's news say how it goes on.
        if let Ok(view) = self
            .login
            .insist("rider.cancel", call, Some(key), Some(&body), INSISTENCE)
            .await
        {
            self.heard(journey, &view);
        }
    }
}

/// Payment has not heard of the ride's end yet.
fn is_too_early(reason: &str) -> bool {
    matches!(reason, "NOT_DRIVEN" | "INTENT_NOT_FOUND")
}
