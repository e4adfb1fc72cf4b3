//! The whole service: trip events over Kafka in, payment events out, questions over gRPC.

use std::sync::Arc;

use async_trait::async_trait;
use hexcab_bus::{BusConfig, Consumer, Failure, Handler, Incoming, Outgoing, Producer, topic};
use hexcab_chassis::{Clock, Readiness, Tasks, status};
use hexcab_payment::{
    app::App,
    config::{Config, ProcessorConfig},
};
use hexcab_proto::payment::v1::{
    GetIntentRequest, GetTrialBalanceRequest, IntentState, ListIntentsRequest, PaymentEvent,
    payment_service_client::PaymentServiceClient,
};
use hexcab_testkit::{Broker, TestDb, eventually};
use parking_lot::Mutex;
use prost::Message as _;
use serde_json::json;
use tonic::{Code, transport::Channel};

use crate::rig::{Ride, Sandbox, usd};

struct Service {
    sandbox: Sandbox,
    bus: BusConfig,
    producer: Producer,
    client: PaymentServiceClient<Channel>,
    tasks: Tasks,
    _broker: Broker,
    _db: TestDb,
}

impl Service {
    async fn start() -> Self {
        hexcab_testkit::telemetry();
        let (db, sandbox, broker) = (
            TestDb::create("payment").await,
            Sandbox::start().await,
            Broker::start(),
        );
        for topic in [topic::TRIP, topic::PAYMENT] {
            broker.create_topic(topic, 2);
        }
        let bus = BusConfig {
            brokers: broker.brokers(),
            ..BusConfig::default()
        };
        let processor = ProcessorConfig {
            url: sandbox.url(),
            ..ProcessorConfig::default()
        };
        let config = Config {
            postgres: db.config(),
            kafka: bus.clone(),
            processor,
            ..Config::default()
        };
        let app = App::build(config, Clock::system()).await.unwrap();
        let (addr, tasks) = (app.addr(), Tasks::new());
        tasks.spawn("payment", app.run(tasks.shutdown().cancelled_owned()));
        let channel = Channel::from_shared(format!("http://{addr}"))
            .unwrap()
            .connect_lazy();
        let producer = Producer::connect(&bus).unwrap();
        Self {
            sandbox,
            bus,
            producer,
            client: PaymentServiceClient::new(channel),
            tasks,
            _broker: broker,
            _db: db,
        }
    }

    async fn publish(&self, event: &Incoming) {
        let outgoing = Outgoing {
            topic: topic::TRIP,
            key: event.key.clone(),
            kind: event.kind.clone(),
            source: "trip",
            subject: event.subject.clone(),
            time: event.time,
            payload: event.payload.to_vec(),
            traceparent: event.traceparent.clone(),
        };
        self.producer.publish(outgoing).await.unwrap();
    }

    async fn until(&self, ride: &Ride, state: IntentState) {
        eventually(|| async {
            let request = GetIntentRequest {
                trip: ride.trip.name(),
            };
            let intent = self
                .client
                .clone()
                .get_intent(request)
                .await
                .ok()?
                .into_inner()
                .intent?;
            (intent.state() == state).then_some(())
        })
        .await;
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        self.tasks.shutdown().cancel();
    }
}

#[derive(Default)]
struct Heard(Mutex<Vec<(String, String)>>);

#[async_trait]
impl Handler for Heard {
    async fn handle(&self, event: &Incoming) -> Result<(), Failure> {
        let body = PaymentEvent::decode(event.payload.clone())
            .map_err(|error| Failure::Poison(error.to_string()))?;
        self.0.lock().push((
            body.trip,
            event
                .kind
                .trim_start_matches("hexcab.payment.v1.")
                .to_owned(),
        ));
        Ok(())
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rides_over_kafka_end_captured_declined_or_voided_and_are_told() {
    let service = Service::start().await;
    let (driven, declined, voided) = (Ride::new(), Ride::new(), Ride::new());
    service
        .sandbox
        .fault(json!({"kind": "decline", "trip": declined.trip.to_string()}))
        .await;
    for ride in [driven, declined, voided] {
        service.publish(&ride.requested()).await;
    }
    service.until(&driven, IntentState::Held).await;
    service.until(&declined, IntentState::Declined).await;
    let completed = driven.completed(2_000);
    service.publish(&completed).await;
    service.publish(&completed).await;
    service.publish(&voided.expired()).await;
    service.until(&driven, IntentState::Captured).await;
    service.until(&voided, IntentState::Voided).await;
    assert_eq!(
        service.sandbox.payments(&driven).await,
        [("succeeded".to_owned(), 2_000)]
    );

    let balance = service
        .client
        .clone()
        .get_trial_balance(GetTrialBalanceRequest {})
        .await
        .unwrap()
        .into_inner();
    let posted = |account: &str| {
        let found = balance
            .accounts
            .iter()
            .find(|found| found.account == account);
        found.and_then(|found| found.posted.clone())
    };
    assert_eq!(posted("processor"), usd(-2_000));
    assert_eq!(posted(&driven.driver.name()), usd(1_400));
    let sum = |of: fn(&hexcab_proto::payment::v1::AccountBalance) -> i64| {
        balance.accounts.iter().map(of).sum::<i64>()
    };
    assert_eq!(
        sum(|account| account.posted.as_ref().unwrap().amount_minor),
        0
    );
    assert_eq!(
        sum(|account| account.pending.as_ref().unwrap().amount_minor),
        0
    );

    let (heard, readiness, tasks) = (Arc::new(Heard::default()), Readiness::new(), Tasks::new());
    let consumer = Consumer::new(
        &service.bus,
        "listener",
        &[topic::PAYMENT],
        heard.clone(),
        readiness.component("kafka"),
    );
    tasks.spawn("listener", consumer.run(tasks.shutdown()));
    let told = |ride: &Ride| {
        let (heard, name) = (heard.clone(), ride.trip.name());
        move || {
            let all = heard.0.lock();
            all.iter()
                .filter(|(trip, _)| *trip == name)
                .map(|(_, kind)| kind.clone())
                .collect::<Vec<_>>()
        }
    };
    for (ride, kinds) in [
        (driven, vec!["HoldPlaced", "Captured"]),
        (declined, vec!["HoldDeclined"]),
        (voided, vec!["HoldPlaced", "Voided"]),
    ] {
        let told = told(&ride);
        eventually(|| std::future::ready((told() == kinds).then_some(()))).await;
    }
    tasks.shutdown().cancel();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn intents_are_listed_newest_first_page_by_page() {
    let service = Service::start().await;
    let rides: Vec<Ride> = (0..5).map(|_| Ride::new()).collect();
    for ride in &rides {
        service.publish(&ride.requested()).await;
        service.until(ride, IntentState::Held).await;
    }
    let (mut names, mut page_token, mut client) =
        (Vec::new(), String::new(), service.client.clone());
    loop {
        let request = ListIntentsRequest {
            states: vec![IntentState::Held.into()],
            page_size: 2,
            page_token,
        };
        let page = client.list_intents(request).await.unwrap().into_inner();
        assert!(page.intents.len() <= 2);
        names.extend(page.intents.into_iter().map(|intent| intent.trip));
        page_token = page.next_page_token;
        if page_token.is_empty() {
            break;
        }
    }
    assert_eq!(
        names,
        rides
            .iter()
            .rev()
            .map(|ride| ride.trip.name())
            .collect::<Vec<_>>()
    );
    let request = ListIntentsRequest {
        states: vec![IntentState::Captured.into()],
        ..ListIntentsRequest::default()
    };
    assert!(
        client
            .list_intents(request)
            .await
            .unwrap()
            .into_inner()
            .intents
            .is_empty()
    );

    let missing = client
        .get_intent(GetIntentRequest {
            trip: Ride::new().trip.name(),
        })
        .await
        .unwrap_err();
    assert_eq!(
        (missing.code(), status::reason(&missing).as_deref()),
        (Code::NotFound, Some("INTENT_NOT_FOUND"))
    );
    let nonsense = client
        .get_intent(GetIntentRequest {
            trip: "riders/x".into(),
        })
        .await
        .unwrap_err();
    assert_eq!(
        (nonsense.code(), status::reason(&nonsense).as_deref()),
        (Code::InvalidArgument, Some("FIELD_INVALID"))
    );
}
