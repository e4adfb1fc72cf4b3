//! What anyone may ask of a city: who is near, where prices surge.

use axum::{Json, extract::State};
use hexcab_proto::{
    location::v1::{FindNearbyRequest, NearbyDriver},
    pricing::v1::GetSurgeRequest,
};
use serde::{Deserialize, Serialize};

use super::{
    Shared,
    input::{Caller, Query},
};
use crate::{
    status::Problem,
    views::{PointView, quote::SurgeView},
};

/// Drivers shown on a map.
const NEARBY_MAX: i32 = 20;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NearbyAsked {
    city: String,
    lat: f64,
    lon: f64,
}

#[derive(Serialize)]
pub struct Nearby {
    drivers: Vec<AnyDriver>,
}

/// A driver on the map, who he is left out.
#[derive(Serialize)]
struct AnyDriver {
    lat: f64,
    lon: f64,
    heading_deg: u32,
    age_ms: i32,
}

/// `GET /v1/nearby`
pub async fn nearby(
    State(gateway): Shared,
    Caller(_): Caller,
    Query(asked): Query<NearbyAsked>,
) -> Result<Json<Nearby>, Problem> {
    let point = PointView {
        lat: asked.lat,
        lon: asked.lon,
    }
    .point("lat/lon")?;
    let request = FindNearbyRequest {
        city: asked.city,
        point: Some(point.into()),
        limit: NEARBY_MAX,
        ..FindNearbyRequest::default()
    };
    let answer = gateway
        .peers
        .location(request, |mut l, r| async move { l.find_nearby(r).await })
        .await?;
    Ok(Json(Nearby {
        drivers: answer.drivers.iter().filter_map(anonymous).collect(),
    }))
}

fn anonymous(driver: &NearbyDriver) -> Option<AnyDriver> {
    let at = PointView::from(driver.position?);
    Some(AnyDriver {
        lat: at.lat,
        lon: at.lon,
        heading_deg: driver.heading_deg,
        age_ms: driver.age_ms,
    })
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CityAsked {
    city: String,
}

/// `GET /v1/surge`
pub async fn surge(
    State(gateway): Shared,
    Caller(_): Caller,
    Query(asked): Query<CityAsked>,
) -> Result<Json<SurgeView>, Problem> {
    let request = GetSurgeRequest { city: asked.city };
    let answer = gateway
        .peers
        .pricing(request, |mut p, r| async move { p.get_surge(r).await })
        .await?;
    Ok(Json(answer.into()))
}
