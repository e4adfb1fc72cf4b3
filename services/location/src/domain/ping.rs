//! A ping as an app sent it, made a [`Sighting`] or refused with a reason of its own: pings come in batches, and one
//! bad ping must not cost the others.
//!
//! Invariants: a sighting lies on earth, is not further in the future than [`FUTURE_MAX_MS`], has a status and a product
//! that the city sells. Does not: know what was heard before; late and duplicate pings are the index's affair.

use hexcab_types::{DriverId, Point, ProductId, Timestamp};
use uuid::Uuid;

use super::{ACCURATE_M, FUTURE_MAX_MS, ProductNumber, Sighting, Status};

/// The product of a driver who names none.
pub const USUAL_PRODUCT: &str = "standard";

/// Whose a ping says it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Name<'a> {
    /// `drivers/{driver}`
    Text(&'a str),
    /// The bytes of a UUID.
    Id(&'a [u8]),
    /// It says so twice.
    Both,
}

impl Name<'_> {
    fn driver(self) -> Result<DriverId, Rejection> {
        match self {
            Self::Text(name) => DriverId::from_name(name)
                .map_err(|error| Rejection::DriverInvalid(error.to_string())),
            Self::Id(bytes) => Uuid::from_slice(bytes)
                .ok()
                .filter(|id| !id.is_nil())
                .map(DriverId::from)
                .ok_or_else(|| {
                    Rejection::DriverInvalid(format!(
                        "driver_id holds {} bytes, want the 16 of a UUID that is not nil",
                        bytes.len()
                    ))
                }),
            Self::Both => Err(Rejection::DriverInvalid(
                "both driver and driver_id are given".to_owned(),
            )),
        }
    }
}

/// A ping, nothing checked yet.
#[derive(Debug, Clone, Copy)]
pub struct Ping<'a> {
    /// Whose.
    pub driver: Name<'a>,
    /// Latitude in 1e-7 degrees.
    pub lat_e7: i32,
    /// Longitude in 1e-7 degrees.
    pub lon_e7: i32,
    /// Milliseconds since 1970 of the city's clock; 0 when missing.
    pub recorded_ms: i64,
    /// None when missing or unknown.
    pub status: Option<Status>,
    /// A product of the city; the usual one when empty.
    pub product: &'a str,
    /// Degrees clockwise from north.
    pub heading_deg: u32,
    /// Metres.
    pub accuracy_m: u32,
}

/// Why a ping is refused.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum Rejection {
    /// Not a driver's name.
    #[error("driver: {0}")]
    DriverInvalid(String),
    /// A coordinate that is not on earth.
    #[error("{0}")]
    PositionOffEarth(String),
    /// Both coordinates are 0: what a phone without a fix sends.
    #[error("lat_e7 and lon_e7 are both 0, as if the phone had no fix")]
    PositionMissing,
    /// No time, or one before 1970.
    #[error("record_time_ms is required, milliseconds since 1970")]
    RecordTimeMissing,
    /// No status, or none that is known.
    #[error("status is required")]
    StatusMissing,
    /// Not a product of the city.
    #[error("the city has no product {0:?}")]
    ProductUnknown(String),
    /// The index is full.
    #[error("location holds as many drivers as it can")]
    FleetFull,
    /// More than a full turn.
    #[error("heading_deg {0} is above 360")]
    HeadingInvalid(u32),
}

impl Rejection {
    /// The reason by which a program knows it; contract.
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::DriverInvalid(_) => "DRIVER_INVALID",
            Self::PositionOffEarth(_) => "POSITION_OFF_EARTH",
            Self::PositionMissing => "POSITION_MISSING",
            Self::RecordTimeMissing => "RECORD_TIME_MISSING",
            Self::StatusMissing => "STATUS_MISSING",
            Self::ProductUnknown(_) => "PRODUCT_UNKNOWN",
            Self::FleetFull => "FLEET_FULL",
            Self::HeadingInvalid(_) => "HEADING_INVALID",
        }
    }
}

impl Ping<'_> {
    /// The sighting that this ping reports in a city that sells `products`.
    ///
    /// # Errors
    /// The first thing that is wrong with it.
    pub fn sighting(&self, products: &[ProductId], now: Timestamp) -> Result<Sighting, Rejection> {
        let driver = self.driver.driver()?;
        if (self.lat_e7, self.lon_e7) == (0, 0) {
            return Err(Rejection::PositionMissing);
        }
        let point = Point::from_e7(self.lat_e7, self.lon_e7)
            .map_err(|error| Rejection::PositionOffEarth(error.to_string()))?;
        if self.recorded_ms <= 0 {
            return Err(Rejection::RecordTimeMissing);
        }
        let status = self.status.ok_or(Rejection::StatusMissing)?;
        if self.heading_deg > 360 {
            return Err(Rejection::HeadingInvalid(self.heading_deg));
        }
        Ok(Sighting {
            driver,
            point,
            recorded_ms: self
                .recorded_ms
                .min(now.timestamp_millis().saturating_add(FUTURE_MAX_MS)),
            status,
            product: product_number(self.product, products)?,
            heading_deg: (self.heading_deg % 360) as u16,
            inaccurate: self.accuracy_m > ACCURATE_M,
        })
    }
}

/// The number of a product; an empty name is the usual product.
///
/// # Errors
/// When the city does not sell it.
pub fn product_number(name: &str, products: &[ProductId]) -> Result<ProductNumber, Rejection> {
    let name = if name.is_empty() { USUAL_PRODUCT } else { name };
    products
        .iter()
        .position(|product| product.as_str() == name)
        .and_then(|at| u8::try_from(at).ok())
        .map(ProductNumber)
        .ok_or_else(|| Rejection::ProductUnknown(name.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const DRIVER: &str = "drivers/00000000-0000-0000-0000-000000000007";

    fn now() -> Timestamp {
        Timestamp::from_timestamp(1_200_000_000, 0).unwrap()
    }

    fn good() -> Ping<'static> {
        Ping {
            driver: Name::Text(DRIVER),
            lat_e7: 377_749_000,
            lon_e7: -1_224_194_000,
            recorded_ms: now().timestamp_millis() - 500,
            status: Some(Status::Available),
            product: "",
            heading_deg: 90,
            accuracy_m: 10,
        }
    }

    fn products() -> Vec<ProductId> {
        ["standard", "xl"]
            .map(|id| ProductId::new(id).unwrap())
            .to_vec()
    }

    #[test]
    fn a_good_ping_is_kept_as_sent() {
        let seen = good().sighting(&products(), now()).unwrap();
        assert_eq!(seen.driver.name(), DRIVER);
        assert_eq!(
            (seen.point.lat_e7(), seen.point.lon_e7()),
            (377_749_000, -1_224_194_000)
        );
        assert_eq!(
            (seen.recorded_ms, seen.age_ms(now())),
            (good().recorded_ms, 500)
        );
        assert_eq!(
            (seen.product, seen.heading_deg, seen.inaccurate),
            (ProductNumber(0), 90, false)
        );
        let id = seen.driver.uuid().into_bytes();
        let short = Ping {
            driver: Name::Id(&id),
            ..good()
        };
        assert_eq!(short.sighting(&products(), now()), Ok(seen));
        let xl = Ping {
            product: "xl",
            heading_deg: 360,
            accuracy_m: 51,
            ..good()
        };
        let seen = xl.sighting(&products(), now()).unwrap();
        assert_eq!(
            (seen.product, seen.heading_deg, seen.inaccurate),
            (ProductNumber(1), 0, true)
        );
    }

    #[test]
    fn each_fault_has_a_reason_of_its_own() {
        for (ping, reason) in [
            (
                Ping {
                    driver: Name::Text(""),
                    ..good()
                },
                "DRIVER_INVALID",
            ),
            (
                Ping {
                    driver: Name::Text("riders/00000000-0000-0000-0000-000000000007"),
                    ..good()
                },
                "DRIVER_INVALID",
            ),
            (
                Ping {
                    driver: Name::Text("drivers/00000000-0000-0000-0000-000000000000"),
                    ..good()
                },
                "DRIVER_INVALID",
            ),
            (
                Ping {
                    driver: Name::Id(&[7; 15]),
                    ..good()
                },
                "DRIVER_INVALID",
            ),
            (
                Ping {
                    driver: Name::Id(&[0; 16]),
                    ..good()
                },
                "DRIVER_INVALID",
            ),
            (
                Ping {
                    driver: Name::Both,
                    ..good()
                },
                "DRIVER_INVALID",
            ),
            (
                Ping {
                    lat_e7: 900_000_001,
                    ..good()
                },
                "POSITION_OFF_EARTH",
            ),
            (
                Ping {
                    lon_e7: i32::MIN,
                    ..good()
                },
                "POSITION_OFF_EARTH",
            ),
            (
                Ping {
                    lat_e7: 0,
                    lon_e7: 0,
                    ..good()
                },
                "POSITION_MISSING",
            ),
            (
                Ping {
                    recorded_ms: 0,
                    ..good()
                },
                "RECORD_TIME_MISSING",
            ),
            (
                Ping {
                    recorded_ms: -5,
                    ..good()
                },
                "RECORD_TIME_MISSING",
            ),
            (
                Ping {
                    status: None,
                    ..good()
                },
                "STATUS_MISSING",
            ),
            (
                Ping {
                    product: "helicopter",
                    ..good()
                },
                "PRODUCT_UNKNOWN",
            ),
            (
                Ping {
                    heading_deg: 361,
                    ..good()
                },
                "HEADING_INVALID",
            ),
        ] {
            let rejection = ping.sighting(&products(), now()).unwrap_err();
            assert_eq!(rejection.reason(), reason, "{ping:?}: {rejection}");
        }
    }

    #[test]
    fn a_clock_from_the_future_is_set_back_to_one_second() {
        let late = Ping {
            recorded_ms: i64::MAX,
            ..good()
        };
        let seen = late.sighting(&products(), now()).unwrap();
        assert_eq!(seen.recorded_ms, now().timestamp_millis() + 1_000);
        assert_eq!(seen.age_ms(now()), 0);
    }
}
