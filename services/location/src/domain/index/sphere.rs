//! Great circles without trigonometry for each candidate: the haversine of the angle between two points, which grows with
//! their distance and so ranks as well as that does.
//!
//! Near points (5.7° apart at most) take a polynomial, exact to the last bits of an `f64`; others the library's sine.
//! Distances that are told to anyone are [`Point::distance_m`]: this only chooses for whom.

use hexcab_types::{EARTH_RADIUS_M, Point};

/// 1e-7 degrees in radians.
const RADIANS_PER_UNIT: f64 = std::f64::consts::PI / 180.0 * 1e-7;
/// Units of 1e-7 degrees in a radian.
pub const UNITS_PER_RADIAN: f64 = 1.0 / RADIANS_PER_UNIT;
/// Half of a difference up to which the polynomial is exact, radians.
const SMALL: f64 = 0.1;
/// What rounding may make of a half angle's sine, here or in [`Point::distance_m`]: a hundred times a nanometre on earth.
const SLACK: f64 = 1e-13;

/// A point from which haversines are taken.
#[derive(Debug, Clone, Copy)]
pub struct Origin {
    point: Point,
    sin_lat: f64,
    cos_lat: f64,
}

impl Origin {
    /// From here.
    pub fn at(point: Point) -> Self {
        let (sin_lat, cos_lat) = point.lat().to_radians().sin_cos();
        Self {
            point,
            sin_lat,
            cos_lat,
        }
    }

    /// The haversine of the angle to a point: 0 here, 1 at the antipode.
    pub fn haversine(&self, to: Point) -> f64 {
        let half_lat = half(to.lat_e7(), self.point.lat_e7());
        let half_lon = half(to.lon_e7(), self.point.lon_e7());
        if half_lat.abs() > SMALL || half_lon.abs() > SMALL {
            return far(self.point, to);
        }
        let (lat, lon) = (sine(half_lat), sine(half_lon));
        // cos(a + d) = cos a cos d - sin a sin d, with cos d = 1 - 2 sin²(d/2) and sin d = 2 sin(d/2) cos(d/2).
        let (cos, sin) = (1.0 - 2.0 * lat * lat, 2.0 * lat * (1.0 - lat * lat).sqrt());
        let cos_to = self.cos_lat * cos - self.sin_lat * sin;
        lat * lat + self.cos_lat * cos_to * lon * lon
    }
}

/// The haversine of an angle.
pub fn haversine_of(angle: f64) -> f64 {
    (angle.clamp(0.0, std::f64::consts::PI) / 2.0).sin().powi(2)
}

/// The angle of a haversine.
pub fn angle_of(haversine: f64) -> f64 {
    2.0 * haversine.sqrt().min(1.0).asin()
}

/// Metres on earth as an angle.
pub fn angle_of_m(metres: f64) -> f64 {
    metres / EARTH_RADIUS_M
}

/// A haversine that is greater than all that are this one but for rounding.
pub fn slackened(haversine: f64) -> f64 {
    (haversine.sqrt() + SLACK).powi(2)
}

/// Half the difference of two coordinates in radians; that of longitudes may go round the long way, as its sine is squared.
fn half(to: i32, from: i32) -> f64 {
    const ROUND: i64 = 3_600_000_000;
    let mut difference = i64::from(to) - i64::from(from);
    if difference > ROUND / 2 {
        difference -= ROUND;
    } else if difference < -ROUND / 2 {
        difference += ROUND;
    }
    difference as f64 * (RADIANS_PER_UNIT / 2.0)
}

/// The sine of a small angle: the series up to x⁹, whose next term is below 1e-18.
fn sine(x: f64) -> f64 {
    let x2 = x * x;
    let series = 1.0 / 362_880.0;
    let series = series * x2 - 1.0 / 5_040.0;
    let series = series * x2 + 1.0 / 120.0;
    let series = series * x2 - 1.0 / 6.0;
    x + x * x2 * series
}

#[cold]
fn far(from: Point, to: Point) -> f64 {
    let (lat1, lat2) = (from.lat().to_radians(), to.lat().to_radians());
    let half_lat = half(to.lat_e7(), from.lat_e7());
    let half_lon = half(to.lon_e7(), from.lon_e7());
    half_lat.sin().powi(2) + lat1.cos() * lat2.cos() * half_lon.sin().powi(2)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn anywhere() -> impl Strategy<Value = Point> {
        (
            -900_000_000..=900_000_000_i32,
            -1_800_000_000..=1_800_000_000_i32,
        )
            .prop_map(|(lat, lon)| Point::from_e7(lat, lon).unwrap())
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(20_000))]

        #[test]
        fn a_haversine_says_the_same_as_the_distance(
            from in anywhere(), to in anywhere(), scale in 0..7_u32, d in (-1_000..=1_000_i32, -1_000..=1_000_i32)
        ) {
            let step = 10_i32.pow(scale);
            let lat = (from.lat_e7() + d.0 * step).clamp(-900_000_000, 900_000_000);
            let lon = (from.lon_e7().saturating_add(d.1.saturating_mul(step))).clamp(-1_800_000_000, 1_800_000_000);
            for to in [to, Point::from_e7(lat, lon).unwrap()] {
                let distance_m = angle_of(Origin::at(from).haversine(to)) * EARTH_RADIUS_M;
                let expected_m = from.distance_m(to);
                // Near the antipode an arc sine cannot tell metres; nobody is searched there.
                let close_m = if expected_m > 19_000_000.0 { 10.0 } else { 1e-6 };
                prop_assert!((distance_m - expected_m).abs() <= close_m, "{from:?} {to:?}: {distance_m} {expected_m}");
            }
        }
    }
}
