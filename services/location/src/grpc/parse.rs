//! Wire → domain: every field checked against its limit, refused by its path.

use std::collections::HashSet;

use hexcab_proto::{
    convert::{FieldError, name, point},
    location::v1::{self as pb, DriverStatus},
};
use hexcab_types::{DriverId, Point};

use crate::{
    domain::{
        FleetIndex, Ping, ProductNumber, Query, Status, index::CityNumber, ping::product_number,
    },
    status::Refusal,
};

/// Pings in one batch.
pub const PINGS_MAX: usize = 1_000;
/// Queries in one batch.
pub const QUERIES_MAX: usize = 2_000;
/// Drivers left out of one query.
const EXCLUDED_MAX: usize = 1_000;
/// Search radius, metres.
const RADIUS_MAX_M: i32 = 50_000;
const RADIUS_USUAL_M: i32 = 5_000;
/// Drivers in one answer.
const LIMIT_MAX: i32 = 200;
const LIMIT_USUAL: i32 = 20;
/// The staleness contract: no older position is ever answered unless asked for, milliseconds.
const MAX_AGE_USUAL_MS: i32 = 15_000;

/// A query that owns what it refers to.
pub struct Asked {
    /// In this city.
    pub city: CityNumber,
    point: Point,
    radius_m: f64,
    limit: usize,
    max_age_ms: i64,
    statuses: Vec<Status>,
    product: Option<ProductNumber>,
    excluded: HashSet<DriverId>,
}

impl Asked {
    /// The query itself.
    pub fn query(&self) -> Query<'_> {
        Query {
            point: self.point,
            radius_m: self.radius_m,
            limit: self.limit,
            max_age_ms: self.max_age_ms,
            statuses: &self.statuses,
            product: self.product,
            excluded: &self.excluded,
        }
    }
}

/// A query; `path` goes before the names of its fields in errors.
pub fn find_nearby(
    index: &FleetIndex,
    request: &pb::FindNearbyRequest,
    path: &str,
) -> Result<Asked, Refusal> {
    let field = |of: &str| format!("{path}{of}");
    let city = city(index, &request.city, path)?;
    at_most(
        "excluded_drivers",
        request.excluded_drivers.len(),
        EXCLUDED_MAX,
    )?;
    Ok(Asked {
        city,
        point: point(request.point, &field("point"))?,
        radius_m: f64::from(within(
            request.radius_m,
            RADIUS_USUAL_M,
            RADIUS_MAX_M,
            &field("radius_m"),
        )?),
        limit: usize::try_from(within(
            request.limit,
            LIMIT_USUAL,
            LIMIT_MAX,
            &field("limit"),
        )?)
        .unwrap_or_default(),
        max_age_ms: max_age_ms(request.max_age_ms, &field("max_age_ms"))?,
        statuses: statuses(request, &field("statuses"))?,
        product: product(index, city, &request.product, &field("product"))?,
        excluded: request
            .excluded_drivers
            .iter()
            .map(|driver| name(driver, &field("excluded_drivers")))
            .collect::<Result<_, FieldError>>()?,
    })
}

/// A city of this process.
pub fn city(index: &FleetIndex, id: &str, path: &str) -> Result<CityNumber, Refusal> {
    if id.is_empty() {
        return Err(FieldError::new(format!("{path}city"), "is required").into());
    }
    index
        .city(id)
        .ok_or_else(|| Refusal::CityUnknown(path.to_owned(), id.to_owned()))
}

/// Refuses more items than one call may carry.
pub fn at_most(field: &'static str, given: usize, most: usize) -> Result<(), Refusal> {
    if given > most {
        Err(Refusal::BatchTooLarge { field, given, most })
    } else {
        Ok(())
    }
}

/// How old an answer may be; the contract's 15 s when 0.
pub fn max_age_ms(given: i32, field: &str) -> Result<i64, FieldError> {
    within(given, MAX_AGE_USUAL_MS, i32::MAX, field).map(i64::from)
}

/// A ping, unchecked: its checks are the domain's, one by one.
pub fn ping(ping: &pb::Ping) -> Ping<'_> {
    Ping {
        driver: &ping.driver,
        lat_e7: ping.lat_e7,
        lon_e7: ping.lon_e7,
        recorded_ms: ping.record_time_ms,
        status: status(ping.status),
        product: &ping.product,
        heading_deg: ping.heading_deg,
        accuracy_m: ping.accuracy_m,
    }
}

/// A status for the wire.
pub const fn to_status(status: Status) -> DriverStatus {
    match status {
        Status::Available => DriverStatus::Available,
        Status::EnRoute => DriverStatus::EnRoute,
        Status::OnTrip => DriverStatus::OnTrip,
        Status::Offline => DriverStatus::Offline,
    }
}

fn status(number: i32) -> Option<Status> {
    match DriverStatus::try_from(number).ok()? {
        DriverStatus::Unspecified => None,
        DriverStatus::Available => Some(Status::Available),
        DriverStatus::EnRoute => Some(Status::EnRoute),
        DriverStatus::OnTrip => Some(Status::OnTrip),
        DriverStatus::Offline => Some(Status::Offline),
    }
}

fn statuses(request: &pb::FindNearbyRequest, field: &str) -> Result<Vec<Status>, FieldError> {
    if request.statuses.is_empty() {
        return Ok(vec![Status::Available]);
    }
    let known = |number: &i32| {
        status(*number).ok_or_else(|| FieldError::new(field, format!("{number} is no status")))
    };
    request.statuses.iter().map(known).collect()
}

fn product(
    index: &FleetIndex,
    city: CityNumber,
    product: &str,
    field: &str,
) -> Result<Option<ProductNumber>, Refusal> {
    if product.is_empty() {
        return Ok(None);
    }
    let number = product_number(product, index.products(city))
        .map_err(|error| Refusal::ProductUnknown(FieldError::new(field, error.to_string())))?;
    Ok(Some(number))
}

/// 0 is the usual figure.
fn within(given: i32, usual: i32, most: i32, field: &str) -> Result<i32, FieldError> {
    match given {
        0 => Ok(usual),
        given if (1..=most).contains(&given) => Ok(given),
        given => Err(FieldError::new(
            field,
            format!("must be 1 to {most}, or 0 for {usual}; it is {given}"),
        )),
    }
}
