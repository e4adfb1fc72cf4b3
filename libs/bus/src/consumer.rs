//! Hands events to a handler, in order per partition, at least once: one at a time per process, or with
//! [`Consumer::at_once`] a few of different subjects.
//!
//! - done → the offset is stored (and committed within a second)
//! - [`Failure::Poison`] → `<topic>.dlq` at once, with the original bytes; then it counts as done
//! - [`Failure::Dependency`] → the partition is paused, backing off to 30 s, and begins again with the same event;
//!   nothing is lost, nothing overtakes, other partitions go on (of several at once those behind it come again)
//! - a consumer that stands still ends with an error (`pulse`)
//! - an event that the inbox has forgotten ([`inbox`]) → put aside too: it must not have its effect twice
//! - an event that the database refuses by a constraint, [`REFUSALS_MAX`] times in a row → put aside too: a rule says that
//!   it must not be, and waiting changes no rule (a race may be lost once)

mod client;
mod handful;
mod lag;
mod paused;
mod positions;
mod pulse;
mod reach;
mod refused;
mod span;
mod tail;

use std::{sync::Arc, time::Duration};

use anyhow::{Context as _, anyhow};
use async_trait::async_trait;
use futures::{FutureExt as _, future::try_join_all};
use hexcab_chassis::{Component, crash};
use rdkafka::{
    Message as _, consumer::Consumer as _, error::KafkaError, message::BorrowedMessage,
    types::RDKafkaErrorCode,
};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tracing::Instrument as _;

use crate::{BusConfig, BusError, Incoming, Producer, config::Backoff, dlq, event, inbox};
use client::{Change, Client, Partition};
use handful::{Handful, Outcome, Place};
use paused::Paused;
use positions::Positions;
use pulse::Pulse;
use reach::Reach;
use refused::is_refused;
pub(crate) use refused::is_said;
use tail::{Edge, Tail};

/// How often in a row the database may refuse an event before it is put aside: about three seconds by default.
const REFUSALS_MAX: u32 = 6;

/// How long a consumer waits at most before it tries again to take its partitions: it is alive, and says so.
const ASSIGN_WAIT_MAX: Duration = Duration::from_secs(5);

/// Why an event was not handled.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// It can never be handled: put it aside.
    #[error("poison: {0}")]
    Poison(String),
    /// Something needed is away: try the same event again.
    #[error("dependency: {0:#}")]
    Dependency(anyhow::Error),
}

/// What a service does with events.
#[async_trait]
pub trait Handler: Send + Sync {
    /// Handles one event; runs inside its consume span. The same event may come again.
    async fn handle(&self, event: &Incoming) -> Result<(), Failure>;

    /// These partitions (topic, number) are now this process's. Called before their first event.
    async fn assigned(&self, _partitions: &[(String, i32)]) -> Result<(), Failure> {
        Ok(())
    }

    /// These partitions are no longer this process's.
    async fn revoked(&self, _partitions: &[(String, i32)]) {}
}

/// A consumer of some topics.
pub struct Consumer {
    config: BusConfig,
    group: Option<String>,
    name: String,
    topics: Vec<String>,
    handler: Arc<dyn Handler>,
    component: Component,
    at_once: usize,
}

/// What is known while consuming.
struct State {
    paused: Paused,
    positions: Positions,
    reach: Reach,
    /// None of a member of a group.
    tail: Option<Tail>,
    pulse: Pulse,
}

impl Consumer {
    /// A member of a group: partitions are shared out among its members, offsets are kept.
    pub fn new(
        config: &BusConfig,
        group: &str,
        topics: &[&str],
        handler: Arc<dyn Handler>,
        component: Component,
    ) -> Self {
        Self::with(
            config,
            Some(group.to_owned()),
            group,
            topics,
            handler,
            component,
        )
    }

    /// Sees every event from now on, whatever other replicas see: for pushing to connected users.
    pub fn tail(
        config: &BusConfig,
        name: &str,
        topics: &[&str],
        handler: Arc<dyn Handler>,
        component: Component,
    ) -> Self {
        Self::with(config, None, name, topics, handler, component)
    }

    fn with(
        config: &BusConfig,
        group: Option<String>,
        name: &str,
        topics: &[&str],
        handler: Arc<dyn Handler>,
        component: Component,
    ) -> Self {
        let topics = topics.iter().map(|topic| (*topic).to_owned()).collect();
        Self {
            config: config.clone(),
            group,
            name: name.to_owned(),
            topics,
            handler,
            component,
            at_once: 1,
        }
    }

    /// Hands out up to so many events of different subjects at once; those of one subject still one after the other. For a
    /// handler that minds the order of each subject alone, and to which an event that was done may come again.
    pub fn at_once(mut self, at_once: usize) -> Self {
        self.at_once = at_once.max(1);
        self
    }

    /// Consumes until shutdown.
    ///
    /// # Errors
    /// When a client cannot be made or has failed for good, or when an event could only be lost or overtaken: begun
    /// again, the consumer goes on at the stored offsets.
    pub async fn run(self, shutdown: CancellationToken) -> anyhow::Result<()> {
        let (changes, changed) = mpsc::unbounded_channel();
        let group = self
            .group
            .clone()
            .unwrap_or_else(|| format!("{}-{}", self.name, uuid::Uuid::new_v4()));
        let mut settings = self.config.consumer(&group);
        if self.group.is_none() {
            // Nobody would ever ask for a tail's places; and letting a partition go waits for the broker to have them.
            settings.set("enable.auto.commit", "false");
        }
        let pulse = Pulse::new();
        let client = Client::create(&settings, &self.name, changes, pulse.clone())?;
        let longest = self.config.stands_still();
        let ended = tokio::select! {
            ended = self.consume(&client, changed, &pulse, shutdown) => ended,
            () = pulse.stopped(longest) => {
                Err(anyhow!("the consumer {} stood still for {longest:?}", self.name))
            }
        };
        self.component.set(false);
        client.close().await;
        ended
    }

    async fn consume(
        &self,
        client: &Client,
        mut changed: mpsc::UnboundedReceiver<Change>,
        pulse: &Pulse,
        shutdown: CancellationToken,
    ) -> anyhow::Result<()> {
        let producer = Producer::connect(&self.config)?;
        let mut state = State {
            paused: Paused::new(&self.name, self.backoff()),
            positions: Positions::default(),
            reach: Reach::new(self.component.clone()),
            tail: None,
            pulse: pulse.clone(),
        };
        if self.group.is_some() {
            let topics: Vec<&str> = self.topics.iter().map(String::as_str).collect();
            client.subscribe(&topics)?;
        } else {
            self.tail_from(Edge::End, client, &mut state, &shutdown)
                .await?;
        }
        loop {
            tokio::select! {
                biased;
                () = shutdown.cancelled() => return Ok(()),
                Some(change) = changed.recv() => self.on_change(client, change, &mut state, &shutdown).await,
                () = state.paused.next_due() => state.paused.resume_due(client),
                () = state.reach.answered() => self.on_answer(client, &mut state, &shutdown).await?,
                record = client.recv() => match record {
                    Ok(record) => {
                        let records = self.more(client, record, &mut state)?;
                        // A change that came with the records is told first.
                        while let Some(change) = changed.recv().now_or_never().flatten() {
                            self.on_change(client, change, &mut state, &shutdown).await;
                        }
                        if shutdown.is_cancelled() {
                            return Ok(());
                        }
                        self.on_records(client, &producer, records, &mut state).await?;
                    }
                    Err(error) => self.on_error(client, error, &mut state)?,
                },
            }
        }
    }

    fn backoff(&self) -> Backoff {
        self.config.backoff()
    }

    async fn on_change(
        &self,
        client: &Client,
        change: Change,
        state: &mut State,
        shutdown: &CancellationToken,
    ) {
        match change {
            Change::Assigned(partitions) => {
                tracing::info!(consumer = self.name, ?partitions, "partitions assigned");
                state.positions.forget(&partitions);
                let mut wait = self.backoff().after(None);
                while let Err(error) = self.handler.assigned(&partitions).await {
                    tracing::warn!(consumer = self.name, %error, ?wait, "cannot take partitions yet");
                    state.pulse.beat();
                    tokio::select! {
                        () = tokio::time::sleep(wait) => {}
                        // Nothing more is handed to it.
                        () = shutdown.cancelled() => return,
                    }
                    wait = self.backoff().after(Some(wait)).min(ASSIGN_WAIT_MAX);
                }
                state.reach.found();
            }
            Change::Revoked(partitions) => {
                tracing::info!(consumer = self.name, ?partitions, "partitions revoked");
                state.positions.forget(&partitions);
                state.paused.revoked(&partitions);
                lag::forget(&self.name, &partitions);
                self.handler.revoked(&partitions).await;
            }
        }
        state.paused.resume_due(client);
    }

    /// This record, and those that are there already, as many as may be handed out at once.
    fn more<'c>(
        &self,
        client: &'c Client,
        first: BorrowedMessage<'c>,
        state: &mut State,
    ) -> anyhow::Result<Vec<BorrowedMessage<'c>>> {
        let mut records = vec![first];
        while records.len() < self.at_once {
            match client.recv().now_or_never() {
                Some(Ok(record)) => records.push(record),
                Some(Err(error)) => {
                    self.on_error(client, error, state)?;
                    break;
                }
                None => break,
            }
        }
        Ok(records)
    }

    async fn on_records(
        &self,
        client: &Client,
        producer: &Producer,
        records: Vec<BorrowedMessage<'_>>,
        state: &mut State,
    ) -> anyhow::Result<()> {
        if state.tail.as_ref().is_some_and(|tail| !tail.is_held()) {
            return Ok(());
        }
        state.reach.found();
        let mut handful = Handful::new();
        for record in records {
            let partition = (record.topic().to_owned(), record.partition());
            // One that was fetched before a pause took hold is brought again by the seek.
            if !state.paused.is_paused(&partition) {
                handful.put(partition, event::header(&record, event::SUBJECT), record);
            }
        }
        let lines = handful.lines().into_iter();
        let outcomes = try_join_all(lines.map(|line| self.line(producer, line, &state.paused)));
        let outcomes: Vec<Vec<(usize, Outcome)>> = outcomes.await?;
        for (partition, record, outcome) in handful.in_order(outcomes.into_iter().flatten()) {
            self.settle(client, (&partition, &record), outcome, state)
                .await?;
        }
        Ok(())
    }

    /// One record after the other, up to the first that fails; the outcomes by number.
    async fn line(
        &self,
        producer: &Producer,
        line: Vec<Place<'_, BorrowedMessage<'_>>>,
        paused: &Paused,
    ) -> anyhow::Result<Vec<(usize, Outcome)>> {
        let mut outcomes = Vec::with_capacity(line.len());
        for place in line {
            let refusals = if place.is_first {
                paused.refusals(place.partition)
            } else {
                0
            };
            let outcome = self.dispose(producer, place.record, refusals).await?;
            let is_done = outcome.is_ok();
            outcomes.push((place.number, outcome));
            if !is_done {
                break;
            }
        }
        Ok(outcomes)
    }

    /// Notes that a record is done, or has its partition begin again with it.
    async fn settle(
        &self,
        client: &Client,
        (partition, record): (&Partition, &BorrowedMessage<'_>),
        outcome: Outcome,
        state: &mut State,
    ) -> anyhow::Result<()> {
        state.positions.at(&self.name, partition, record.offset());
        match outcome {
            Ok(()) => {
                state.paused.forget(partition);
                state.positions.done(partition, record.offset());
                if let Err(error) = client.store_offset_from_message(record) {
                    // The partition went to another member meanwhile: it will see the event again.
                    tracing::debug!(%error, "offset not stored");
                }
                crash::point("consumer.stored");
            }
            Err(cause) => {
                let wait = state
                    .paused
                    .pause(client, partition, record.offset(), is_refused(&cause))
                    .await?;
                tracing::warn!(consumer = self.name, topic = record.topic(), partition = record.partition(), %cause, ?wait, "partition paused");
            }
        }
        Ok(())
    }

    /// Has the record handled or put aside, after so many refusals in a row; the inner error is why that must be tried again.
    ///
    /// # Errors
    /// When the producer of dead letters failed for good.
    async fn dispose(
        &self,
        producer: &Producer,
        record: &BorrowedMessage<'_>,
        refusals: u32,
    ) -> anyhow::Result<Outcome> {
        let (reason, at) = match Incoming::read(record) {
            Ok(event) => match self.handle(&event).await {
                Ok(()) => {
                    crash::point("consumer.handled");
                    return Ok(Ok(()));
                }
                Err(Failure::Dependency(cause))
                    if inbox::is_forgotten(&cause)
                        || is_refused(&cause) && refusals + 1 >= REFUSALS_MAX =>
                {
                    (format!("{cause:#}"), Some(event.time))
                }
                Err(Failure::Dependency(cause)) => return Ok(Err(cause)),
                Err(Failure::Poison(reason)) => (reason, Some(event.time)),
            },
            Err(problem) => (problem, None),
        };
        match dlq::put_aside(producer, record, &self.name, &reason, at).await {
            Ok(()) => {
                crash::point("consumer.aside");
                Ok(Ok(()))
            }
            Err(error @ BusError::NotPublished { .. }) => Ok(Err(error.into())),
            Err(error @ BusError::Client(_)) => {
                Err(anyhow::Error::new(error).context("put a dead letter aside"))
            }
        }
    }

    async fn handle(&self, event: &Incoming) -> Result<(), Failure> {
        let span = span::consume(&self.name, event);
        let outcome = self.handler.handle(event).instrument(span.clone()).await;
        if let Err(failure) = &outcome {
            span.in_scope(|| tracing::warn!(consumer = self.name, event.kind, id = %event.id, %failure, "event not handled"));
        }
        outcome
    }

    fn on_error(
        &self,
        client: &Client,
        error: KafkaError,
        state: &mut State,
    ) -> anyhow::Result<()> {
        let code = error.rdkafka_error_code();
        if matches!(error, KafkaError::MessageConsumptionFatal(_))
            || code == Some(RDKafkaErrorCode::Fatal)
        {
            return Err(anyhow::Error::new(error).context("the consumer failed for good"));
        }
        if code == Some(RDKafkaErrorCode::AllBrokersDown) {
            self.on_loss(client, state)?;
        }
        tracing::debug!(consumer = self.name, %error, "consumer");
        Ok(())
    }

    fn on_loss(&self, client: &Client, state: &mut State) -> anyhow::Result<()> {
        if !state.reach.lost(client) {
            return Ok(());
        }
        if let Some(tail) = &mut state.tail {
            state.paused.revoked(&tail.partitions());
            tail.let_go(client).context("let the partitions go")?;
        }
        Ok(())
    }
}
