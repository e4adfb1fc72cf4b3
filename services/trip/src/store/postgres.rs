//! Trips in Postgres: decide and keep, in one SERIALIZABLE transaction a command.
//!
//! Round trips of a command: BEGIN, claim and fetch, outbox, change, COMMIT. Does not: know protobuf (how an event is
//! written is passed in) or decide anything (the domain and the guards of the database do).

use std::sync::Arc;

use hexcab_bus::{Incoming, inbox};
use hexcab_chassis::Clock;
use hexcab_pg::Pg;
use hexcab_types::{Timestamp, TripId};
use sqlx::PgConnection;
use tracing::{Span, field::Empty};

use super::{
    Consumed, Due, Encode, ExecuteError, Filter, PageToken, RequestKey, fetch, guards, list,
    requests::{self, Answer},
    save::{self, Change},
    start_codes,
};
use crate::domain::{
    self, Canceller, Command, NewTrip, Refusal, RefusalKind, RuleBook, Rules, State, Trip, decide,
};

/// The name of this consumer in the inbox.
pub const CONSUMER: &str = "trip";

/// The keeper of trips; clones share it.
#[derive(Clone)]
pub struct Trips {
    pg: Pg,
    clock: Clock,
    rules: Arc<RuleBook>,
    encode: Encode,
}

impl Trips {
    /// Keeps trips in this database, by this clock and these rules.
    pub fn new(pg: Pg, clock: Clock, rules: RuleBook, encode: Encode) -> Self {
        Self {
            pg,
            clock,
            rules: Arc::new(rules),
            encode,
        }
    }

    /// Makes a trip of a request.
    ///
    /// # Errors
    /// See [`ExecuteError`]; refusals are kept under the key.
    #[tracing::instrument(name = "trip.create", skip_all, fields(hexcab.trip.id = Empty, hexcab.trip.state = Empty))]
    pub async fn create(&self, key: RequestKey, new: NewTrip) -> Result<Trip, ExecuteError> {
        let (key, new) = (&key, &new);
        let answer = self.pg.idempotent("trip.create", |mut tx| async move {
            let now = self.clock.now();
            if !requests::claim(&mut tx, key, now).await? {
                return requests::replay(&mut tx, key).await;
            }
            let made = self
                .rules(&new.quote.city, &new.quote.product)
                .and_then(|rules| domain::request(new.clone(), rules, now));
            match made {
                Ok((trip, event)) => {
                    let change = Change {
                        after: &trip,
                        event: &event,
                        request: Some(key.id),
                    };
                    save::insert(&mut tx, &change, self.encode).await?;
                    Ok(Ok(trip))
                }
                Err(refusal) => self.refused(&mut tx, key, refusal).await,
            }
        });
        self.answered(key, answer.await).await
    }

    /// Does a command to a trip.
    ///
    /// # Errors
    /// See [`ExecuteError`]; refusals are kept under the key.
    #[tracing::instrument(name = "trip.execute", skip_all, fields(hexcab.trip.id = %id, hexcab.trip.state = Empty))]
    pub async fn execute(
        &self,
        key: RequestKey,
        id: TripId,
        command: Command,
    ) -> Result<Trip, ExecuteError> {
        let (key, command) = (&key, &command);
        let answer = self.pg.idempotent("trip.execute", |mut tx| async move {
            let now = self.clock.now();
            let (claimed, trip) = fetch::claim_and_fetch(&mut tx, key, id, now).await?;
            if !claimed {
                return requests::replay(&mut tx, key).await;
            }
            let mut trip = trip.ok_or(ExecuteError::NoSuchTrip)?;
            if let Command::Start { .. } = command {
                trip.wrong_codes = start_codes::wrong(&mut tx, id).await?;
            }
            let wrong_codes = trip.wrong_codes;
            match self.step(&mut tx, trip, command, now, Some(key)).await? {
                Ok(trip) => Ok(Ok(trip)),
                Err(refusal) => {
                    if refusal == Refusal::WrongStartCode {
                        start_codes::count(&mut tx, id, wrong_codes).await?;
                    }
                    self.refused(&mut tx, key, refusal).await
                }
            }
        });
        self.answered(key, answer.await).await
    }

    /// Does what an event of another service asks for, once: its inbox row and the change are one transaction. A command
    /// that the state forbids is consumed without effect.
    ///
    /// # Errors
    /// See [`ExecuteError`]; never `Refused`.
    #[tracing::instrument(name = "trip.consume", skip_all, fields(hexcab.trip.id = Empty, hexcab.trip.state = Empty))]
    pub async fn consume(
        &self,
        event: &Incoming,
        order: Option<(TripId, Command)>,
    ) -> Result<Consumed, ExecuteError> {
        let order = &order;
        if let Some((id, _)) = order {
            Span::current().record("hexcab.trip.id", id.to_string());
        }
        let consumed = self.pg.idempotent("trip.consume", |mut tx| async move {
            if !inbox::first_time(&mut tx, CONSUMER, event).await? {
                return Ok(Consumed::Before);
            }
            let Some((id, command)) = order else {
                return Ok(Consumed::Noted);
            };
            let trip = fetch::fetch(&mut tx, *id)
                .await?
                .ok_or(ExecuteError::NoSuchTrip)?;
            let stepped = self
                .step(&mut tx, trip, command, self.clock.now(), None)
                .await?;
            Ok::<_, ExecuteError>(
                stepped.map_or_else(Consumed::Refused, |trip| Consumed::Done(Box::new(trip))),
            )
        });
        let consumed = consumed.await?;
        if let Consumed::Done(trip) = &consumed {
            Span::current().record("hexcab.trip.state", trip.state.name());
        }
        Ok(consumed)
    }

    /// Carries out the deadline of a trip, if it has passed and nobody else is at it. A booked trip whose rider turns out
    /// to be on another is called off.
    ///
    /// # Errors
    /// See [`ExecuteError`]; never `Refused`.
    #[tracing::instrument(name = "trip.expire", skip_all, fields(hexcab.trip.id = %id, hexcab.trip.state = Empty))]
    pub async fn carry_out_deadline(&self, id: TripId) -> Result<Option<Trip>, ExecuteError> {
        let carried_out = match self.on_deadline(id, deadline_of).await {
            // The index that keeps a rider to one trip undid the activation (I1).
            Err(ExecuteError::Pg(error)) if guards::refusal(&error) == Some(Refusal::RiderBusy) => {
                self.on_deadline(id, called_off_as_busy).await?
            }
            carried_out => carried_out?,
        };
        if let Some(trip) = &carried_out {
            Span::current().record("hexcab.trip.state", trip.state.name());
        }
        Ok(carried_out)
    }

    async fn on_deadline(
        &self,
        id: TripId,
        command: fn(&State) -> Option<Command>,
    ) -> Result<Option<Trip>, ExecuteError> {
        let transaction = self.pg.serializable("trip.expire", |mut tx| async move {
            let now = self.clock.now();
            let Some(trip) = fetch::lock_due(&mut tx, id, now).await? else {
                return Ok(None);
            };
            let Some(command) = command(&trip.state) else {
                return Ok(None);
            };
            let stepped = self.step(&mut tx, trip, &command, now, None).await?;
            if let Err(refusal) = &stepped {
                tracing::warn!(trip.id = %id, reason = refusal.reason(), "a deadline was refused");
            }
            Ok::<_, ExecuteError>(stepped.ok())
        });
        transaction.await
    }

    /// The trips whose deadline has passed, the longest overdue first, without these.
    ///
    /// # Errors
    /// When Postgres is away.
    pub async fn due(&self, limit: u32, without: &[TripId]) -> Result<Vec<Due>, ExecuteError> {
        list::due(self.pg.pool(), self.clock.now(), limit, without).await
    }

    /// One trip.
    ///
    /// # Errors
    /// `NoSuchTrip`, or Postgres.
    pub async fn get(&self, id: TripId) -> Result<Trip, ExecuteError> {
        list::get(self.pg.pool(), id).await
    }

    /// A page of trips, newest first, and where the next one goes on.
    ///
    /// # Errors
    /// When Postgres is away.
    pub async fn list(
        &self,
        filter: &Filter,
    ) -> Result<(Vec<Trip>, Option<PageToken>), ExecuteError> {
        list::list(self.pg.pool(), filter).await
    }

    /// The payloads of a trip's events, in order.
    ///
    /// # Errors
    /// `NoSuchTrip`, or Postgres.
    pub async fn events(&self, id: TripId) -> Result<Vec<Vec<u8>>, ExecuteError> {
        list::events(self.pg.pool(), id).await
    }

    /// Decides, and keeps what was decided for.
    async fn step(
        &self,
        conn: &mut PgConnection,
        trip: Trip,
        command: &Command,
        now: Timestamp,
        key: Option<&RequestKey>,
    ) -> Result<Answer, ExecuteError> {
        let decided = self
            .rules(&trip.order.city, &trip.order.product)
            .and_then(|rules| decide(&trip, command, rules, now));
        let event = match decided {
            Ok(event) => event,
            Err(refusal) => return Ok(Err(refusal)),
        };
        let after = trip.apply(&event, now);
        let change = Change {
            after: &after,
            event: &event,
            request: key.map(|key| key.id),
        };
        save::update(conn, &change, self.encode).await?;
        Ok(Ok(after))
    }

    fn rules(
        &self,
        city: &hexcab_types::CityId,
        product: &hexcab_types::ProductId,
    ) -> Result<&Rules, Refusal> {
        self.rules.of(city, product).ok_or(Refusal::CityNotServed)
    }

    /// Keeps a refusal as the answer, unless the caller may look again and ask the same.
    async fn refused(
        &self,
        conn: &mut PgConnection,
        key: &RequestKey,
        refusal: Refusal,
    ) -> Result<Answer, ExecuteError> {
        match refusal.kind() {
            RefusalKind::Stale => Err(ExecuteError::Refused(refusal)),
            RefusalKind::Malformed | RefusalKind::NotYours | RefusalKind::State => {
                requests::refuse(conn, key, refusal).await?;
                Ok(Err(refusal))
            }
        }
    }

    /// The answer of a transaction; a refusal by a guard of the database, which undid the transaction, is kept now.
    async fn answered(
        &self,
        key: &RequestKey,
        answer: Result<Answer, ExecuteError>,
    ) -> Result<Trip, ExecuteError> {
        let answer = match answer {
            Err(ExecuteError::Pg(error)) => match guards::refusal(&error) {
                Some(refusal) => self.keep(key, refusal).await?,
                None => return Err(ExecuteError::Pg(error)),
            },
            Err(other) => return Err(other),
            Ok(answer) => answer,
        };
        let trip = answer?;
        Span::current()
            .record("hexcab.trip.id", trip.id.to_string())
            .record("hexcab.trip.state", trip.state.name());
        tracing::info!(trip.id = %trip.id, trip.state = trip.state.name(), trip.version = trip.version, "command answered");
        Ok(trip)
    }

    async fn keep(&self, key: &RequestKey, refusal: Refusal) -> Result<Answer, ExecuteError> {
        self.pg
            .idempotent("trip.refuse", |mut tx| async move {
                if !requests::claim(&mut tx, key, self.clock.now()).await? {
                    return requests::replay(&mut tx, key).await;
                }
                self.refused(&mut tx, key, refusal).await
            })
            .await
    }
}

/// What the deadline of a state orders.
fn deadline_of(state: &State) -> Option<Command> {
    match state {
        State::Scheduled => Some(Command::Activate),
        State::Requested => Some(Command::ExpireRequest),
        State::Offered(offer) => Some(Command::ExpireOffer { epoch: offer.epoch }),
        State::EnRoute(by) => Some(Command::Stall { epoch: by.epoch }),
        State::Arrived(_)
        | State::InProgress(_)
        | State::Completed { .. }
        | State::Cancelled { .. }
        | State::Expired { .. } => None,
    }
}

/// What is ordered instead when the rider of a booked trip is on another.
fn called_off_as_busy(state: &State) -> Option<Command> {
    match state {
        State::Scheduled => Some(Command::Cancel(Canceller::RiderBusy)),
        State::Requested
        | State::Offered(_)
        | State::EnRoute(_)
        | State::Arrived(_)
        | State::InProgress(_)
        | State::Completed { .. }
        | State::Cancelled { .. }
        | State::Expired { .. } => None,
    }
}
