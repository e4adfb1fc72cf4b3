//! A driver's step of a trip → the trip service. Shared by REST, WebSocket and gRPC.

use hexcab_proto::trip::v1::{
    AcceptOfferRequest, ArriveTripRequest, CompleteTripRequest, DeclineOfferRequest,
    ReleaseTripRequest, ReportNoShowRequest, StartTripRequest, Trip,
};
use hexcab_types::{DriverId, Point, RequestId, TripId};

use crate::{gateway::Gateway, peers::found, status::Problem};

/// What a driver wants done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Command {
    /// At most once under this id.
    pub request: RequestId,
    /// To this trip.
    pub trip: TripId,
    /// This.
    pub step: Step,
}

impl Command {
    /// The request id for the answer.
    pub fn request_text(&self) -> String {
        self.request.to_string()
    }
}

/// A step of a trip that is a driver's to take.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Yes to the offer of this epoch.
    Accept {
        /// Of the offer.
        epoch: i32,
    },
    /// No to it.
    Decline {
        /// Of the offer.
        epoch: i32,
    },
    /// At the pickup.
    Arrive {
        /// Where he is.
        position: Point,
    },
    /// The rider is in the car.
    Start {
        /// As the rider told it.
        code: String,
    },
    /// At the destination.
    Complete {
        /// Where he is.
        position: Option<Point>,
    },
    /// Gives the trip back before the start.
    Release,
    /// Waited at the pickup and nobody came.
    NoShow,
}

impl Step {
    /// Its name in spans.
    pub fn verb(&self) -> &'static str {
        match self {
            Self::Accept { .. } => "gateway.accept",
            Self::Decline { .. } => "gateway.decline",
            Self::Arrive { .. } => "gateway.arrive",
            Self::Start { .. } => "gateway.start",
            Self::Complete { .. } => "gateway.complete",
            Self::Release => "gateway.release",
            Self::NoShow => "gateway.no_show",
        }
    }
}

impl Gateway {
    /// Has a driver's command carried out.
    ///
    /// # Errors
    /// What trip answered: NOT_YOUR_TRIP, OFFER_EXPIRED, ….
    pub async fn carry_out(&self, driver: DriverId, command: Command) -> Result<Trip, Problem> {
        let (name, request_id, driver) = (
            command.trip.name(),
            command.request.to_string(),
            driver.name(),
        );
        let trips = &self.peers;
        let trip = match command.step {
            Step::Accept { epoch } => {
                let request = AcceptOfferRequest {
                    name,
                    request_id,
                    driver,
                    epoch,
                };
                trips
                    .trip(request, |mut t, r| async move { t.accept_offer(r).await })
                    .await?
                    .trip
            }
            Step::Decline { epoch } => {
                let request = DeclineOfferRequest {
                    name,
                    request_id,
                    driver,
                    epoch,
                };
                trips
                    .trip(request, |mut t, r| async move { t.decline_offer(r).await })
                    .await?
                    .trip
            }
            Step::Arrive { position } => {
                let request = ArriveTripRequest {
                    name,
                    request_id,
                    driver,
                    position: Some(position.into()),
                };
                trips
                    .trip(request, |mut t, r| async move { t.arrive_trip(r).await })
                    .await?
                    .trip
            }
            Step::Start { code } => {
                let request = StartTripRequest {
                    name,
                    request_id,
                    driver,
                    start_code: code,
                };
                trips
                    .trip(request, |mut t, r| async move { t.start_trip(r).await })
                    .await?
                    .trip
            }
            Step::Complete { position } => {
                let position = position.map(Into::into);
                let request = CompleteTripRequest {
                    name,
                    request_id,
                    driver,
                    position,
                };
                trips
                    .trip(request, |mut t, r| async move { t.complete_trip(r).await })
                    .await?
                    .trip
            }
            Step::Release => {
                let request = ReleaseTripRequest {
                    name,
                    request_id,
                    driver,
                };
                trips
                    .trip(request, |mut t, r| async move { t.release_trip(r).await })
                    .await?
                    .trip
            }
            Step::NoShow => {
                let request = ReportNoShowRequest {
                    name,
                    request_id,
                    driver,
                };
                trips
                    .trip(request, |mut t, r| async move { t.report_no_show(r).await })
                    .await?
                    .trip
            }
        };
        found(trip)
    }
}
