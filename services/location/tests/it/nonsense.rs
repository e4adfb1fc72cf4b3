//! What makes no sense is refused item by item.

use hexcab_proto::{
    common::v1::LatLng,
    location::v1::{
        CountCellsRequest, FindNearbyBatchRequest, FindNearbyRequest, GetDriverPositionRequest,
        ReportPingsRequest,
    },
};
use tonic::Code::{InvalidArgument, NotFound};

use crate::city::{City, around_centre, driver, refusal};

#[tokio::test]
async fn nonsense_is_refused_by_its_field() {
    let mut city = City::start().await;
    let usual = around_centre;
    for (request, reason, code, field) in [
        (
            FindNearbyRequest {
                city: String::new(),
                ..usual()
            },
            "FIELD_INVALID",
            InvalidArgument,
            "city",
        ),
        (
            FindNearbyRequest {
                city: "atlantis".into(),
                ..usual()
            },
            "CITY_UNKNOWN",
            NotFound,
            "atlantis",
        ),
        (
            FindNearbyRequest {
                point: None,
                ..usual()
            },
            "FIELD_INVALID",
            InvalidArgument,
            "point",
        ),
        (
            FindNearbyRequest {
                point: Some(LatLng {
                    lat_e7: i32::MAX,
                    lon_e7: 0,
                }),
                ..usual()
            },
            "FIELD_INVALID",
            InvalidArgument,
            "point",
        ),
        (
            FindNearbyRequest {
                radius_m: -1,
                ..usual()
            },
            "FIELD_INVALID",
            InvalidArgument,
            "radius_m",
        ),
        (
            FindNearbyRequest {
                radius_m: 50_001,
                ..usual()
            },
            "FIELD_INVALID",
            InvalidArgument,
            "radius_m",
        ),
        (
            FindNearbyRequest {
                limit: 201,
                ..usual()
            },
            "FIELD_INVALID",
            InvalidArgument,
            "limit",
        ),
        (
            FindNearbyRequest {
                max_age_ms: -1,
                ..usual()
            },
            "FIELD_INVALID",
            InvalidArgument,
            "max_age_ms",
        ),
        (
            FindNearbyRequest {
                statuses: vec![0],
                ..usual()
            },
            "FIELD_INVALID",
            InvalidArgument,
            "statuses",
        ),
        (
            FindNearbyRequest {
                statuses: vec![77],
                ..usual()
            },
            "FIELD_INVALID",
            InvalidArgument,
            "statuses",
        ),
        (
            FindNearbyRequest {
                product: "boat".into(),
                ..usual()
            },
            "PRODUCT_UNKNOWN",
            InvalidArgument,
            "product",
        ),
        (
            FindNearbyRequest {
                excluded_drivers: vec!["riders/x".into()],
                ..usual()
            },
            "FIELD_INVALID",
            InvalidArgument,
            "excluded_drivers",
        ),
        (
            FindNearbyRequest {
                excluded_drivers: vec![driver(1); 1_001],
                ..usual()
            },
            "BATCH_TOO_LARGE",
            InvalidArgument,
            "excluded_drivers",
        ),
    ] {
        let queries = vec![usual(), request.clone()];
        let single = refusal(city.client.find_nearby(request).await);
        assert_eq!((single.0.as_str(), single.1), (reason, code), "{single:?}");
        assert!(single.2.contains(field), "{single:?}");
        let batch = refusal(
            city.client
                .find_nearby_batch(FindNearbyBatchRequest { queries })
                .await,
        );
        assert_eq!((batch.0.as_str(), batch.1), (reason, code), "{batch:?}");
        if reason != "BATCH_TOO_LARGE" {
            assert!(batch.2.contains("queries[1]."), "which query: {batch:?}");
        }
    }
}

#[tokio::test]
async fn batches_beyond_their_limit_are_refused_whole() {
    let mut city = City::start().await;
    let pings = vec![city.ping(1); 1_001];
    let (reason, _, message) = refusal(
        city.client
            .report_pings(ReportPingsRequest {
                city: "sf".into(),
                pings,
            })
            .await,
    );
    assert_eq!(reason, "BATCH_TOO_LARGE");
    assert!(
        message.contains("1001") && message.contains("1000"),
        "{message}"
    );
    let queries = vec![around_centre(); 2_001];
    let (reason, ..) = refusal(
        city.client
            .find_nearby_batch(FindNearbyBatchRequest { queries })
            .await,
    );
    assert_eq!(reason, "BATCH_TOO_LARGE");
    let found = city
        .client
        .find_nearby(around_centre())
        .await
        .unwrap()
        .into_inner();
    assert_eq!(found.drivers, [], "nothing of the batch was taken");
}

#[tokio::test]
async fn unknown_names_are_refused() {
    let mut city = City::start().await;
    let (reason, ..) = refusal(
        city.client
            .get_driver_position(GetDriverPositionRequest {
                driver: "drivers/x".into(),
            })
            .await,
    );
    assert_eq!(reason, "FIELD_INVALID");
    let (reason, code, _) = refusal(
        city.client
            .get_driver_position(GetDriverPositionRequest {
                driver: driver(404),
            })
            .await,
    );
    assert_eq!((reason.as_str(), code), ("DRIVER_NOT_SEEN", NotFound));
    let (reason, ..) = refusal(
        city.client
            .count_cells(CountCellsRequest {
                city: "x".into(),
                max_age_ms: 0,
            })
            .await,
    );
    assert_eq!(reason, "CITY_UNKNOWN");
}
