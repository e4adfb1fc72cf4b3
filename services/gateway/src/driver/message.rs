//! What a driver's app says, as JSON over a WebSocket; [`crate::grpc`] makes the same from protobuf.

use hexcab_proto::location::v1::{DriverStatus, Ping};
use hexcab_types::{DriverId, RequestId, TripId};
use serde::Deserialize;

use super::command::{Command, Step};
use crate::{status::Problem, views::PointView};

/// One thing said.
#[derive(Debug, Clone, PartialEq)]
pub enum Said {
    /// Where he is.
    Ping(PingMessage),
    /// What he wants done.
    Command(Command),
    /// Nothing that makes sense.
    Nonsense(Problem),
}

/// A position report.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PingMessage {
    /// Degrees.
    pub lat: f64,
    /// Degrees.
    pub lon: f64,
    /// Milliseconds since 1970, city clock.
    pub recorded_at_ms: i64,
    /// What he is doing.
    pub status: PingStatus,
    /// 0 is north, clockwise.
    #[serde(default)]
    pub heading_deg: u32,
    /// Centimetres a second.
    #[serde(default)]
    pub speed_cm_s: u32,
    /// Metres.
    #[serde(default)]
    pub accuracy_m: u32,
    /// Which product he drives; standard when empty.
    #[serde(default)]
    pub product: String,
}

/// What a driver says he is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PingStatus {
    /// Free.
    Available,
    /// To a pickup.
    EnRoute,
    /// With a rider.
    OnTrip,
    /// Gone home.
    Offline,
}

impl From<PingStatus> for DriverStatus {
    fn from(status: PingStatus) -> Self {
        match status {
            PingStatus::Available => Self::Available,
            PingStatus::EnRoute => Self::EnRoute,
            PingStatus::OnTrip => Self::OnTrip,
            PingStatus::Offline => Self::Offline,
        }
    }
}

impl PingMessage {
    /// The ping for location, of this driver.
    ///
    /// # Errors
    /// When the point is off the earth.
    pub fn ping(self, driver: DriverId) -> Result<Ping, Problem> {
        let point = PointView {
            lat: self.lat,
            lon: self.lon,
        }
        .point("lat/lon")?;
        Ok(Ping {
            driver: String::new(),
            lat_e7: point.lat_e7(),
            lon_e7: point.lon_e7(),
            record_time_ms: self.recorded_at_ms,
            status: DriverStatus::from(self.status).into(),
            product: self.product,
            heading_deg: self.heading_deg,
            speed_cm_s: self.speed_cm_s,
            accuracy_m: self.accuracy_m,
            driver_id: driver.uuid().into_bytes().to_vec(),
        })
    }
}

/// A message as JSON.
#[derive(Debug, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
enum Json {
    Ping(PingMessage),
    Accept {
        request_id: RequestId,
        trip: TripId,
        epoch: i32,
    },
    Decline {
        request_id: RequestId,
        trip: TripId,
        epoch: i32,
    },
    Arrive {
        request_id: RequestId,
        trip: TripId,
        lat: f64,
        lon: f64,
    },
    Start {
        request_id: RequestId,
        trip: TripId,
        code: String,
    },
    Complete {
        request_id: RequestId,
        trip: TripId,
        lat: f64,
        lon: f64,
    },
    Release {
        request_id: RequestId,
        trip: TripId,
    },
    NoShow {
        request_id: RequestId,
        trip: TripId,
    },
}

/// Reads a message.
pub fn read(text: &str) -> Said {
    let command = |request, trip, step| {
        Said::Command(Command {
            request,
            trip,
            step,
        })
    };
    let at = |lat, lon| PointView { lat, lon }.point("lat/lon");
    match serde_json::from_str(text) {
        Ok(Json::Ping(ping)) => Said::Ping(ping),
        Ok(Json::Accept {
            request_id,
            trip,
            epoch,
        }) => command(request_id, trip, Step::Accept { epoch }),
        Ok(Json::Decline {
            request_id,
            trip,
            epoch,
        }) => command(request_id, trip, Step::Decline { epoch }),
        Ok(Json::Start {
            request_id,
            trip,
            code,
        }) => command(request_id, trip, Step::Start { code }),
        Ok(Json::Release { request_id, trip }) => command(request_id, trip, Step::Release),
        Ok(Json::NoShow { request_id, trip }) => command(request_id, trip, Step::NoShow),
        Ok(Json::Arrive {
            request_id,
            trip,
            lat,
            lon,
        }) => match at(lat, lon) {
            Ok(position) => command(request_id, trip, Step::Arrive { position }),
            Err(problem) => Said::Nonsense(problem),
        },
        Ok(Json::Complete {
            request_id,
            trip,
            lat,
            lon,
        }) => match at(lat, lon) {
            Ok(position) => command(
                request_id,
                trip,
                Step::Complete {
                    position: Some(position),
                },
            ),
            Err(problem) => Said::Nonsense(problem),
        },
        Err(error) => Said::Nonsense(invalid(error.to_string())),
    }
}

/// A message that cannot be read.
pub fn invalid(detail: impl Into<String>) -> Problem {
    Problem::new(http::StatusCode::BAD_REQUEST, "MESSAGE_INVALID", detail)
}

#[cfg(test)]
mod tests {
    use super::*;

    const IDS: &str = r#""request_id":"7f1f3a52-6f3e-4f43-8e3a-1a2b3c4d5e6f","trip":"7f1f3a52-6f3e-4f43-8e3a-1a2b3c4d5e60""#;

    fn step(rest: &str) -> Step {
        let text = format!("{{{IDS},{rest}}}");
        match read(&text) {
            Said::Command(command) => command.step,
            other @ (Said::Ping(_) | Said::Nonsense(_)) => panic!("{text}: {other:?}"),
        }
    }

    #[test]
    fn every_command_is_read() {
        let position = hexcab_types::Point::from_degrees(37.5, -122.5).unwrap();
        assert_eq!(
            step(r#""type":"accept","epoch":2"#),
            Step::Accept { epoch: 2 }
        );
        assert_eq!(
            step(r#""type":"decline","epoch":2"#),
            Step::Decline { epoch: 2 }
        );
        assert_eq!(
            step(r#""type":"arrive","lat":37.5,"lon":-122.5"#),
            Step::Arrive { position }
        );
        assert_eq!(
            step(r#""type":"start","code":"1234""#),
            Step::Start {
                code: "1234".to_owned()
            }
        );
        assert_eq!(
            step(r#""type":"complete","lat":37.5,"lon":-122.5"#),
            Step::Complete {
                position: Some(position)
            }
        );
        assert_eq!(step(r#""type":"release""#), Step::Release);
        assert_eq!(step(r#""type":"no_show""#), Step::NoShow);
    }

    #[test]
    fn a_ping_is_read() {
        let text = r#"{"type":"ping","lat":37.5,"lon":-122.5,"recorded_at_ms":7,"status":"en_route","heading_deg":90}"#;
        let Said::Ping(ping) = read(text) else {
            panic!("{text}")
        };
        let driver = DriverId::from(uuid::Uuid::from_u128(7));
        let ping = ping.ping(driver).unwrap();
        assert_eq!(
            (ping.driver_id, ping.lat_e7, ping.heading_deg),
            (driver.uuid().into_bytes().to_vec(), 375_000_000, 90)
        );
        assert_eq!(ping.status, i32::from(DriverStatus::EnRoute));
    }

    #[test]
    fn nonsense_is_nonsense() {
        let off_earth = format!(r#"{{{IDS},"type":"arrive","lat":91,"lon":0}}"#);
        let stranger = format!(r#"{{{IDS},"type":"accept","epoch":1,"driver":"someone"}}"#);
        for text in [
            "",
            "hello",
            "[]",
            "{}",
            r#"{"type":"dance"}"#,
            r#"{"type":"accept","trip":"7"}"#,
            r#"{"type":"ping","lat":1,"lon":1,"recorded_at_ms":1,"status":"dancing"}"#,
            r#"{"type":"ping","lat":1,"lon":1,"recorded_at_ms":1,"status":"available","driver":"someone"}"#,
            &off_earth,
            &stranger,
        ] {
            assert!(matches!(read(text), Said::Nonsense(_)), "{text}");
        }
    }
}
