//! Trips in Postgres: decide and keep, in one SERIALIZABLE transaction a command.
//!
//! Round trips of a command: one (see `at_once`); where that is not enough, BEGIN, claim and fetch, change, COMMIT.
//! Does not: know protobuf (how an event is written is passed in) or decide anything (the domain and the guards of the
//! database do).

use std::sync::Arc;

use hexcab_bus::{Incoming, inbox, outbox};
use hexcab_chassis::{Clock, crash};
use hexcab_pg::Pg;
use hexcab_types::{Timestamp, TripId};
use sqlx::PgConnection;
use tracing::{Span, field::Empty};

use super::{
    Answer, Consumed, Due, Encode, ExecuteError, Filter, PageToken, RequestKey, fetch, guards,
    list, measures,
    near::Near,
    requests,
    save::{self, Change, Place},
    start_codes,
};
use crate::domain::{
    self, Command, Deadline, Event, NewTrip, Refusal, RefusalKind, RuleBook, Rules, Trip,
    deadline::rider_is_busy, decide,
};

/// The name of this consumer in the inbox.
pub const CONSUMER: &str = "trip";
/// Trips that are remembered unless one says otherwise: about 1 kB each.
pub const TRIPS_REMEMBERED: u64 = 20_000;

/// A trip as it was just written, and where; to be remembered once that is committed.
type Written = (Arc<Trip>, Place);
/// What a transaction answers, and what it wrote.
type Told = Result<(Answer, Option<Place>), Refusal>;

/// The keeper of trips; clones share it.
#[derive(Clone)]
pub struct Trips {
    pub(super) pg: Pg,
    pub(super) clock: Clock,
    pub(super) near: Near,
    rules: Arc<RuleBook>,
    encode: Encode,
}

impl Trips {
    /// Keeps trips in this database, by this clock and these rules.
    pub fn new(pg: Pg, clock: Clock, rules: RuleBook, encode: Encode) -> Self {
        Self {
            pg,
            clock,
            near: Near::of(TRIPS_REMEMBERED),
            rules: Arc::new(rules),
            encode,
        }
    }

    /// The same, remembering so many trips; none: every command is a transaction of several round trips.
    #[must_use]
    pub fn remembering(self, trips: u64) -> Self {
        Self {
            near: Near::of(trips),
            ..self
        }
    }

    /// Makes a trip of a request.
    ///
    /// # Errors
    /// See [`ExecuteError`]; refusals are kept under the key.
    #[tracing::instrument(name = "trip.create", skip_all, fields(hexcab.trip.id = Empty, hexcab.trip.state = Empty))]
    pub async fn create(&self, key: RequestKey, new: NewTrip) -> Result<Answer, ExecuteError> {
        let (key, new) = (&key, &new);
        if let Some(trip) = self.create_at_once(key, new).await? {
            return Ok(done(trip));
        }
        let told = self.pg.idempotent("trip.create", |mut tx| async move {
            let now = self.clock.now();
            if !requests::claim(&mut tx, key, now).await? {
                return again(requests::replay(&mut tx, key).await);
            }
            let made = self
                .rules(&new.quote.city, &new.quote.product)
                .and_then(|rules| domain::request(new.clone(), rules, now));
            match made {
                Ok((trip, event)) => {
                    let change = self.change(&trip, &event, Some(key));
                    let place = save::insert(&mut tx, &change).await?;
                    Ok(Ok((Answer::Done(Arc::new(trip)), Some(place))))
                }
                Err(refusal) => self.refused(&mut tx, key, refusal).await,
            }
        });
        self.answered(key, told.await).await
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
    ) -> Result<Answer, ExecuteError> {
        let (key, command) = (&key, &command);
        if let Some(trip) = self.execute_at_once(key, id, command).await? {
            return Ok(done(trip));
        }
        let told = self.pg.idempotent("trip.execute", |mut tx| async move {
            let now = self.clock.now();
            let (claimed, trip) = fetch::claim_and_fetch(&mut tx, key, id, now).await?;
            if !claimed {
                return again(requests::replay(&mut tx, key).await);
            }
            let mut trip = trip.ok_or(ExecuteError::NoSuchTrip)?;
            if let Command::Start { .. } = command {
                trip.wrong_codes = start_codes::wrong(&mut tx, id).await?;
            }
            let wrong_codes = trip.wrong_codes;
            match self.step(&mut tx, trip, command, now, Some(key)).await? {
                Ok((trip, place)) => Ok(Ok((Answer::Done(trip), Some(place)))),
                Err(refusal) => {
                    if refusal == Refusal::WrongStartCode {
                        start_codes::count(&mut tx, id, wrong_codes).await?;
                    }
                    self.refused(&mut tx, key, refusal).await
                }
            }
        });
        self.answered(key, told.await).await
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
                return Ok::<_, ExecuteError>((Consumed::Before, None));
            }
            let Some((id, command)) = order else {
                return Ok((Consumed::Noted, None));
            };
            let trip = fetch::fetch(&mut tx, *id)
                .await?
                .ok_or(ExecuteError::NoSuchTrip)?;
            let stepped = self
                .step(&mut tx, trip, command, self.clock.now(), None)
                .await?;
            Ok(stepped.map_or_else(
                |refusal| (Consumed::Refused(refusal), None),
                |(trip, place)| (Consumed::Done(trip), Some(place)),
            ))
        });
        let (consumed, place) = consumed.await?;
        if let Consumed::Done(trip) = &consumed {
            self.remember(trip, place);
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
    pub async fn carry_out_deadline(&self, id: TripId) -> Result<Option<Arc<Trip>>, ExecuteError> {
        let carried_out = match self.on_deadline(id, |deadline| deadline.order).await {
            // The index that keeps a rider to one trip undid the activation (I1).
            Err(ExecuteError::Pg(error)) if guards::refusal(&error) == Some(Refusal::RiderBusy) => {
                self.on_deadline(id, |_| rider_is_busy()).await?
            }
            carried_out => carried_out?,
        };
        Ok(carried_out.map(|(trip, place)| {
            self.remember(&trip, Some(place));
            Span::current().record("hexcab.trip.state", trip.state.name());
            trip
        }))
    }

    async fn on_deadline(
        &self,
        id: TripId,
        order: fn(Deadline) -> Command,
    ) -> Result<Option<Written>, ExecuteError> {
        let transaction = self.pg.serializable("trip.expire", |mut tx| async move {
            let now = self.clock.now();
            let Some(trip) = fetch::lock_due(&mut tx, id, now).await? else {
                return Ok(None);
            };
            let Some(deadline) = domain::deadline(&trip) else {
                return Ok(None);
            };
            let stepped = self
                .step(&mut tx, trip, &order(deadline), now, None)
                .await?;
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
    ) -> Result<Result<Written, Refusal>, ExecuteError> {
        let event = match self.decide(&trip, command, now) {
            Ok(event) => event,
            Err(refusal) => return Ok(Err(refusal)),
        };
        let after = trip.apply(&event, now);
        let change = self.change(&after, &event, key);
        let place = save::update(conn, &change).await?;
        Ok(Ok((Arc::new(after), place)))
    }

    /// What the command does to the trip, by the rules of its city.
    pub(super) fn decide(
        &self,
        trip: &Trip,
        command: &Command,
        now: Timestamp,
    ) -> Result<Event, Refusal> {
        let rules = self.rules(&trip.order.city, &trip.order.product)?;
        decide(trip, command, rules, now)
    }

    /// A change, ready to be written.
    pub(super) fn change<'a>(
        &self,
        after: &'a Trip,
        event: &'a Event,
        key: Option<&'a RequestKey>,
    ) -> Change<'a> {
        Change {
            after,
            event,
            told: (self.encode)(after, event),
            id: outbox::new_id(),
            key,
            traceparent: hexcab_telemetry::current_traceparent()
                .or_else(|| after.order.traceparent.clone()),
        }
    }

    pub(super) fn rules(
        &self,
        city: &hexcab_types::CityId,
        product: &hexcab_types::ProductId,
    ) -> Result<&Rules, Refusal> {
        self.rules.of(city, product).ok_or(Refusal::CityNotServed)
    }

    /// Takes note of what was written, when it was.
    pub(super) fn remember(&self, trip: &Arc<Trip>, place: Option<Place>) {
        if let Some(place) = place {
            measures::changed(trip);
            self.near.keep(trip.clone(), place);
        }
    }

    /// Keeps a refusal as the answer, unless the caller may look again and ask the same.
    async fn refused(
        &self,
        conn: &mut PgConnection,
        key: &RequestKey,
        refusal: Refusal,
    ) -> Result<Told, ExecuteError> {
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
        told: Result<Told, ExecuteError>,
    ) -> Result<Answer, ExecuteError> {
        let told = match told {
            Err(ExecuteError::Pg(error)) => match guards::refusal(&error) {
                Some(refusal) => self.keep(key, refusal).await?,
                None => return Err(ExecuteError::Pg(error)),
            },
            Err(other) => return Err(other),
            Ok(told) => told,
        };
        crash::point("trip.committed");
        match told? {
            (Answer::Done(trip), place) => {
                self.remember(&trip, place);
                Ok(done(trip))
            }
            (Answer::Before(event), _) => {
                tracing::info!("command was answered before");
                Ok(Answer::Before(event))
            }
        }
    }

    async fn keep(&self, key: &RequestKey, refusal: Refusal) -> Result<Told, ExecuteError> {
        self.pg
            .idempotent("trip.refuse", |mut tx| async move {
                if !requests::claim(&mut tx, key, self.clock.now()).await? {
                    return again(requests::replay(&mut tx, key).await);
                }
                self.refused(&mut tx, key, refusal).await
            })
            .await
    }
}

/// An answer that was given before.
fn again(replayed: Result<Result<Answer, Refusal>, ExecuteError>) -> Result<Told, ExecuteError> {
    Ok(replayed?.map(|answer| (answer, None)))
}

/// The answer to a command that was done now.
fn done(trip: Arc<Trip>) -> Answer {
    Span::current()
        .record("hexcab.trip.id", trip.id.to_string())
        .record("hexcab.trip.state", trip.state.name());
    tracing::info!(trip.id = %trip.id, trip.state = trip.state.name(), trip.version = trip.version, "command answered");
    Answer::Done(trip)
}
