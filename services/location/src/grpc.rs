//! The gRPC face: request → domain → answer. Limits are refused by name, never cut silently.
//!
//! Does not: log or trace each ping; a fleet sends thousands a second.

mod parse;

use std::{pin::Pin, sync::Arc};

use futures::{Stream, StreamExt as _};
use hexcab_chassis::Clock;
use hexcab_proto::{
    convert::{name, to_timestamp},
    location::v1::{self as pb, location_service_server::LocationService},
};
use hexcab_types::{DriverId, Timestamp};
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status, Streaming};

use crate::{
    domain::{self, FleetIndex, Verdict},
    status::Refusal,
};

/// Queries answered between two looks at whether others want the thread.
const QUERIES_PER_TURN: usize = 32;

/// The service: the index, the city's clock, and the end of the process.
#[derive(Clone)]
pub struct Locations {
    index: Arc<FleetIndex>,
    clock: Clock,
    shutdown: CancellationToken,
}

/// What became of a batch of pings.
#[derive(Debug, Default, PartialEq)]
struct Taken {
    accepted: i32,
    stale: i32,
    rejected: Vec<pb::RejectedPing>,
}

impl Locations {
    /// Serves this index until `shutdown`.
    pub fn new(index: Arc<FleetIndex>, clock: Clock, shutdown: CancellationToken) -> Self {
        Self {
            index,
            clock,
            shutdown,
        }
    }

    fn take(&self, city: &str, pings: &[pb::Ping]) -> Result<Taken, Refusal> {
        let city = parse::city(&self.index, city, "")?;
        parse::at_most("pings", pings.len(), parse::PINGS_MAX)?;
        let products = self.index.products(city);
        let now = self.clock.now();
        let mut taken = Taken::default();
        for (index, ping) in (0..).zip(pings) {
            match parse::ping(ping).sighting(products, now) {
                Ok(seen) => match self.index.report(city, seen, now) {
                    Verdict::Accepted => taken.accepted += 1,
                    Verdict::Stale => taken.stale += 1,
                },
                Err(rejection) => taken.rejected.push(pb::RejectedPing {
                    index,
                    reason: rejection.reason().to_owned(),
                    detail: rejection.to_string(),
                }),
            }
        }
        Ok(taken)
    }

    fn nearby(
        &self,
        request: &pb::FindNearbyRequest,
        path: &str,
        now: Timestamp,
    ) -> Result<pb::FindNearbyResponse, Refusal> {
        let asked = parse::find_nearby(&self.index, request, path)?;
        let found = self.index.nearest(asked.city, &asked.query(), now);
        Ok(pb::FindNearbyResponse {
            drivers: found.iter().map(nearby_driver).collect(),
        })
    }
}

#[tonic::async_trait]
impl LocationService for Locations {
    type StreamPingsStream =
        Pin<Box<dyn Stream<Item = Result<pb::StreamPingsResponse, Status>> + Send>>;

    async fn stream_pings(
        &self,
        request: Request<Streaming<pb::StreamPingsRequest>>,
    ) -> Result<Response<Self::StreamPingsStream>, Status> {
        let service = self.clone();
        let answers = request.into_inner().map(move |batch| {
            let batch = batch?;
            let Taken {
                accepted,
                stale,
                rejected,
            } = service.take(&batch.city, &batch.pings)?;
            Ok(pb::StreamPingsResponse {
                accepted,
                stale,
                rejected,
            })
        });
        // A stream that stays open must not hold the process: the app opens it again elsewhere.
        let until = self.shutdown.clone().cancelled_owned();
        Ok(Response::new(Box::pin(answers.take_until(until))))
    }

    async fn report_pings(
        &self,
        request: Request<pb::ReportPingsRequest>,
    ) -> Result<Response<pb::ReportPingsResponse>, Status> {
        let batch = request.into_inner();
        let Taken {
            accepted,
            stale,
            rejected,
        } = self.take(&batch.city, &batch.pings)?;
        Ok(Response::new(pb::ReportPingsResponse {
            accepted,
            stale,
            rejected,
        }))
    }

    async fn find_nearby(
        &self,
        request: Request<pb::FindNearbyRequest>,
    ) -> Result<Response<pb::FindNearbyResponse>, Status> {
        Ok(Response::new(self.nearby(
            request.get_ref(),
            "",
            self.clock.now(),
        )?))
    }

    async fn find_nearby_batch(
        &self,
        request: Request<pb::FindNearbyBatchRequest>,
    ) -> Result<Response<pb::FindNearbyBatchResponse>, Status> {
        let queries = request.into_inner().queries;
        parse::at_most("queries", queries.len(), parse::QUERIES_MAX)?;
        let now = self.clock.now();
        let mut answers = Vec::with_capacity(queries.len());
        for (number, query) in queries.iter().enumerate() {
            if number % QUERIES_PER_TURN == QUERIES_PER_TURN - 1 {
                tokio::task::yield_now().await;
            }
            answers.push(self.nearby(query, &format!("queries[{number}]."), now)?);
        }
        Ok(Response::new(pb::FindNearbyBatchResponse { answers }))
    }

    async fn get_driver_position(
        &self,
        request: Request<pb::GetDriverPositionRequest>,
    ) -> Result<Response<pb::GetDriverPositionResponse>, Status> {
        let driver: DriverId = name(&request.get_ref().driver, "driver")?;
        let now = self.clock.now();
        let (city, seen) = self
            .index
            .last_seen(driver, now)
            .ok_or(Refusal::DriverNotSeen(driver))?;
        Ok(Response::new(pb::GetDriverPositionResponse {
            driver: driver.name(),
            city: self.index.city_id(city).to_owned(),
            position: Some(seen.point.into()),
            record_time: Timestamp::from_timestamp_millis(seen.recorded_ms).map(to_timestamp),
            age_ms: saturating_i32(seen.age_ms(now)),
            status: parse::to_status(seen.status).into(),
            heading_deg: seen.heading_deg.into(),
        }))
    }

    async fn count_cells(
        &self,
        request: Request<pb::CountCellsRequest>,
    ) -> Result<Response<pb::CountCellsResponse>, Status> {
        let asked = request.get_ref();
        let city = parse::city(&self.index, &asked.city, "")?;
        let max_age_ms = parse::max_age_ms(asked.max_age_ms, "max_age_ms")?;
        let cells = self
            .index
            .count_available(city, max_age_ms, self.clock.now())
            .into_iter()
            .map(|(cell, available)| pb::CellCount {
                cell: cell.to_u64(),
                available: saturating_i32(available.into()),
            })
            .collect();
        Ok(Response::new(pb::CountCellsResponse { cells }))
    }
}

fn nearby_driver(found: &domain::Answer) -> pb::NearbyDriver {
    pb::NearbyDriver {
        driver: found.seen.driver.name(),
        position: Some(found.seen.point.into()),
        distance_m: found.distance_m,
        age_ms: saturating_i32(found.age_ms),
        status: parse::to_status(found.seen.status).into(),
        heading_deg: found.seen.heading_deg.into(),
        inaccurate: found.seen.inaccurate,
    }
}

fn saturating_i32(figure: i64) -> i32 {
    i32::try_from(figure).unwrap_or(i32::MAX)
}
