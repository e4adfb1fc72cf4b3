//! Lives of trips that are not the usual one, over the API, every message twice: booked ahead, nobody comes, an operator
//! looks for another driver, cash.

use std::time::Duration;

use chrono::TimeDelta;
use hexcab_proto::{convert::to_timestamp, trip::v1 as proto};
use hexcab_testkit::eventually;
use tonic::Code;

use crate::{
    api::{Service, at_pickup, id, offer_request, told, twice},
    fixture::*,
};

fn accept_request(name: &str, n: u128, epoch: i32) -> proto::AcceptOfferRequest {
    proto::AcceptOfferRequest {
        name: name.to_owned(),
        request_id: id(),
        driver: driver(n).name(),
        epoch,
    }
}

fn no_show_request(name: &str, n: u128) -> proto::ReportNoShowRequest {
    proto::ReportNoShowRequest {
        name: name.to_owned(),
        request_id: id(),
        driver: driver(n).name(),
    }
}

fn reassign_request(name: &str) -> proto::ReassignTripRequest {
    proto::ReassignTripRequest {
        name: name.to_owned(),
        request_id: id(),
        operator: operator().name(),
        note: " his car broke down ".into(),
    }
}

impl Service {
    /// A trip of rider n with driver n at the pickup.
    async fn arrived(&mut self, n: u128) -> String {
        let name = self.create(n).await.name;
        self.offer(&name, n).await;
        let accept = accept_request(&name, n, 1);
        self.client.accept_offer(accept).await.unwrap();
        let arrive = proto::ArriveTripRequest {
            name: name.clone(),
            request_id: id(),
            driver: driver(n).name(),
            position: at_pickup(),
        };
        self.client.arrive_trip(arrive).await.unwrap();
        name
    }

    async fn get(&self, name: &str) -> proto::Trip {
        let request = proto::GetTripRequest {
            name: name.to_owned(),
        };
        let answer = self.client.clone().get_trip(request).await.unwrap();
        answer.into_inner().trip.unwrap()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ride_is_booked_ahead_and_looked_for_when_its_time_comes() {
    let mut service = Service::start().await;
    let at = |seconds| Some(to_timestamp(start() + TimeDelta::seconds(seconds)));
    let book = proto::CreateTripRequest {
        pickup_time: at(3600),
        payment_method: proto::PaymentMethod::Cash.into(),
        ..service.request(1)
    };
    let booked = twice!(service, create_trip, book, Scheduled);
    assert_eq!(booked.pickup_time, at(3600));
    assert_eq!(booked.activate_time, at(2700));
    assert_eq!(booked.payment_method(), proto::PaymentMethod::Cash);
    let now = twice!(service, create_trip, service.request(1), Requested);
    assert_eq!(now.payment_method(), proto::PaymentMethod::Card);
    let cancel = proto::CancelTripRequest {
        name: now.name,
        request_id: id(),
        reason: proto::CancelReason::ChangedMind.into(),
        by: Some(proto::cancel_trip_request::By::Rider(rider(1).name())),
    };
    twice!(service, cancel_trip, cancel, Cancelled);

    let too_soon = service
        .client
        .offer_trip(offer_request(&booked.name, 1))
        .await;
    assert_eq!(
        told(too_soon),
        (Code::FailedPrecondition, "TRIP_SCHEDULED".to_owned())
    );
    service.hand.advance(Duration::from_secs(2701));
    let activated = eventually(|| async {
        let trip = service.get(&booked.name).await;
        (trip.state() == proto::State::Requested).then_some(trip)
    })
    .await;
    assert_eq!(activated.request_expire_time, at(3600));
    let listed = proto::ListTripEventsRequest { name: booked.name };
    let events = service.client.list_trip_events(listed).await.unwrap();
    let kinds: Vec<_> = events
        .into_inner()
        .events
        .into_iter()
        .map(|event| event.event.unwrap())
        .collect();
    assert_eq!(
        kinds,
        [
            proto::trip_event::Event::Scheduled(proto::TripScheduled {}),
            proto::trip_event::Event::Activated(proto::TripActivated {}),
        ]
    );
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_booking_out_of_bounds_is_refused_with_its_reason() {
    let mut service = Service::start().await;
    for (seconds, reason) in [(-1, "PICKUP_TIME_PASSED"), (604_801, "SCHEDULE_TOO_FAR")] {
        let request = proto::CreateTripRequest {
            pickup_time: Some(to_timestamp(start() + TimeDelta::seconds(seconds))),
            ..service.request(1)
        };
        assert_eq!(
            told(service.client.create_trip(request).await),
            (Code::FailedPrecondition, reason.to_owned())
        );
    }
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_driver_who_waited_in_vain_leaves_for_the_fee() {
    let mut service = Service::start().await;
    let name = service.arrived(1).await;
    let early = service
        .client
        .report_no_show(no_show_request(&name, 1))
        .await;
    assert_eq!(
        told(early),
        (Code::FailedPrecondition, "NO_SHOW_TOO_EARLY".to_owned())
    );
    let no_show_time = service.get(&name).await.no_show_time;
    assert_eq!(
        no_show_time,
        Some(to_timestamp(start() + TimeDelta::seconds(300)))
    );
    service.hand.advance(Duration::from_secs(300));
    let gone = twice!(
        service,
        report_no_show,
        no_show_request(&name, 1),
        Cancelled
    );
    let cancellation = gone.cancellation.unwrap();
    assert_eq!(
        (cancellation.by(), cancellation.reason()),
        (proto::CancelledBy::Driver, proto::CancelReason::NoShow)
    );
    assert_eq!(gone.charge, Some(usd(500).into()));
    assert_eq!(gone.driver_due, Some(usd(375).into()));
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_takes_a_trip_from_its_driver() {
    let mut service = Service::start().await;
    let name = service.arrived(1).await;
    let open = twice!(service, reassign_trip, reassign_request(&name), Requested);
    assert_eq!(open.excluded_drivers, [driver(1).name()]);
    assert_eq!((open.accept_time, open.arrive_time), (None, None));
    assert_eq!(
        told(service.client.reassign_trip(reassign_request(&name)).await),
        (Code::FailedPrecondition, "NO_DRIVER".to_owned())
    );
    assert_eq!(
        told(
            service
                .client
                .report_no_show(no_show_request(&name, 1))
                .await
        ),
        (Code::FailedPrecondition, "TRIP_REASSIGNED".to_owned())
    );
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rider_who_is_late_pays_for_the_waiting() {
    let mut service = Service::start().await;
    let name = service.arrived(1).await;
    let code = service.get(&name).await.start_code;
    service.hand.advance(Duration::from_secs(720));
    let start = proto::StartTripRequest {
        name: name.clone(),
        request_id: id(),
        driver: driver(1).name(),
        start_code: code,
    };
    let riding = twice!(service, start_trip, start, InProgress);
    assert_eq!(riding.waiting_fee, Some(usd(450).into()));
    assert_eq!((riding.charge, riding.driver_due), (None, None));
    let complete = proto::CompleteTripRequest {
        name,
        request_id: id(),
        driver: driver(1).name(),
        position: None,
    };
    let done = twice!(service, complete_trip, complete, Completed);
    assert_eq!(done.charge, Some(usd(1840 + 450).into()));
    assert_eq!(done.driver_due, Some(usd(1120 + 338).into()));
    service.stop().await;
}
