//! What makes no sense is refused by the name of its field.

use hexcab_proto::{
    common::v1::LatLng,
    pricing::v1::{CreateQuoteRequest, GetQuoteRequest, GetSurgeRequest},
};
use tonic::Code::{FailedPrecondition, InvalidArgument, NotFound};

use crate::city::{City, ask, refusal};

#[tokio::test]
async fn nonsense_is_refused_by_its_field() {
    let mut city = City::start().await;
    let off_earth = Some(LatLng {
        lat_e7: 0,
        lon_e7: i32::MAX,
    });
    let airport = Some(LatLng {
        lat_e7: 376_165_000,
        lon_e7: -1_223_860_000,
    });
    for (request, reason, code, names) in [
        (
            CreateQuoteRequest {
                request_id: String::new(),
                ..ask()
            },
            "FIELD_INVALID",
            InvalidArgument,
            "request_id",
        ),
        (
            CreateQuoteRequest {
                request_id: "7".into(),
                ..ask()
            },
            "FIELD_INVALID",
            InvalidArgument,
            "request_id",
        ),
        (
            CreateQuoteRequest {
                rider: String::new(),
                ..ask()
            },
            "FIELD_INVALID",
            InvalidArgument,
            "rider",
        ),
        (
            CreateQuoteRequest {
                rider: "drivers/7".into(),
                ..ask()
            },
            "FIELD_INVALID",
            InvalidArgument,
            "rider",
        ),
        (
            CreateQuoteRequest {
                city: String::new(),
                ..ask()
            },
            "FIELD_INVALID",
            InvalidArgument,
            "city",
        ),
        (
            CreateQuoteRequest {
                city: "San Francisco".into(),
                ..ask()
            },
            "FIELD_INVALID",
            InvalidArgument,
            "city",
        ),
        (
            CreateQuoteRequest {
                city: "atlantis".into(),
                ..ask()
            },
            "CITY_UNKNOWN",
            NotFound,
            "atlantis",
        ),
        (
            CreateQuoteRequest {
                product: "boat".into(),
                ..ask()
            },
            "PRODUCT_UNKNOWN",
            InvalidArgument,
            "boat",
        ),
        (
            CreateQuoteRequest {
                product: "a boat".into(),
                ..ask()
            },
            "FIELD_INVALID",
            InvalidArgument,
            "product",
        ),
        (
            CreateQuoteRequest {
                pickup: None,
                ..ask()
            },
            "FIELD_INVALID",
            InvalidArgument,
            "pickup",
        ),
        (
            CreateQuoteRequest {
                dropoff: None,
                ..ask()
            },
            "FIELD_INVALID",
            InvalidArgument,
            "dropoff",
        ),
        (
            CreateQuoteRequest {
                pickup: off_earth,
                ..ask()
            },
            "FIELD_INVALID",
            InvalidArgument,
            "pickup",
        ),
        (
            CreateQuoteRequest {
                pickup: airport,
                ..ask()
            },
            "OUT_OF_SERVICE_AREA",
            FailedPrecondition,
            "pickup",
        ),
        (
            CreateQuoteRequest {
                dropoff: airport,
                ..ask()
            },
            "OUT_OF_SERVICE_AREA",
            FailedPrecondition,
            "dropoff",
        ),
    ] {
        let refused = refusal(city.quote(request).await);
        assert_eq!(
            (refused.0.as_str(), refused.1),
            (reason, code),
            "{refused:?}"
        );
        assert!(refused.2.contains(names), "{refused:?}");
    }
    let (reason, code, _) = refusal(
        city.client
            .get_quote(GetQuoteRequest {
                name: ask().rider.replace("riders", "quotes"),
            })
            .await,
    );
    assert_eq!((reason.as_str(), code), ("QUOTE_UNKNOWN", NotFound));
    let (reason, ..) = refusal(
        city.client
            .get_quote(GetQuoteRequest {
                name: "quotes/7".into(),
            })
            .await,
    );
    assert_eq!(reason, "FIELD_INVALID");
    let (reason, ..) = refusal(
        city.client
            .get_surge(GetSurgeRequest {
                city: "atlantis".into(),
            })
            .await,
    );
    assert_eq!(reason, "CITY_UNKNOWN");
}
