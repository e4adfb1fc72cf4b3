//! A driver's session over gRPC means the same as over a WebSocket.

use std::time::Duration;

use futures::StreamExt as _;
use hexcab_chassis::status::reason;
use hexcab_proto::{
    gateway::v1::{
        DriverPing, OfferAnswer, OpenSessionRequest, OpenSessionResponse, TripAction,
        driver_app_service_client::DriverAppServiceClient, open_session_request::Message as Up,
        open_session_response::Message as Down, trip_action::Step,
    },
    location::v1::DriverStatus,
    trip::v1::{OfferMade, State, trip_event::Event},
};
use hexcab_testkit::eventually;
use tokio::{sync::mpsc, time::timeout};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Request, Status, Streaming};
use uuid::Uuid;

use crate::house::{House, PICKUP, driver, offered, rider, then};

/// How long an end may take to come.
const PATIENCE: Duration = Duration::from_secs(20);

struct App {
    up: mpsc::Sender<OpenSessionRequest>,
    down: Streaming<OpenSessionResponse>,
}

impl App {
    async fn open(house: &House, token: Option<&str>) -> Result<Self, Status> {
        let mut client = DriverAppServiceClient::connect(format!("http://{}", house.grpc))
            .await
            .unwrap();
        let (up, messages) = mpsc::channel(16);
        let mut request = Request::new(ReceiverStream::new(messages));
        if let Some(token) = token {
            request
                .metadata_mut()
                .insert("authorization", format!("Bearer {token}").parse().unwrap());
        }
        let down = client.open_session(request).await?.into_inner();
        Ok(Self { up, down })
    }

    async fn say(&self, message: Up) {
        self.up
            .send(OpenSessionRequest {
                message: Some(message),
            })
            .await
            .unwrap();
    }

    async fn hear(&mut self) -> Down {
        self.down
            .next()
            .await
            .expect("not the end")
            .unwrap()
            .message
            .unwrap()
    }
}

fn made(driver: &str) -> Event {
    Event::OfferMade(OfferMade {
        driver: driver.to_owned(),
        epoch: 1,
    })
}

#[tokio::test]
async fn a_driver_is_offered_a_trip_and_takes_it() {
    let house = House::open().await;
    let name = driver();
    let mut app = App::open(&house, Some(&house.token(&name))).await.unwrap();
    let ride = offered(&name, 2);
    house.peers.put(&ride);
    house.publish_as(&ride, made(&name)).await;
    let Down::Offer(offer) = app.hear().await else {
        panic!("no offer")
    };
    assert_eq!(
        (&offer.trip, offer.epoch, offer.pickup),
        (&ride.name, 1, Some(PICKUP))
    );
    let request_id = Uuid::new_v4().to_string();
    app.say(Up::Answer(OfferAnswer {
        request_id: request_id.clone(),
        trip: ride.name.clone(),
        epoch: 1,
        accept: true,
    }))
    .await;
    let Down::Result(result) = app.hear().await else {
        panic!("no result")
    };
    assert_eq!(
        (
            result.request_id,
            result.reason.as_str(),
            result.state.as_str()
        ),
        (request_id, "", "EN_ROUTE")
    );
    house
        .publish_as(&then(&ride, State::EnRoute, &name), made(&name))
        .await;
    let Down::Trip(trip) = app.hear().await else {
        panic!("no trip")
    };
    assert_eq!((trip.version, trip.yours), (3, true));
}

#[tokio::test]
async fn pings_nonsense_and_refusals_are_as_over_a_websocket() {
    let house = House::open().await;
    let name = driver();
    let mut app = App::open(&house, Some(&house.token(&name))).await.unwrap();
    app.up
        .send(OpenSessionRequest { message: None })
        .await
        .unwrap();
    let Down::Error(error) = app.hear().await else {
        panic!("no error")
    };
    assert_eq!(error.reason, "MESSAGE_INVALID");
    let ping = DriverPing {
        position: Some(PICKUP),
        record_time_ms: 5,
        ..DriverPing::default()
    };
    app.say(Up::Ping(ping.clone())).await;
    let Down::Error(error) = app.hear().await else {
        panic!("no error")
    };
    assert_eq!(error.reason, "FIELD_INVALID", "the status is missing");
    app.say(Up::Ping(DriverPing {
        status: DriverStatus::Available.into(),
        ..ping
    }))
    .await;
    eventually(async || {
        house
            .peers
            .pings
            .lock()
            .iter()
            .any(|ping| ping.driver == name)
            .then_some(())
    })
    .await;
    let trip = format!("trips/{}", Uuid::new_v4());
    let (request_id, step) = (
        Uuid::new_v4().to_string(),
        Some(Step::Start("1234".to_owned())),
    );
    app.say(Up::Action(TripAction {
        request_id,
        trip,
        step,
    }))
    .await;
    let Down::Result(result) = app.hear().await else {
        panic!("no result")
    };
    assert_eq!(result.reason, "TRIP_NOT_FOUND");
}

#[tokio::test]
async fn an_app_that_ends_its_side_gets_its_answers_first() {
    let house = House::open().await;
    let name = driver();
    let ride = offered(&name, 2);
    house.peers.put(&ride);
    let mut app = App::open(&house, Some(&house.token(&name))).await.unwrap();
    let Down::Offer(_) = app.hear().await else {
        panic!("no offer")
    };
    let answer = OfferAnswer {
        request_id: Uuid::new_v4().to_string(),
        trip: ride.name,
        epoch: 1,
        accept: true,
    };
    app.say(Up::Answer(answer)).await;
    let App { up, mut down } = app;
    drop(up);
    let last = down.next().await.unwrap().unwrap();
    assert!(matches!(last.message, Some(Down::Result(_))), "{last:?}");
    assert!(down.next().await.is_none());
}

#[tokio::test]
async fn only_a_drivers_token_opens_a_session() {
    let house = House::open().await;
    let (rider, none) = (house.token(&rider()), None);
    for (token, code, why) in [
        (none, Code::Unauthenticated, "TOKEN_MISSING"),
        (Some("nonsense"), Code::Unauthenticated, "TOKEN_INVALID"),
        (Some(rider.as_str()), Code::PermissionDenied, "WRONG_ROLE"),
    ] {
        let refused = App::open(&house, token).await.err().expect("refused");
        assert_eq!(
            (refused.code(), reason(&refused).as_deref()),
            (code, Some(why))
        );
    }
}

#[tokio::test]
async fn a_session_ends_with_its_token() {
    let house = House::open().await;
    let name = driver();
    let token = house.token_for(&name, 1);
    let mut app = App::open(&house, Some(&token)).await.unwrap();
    let end = timeout(PATIENCE, app.down.next()).await.expect("in time");
    let end = end.expect("a last word").unwrap_err();
    assert_eq!(
        (end.code(), reason(&end).as_deref()),
        (Code::Unauthenticated, Some("TOKEN_EXPIRED"))
    );
    App::open(&house, Some(&house.token(&name))).await.unwrap();
}

#[tokio::test]
async fn a_slow_app_and_a_stopping_gateway_are_told_apart() {
    let house = House::with(|config| config.session.queue_max = 4).await;
    let (slow_name, other_name) = (driver(), driver());
    let mut slow = App::open(&house, Some(&house.token(&slow_name)))
        .await
        .unwrap();
    let mut other = App::open(&house, Some(&house.token(&other_name)))
        .await
        .unwrap();
    // More than a stream's flow control window holds, unread.
    let mut ride = offered(&slow_name, 2);
    for _ in 0..2_000 {
        ride = then(&ride, State::EnRoute, &slow_name);
        house.publish_as(&ride, made(&slow_name)).await;
    }
    let end = loop {
        match slow.down.next().await {
            Some(Ok(_)) => {}
            Some(Err(status)) => break status,
            None => panic!("ended without a word"),
        }
    };
    assert_eq!(
        (end.code(), reason(&end).as_deref()),
        (Code::ResourceExhausted, Some("SLOW_CLIENT"))
    );
    house.stop.cancel();
    let end = other.down.next().await.expect("a last word").unwrap_err();
    assert_eq!(
        (end.code(), reason(&end).as_deref()),
        (Code::Unavailable, Some("SHUTTING_DOWN"))
    );
}
