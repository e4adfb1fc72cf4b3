//! The gRPC face: answers for what dispatch does by itself.

use std::{sync::Arc, time::Duration};

use hexcab_proto::{
    convert::{FieldError, name, to_timestamp},
    dispatch::v1::{
        self as pb, dispatch_service_server::DispatchService, explain_offer_request::What,
    },
};
use tonic::{Request, Response, Status};

use crate::{
    desk::CityDesk,
    domain::{self, Decision},
    status::Refusal,
    wire,
};

/// The service.
pub struct Dispatch {
    desks: Vec<Arc<CityDesk>>,
}

impl Dispatch {
    /// Answers for these cities.
    pub fn new(desks: Vec<Arc<CityDesk>>) -> Self {
        Self { desks }
    }

    /// The first city's answer.
    fn first(&self, find: impl Fn(&CityDesk) -> Option<Arc<Decision>>) -> Option<pb::DecisionMade> {
        self.desks
            .iter()
            .find_map(|desk| Some(wire::decision(&desk.city.id, &*find(desk)?)))
    }

    fn explain(&self, what: Option<&What>) -> Result<pb::DecisionMade, Refusal> {
        let (found, asked) = match what {
            Some(What::Decision(decision)) => {
                let id = name(decision, "decision")?;
                (self.first(|desk| desk.decision(id)), decision)
            }
            Some(What::Trip(trip)) => {
                let id = name(trip, "trip")?;
                (self.first(|desk| desk.last_decision(id)), trip)
            }
            None => return Err(FieldError::new("what", "name a decision or a trip").into()),
        };
        found.ok_or_else(|| Refusal::DecisionNotKept(asked.clone()))
    }

    fn city_status(&self, city: &str) -> Result<pb::GetCityStatusResponse, Refusal> {
        if city.is_empty() {
            return Err(FieldError::new("city", "is required").into());
        }
        let desk = self.desks.iter().find(|desk| desk.city.id.as_str() == city);
        let desk = desk.ok_or_else(|| Refusal::CityUnknown(city.to_owned()))?;
        let now = desk
            .snapshot()
            .ok_or_else(|| Refusal::CityNotOwned(city.to_owned()))?;
        Ok(pb::GetCityStatusResponse {
            city: city.to_owned(),
            open_requests: now
                .open
                .iter()
                .map(|request| open_request(request))
                .collect(),
            windows: i64::try_from(now.figures.windows).unwrap_or(i64::MAX),
            last_window: now.figures.last_window.map(duration),
            policy: desk.policy.name().to_owned(),
            rebuild_time: now.figures.rebuilt_at.map(to_timestamp),
        })
    }
}

#[tonic::async_trait]
impl DispatchService for Dispatch {
    async fn explain_offer(
        &self,
        request: Request<pb::ExplainOfferRequest>,
    ) -> Result<Response<pb::ExplainOfferResponse>, Status> {
        let decision = self.explain(request.get_ref().what.as_ref())?;
        Ok(Response::new(pb::ExplainOfferResponse {
            decision: Some(decision),
        }))
    }

    async fn get_city_status(
        &self,
        request: Request<pb::GetCityStatusRequest>,
    ) -> Result<Response<pb::GetCityStatusResponse>, Status> {
        Ok(Response::new(self.city_status(&request.get_ref().city)?))
    }
}

fn open_request(request: &domain::Request) -> pb::OpenRequest {
    pb::OpenRequest {
        trip: request.trip.name(),
        create_time: Some(to_timestamp(request.created_at)),
        excluded_drivers: i32::try_from(request.excluded.len()).unwrap_or(i32::MAX),
    }
}

fn duration(length: Duration) -> prost_types::Duration {
    prost_types::Duration {
        seconds: i64::try_from(length.as_secs()).unwrap_or(i64::MAX),
        nanos: i32::try_from(length.subsec_nanos()).unwrap_or_default(),
    }
}
