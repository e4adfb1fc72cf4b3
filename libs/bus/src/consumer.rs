//! Hands events to a handler, one at a time per process, in order per partition, at least once.
//!
//! - done → the offset is stored (and committed within a second)
//! - [`Failure::Poison`] → `<topic>.dlq` at once, with the original bytes; then it counts as done
//! - [`Failure::Dependency`] → the partition is paused, backing off to 30 s, and begins again with the same event;
//!   nothing is lost, nothing overtakes, other partitions go on
//! - an event that the inbox has forgotten ([`inbox`]) → put aside too: it must not have its effect twice
//! - an event that the database refuses by a constraint, [`REFUSALS_MAX`] times in a row → put aside too: a rule says that
//!   it must not be, and waiting changes no rule (a race may be lost once)

mod client;
mod lag;
mod paused;
mod positions;
mod reach;
mod refused;
mod span;
mod tail;

use std::sync::Arc;

use anyhow::Context as _;
use async_trait::async_trait;
use futures::FutureExt as _;
use hexcab_chassis::{Component, crash};
use rdkafka::{
    Message as _, consumer::Consumer as _, error::KafkaError, message::BorrowedMessage,
    types::RDKafkaErrorCode,
};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tracing::Instrument as _;

use crate::{BusConfig, BusError, Incoming, Producer, config::Backoff, dlq, inbox};
use client::{Change, Client};
use paused::Paused;
use positions::Positions;
use reach::Reach;
use tail::{Edge, Tail};

/// How often the database may refuse an event before it is put aside: about three seconds by default.
const REFUSALS_MAX: u32 = 6;

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
}

/// What is known while consuming.
struct State {
    paused: Paused,
    positions: Positions,
    reach: Reach,
    /// None of a member of a group.
    tail: Option<Tail>,
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
        }
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
        let client = Client::create(&settings, &self.name, changes)?;
        let ended = self.consume(&client, changed, shutdown).await;
        self.component.set(false);
        client.close().await;
        ended
    }

    async fn consume(
        &self,
        client: &Client,
        mut changed: mpsc::UnboundedReceiver<Change>,
        shutdown: CancellationToken,
    ) -> anyhow::Result<()> {
        let producer = Producer::connect(&self.config)?;
        let mut state = State {
            paused: Paused::new(&self.name, self.backoff()),
            positions: Positions::default(),
            reach: Reach::new(self.component.clone()),
            tail: None,
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
                        // A change that came with the record is told first.
                        while let Some(change) = changed.recv().now_or_never().flatten() {
                            self.on_change(client, change, &mut state, &shutdown).await;
                        }
                        if shutdown.is_cancelled() {
                            return Ok(());
                        }
                        self.on_record(client, &producer, &record, &mut state).await?;
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
                    tokio::select! {
                        () = tokio::time::sleep(wait) => {}
                        // Nothing more is handed to it.
                        () = shutdown.cancelled() => return,
                    }
                    wait = self.backoff().after(Some(wait));
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

    async fn on_record(
        &self,
        client: &Client,
        producer: &Producer,
        record: &BorrowedMessage<'_>,
        state: &mut State,
    ) -> anyhow::Result<()> {
        if state.tail.as_ref().is_some_and(|tail| !tail.is_held()) {
            return Ok(());
        }
        state.reach.found();
        let partition = (record.topic().to_owned(), record.partition());
        if state.paused.is_paused(&partition) {
            // Fetched before the pause took hold; the seek brings it again.
            return Ok(());
        }
        state.positions.at(&self.name, &partition, record.offset());
        let tried = state.paused.tries(&partition);
        match self.dispose(producer, record, tried).await? {
            Ok(()) => {
                state.paused.forget(&partition);
                state.positions.done(&partition, record.offset());
                if let Err(error) = client.store_offset_from_message(record) {
                    // The partition went to another member meanwhile: it will see the event again.
                    tracing::debug!(%error, "offset not stored");
                }
                crash::point("consumer.stored");
            }
            Err(cause) => {
                let wait = state
                    .paused
                    .pause(client, &partition, record.offset())
                    .await?;
                tracing::warn!(consumer = self.name, topic = record.topic(), partition = record.partition(), %cause, ?wait, "partition paused");
            }
        }
        Ok(())
    }

    /// Has the record handled or put aside, after so many tries in vain; the inner error is why that must be tried again.
    ///
    /// # Errors
    /// When the producer of dead letters failed for good.
    async fn dispose(
        &self,
        producer: &Producer,
        record: &BorrowedMessage<'_>,
        tried: u32,
    ) -> anyhow::Result<Result<(), anyhow::Error>> {
        let (reason, at) = match Incoming::read(record) {
            Ok(event) => match self.handle(&event).await {
                Ok(()) => {
                    crash::point("consumer.handled");
                    return Ok(Ok(()));
                }
                Err(Failure::Dependency(cause))
                    if inbox::is_forgotten(&cause)
                        || refused::is_refused(&cause) && tried + 1 >= REFUSALS_MAX =>
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
