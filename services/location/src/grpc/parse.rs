//! Wire → domain: every field checked against its limit, refused by its path.

use std::time::Duration;

use hexcab_proto::{
    convert::{FieldError, name, point},
    location::v1::{self as pb, DriverStatus},
};
use hexcab_types::{Cell, DriverId, Point};

use crate::{
    domain::{
        CityNumber, FleetIndex, HOME_RESOLUTION, Ping, ProductNumber, Query, Status, Statuses,
        Watch,
        ping::{Name, product_number},
    },
    status::Refusal,
    store::Circle,
};

/// Pings in one batch.
pub const PINGS_MAX: usize = 1_000;
/// Cells of one watch.
const WATCHED_MAX: usize = 500;
/// Between two answers of a watch, milliseconds of the city's clock.
const INTERVAL_MS: std::ops::RangeInclusive<i32> = 200..=60_000;
const INTERVAL_USUAL_MS: i32 = 1_000;
/// Who is older has left a watch, milliseconds.
const WATCH_AGE_MAX_MS: i32 = 180_000;
const WATCH_AGE_USUAL_MS: i32 = 60_000;
/// Resolutions of watched cells.
const WATCH_RESOLUTIONS: std::ops::RangeInclusive<u8> = 6..=HOME_RESOLUTION;
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
    statuses: Statuses,
    product: Option<ProductNumber>,
    excluded: Vec<DriverId>,
}

impl Asked {
    /// What it is round.
    pub fn circle(&self) -> Circle {
        Circle {
            city: self.city,
            point: self.point,
            radius_m: self.radius_m,
        }
    }

    /// The query itself.
    pub fn query(&self) -> Query<'_> {
        Query {
            point: self.point,
            radius_m: self.radius_m,
            limit: self.limit,
            max_age_ms: self.max_age_ms,
            statuses: self.statuses,
            product: self.product,
            excluded: &self.excluded,
        }
    }
}

/// A query.
pub fn find_nearby(index: &FleetIndex, request: &pb::FindNearbyRequest) -> Result<Asked, Refusal> {
    let city = city(index, &request.city)?;
    at_most(
        "excluded_drivers",
        request.excluded_drivers.len(),
        EXCLUDED_MAX,
    )?;
    let mut excluded = request
        .excluded_drivers
        .iter()
        .map(|driver| name(driver, "excluded_drivers"))
        .collect::<Result<Vec<DriverId>, FieldError>>()?;
    excluded.sort_unstable();
    let radius_m = within(request.radius_m, RADIUS_USUAL_M, RADIUS_MAX_M, "radius_m")?;
    let limit = within(request.limit, LIMIT_USUAL, LIMIT_MAX, "limit")?;
    Ok(Asked {
        city,
        point: point(request.point, "point")?,
        radius_m: f64::from(radius_m),
        limit: usize::try_from(limit).unwrap_or_default(),
        max_age_ms: max_age_ms(request.max_age_ms, "max_age_ms")?,
        statuses: statuses(request, "statuses")?,
        product: product(index, city, &request.product, "product")?,
        excluded,
    })
}

/// A city of this process.
pub fn city(index: &FleetIndex, id: &str) -> Result<CityNumber, Refusal> {
    if id.is_empty() {
        return Err(FieldError::new("city", "is required").into());
    }
    index.city(id).ok_or_else(|| {
        Refusal::CityUnknown(FieldError::new(
            "city",
            format!("{id:?} is not served here"),
        ))
    })
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

/// A watch, and how often it is to answer.
pub fn watch(
    index: &FleetIndex,
    asked: &pb::WatchAreaRequest,
) -> Result<(Watch, Duration), Refusal> {
    let city = city(index, &asked.city)?;
    at_most("cells", asked.cells.len(), WATCHED_MAX)?;
    if asked.cells.is_empty() {
        return Err(FieldError::new("cells", "is required").into());
    }
    let cell = |(at, bits): (usize, &u64)| {
        let field = || format!("cells[{at}]");
        let cell =
            Cell::from_u64(*bits).map_err(|error| FieldError::new(field(), error.to_string()))?;
        if WATCH_RESOLUTIONS.contains(&cell.resolution()) {
            Ok(cell)
        } else {
            let problem = format!(
                "is of resolution {}, want {} to {}",
                cell.resolution(),
                WATCH_RESOLUTIONS.start(),
                WATCH_RESOLUTIONS.end()
            );
            Err(FieldError::new(field(), problem))
        }
    };
    let cells = asked.cells.iter().enumerate().map(cell);
    let cells = cells.collect::<Result<Vec<Cell>, FieldError>>()?;
    let interval_ms = match asked.interval_ms {
        0 => INTERVAL_USUAL_MS,
        given if INTERVAL_MS.contains(&given) => given,
        given => {
            let problem = format!("must be 200 to 60000, or 0 for 1000; it is {given}");
            return Err(FieldError::new("interval_ms", problem).into());
        }
    };
    let max_age_ms = within(
        asked.max_age_ms,
        WATCH_AGE_USUAL_MS,
        WATCH_AGE_MAX_MS,
        "max_age_ms",
    )?;
    let interval = Duration::from_millis(u64::try_from(interval_ms).unwrap_or_default());
    Ok((Watch::new(city, cells, max_age_ms.into()), interval))
}

/// A ping, unchecked: its checks are the domain's, one by one.
pub fn ping(ping: &pb::Ping) -> Ping<'_> {
    Ping {
        driver: driver(&ping.driver, &ping.driver_id),
        lat_e7: ping.lat_e7,
        lon_e7: ping.lon_e7,
        recorded_ms: ping.record_time_ms,
        status: status(ping.status),
        product: &ping.product,
        heading_deg: ping.heading_deg,
        accuracy_m: ping.accuracy_m,
    }
}

/// Whose a ping is, by the two fields that may say so.
pub const fn driver<'a>(name: &'a str, id: &'a [u8]) -> Name<'a> {
    match (name.is_empty(), id.is_empty()) {
        (_, true) => Name::Text(name),
        (true, false) => Name::Id(id),
        (false, false) => Name::Both,
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

/// A status from the wire; none when unset or unknown.
pub fn status(number: i32) -> Option<Status> {
    match DriverStatus::try_from(number).ok()? {
        DriverStatus::Unspecified => None,
        DriverStatus::Available => Some(Status::Available),
        DriverStatus::EnRoute => Some(Status::EnRoute),
        DriverStatus::OnTrip => Some(Status::OnTrip),
        DriverStatus::Offline => Some(Status::Offline),
    }
}

fn statuses(request: &pb::FindNearbyRequest, field: &str) -> Result<Statuses, FieldError> {
    if request.statuses.is_empty() {
        return Ok(Statuses::from_iter([Status::Available]));
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
