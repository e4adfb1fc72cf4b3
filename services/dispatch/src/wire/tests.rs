//! Trips as they come over the wire, the odd ones too.

use hexcab_proto::{common::v1::LatLng, trip::v1::Trip};
use hexcab_types::Timestamp;
use uuid::Uuid;

use super::*;

fn proto(state: State) -> Trip {
    let at = |seconds| Some(to_timestamp(Timestamp::from_timestamp(seconds, 0).unwrap()));
    Trip {
        name: TripId::from(Uuid::from_u128(1)).name(),
        city: "sf".into(),
        product: "standard".into(),
        state: state.into(),
        version: 4,
        driver: DriverId::from(Uuid::from_u128(2)).name(),
        offer: Some(trip::Offer {
            driver: DriverId::from(Uuid::from_u128(3)).name(),
            ..trip::Offer::default()
        }),
        pickup: Some(LatLng {
            lat_e7: 377_700_000,
            lon_e7: -1_224_100_000,
        }),
        excluded_drivers: vec![DriverId::from(Uuid::from_u128(5)).name()],
        request_expire_time: at(480),
        create_time: at(0),
        update_time: at(9),
        ..Trip::default()
    }
}

#[test]
fn each_state_means_one_thing_to_dispatch() {
    let driver = |n| DriverId::from(Uuid::from_u128(n));
    let changed_at = Timestamp::from_timestamp(9, 0).unwrap();
    let driven = Standing::Driven(driver(2));
    let table = [
        (State::Scheduled, Standing::Ended),
        (State::Offered, Standing::Offered(driver(3))),
        (State::EnRoute, driven.clone()),
        (State::Arrived, driven.clone()),
        (State::InProgress, driven),
        (State::Completed, Standing::Ended),
        (State::Cancelled, Standing::Ended),
        (State::Expired, Standing::Ended),
    ];
    for (state, standing) in table {
        let expected = Seen {
            trip: Uuid::from_u128(1).into(),
            version: 4,
            changed_at,
            standing,
        };
        assert_eq!(seen(&proto(state)), Ok(expected), "{state:?}");
    }
    let Ok(Seen {
        standing: Standing::Open(request),
        ..
    }) = seen(&proto(State::Requested))
    else {
        panic!("a requested trip is open");
    };
    assert_eq!(request.excluded, [driver(5)].into());
    assert_eq!(request.context, None);
}

#[test]
fn a_booked_trip_waits_from_when_its_search_began() {
    let mut activated = proto(State::Requested);
    activated.activate_time = Some(prost_types::Timestamp {
        seconds: 7,
        nanos: 0,
    });
    let Ok(Seen {
        standing: Standing::Open(request),
        ..
    }) = seen(&activated)
    else {
        panic!("a requested trip is open");
    };
    assert_eq!(request.created_at, Timestamp::from_timestamp(7, 0).unwrap());
}

#[test]
fn a_trip_that_cannot_be_read_names_the_field() {
    let requested = || proto(State::Requested);
    let table = [
        (
            Trip {
                name: "trips/x".into(),
                ..requested()
            },
            "name",
        ),
        (
            Trip {
                version: 0,
                ..requested()
            },
            "version",
        ),
        (
            Trip {
                state: 0,
                ..requested()
            },
            "state",
        ),
        (
            Trip {
                state: 99,
                ..requested()
            },
            "state",
        ),
        (
            Trip {
                pickup: None,
                ..requested()
            },
            "pickup",
        ),
        (
            Trip {
                product: "No Such".into(),
                ..requested()
            },
            "product",
        ),
        (
            Trip {
                create_time: None,
                ..requested()
            },
            "create_time",
        ),
        (
            Trip {
                update_time: None,
                ..requested()
            },
            "update_time",
        ),
        (
            Trip {
                request_expire_time: None,
                ..requested()
            },
            "request_expire_time",
        ),
        (
            Trip {
                excluded_drivers: vec!["riders/1".into()],
                ..requested()
            },
            "excluded_drivers",
        ),
        (
            Trip {
                offer: None,
                ..proto(State::Offered)
            },
            "offer",
        ),
        (
            Trip {
                driver: String::new(),
                ..proto(State::EnRoute)
            },
            "driver",
        ),
    ];
    for (trip, field) in table {
        assert_eq!(seen(&trip).unwrap_err().field, field);
    }
}

#[test]
fn figures_become_whole_numbers_that_fit() {
    for (figure, expected) in [
        (0.4, 0),
        (0.5, 1),
        (61.7, 62),
        (-3.0, 0),
        (f64::INFINITY, i32::MAX),
        (f64::NAN, 0),
        (1e12, i32::MAX),
    ] {
        assert_eq!(whole(figure), expected, "{figure}");
    }
}
