//! The real App over gRPC: every RPC twice, and every error with its reason.

use hexcab_chassis::{
    Clock, ManualClock, Tasks,
    client::{self, Channel},
    status,
    token::{Signer, generate_keys},
};
use hexcab_proto::{
    common::v1::LatLng,
    trip::v1::{self as proto, State, trip_service_client::TripServiceClient},
};
use hexcab_testkit::{Broker, TestDb, eventually};
use hexcab_trip::{app::App, config::Config};
use hexcab_types::QUOTE_TOKEN_TYPE;
use tonic::{Code, Status};
use uuid::Uuid;

use crate::fixture::*;

/// A trip service of its own, with database and broker.
pub struct Service {
    pub client: TripServiceClient<Channel>,
    pub hand: ManualClock,
    pub broker: Broker,
    pricing: Signer,
    tasks: Tasks,
}

impl Service {
    pub async fn start() -> Self {
        hexcab_testkit::telemetry();
        let (db, broker) = (TestDb::create("trip_api").await, Broker::start());
        for topic in hexcab_bus::topic::ALL {
            broker.create_topic(topic, 1);
        }
        let (private, public) = generate_keys().unwrap();
        let mut config = Config {
            postgres: db.config(),
            quote_public_key: public,
            ..Config::default()
        };
        config.kafka.brokers = broker.brokers();
        let (clock, hand) = Clock::manual(start());
        let app = App::build(config, clock).await.unwrap();
        let channel = client::channel(
            &format!("http://{}", app.addr()),
            &client::ClientConfig::default(),
        )
        .unwrap();
        let tasks = Tasks::new();
        tasks.spawn("app", app.run(tasks.shutdown().cancelled_owned()));
        Self {
            client: TripServiceClient::new(channel),
            hand,
            broker,
            pricing: Signer::from_pem(&private).unwrap(),
            tasks,
        }
    }

    pub async fn stop(self) {
        self.tasks.stop(std::time::Duration::from_secs(10)).await;
    }

    pub fn request(&self, n: u128) -> proto::CreateTripRequest {
        proto::CreateTripRequest {
            request_id: id(),
            rider: rider(n).name(),
            quote_token: self
                .pricing
                .sign(QUOTE_TOKEN_TYPE, &quote(rider(n)))
                .unwrap(),
            ..proto::CreateTripRequest::default()
        }
    }

    pub async fn create(&mut self, n: u128) -> proto::Trip {
        let request = self.request(n);
        self.client
            .create_trip(request)
            .await
            .unwrap()
            .into_inner()
            .trip
            .unwrap()
    }

    pub async fn offer(&mut self, name: &str, n: u128) -> proto::Trip {
        self.client
            .offer_trip(offer_request(name, n))
            .await
            .unwrap()
            .into_inner()
            .trip
            .unwrap()
    }
}

pub fn id() -> String {
    Uuid::new_v4().to_string()
}

pub fn offer_request(name: &str, n: u128) -> proto::OfferTripRequest {
    proto::OfferTripRequest {
        name: name.to_owned(),
        request_id: id(),
        driver: driver(n).name(),
        version: 0,
        decision: format!("decisions/{}", Uuid::new_v4()),
        pickup_eta_s: 240,
        pickup_distance_m: 900,
    }
}

pub fn at_pickup() -> Option<LatLng> {
    Some(pickup().into())
}

/// Calls twice with one request id: the same answer both times. Then with another body: refused.
macro_rules! twice {
    ($service:ident, $method:ident, $request:expr, $state:ident) => {{
        let request = $request;
        let first = $service
            .client
            .$method(request.clone())
            .await
            .unwrap()
            .into_inner();
        let second = $service
            .client
            .$method(request.clone())
            .await
            .unwrap()
            .into_inner();
        assert_eq!(first, second);
        let trip = first.trip.unwrap();
        assert_eq!(trip.state(), proto::State::$state);
        trip
    }};
}
pub(crate) use twice;

#[tokio::test(flavor = "multi_thread")]
async fn a_ride_with_every_message_sent_twice_is_the_same_ride() {
    let mut service = Service::start().await;
    let trip = twice!(service, create_trip, service.request(1), Requested);
    let name = trip.name.clone();
    assert_eq!((trip.version, trip.epoch), (1, 0));
    assert_eq!(trip.start_code.len(), 4);

    twice!(service, offer_trip, offer_request(&name, 1), Offered);
    let decline = proto::DeclineOfferRequest {
        name: name.clone(),
        request_id: id(),
        driver: driver(1).name(),
        epoch: 1,
    };
    let declined = twice!(service, decline_offer, decline, Requested);
    assert_eq!(declined.excluded_drivers, [driver(1).name()]);

    let offered = twice!(service, offer_trip, offer_request(&name, 2), Offered);
    let offer = offered.offer.unwrap();
    assert_eq!(
        (offer.driver, offer.epoch, offer.pickup_eta_s),
        (driver(2).name(), 2, 240)
    );
    let accept = proto::AcceptOfferRequest {
        name: name.clone(),
        request_id: id(),
        driver: driver(2).name(),
        epoch: 2,
    };
    twice!(service, accept_offer, accept, EnRoute);
    let release = proto::ReleaseTripRequest {
        name: name.clone(),
        request_id: id(),
        driver: driver(2).name(),
    };
    twice!(service, release_trip, release, Requested);

    twice!(service, offer_trip, offer_request(&name, 3), Offered);
    let accept = proto::AcceptOfferRequest {
        name: name.clone(),
        request_id: id(),
        driver: driver(3).name(),
        epoch: 3,
    };
    twice!(service, accept_offer, accept, EnRoute);
    let driver = driver(3).name();
    let arrive = proto::ArriveTripRequest {
        name: name.clone(),
        request_id: id(),
        driver: driver.clone(),
        position: at_pickup(),
    };
    twice!(service, arrive_trip, arrive, Arrived);
    let start = proto::StartTripRequest {
        name: name.clone(),
        request_id: id(),
        driver: driver.clone(),
        start_code: trip.start_code,
    };
    twice!(service, start_trip, start, InProgress);
    let complete = proto::CompleteTripRequest {
        name: name.clone(),
        request_id: id(),
        driver,
        position: None,
    };
    let done = twice!(service, complete_trip, complete, Completed);
    assert_eq!(done.charge, done.fare);

    let got = service
        .client
        .get_trip(proto::GetTripRequest { name: name.clone() })
        .await
        .unwrap()
        .into_inner();
    assert_eq!(got.trip.as_ref(), Some(&done));
    let events = service
        .client
        .list_trip_events(proto::ListTripEventsRequest { name })
        .await
        .unwrap()
        .into_inner()
        .events;
    assert_eq!(
        events.iter().map(|event| event.version).collect::<Vec<_>>(),
        (1..=11).collect::<Vec<_>>()
    );
    assert_eq!(events.last().unwrap().after, Some(done));
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trip_is_called_off_once_by_its_rider_and_by_an_operator() {
    let mut service = Service::start().await;
    let (one, two) = (service.create(1).await.name, service.create(2).await.name);
    let cancel = proto::CancelTripRequest {
        name: one,
        request_id: id(),
        reason: proto::CancelReason::ChangedMind.into(),
        by: Some(proto::cancel_trip_request::By::Rider(rider(1).name())),
    };
    let cancelled = twice!(service, cancel_trip, cancel, Cancelled)
        .cancellation
        .unwrap();
    assert_eq!(
        (cancelled.by(), cancelled.reason()),
        (proto::CancelledBy::Rider, proto::CancelReason::ChangedMind)
    );
    let end = proto::ForceEndTripRequest {
        name: two,
        request_id: id(),
        operator: operator().name(),
        note: "crash".into(),
    };
    let ended = twice!(service, force_end_trip, end, Cancelled)
        .cancellation
        .unwrap();
    assert_eq!(
        (ended.by(), ended.note.as_str()),
        (proto::CancelledBy::Operator, "crash")
    );
    service.stop().await;
}

pub fn told(result: Result<impl std::fmt::Debug, Status>) -> (Code, String) {
    let status = result.expect_err("an error");
    let reason = status::reason(&status).unwrap_or_else(|| panic!("no ErrorInfo: {status:?}"));
    (status.code(), reason)
}

#[tokio::test(flavor = "multi_thread")]
async fn every_error_says_why() {
    let mut service = Service::start().await;
    let trip = service.create(1).await;
    let name = trip.name.clone();
    service.offer(&name, 1).await;
    let client = &mut service.client.clone();
    let accept = |driver_n: u128, epoch| proto::AcceptOfferRequest {
        name: name.clone(),
        request_id: id(),
        driver: driver(driver_n).name(),
        epoch,
    };
    let is = |code, reason: &str| (code, reason.to_owned());
    let missing = format!("trips/{}", Uuid::new_v4());

    assert_eq!(
        told(
            client
                .get_trip(proto::GetTripRequest {
                    name: missing.clone()
                })
                .await
        ),
        is(Code::NotFound, "TRIP_NOT_FOUND")
    );
    assert_eq!(
        told(
            client
                .list_trip_events(proto::ListTripEventsRequest {
                    name: missing.clone()
                })
                .await
        ),
        is(Code::NotFound, "TRIP_NOT_FOUND")
    );
    assert_eq!(
        told(
            client
                .accept_offer(proto::AcceptOfferRequest {
                    name: missing,
                    ..accept(1, 1)
                })
                .await
        ),
        is(Code::NotFound, "TRIP_NOT_FOUND")
    );
    assert_eq!(
        told(client.accept_offer(accept(2, 1)).await),
        is(Code::PermissionDenied, "NOT_YOUR_OFFER")
    );
    assert_eq!(
        told(client.accept_offer(accept(1, 7)).await),
        is(Code::FailedPrecondition, "NO_OPEN_OFFER")
    );
    assert_eq!(
        told(client.offer_trip(offer_request(&name, 2)).await),
        is(Code::FailedPrecondition, "OFFER_PENDING")
    );

    let used = accept(1, 1);
    let other_body = proto::AcceptOfferRequest {
        epoch: 2,
        ..used.clone()
    };
    client.accept_offer(used).await.unwrap();
    assert_eq!(
        told(client.accept_offer(other_body).await),
        is(Code::InvalidArgument, "REQUEST_ID_REUSED")
    );

    let start = proto::StartTripRequest {
        name: name.clone(),
        request_id: id(),
        driver: driver(1).name(),
        start_code: "0000".into(),
    };
    assert_eq!(
        told(client.start_trip(start).await),
        is(Code::FailedPrecondition, "NOT_ARRIVED")
    );
    let far = proto::ArriveTripRequest {
        name: name.clone(),
        request_id: id(),
        driver: driver(1).name(),
        position: Some(LatLng {
            lat_e7: 0,
            lon_e7: 0,
        }),
    };
    assert_eq!(
        told(client.arrive_trip(far).await),
        is(Code::FailedPrecondition, "TOO_FAR_FROM_PICKUP")
    );
    let foreign = proto::CancelTripRequest {
        name: name.clone(),
        request_id: id(),
        reason: proto::CancelReason::ChangedMind.into(),
        by: Some(proto::cancel_trip_request::By::Rider(rider(2).name())),
    };
    assert_eq!(
        told(client.cancel_trip(foreign).await),
        is(Code::PermissionDenied, "NOT_YOUR_TRIP")
    );
    let stale = proto::OfferTripRequest {
        version: 9,
        ..offer_request(&service.create(3).await.name, 4)
    };
    assert_eq!(
        told(client.offer_trip(stale).await),
        is(Code::Aborted, "TRIP_CHANGED")
    );
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn quotes_that_are_forged_old_used_or_anothers_are_refused() {
    let mut service = Service::start().await;
    let (stranger, _) = generate_keys().unwrap();
    let stranger = Signer::from_pem(&stranger).unwrap();
    let forged = stranger.sign(QUOTE_TOKEN_TYPE, &quote(rider(1))).unwrap();
    let other_kind = service.pricing.sign("at+jwt", &quote(rider(1))).unwrap();
    for quote_token in [forged, other_kind, "nonsense".to_owned()] {
        let request = proto::CreateTripRequest {
            quote_token,
            ..service.request(1)
        };
        assert_eq!(
            told(service.client.create_trip(request).await),
            (Code::InvalidArgument, "QUOTE_FORGED".to_owned())
        );
    }
    let anothers = proto::CreateTripRequest {
        rider: rider(2).name(),
        ..service.request(1)
    };
    assert_eq!(
        told(service.client.create_trip(anothers).await),
        (Code::PermissionDenied, "NOT_YOUR_QUOTE".to_owned())
    );

    let request = service.request(1);
    service.client.create_trip(request.clone()).await.unwrap();
    let reused = proto::CreateTripRequest {
        request_id: id(),
        ..request.clone()
    };
    assert_eq!(
        told(service.client.create_trip(reused).await),
        (Code::FailedPrecondition, "QUOTE_USED".to_owned())
    );
    let busy = service.request(1);
    assert_eq!(
        told(service.client.create_trip(busy).await),
        (Code::FailedPrecondition, "RIDER_BUSY".to_owned())
    );

    service.hand.advance(std::time::Duration::from_secs(121));
    let old = service.request(4);
    assert_eq!(
        told(service.client.create_trip(old).await),
        (Code::FailedPrecondition, "QUOTE_EXPIRED".to_owned())
    );
    // What was answered stays answered, however old the quote is by now.
    service.client.create_trip(request).await.unwrap();
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nonsense_is_named_by_its_field() {
    let mut service = Service::start().await;
    let name = service.create(1).await.name;
    let client = &mut service.client.clone();
    let field = |result: Result<(), Status>| {
        let status = result.expect_err("an error");
        assert_eq!(status.code(), Code::InvalidArgument, "{status:?}");
        assert_eq!(status::reason(&status).as_deref(), Some("FIELD_INVALID"));
        status.message().split(':').next().unwrap().to_owned()
    };
    let offer = || offer_request(&name, 1);
    macro_rules! bad {
        ($method:ident, $request:expr) => {
            field(client.$method($request).await.map(|_| ()))
        };
    }
    assert_eq!(
        bad!(
            get_trip,
            proto::GetTripRequest {
                name: String::new()
            }
        ),
        "name"
    );
    assert_eq!(
        bad!(
            get_trip,
            proto::GetTripRequest {
                name: rider(1).name()
            }
        ),
        "name"
    );
    assert_eq!(
        bad!(
            offer_trip,
            proto::OfferTripRequest {
                request_id: String::new(),
                ..offer()
            }
        ),
        "request_id"
    );
    assert_eq!(
        bad!(
            offer_trip,
            proto::OfferTripRequest {
                request_id: "x".into(),
                ..offer()
            }
        ),
        "request_id"
    );
    assert_eq!(
        bad!(
            offer_trip,
            proto::OfferTripRequest {
                driver: rider(1).name(),
                ..offer()
            }
        ),
        "driver"
    );
    assert_eq!(
        bad!(
            offer_trip,
            proto::OfferTripRequest {
                decision: "why".into(),
                ..offer()
            }
        ),
        "decision"
    );
    assert_eq!(
        bad!(
            offer_trip,
            proto::OfferTripRequest {
                pickup_eta_s: -1,
                ..offer()
            }
        ),
        "pickup_eta_s"
    );
    assert_eq!(
        bad!(
            offer_trip,
            proto::OfferTripRequest {
                version: -1,
                ..offer()
            }
        ),
        "version"
    );
    let accept = proto::AcceptOfferRequest {
        name: name.clone(),
        request_id: id(),
        driver: driver(1).name(),
        epoch: 0,
    };
    assert_eq!(bad!(accept_offer, accept), "epoch");
    let arrive = |position| proto::ArriveTripRequest {
        name: name.clone(),
        request_id: id(),
        driver: driver(1).name(),
        position,
    };
    assert_eq!(bad!(arrive_trip, arrive(None)), "position");
    assert_eq!(
        bad!(
            arrive_trip,
            arrive(Some(LatLng {
                lat_e7: i32::MAX,
                lon_e7: 0
            }))
        ),
        "position"
    );
    let start = proto::StartTripRequest {
        name: name.clone(),
        request_id: id(),
        driver: driver(1).name(),
        start_code: "12a4".into(),
    };
    assert_eq!(bad!(start_trip, start), "start_code");
    let cancel = |by, reason: i32| proto::CancelTripRequest {
        name: name.clone(),
        request_id: id(),
        by,
        reason,
    };
    let by_rider = || Some(proto::cancel_trip_request::By::Rider(rider(1).name()));
    assert_eq!(bad!(cancel_trip, cancel(None, 1)), "by");
    for reason in [0, 3, 4, 5, 6, 99] {
        assert_eq!(bad!(cancel_trip, cancel(by_rider(), reason)), "reason");
    }
    let by_service = || {
        Some(proto::cancel_trip_request::By::System(
            proto::SystemActor::default(),
        ))
    };
    for reason in [0, 1, 2, 4, 5, 6] {
        assert_eq!(bad!(cancel_trip, cancel(by_service(), reason)), "reason");
    }
    let shells = proto::CreateTripRequest {
        payment_method: 9,
        ..service.request(2)
    };
    assert_eq!(bad!(create_trip, shells), "payment_method");
    let no_instant = proto::CreateTripRequest {
        pickup_time: Some(prost_types::Timestamp {
            seconds: i64::MAX,
            nanos: 0,
        }),
        ..service.request(2)
    };
    assert_eq!(bad!(create_trip, no_instant), "pickup_time");
    let reassign = proto::ReassignTripRequest {
        name: name.clone(),
        request_id: id(),
        operator: operator().name(),
        note: "\n".into(),
    };
    assert_eq!(bad!(reassign_trip, reassign), "note");
    let end = proto::ForceEndTripRequest {
        name: name.clone(),
        request_id: id(),
        operator: operator().name(),
        note: " ".into(),
    };
    assert_eq!(bad!(force_end_trip, end), "note");
    let list = proto::ListTripsRequest::default;
    assert_eq!(
        bad!(
            list_trips,
            proto::ListTripsRequest {
                city: "San Francisco".into(),
                ..list()
            }
        ),
        "city"
    );
    assert_eq!(
        bad!(
            list_trips,
            proto::ListTripsRequest {
                states: vec![0],
                ..list()
            }
        ),
        "states"
    );
    assert_eq!(
        bad!(
            list_trips,
            proto::ListTripsRequest {
                page_size: -1,
                ..list()
            }
        ),
        "page_size"
    );
    assert_eq!(
        bad!(
            list_trips,
            proto::ListTripsRequest {
                page_token: "2".into(),
                ..list()
            }
        ),
        "page_token"
    );
    for micros in [i64::MIN / 2, -1, 253_402_300_800_000_000, i64::MAX] {
        let page_token = format!("{micros}.{}", Uuid::new_v4());
        assert_eq!(
            bad!(
                list_trips,
                proto::ListTripsRequest {
                    page_token,
                    ..list()
                }
            ),
            "page_token",
            "{micros}"
        );
    }
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_go_on_where_the_last_one_ended() {
    let mut service = Service::start().await;
    for n in 1..=5 {
        service.create(n).await;
    }
    let (mut seen, mut page_token) = (Vec::new(), String::new());
    loop {
        let request = proto::ListTripsRequest {
            city: "sf".into(),
            page_size: 2,
            page_token,
            ..Default::default()
        };
        let page = service
            .client
            .list_trips(request)
            .await
            .unwrap()
            .into_inner();
        seen.extend(page.trips.into_iter().map(|trip| trip.name));
        page_token = page.next_page_token;
        if page_token.is_empty() {
            break;
        }
    }
    seen.sort();
    seen.dedup();
    assert_eq!(seen.len(), 5);
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_running_service_carries_deadlines_out() {
    let mut service = Service::start().await;
    let name = service.create(1).await.name;
    service.offer(&name, 1).await;
    service.hand.advance(std::time::Duration::from_secs(17));
    let client = service.client.clone();
    let trip = eventually(|| {
        let (mut client, name) = (client.clone(), name.clone());
        async move {
            let trip = client
                .get_trip(proto::GetTripRequest { name })
                .await
                .unwrap()
                .into_inner()
                .trip
                .unwrap();
            (trip.state() == State::Requested).then_some(trip)
        }
    })
    .await;
    assert_eq!(trip.excluded_drivers, [driver(1).name()]);
    service.stop().await;
}
