//! Where something is: a point on earth, the distance between two, and the H3 cell a point is in.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// Mean radius of the earth in metres (IUGG R1), the sphere that H3 and the haversine formula use.
pub const EARTH_RADIUS_M: f64 = 6_371_008.8;

/// A point or cell that cannot be.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum PlaceError {
    /// Latitude outside -90..=90 degrees, or not a number.
    #[error("latitude {0} is outside -90..90 degrees")]
    Latitude(f64),
    /// Longitude outside -180..=180 degrees, or not a number.
    #[error("longitude {0} is outside -180..180 degrees")]
    Longitude(f64),
    /// Not an H3 cell index.
    #[error("{0:?} is not an H3 cell")]
    Cell(String),
    /// No such H3 resolution (0 to 15).
    #[error("{0} is not an H3 resolution (0 to 15)")]
    Resolution(u8),
}

/// A point on earth, WGS84, in units of 1e-7 degrees (about 1 cm).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Point {
    lat_e7: i32,
    lon_e7: i32,
}

impl Point {
    /// A point from degrees.
    ///
    /// # Errors
    /// When a coordinate is off the earth or not a number.
    pub fn from_degrees(lat: f64, lon: f64) -> Result<Self, PlaceError> {
        if !(-90.0..=90.0).contains(&lat) {
            return Err(PlaceError::Latitude(lat));
        }
        if !(-180.0..=180.0).contains(&lon) {
            return Err(PlaceError::Longitude(lon));
        }
        Ok(Self {
            lat_e7: (lat * 1e7).round() as i32,
            lon_e7: (lon * 1e7).round() as i32,
        })
    }

    /// A point from units of 1e-7 degrees.
    ///
    /// # Errors
    /// When a coordinate is off the earth.
    pub fn from_e7(lat_e7: i32, lon_e7: i32) -> Result<Self, PlaceError> {
        if !(-900_000_000..=900_000_000).contains(&lat_e7) {
            return Err(PlaceError::Latitude(f64::from(lat_e7) / 1e7));
        }
        if !(-1_800_000_000..=1_800_000_000).contains(&lon_e7) {
            return Err(PlaceError::Longitude(f64::from(lon_e7) / 1e7));
        }
        Ok(Self { lat_e7, lon_e7 })
    }

    /// Latitude in 1e-7 degrees.
    pub const fn lat_e7(self) -> i32 {
        self.lat_e7
    }

    /// Longitude in 1e-7 degrees.
    pub const fn lon_e7(self) -> i32 {
        self.lon_e7
    }

    /// Latitude in degrees.
    pub fn lat(self) -> f64 {
        f64::from(self.lat_e7) / 1e7
    }

    /// Longitude in degrees.
    pub fn lon(self) -> f64 {
        f64::from(self.lon_e7) / 1e7
    }

    /// Great-circle distance in metres (haversine formula on the mean sphere).
    pub fn distance_m(self, other: Self) -> f64 {
        let (lat1, lat2) = (self.lat().to_radians(), other.lat().to_radians());
        let half_lat = (lat2 - lat1) / 2.0;
        let half_lon = (other.lon() - self.lon()).to_radians() / 2.0;
        let h = half_lat.sin().powi(2) + lat1.cos() * lat2.cos() * half_lon.sin().powi(2);
        2.0 * EARTH_RADIUS_M * h.sqrt().min(1.0).asin()
    }

    /// The point `fraction` (0 to 1) of the way to `other`, on the straight line of the plate carrée: right to a few
    /// centimetres over a city block, which is what it is for.
    pub fn toward(self, other: Self, fraction: f64) -> Self {
        let f = fraction.clamp(0.0, 1.0);
        let mix =
            |a: i32, b: i32| (f64::from(a) + (f64::from(b) - f64::from(a)) * f).round() as i32;
        Self {
            lat_e7: mix(self.lat_e7, other.lat_e7),
            lon_e7: mix(self.lon_e7, other.lon_e7),
        }
    }

    /// The H3 cell of this point.
    ///
    /// # Errors
    /// When the resolution is not 0 to 15.
    pub fn cell(self, resolution: u8) -> Result<Cell, PlaceError> {
        let resolution = h3o::Resolution::try_from(resolution)
            .map_err(|_| PlaceError::Resolution(resolution))?;
        let point = h3o::LatLng::new(self.lat(), self.lon())
            .map_err(|_| PlaceError::Latitude(self.lat()))?;
        Ok(Cell(point.to_cell(resolution)))
    }
}

impl fmt::Debug for Point {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "({:.7}, {:.7})", self.lat(), self.lon())
    }
}

/// An H3 cell, printed as the usual 15 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Cell(h3o::CellIndex);

impl Cell {
    /// The cell with this 64-bit index.
    ///
    /// # Errors
    /// When the bits are not a valid cell index.
    pub fn from_u64(bits: u64) -> Result<Self, PlaceError> {
        h3o::CellIndex::try_from(bits)
            .map(Self)
            .map_err(|_| PlaceError::Cell(format!("{bits:#x}")))
    }

    /// The 64-bit index, for a wire or a column.
    pub fn to_u64(self) -> u64 {
        u64::from(self.0)
    }

    /// The cell's centre.
    pub fn center(self) -> Point {
        let center = h3o::LatLng::from(self.0);
        Point::from_degrees(center.lat(), center.lng()).expect("H3 centres lie on earth")
    }

    /// The cells within `k` steps, this one included.
    pub fn disk(self, k: u32) -> impl Iterator<Item = Cell> {
        self.0.grid_disk::<Vec<_>>(k).into_iter().map(Cell)
    }

    /// The cell of a coarser resolution that holds this one, or none when `resolution` is finer or does not exist.
    pub fn parent(self, resolution: u8) -> Option<Cell> {
        self.0
            .parent(h3o::Resolution::try_from(resolution).ok()?)
            .map(Cell)
    }

    /// The H3 resolution, 0 to 15.
    pub fn resolution(self) -> u8 {
        u8::from(self.0.resolution())
    }

    /// The index as h3o knows it, for the few who need its algorithms.
    pub fn h3(self) -> h3o::CellIndex {
        self.0
    }
}

impl From<h3o::CellIndex> for Cell {
    fn from(cell: h3o::CellIndex) -> Self {
        Self(cell)
    }
}

impl fmt::Display for Cell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for Cell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Cell({})", self.0)
    }
}

impl FromStr for Cell {
    type Err = PlaceError;
    fn from_str(text: &str) -> Result<Self, PlaceError> {
        text.parse()
            .map(Self)
            .map_err(|_| PlaceError::Cell(text.to_owned()))
    }
}

impl Serialize for Cell {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Cell {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn point(lat: f64, lon: f64) -> Point {
        Point::from_degrees(lat, lon).unwrap()
    }

    #[test]
    fn points_off_the_earth_are_refused() {
        for (lat, lon) in [
            (90.1, 0.0),
            (-90.1, 0.0),
            (0.0, 180.1),
            (f64::NAN, 0.0),
            (0.0, f64::INFINITY),
        ] {
            assert!(Point::from_degrees(lat, lon).is_err(), "{lat} {lon}");
        }
        assert!(Point::from_e7(900_000_001, 0).is_err());
        assert!(Point::from_e7(0, i32::MIN).is_err());
    }

    #[test]
    fn one_degree_of_latitude_is_111_195_metres() {
        let metres = point(0.0, 0.0).distance_m(point(1.0, 0.0));
        assert!((metres - 111_195.08).abs() < 0.5, "{metres}");
    }

    #[test]
    fn the_antipode_is_half_the_circumference_away() {
        let metres = point(0.0, 0.0).distance_m(point(0.0, 180.0));
        assert!(
            (metres - std::f64::consts::PI * EARTH_RADIUS_M).abs() < 1.0,
            "{metres}"
        );
    }

    #[test]
    fn a_cell_reads_back_and_holds_its_centre() {
        let cell = point(37.7749, -122.4194).cell(9).unwrap();
        assert_eq!(cell.to_string().parse::<Cell>(), Ok(cell));
        assert_eq!(Cell::from_u64(cell.to_u64()), Ok(cell));
        assert_eq!(cell.center().cell(9), Ok(cell));
        assert_eq!(cell.parent(8).unwrap().resolution(), 8);
        assert_eq!(cell.disk(1).count(), 7);
    }
}
