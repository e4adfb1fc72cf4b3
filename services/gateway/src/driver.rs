//! A driver's session, whichever way it comes: pings go on their way, commands are carried out side by side and
//! answered with their request_id, nonsense is answered and the session goes on.
//!
//! - [`command`] a step of a trip, also for REST; [`message`] what a driver's app says
//!
//! Invariant: the driver is the token's, never the message's.

pub mod command;
pub mod message;

use std::sync::Arc;

use futures::{Stream, StreamExt as _, stream::FuturesUnordered};
use hexcab_types::DriverId;
use http::StatusCode;
use tokio::{sync::mpsc, time::Instant};
use tracing::Instrument as _;

use crate::{
    gateway::Gateway,
    pings::PingLane,
    session::{Ending, Seat},
    spans,
    status::Problem,
    views::message::{DriverMessage, ResultView},
};
use command::Command;
use message::Said;

/// A connected driver's app.
pub struct DriverSession {
    gateway: Arc<Gateway>,
    seat: Seat<DriverId, DriverMessage>,
    lane: Arc<PingLane>,
}

impl DriverSession {
    /// Connects a driver in a city until his token ends and shows him his offer and trip.
    ///
    /// # Errors
    /// 400 CITY_UNKNOWN; 503 while trip is away: without a snapshot an offer might be missed.
    pub async fn open(
        gateway: Arc<Gateway>,
        (driver, until): (DriverId, Instant),
        city: &str,
    ) -> Result<(Self, mpsc::Receiver<DriverMessage>), Problem> {
        let lane = gateway.lane(city)?;
        let connected = gateway.drivers.connect(driver, until);
        gateway
            .show_driver(driver, connected.seat.session())
            .await?;
        Ok((
            Self {
                gateway,
                seat: connected.seat,
                lane,
            },
            connected.messages,
        ))
    }

    /// Its end.
    pub fn ending(&self) -> Ending {
        self.seat.ending()
    }

    /// Hears the app out: until it says no more and its commands are answered.
    pub async fn hear(self, mut said: impl Stream<Item = Said> + Unpin) {
        let mut commands = FuturesUnordered::new();
        let mut talking = true;
        while talking || !commands.is_empty() {
            tokio::select! {
                message = said.next(), if talking => match message {
                    Some(Said::Ping(ping)) => self.ping(ping),
                    Some(Said::Nonsense(problem)) => self.tell(DriverMessage::Error(problem.into())),
                    Some(Said::Command(command)) if commands.len() < self.gateway.config.session.commands_max => {
                        commands.push(self.carry_out(command));
                    }
                    Some(Said::Command(command)) => self.answer(command.request_text(), Err(too_many())),
                    None => talking = false,
                },
                Some(()) = commands.next(), if !commands.is_empty() => {}
            }
        }
    }

    fn ping(&self, ping: message::PingMessage) {
        let driver = self.seat.user();
        match ping.ping(driver) {
            Ok(ping) => {
                self.gateway.positions.saw(driver, &ping);
                self.lane.put(driver, ping);
            }
            Err(problem) => self.tell(DriverMessage::Error(problem.into())),
        }
    }

    async fn carry_out(&self, command: Command) {
        let ride = self.gateway.ride_of(command.trip).await;
        let span = spans::command(command.step.verb(), command.trip, ride.as_deref());
        let request_id = command.request_text();
        let outcome = self
            .gateway
            .carry_out(self.seat.user(), command)
            .instrument(span.clone())
            .await;
        spans::outcome(&span, outcome.as_ref().err());
        self.answer(request_id, outcome);
    }

    fn answer(&self, request_id: String, outcome: Result<hexcab_proto::trip::v1::Trip, Problem>) {
        let result = match outcome {
            Ok(trip) => ResultView::new(request_id, Ok(&trip)),
            Err(problem) => ResultView::new(request_id, Err(problem)),
        };
        self.tell(DriverMessage::Result(result));
    }

    fn tell(&self, message: DriverMessage) {
        self.seat.session().tell(message);
    }
}

impl Gateway {
    /// The pings' lane of a city.
    ///
    /// # Errors
    /// 400 CITY_UNKNOWN.
    pub fn lane(&self, city: &str) -> Result<Arc<PingLane>, Problem> {
        self.pings.of(city).ok_or_else(|| {
            let known = self.config.cities.join(", ");
            let mut problem = Problem::new(
                StatusCode::BAD_REQUEST,
                "CITY_UNKNOWN",
                format!("no city {city:?} here; there is {known}"),
            );
            problem.field = Some("city".to_owned());
            problem
        })
    }
}

fn too_many() -> Problem {
    Problem::new(
        StatusCode::TOO_MANY_REQUESTS,
        "TOO_MANY_COMMANDS",
        "wait for the answers to your commands",
    )
}
