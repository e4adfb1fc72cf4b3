//! The payment service in parts: its store and listener on a database of its own, a worker that works when told to, and
//! a sandbox processor over real HTTP.

use std::{collections::BTreeMap, net::SocketAddr, sync::Arc, time::Duration};

use hexcab_bus::{Failure, Handler as _, Incoming, topic};
use hexcab_chassis::{Clock, Secret, Tasks};
use hexcab_payment::{
    app,
    config::{Config, ProcessorConfig, ReconcilerConfig},
    consumer::TripListener,
    domain::{Intent, State, refund::Ask},
    processor::{Processor, http::HttpProcessor},
    reconciler::Reconciler,
    sandbox::{self, config::WebhookConfig},
    store::{MoneyOf, RequestKey, Rules, Store},
    worker::Worker,
};
use hexcab_pg::Pg;
use hexcab_proto::{common::v1::Money, convert, payment::v1::PaymentEvent, trip::v1 as trip};
use hexcab_testkit::{TestDb, eventually};
use hexcab_types::{Currency, DriverId, RiderId, TripId};
use prost::Message as _;
use tokio::sync::Notify;
use uuid::Uuid;

/// The ride's trace, in every event.
pub const TRACEPARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
/// Signs the sandbox's webhooks.
pub const WEBHOOK_SECRET: &str = "whsec_test";
/// How long the service waits for the processor in tests.
pub const PROCESSOR_TIMEOUT_MS: u64 = 400;

pub fn usd(amount_minor: i64) -> Option<Money> {
    Some(Money {
        currency_code: "USD".into(),
        amount_minor,
    })
}

/// One ride: 20.00 held, of which the driver is owed 14.00 and 1.50 is tax.
#[derive(Debug, Clone, Copy)]
pub struct Ride {
    pub trip: TripId,
    pub rider: RiderId,
    pub driver: DriverId,
}

impl Ride {
    pub fn new() -> Self {
        let id = Uuid::now_v7;
        Self {
            trip: id().into(),
            rider: id().into(),
            driver: id().into(),
        }
    }

    fn after(&self) -> trip::Trip {
        trip::Trip {
            name: self.trip.name(),
            city: "sf".into(),
            rider: self.rider.name(),
            fare: usd(2_000),
            driver_pay: usd(1_400),
            tax: usd(150),
            payment_method: trip::PaymentMethod::Card.into(),
            ..trip::Trip::default()
        }
    }

    /// A trip whose driver is known.
    pub fn driven(&self) -> trip::Trip {
        trip::Trip {
            driver: self.driver.name(),
            ..self.after()
        }
    }

    pub fn requested(&self) -> Incoming {
        incoming(
            self.after(),
            trip::trip_event::Event::Requested(trip::TripRequested {}),
        )
    }

    pub fn activated(&self) -> Incoming {
        let event = trip::trip_event::Event::Activated(trip::TripActivated {});
        incoming(self.after(), event)
    }

    /// The ride began after this much waiting.
    pub fn started(&self, waiting_fee: i64) -> Incoming {
        let after = trip::Trip {
            waiting_fee: usd(waiting_fee),
            ..self.driven()
        };
        incoming(
            after,
            trip::trip_event::Event::Started(trip::TripStarted {}),
        )
    }

    /// The ride ended, for this; the driver is owed 14.00 of it.
    pub fn completed(&self, charge: i64) -> Incoming {
        self.completed_with(charge, 1_400)
    }

    pub fn completed_with(&self, charge: i64, due: i64) -> Incoming {
        let after = trip::Trip {
            charge: usd(charge),
            driver_due: usd(due),
            ..self.driven()
        };
        incoming(
            after,
            trip::trip_event::Event::Completed(trip::TripCompleted {}),
        )
    }

    /// Nobody came: a fee, of which the driver is owed some.
    pub fn no_show(&self, fee: i64, due: i64) -> Incoming {
        let cancellation = trip::Cancellation {
            by: trip::CancelledBy::Driver.into(),
            reason: trip::CancelReason::NoShow.into(),
            fee: usd(fee),
            ..trip::Cancellation::default()
        };
        let after = trip::Trip {
            charge: usd(fee),
            driver_due: usd(due),
            cancellation: Some(cancellation),
            ..self.driven()
        };
        let event = trip::TripCancelled {
            driver: self.driver.name(),
        };
        incoming(after, trip::trip_event::Event::Cancelled(event))
    }

    /// The same event of the same ride, paid in cash.
    pub fn in_cash(event: &Incoming) -> Incoming {
        let mut body = trip::TripEvent::decode(event.payload.clone()).unwrap();
        if let Some(after) = &mut body.after {
            after.payment_method = trip::PaymentMethod::Cash.into();
        }
        Incoming {
            payload: body.encode_to_vec().into(),
            ..event.clone()
        }
    }

    /// The same event of the same ride, where people pay in another currency.
    pub fn in_currency(event: &Incoming, currency: Currency) -> Incoming {
        let mut body = trip::TripEvent::decode(event.payload.clone()).unwrap();
        if let Some(after) = &mut body.after {
            let amounts = [
                &mut after.fare,
                &mut after.driver_pay,
                &mut after.tax,
                &mut after.charge,
                &mut after.driver_due,
            ];
            for amount in amounts.into_iter().flatten() {
                amount.currency_code = currency.code().to_owned();
            }
        }
        Incoming {
            payload: body.encode_to_vec().into(),
            ..event.clone()
        }
    }

    pub fn cancelled(&self, fee: i64) -> Incoming {
        let after = trip::Trip {
            charge: usd(fee),
            ..self.after()
        };
        incoming(
            after,
            trip::trip_event::Event::Cancelled(trip::TripCancelled::default()),
        )
    }

    pub fn expired(&self) -> Incoming {
        incoming(
            self.after(),
            trip::trip_event::Event::Expired(trip::TripExpired {}),
        )
    }
}

pub fn incoming(after: trip::Trip, event: trip::trip_event::Event) -> Incoming {
    let now = Clock::system().now();
    let body = trip::TripEvent {
        trip: after.name.clone(),
        version: 1,
        occur_time: Some(convert::to_timestamp(now)),
        after: Some(after.clone()),
        event: Some(event),
    };
    Incoming {
        topic: topic::TRIP.into(),
        partition: 0,
        offset: 0,
        key: "sf".into(),
        id: Uuid::now_v7().into(),
        kind: "hexcab.trip.v1.Some".into(),
        source: "trip".into(),
        subject: after.name,
        time: now,
        traceparent: Some(TRACEPARENT.into()),
        payload: body.encode_to_vec().into(),
    }
}

/// A sandbox of its own, on a port of its own.
pub struct Sandbox {
    pub addr: SocketAddr,
    pub pg: Pg,
    _db: TestDb,
    tasks: Tasks,
}

impl Sandbox {
    pub async fn start() -> Self {
        Self::telling(None).await
    }

    /// A sandbox that tells this URL what happened.
    pub async fn telling(url: Option<String>) -> Self {
        let db = TestDb::create("sandbox").await;
        let config = sandbox::Config {
            postgres: db.config(),
            latency_ms: 0,
            webhooks: WebhookConfig {
                url,
                secret: Secret::new(WEBHOOK_SECRET),
                pause_max_ms: 500,
                ..WebhookConfig::default()
            },
            ..sandbox::Config::default()
        };
        let app = sandbox::App::build(config, Clock::system()).await.unwrap();
        let (addr, tasks) = (app.addr(), Tasks::new());
        tasks.spawn("sandbox", app.run(tasks.shutdown().cancelled_owned()));
        Self {
            addr,
            pg: db.connect().await,
            _db: db,
            tasks,
        }
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.addr)
    }

    pub fn processor(&self) -> HttpProcessor {
        let config = ProcessorConfig {
            url: self.url(),
            timeout_ms: PROCESSOR_TIMEOUT_MS,
            ..ProcessorConfig::default()
        };
        HttpProcessor::new(&config).unwrap()
    }

    /// Lets something befall the processor that nobody asked it for.
    pub async fn befall(&self, path: &str, body: serde_json::Value) -> serde_json::Value {
        let response = reqwest::Client::new()
            .post(format!("{}/sandbox/{path}", self.url()))
            .json(&body)
            .send()
            .await
            .unwrap();
        assert_eq!(response.status(), 200, "{path} {body}");
        response.json().await.unwrap()
    }

    /// Sets a fault, as JSON.
    pub async fn fault(&self, rule: serde_json::Value) {
        let response = reqwest::Client::new()
            .post(format!("{}/sandbox/faults", self.url()))
            .json(&rule)
            .send()
            .await;
        assert_eq!(response.unwrap().status(), 201, "{rule}");
    }

    /// Whether a webhook waits although nobody refused it.
    pub async fn webhook_is_late(&self) -> bool {
        sqlx::query_scalar(
            "SELECT EXISTS (SELECT 1 FROM deliveries WHERE last_answer = 'late on demand')",
        )
        .fetch_one(self.pg.pool())
        .await
        .unwrap()
    }

    /// Status and received amount of every payment of a trip.
    pub async fn payments(&self, ride: &Ride) -> Vec<(String, i64)> {
        sqlx::query_as("SELECT status, amount_received FROM payment_intents WHERE metadata->>'trip' = $1 ORDER BY seq")
            .bind(ride.trip.to_string())
            .fetch_all(self.pg.pool())
            .await
            .unwrap()
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        self.tasks.shutdown().cancel();
    }
}

/// The service in parts.
pub struct Rig {
    /// As the owner of the tables.
    pub pg: Pg,
    /// As the service.
    pub service: Pg,
    pub store: Store,
    pub sandbox: Sandbox,
    listener: TripListener,
    _db: TestDb,
}

impl Rig {
    pub async fn start() -> Self {
        hexcab_testkit::telemetry();
        Self::start_at(Clock::system()).await
    }

    pub async fn start_at(clock: Clock) -> Self {
        Self::with(Sandbox::start().await, clock, Config::default().rules()).await
    }

    pub async fn with(sandbox: Sandbox, clock: Clock, rules: Rules) -> Self {
        let db = TestDb::create("payment").await;
        let pg = db.connect().await;
        app::migrate(&pg).await.unwrap();
        let service = Pg::connect_as(&db.config(), "payment", hexcab_ledger::ROLE)
            .await
            .unwrap();
        let store = Store::new(service.clone(), clock, rules);
        let listener = TripListener::new(store.clone(), Arc::default());
        Self {
            pg,
            service,
            store,
            sandbox,
            listener,
            _db: db,
        }
    }

    pub fn worker(&self) -> Worker {
        self.worker_with(Arc::new(self.sandbox.processor()))
    }

    pub fn worker_with(&self, processor: Arc<dyn Processor>) -> Worker {
        let wake = Arc::new(Notify::new());
        // The sandbox finds at once what it made.
        Worker::new(self.store.clone(), processor, wake, Duration::ZERO)
    }

    /// Compares books; only when told to, and what is new to it at once.
    pub fn reconciler(&self) -> Reconciler {
        self.reconciler_with(
            Arc::new(self.sandbox.processor()),
            ReconcilerConfig::default(),
        )
    }

    pub fn reconciler_with(
        &self,
        processor: Arc<dyn Processor>,
        config: ReconcilerConfig,
    ) -> Reconciler {
        let config = ReconcilerConfig {
            interval_s: 0,
            grace_s: 0,
            ..config
        };
        let (pg, store) = (self.service.clone(), self.store.clone());
        Reconciler::new(pg, store, processor, &config, Clock::system())
    }

    /// Delivers an event, again and again while a dependency is in the way, as the bus does.
    pub async fn tell(&self, event: &Incoming) {
        hexcab_testkit::eventually(|| async {
            match self.listener.handle(event).await {
                Ok(()) => Some(()),
                Err(Failure::Dependency(_)) => None,
                Err(poison) => panic!("{poison:?}"),
            }
        })
        .await;
    }

    /// Delivers an event that is expected to be refused.
    pub async fn refuse(&self, event: &Incoming) -> Failure {
        self.listener.handle(event).await.unwrap_err()
    }

    /// Carries out everything that is due.
    pub async fn work(&self) {
        let worker = self.worker();
        while worker.work_once().await.unwrap() {}
    }

    /// Works, retries included, until the intent's state fits.
    pub async fn work_until(&self, ride: &Ride, fits: fn(&State) -> bool) -> Intent {
        eventually(|| async {
            self.work().await;
            Some(self.intent(ride).await).filter(|intent| fits(&intent.state))
        })
        .await
    }

    pub async fn intent(&self, ride: &Ride) -> Intent {
        self.store
            .of_trip(ride.trip)
            .await
            .unwrap()
            .expect("the trip has an intent")
    }

    /// Account → (posted, pending), with the ride's people by role.
    pub async fn balances(&self, ride: &Ride) -> BTreeMap<String, (i64, i64)> {
        let (rider, driver) = (ride.rider.name(), ride.driver.name());
        let name = |account: String| account.replace(&rider, "rider").replace(&driver, "driver");
        let balances = self.all_balances().await.into_iter();
        let named = balances.map(|(account, balance)| (name(account), balance));
        named.filter(|(_, balance)| *balance != (0, 0)).collect()
    }

    /// Account → (posted, pending), of everybody.
    pub async fn all_balances(&self) -> BTreeMap<String, (i64, i64)> {
        let balances = self.store.trial_balance().await.unwrap();
        let of = |balance: &hexcab_ledger::Balance| {
            let pending = balance.totals.credits_pending - balance.totals.debits_pending;
            (balance.account.to_string(), (balance.net().minor, pending))
        };
        balances.accounts.iter().map(of).collect()
    }

    /// Everything that must be true of the ledger and is not.
    pub async fn ledger_violations(&self) -> Vec<hexcab_ledger::Violation> {
        let conn = &mut *self.pg.pool().acquire().await.unwrap();
        hexcab_ledger::violations(conn).await.unwrap()
    }

    /// What the outbox tells of a trip: kind and event, in order.
    pub async fn told(&self, ride: &Ride) -> Vec<(String, PaymentEvent)> {
        let rows: Vec<(String, Vec<u8>)> =
            sqlx::query_as("SELECT kind, payload FROM outbox WHERE key = $1 ORDER BY seq")
                .bind(ride.trip.to_string())
                .fetch_all(self.pg.pool())
                .await
                .unwrap();
        let short = |kind: String| kind.trim_start_matches("hexcab.payment.v1.").to_owned();
        rows.into_iter()
            .map(|(kind, body)| (short(kind), PaymentEvent::decode(&*body).unwrap()))
            .collect()
    }

    pub async fn told_kinds(&self, ride: &Ride) -> Vec<String> {
        self.told(ride)
            .await
            .into_iter()
            .map(|(kind, _)| kind)
            .collect()
    }

    /// Lets every lease run out.
    pub async fn expire_leases(&self) {
        sqlx::query(
            "UPDATE work SET lease_until = now() - interval '1 s' WHERE lease_until IS NOT NULL",
        )
        .execute(self.pg.pool())
        .await
        .unwrap();
    }

    /// Steps that are not finished.
    pub async fn outstanding(&self) -> i64 {
        sqlx::query_scalar("SELECT count(*) FROM work WHERE finished_at IS NULL")
            .fetch_one(self.pg.pool())
            .await
            .unwrap()
    }
}

/// A request id that nobody used before.
pub fn key() -> RequestKey {
    RequestKey {
        id: Uuid::now_v7().into(),
        body_hash: [7; 32],
    }
}

/// What an operator asks for.
pub fn give_back(amount: Option<i64>, clawback: bool) -> Ask {
    Ask {
        amount: amount.map(|minor| hexcab_types::Money::new(minor, Currency::Usd)),
        clawback,
        reason: "the driver got lost".into(),
        operator: Uuid::from_u128(7).into(),
    }
}

impl Rig {
    /// A ride that was driven for this, by card, and is settled.
    pub async fn driven(&self, charge: i64) -> Ride {
        let ride = Ride::new();
        self.tell(&ride.requested()).await;
        self.tell(&ride.completed(charge)).await;
        self.work().await;
        ride
    }

    /// The money of a trip.
    pub async fn money(&self, ride: &Ride) -> MoneyOf {
        self.store.money_of(ride.trip).await.unwrap().unwrap()
    }

    /// Nothing is left to do, and the ledger is right.
    pub async fn at_rest(&self) {
        assert_eq!(self.outstanding().await, 0);
        assert_eq!(self.ledger_violations().await, []);
        let sum = self
            .all_balances()
            .await
            .values()
            .fold((0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1));
        assert_eq!(sum, (0, 0));
    }
}
