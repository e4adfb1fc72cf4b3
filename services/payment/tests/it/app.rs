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
    AnswerState, ConfirmPayoutBatchRequest, CreatePayoutBatchRequest, GetDriverStatementRequest,
    GetIntentRequest, GetPayoutFileRequest, GetTrialBalanceRequest, IntentState,
    ListIntentsRequest, PaymentEvent, PayoutState, RefundTripRequest, StatementKind,
    TipTripRequest, payment_service_client::PaymentServiceClient,
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
        .get_trial_balance(GetTrialBalanceRequest::default())
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

fn id() -> String {
    uuid::Uuid::now_v7().to_string()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn people_ask_for_refunds_tips_and_payouts_over_grpc_and_see_what_became_of_them() {
    let service = Service::start().await;
    let (ride, mut client) = (Ride::new(), service.client.clone());
    service.publish(&ride.requested()).await;
    service.publish(&ride.completed(2_000)).await;
    service.until(&ride, IntentState::Captured).await;

    let refund = RefundTripRequest {
        request_id: id(),
        trip: ride.trip.name(),
        amount: usd(500),
        reason: "the driver got lost".into(),
        operator: "operators/00000000-0000-0000-0000-000000000007".into(),
        clawback: true,
    };
    let begun = client
        .refund_trip(refund.clone())
        .await
        .unwrap()
        .into_inner();
    assert_eq!(begun.refunds[0].state(), AnswerState::Awaited);
    service.until(&ride, IntentState::PartlyRefunded).await;
    let again = client
        .refund_trip(refund.clone())
        .await
        .unwrap()
        .into_inner();
    assert_eq!(again, begun, "the same answer for ever");
    let other = RefundTripRequest {
        amount: usd(501),
        ..refund.clone()
    };
    let reused = client.refund_trip(other).await.unwrap_err();
    assert_eq!(
        (reused.code(), status::reason(&reused).as_deref()),
        (Code::InvalidArgument, Some("REQUEST_ID_REUSED"))
    );
    let too_much = RefundTripRequest {
        request_id: id(),
        amount: usd(1_501),
        ..refund
    };
    let too_much = client.refund_trip(too_much).await.unwrap_err();
    assert_eq!(
        (too_much.code(), status::reason(&too_much).as_deref()),
        (Code::FailedPrecondition, Some("MORE_THAN_TAKEN"))
    );

    let tip = TipTripRequest {
        request_id: id(),
        trip: ride.trip.name(),
        rider: ride.rider.name(),
        amount: usd(200),
    };
    client.tip_trip(tip.clone()).await.unwrap();
    let strangers = TipTripRequest {
        request_id: id(),
        rider: Ride::new().rider.name(),
        ..tip
    };
    let strangers = client.tip_trip(strangers).await.unwrap_err();
    assert_eq!(
        (strangers.code(), status::reason(&strangers).as_deref()),
        (Code::PermissionDenied, Some("NOT_YOUR_TRIP"))
    );
    let intent = eventually(|| async {
        let trip = ride.trip.name();
        let answer = service
            .client
            .clone()
            .get_intent(GetIntentRequest { trip })
            .await;
        let intent = answer.ok()?.into_inner().intent?;
        (intent.charges.first()?.state() == AnswerState::Done).then_some(intent)
    })
    .await;
    assert_eq!(
        (intent.refunded.clone(), intent.charge.clone()),
        (usd(500), usd(2_000))
    );
    assert_eq!(intent.refunds[0].state(), AnswerState::Done);
    assert_eq!(intent.refunds[0].driver_part, usd(350));

    let make = CreatePayoutBatchRequest {
        request_id: id(),
        currency_code: "USD".into(),
        ..CreatePayoutBatchRequest::default()
    };
    let batch = client
        .create_payout_batch(make)
        .await
        .unwrap()
        .into_inner()
        .batch
        .unwrap();
    assert_eq!((batch.count, batch.total.clone()), (1, usd(1_250)));
    let ask = GetPayoutFileRequest {
        name: batch.name.clone(),
    };
    let file = client.get_payout_file(ask).await.unwrap().into_inner();
    assert_eq!(file.sha256, batch.file_sha256);
    assert!(
        String::from_utf8(file.content)
            .unwrap()
            .contains(&ride.driver.to_string())
    );
    let confirm = ConfirmPayoutBatchRequest {
        request_id: id(),
        name: batch.name.clone(),
        failed: Vec::new(),
    };
    let confirmed = client
        .confirm_payout_batch(confirm.clone())
        .await
        .unwrap()
        .into_inner();
    assert_eq!(confirmed.batch.unwrap().state(), PayoutState::Confirmed);
    let nobody = ConfirmPayoutBatchRequest {
        name: "payouts/00000000-0000-0000-0000-000000000001".into(),
        request_id: id(),
        ..confirm
    };
    let nobody = client.confirm_payout_batch(nobody).await.unwrap_err();
    assert_eq!(status::reason(&nobody).as_deref(), Some("PAYOUT_NOT_FOUND"));

    let ask = GetDriverStatementRequest {
        driver: ride.driver.name(),
        ..GetDriverStatementRequest::default()
    };
    let statements = client
        .get_driver_statement(ask)
        .await
        .unwrap()
        .into_inner()
        .statements;
    let kinds: Vec<StatementKind> = statements[0].lines.iter().map(|line| line.kind()).collect();
    assert_eq!(kinds.first(), Some(&StatementKind::Earning));
    assert_eq!(kinds.last(), Some(&StatementKind::Payout));
    assert_eq!(kinds.len(), 4);
    assert_eq!(statements[0].closing, usd(0));

    let summed = GetTrialBalanceRequest { summed: true };
    let accounts = client
        .get_trial_balance(summed)
        .await
        .unwrap()
        .into_inner()
        .accounts;
    let names: Vec<&str> = accounts
        .iter()
        .map(|account| account.account.as_str())
        .collect();
    let expected = [
        "bank",
        "drivers",
        "platform:payouts",
        "platform:revenue",
        "platform:tax",
        "processor",
        "riders",
    ];
    assert_eq!(names, expected);
    assert_eq!(accounts[0].posted, usd(1_250));
}
