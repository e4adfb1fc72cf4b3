//! A town of straight streets, 200 m and 25 s from corner to corner, and days recorded in it.

use std::{io::Write as _, path::Path};

use chrono::NaiveDate;
use flate2::{Compression, write::GzEncoder};
use hexcab_cities::City;
use hexcab_evaluate::{Ground, PolicyChoice, Question};

/// Corners in a row and in a column.
pub const SIDE: usize = 16;
/// From corner to corner, in seconds.
pub const BLOCK_S: i64 = 25;

const LAT: f64 = 37.75;
const LON: f64 = -122.44;
const STEP_M: f64 = 200.0;

/// A corner.
pub type Corner = (usize, usize);

/// A recorded day in the making.
#[derive(Default, Clone)]
pub struct Town {
    rides: Vec<(i64, Corner, Corner, i64)>,
    shifts: Vec<(i64, i64, Corner)>,
}

/// The first second of a day: 04:00 in San Francisco.
pub fn day_start(day: u32) -> i64 {
    let day = NaiveDate::from_ymd_opt(2008, 5, day).unwrap();
    day.and_hms_opt(11, 0, 0).unwrap().and_utc().timestamp()
}

pub fn date(day: u32) -> NaiveDate {
    NaiveDate::from_ymd_opt(2008, 5, day).unwrap()
}

fn place((x, y): Corner) -> (f64, f64) {
    let degree_m = 111_195.0;
    let east = x as f64 * STEP_M / degree_m / LAT.to_radians().cos();
    (LAT + y as f64 * STEP_M / degree_m, LON + east)
}

impl Town {
    /// Somebody asks for a ride so many seconds into a day.
    pub fn ride(
        &mut self,
        day: u32,
        at_s: i64,
        from: Corner,
        to: Corner,
        takes_s: i64,
    ) -> &mut Self {
        self.rides.push((day_start(day) + at_s, from, to, takes_s));
        self
    }

    /// A cab is on the street.
    pub fn cab(&mut self, day: u32, from_s: i64, until_s: i64, at: Corner) -> &mut Self {
        self.shifts
            .push((day_start(day) + from_s, day_start(day) + until_s, at));
        self
    }

    pub fn ground(&self) -> Ground {
        let dir = tempfile::tempdir().unwrap();
        self.write(dir.path());
        Ground::read(City::built_in("sf").unwrap(), &[dir.path().to_owned()]).unwrap()
    }

    fn write(&self, dir: &Path) {
        let mut nodes = "node,lat,lon\n".to_owned();
        let mut edges = "from,to,length_m,time_s\n".to_owned();
        for at in 0..SIDE * SIDE {
            let (x, y) = (at % SIDE, at / SIDE);
            let (lat, lon) = place((x, y));
            nodes += &format!("{at},{lat:.7},{lon:.7}\n");
            let mut street = |to: usize| {
                edges += &format!("{at},{to},{STEP_M},{BLOCK_S}\n{to},{at},{STEP_M},{BLOCK_S}\n");
            };
            if x + 1 < SIDE {
                street(at + 1);
            }
            if y + 1 < SIDE {
                street(at + SIDE);
            }
        }
        let mut rides = "trip_id,driver,pickup_utc,pickup_lat,pickup_lon,dropoff_lat,dropoff_lon,duration_s,in_graph\n".to_owned();
        let mut sorted = self.rides.clone();
        sorted.sort_unstable();
        for (number, (at, from, to, takes_s)) in sorted.iter().enumerate() {
            let ((lat, lon), (to_lat, to_lon)) = (place(*from), place(*to));
            rides += &format!(
                "{number},{number},{at},{lat:.7},{lon:.7},{to_lat:.7},{to_lon:.7},{takes_s},1\n"
            );
        }
        let mut shifts =
            "driver,start_utc,start_lat,start_lon,end_utc,end_lat,end_lon\n".to_owned();
        let mut sorted = self.shifts.clone();
        sorted.sort_unstable();
        for (number, (from, until, at)) in sorted.iter().enumerate() {
            let (lat, lon) = place(*at);
            shifts += &format!("{number},{from},{lat:.7},{lon:.7},{until},{lat:.7},{lon:.7}\n");
        }
        for (name, text) in [
            ("road-nodes.csv.gz", nodes),
            ("road-edges.csv.gz", edges),
            ("trips-1.csv.gz", rides),
            ("shifts-1.csv.gz", shifts),
        ] {
            let mut gz = GzEncoder::new(Vec::new(), Compression::fast());
            gz.write_all(text.as_bytes()).unwrap();
            std::fs::write(dir.join(name), gz.finish().unwrap()).unwrap();
        }
    }
}

/// One day, the whole fleet, these policies.
pub fn question(day: u32, policies: &[&str]) -> Question {
    let policies: Vec<PolicyChoice> = policies.iter().map(|name| name.parse().unwrap()).collect();
    Question {
        days: vec![date(day)],
        policies,
        seeds: 1,
        ..Question::default()
    }
}
