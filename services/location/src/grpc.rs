//! The gRPC face: request → domain → answer. Limits are refused by name, never cut silently.
//!
//! - [`parse`] requests, checked field by field
//! - [`codec`] and [`wire`] the hot paths: pings in and nearby drivers out, without an allocation for each
//! - [`watch`] the stream of a map
//!
//! A ping stream is read as fast as its answers are: a batch is taken when the one before was answered, so a sender is
//! slowed down by HTTP/2's window, and nothing queues here.
//!
//! Does not: log or trace each ping; a fleet sends millions a second.

pub mod codec;
mod measures;
mod parse;
mod watch;
mod wire;

use std::{pin::Pin, sync::Arc};

use bytes::Bytes;
use futures::{Stream, StreamExt as _};
use hexcab_chassis::Clock;
use hexcab_proto::{
    convert::{FieldError, name, to_timestamp},
    location::v1 as pb,
};
use hexcab_types::{DriverId, Timestamp};
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status, Streaming};

use self::{
    codec::{Encoded, PingBytes},
    parse::Asked,
    server::location_service_server::LocationService,
    wire::{Malformed, PingBatch},
};
use crate::{
    domain::{Answer, Batch, CityNumber, FleetIndex, Leg, Ping, Rejection, Taken},
    status::Refusal,
    store::Store,
};

/// The server of the proto, with the codecs of build.rs.
#[allow(
    missing_docs,
    clippy::wildcard_enum_match_arm,
    clippy::default_constructed_unit_structs,
    reason = "generated"
)]
pub mod server {
    include!(concat!(
        env!("OUT_DIR"),
        "/hexcab.location.v1.LocationService.rs"
    ));
}

/// Queries answered between two looks at whether others want the thread.
const QUERIES_PER_TURN: usize = 32;

/// The service: the index, the city's clock, and the end of the process.
#[derive(Clone)]
pub struct Locations {
    index: Arc<FleetIndex>,
    clock: Clock,
    shutdown: CancellationToken,
    store: Option<Arc<Store>>,
}

/// What is used again for each batch of a stream.
#[derive(Default)]
struct Intake {
    batch: Batch,
    rejected: Vec<pb::RejectedPing>,
}

impl Intake {
    fn begin(&mut self) {
        self.batch.clear();
        self.rejected.clear();
    }

    fn reject(&mut self, number: u32, rejection: &Rejection) {
        self.rejected.push(pb::RejectedPing {
            index: i32::try_from(number).unwrap_or(i32::MAX),
            reason: rejection.reason().to_owned(),
            detail: rejection.to_string(),
        });
    }
}

impl Locations {
    /// Serves this index until `shutdown`.
    pub fn new(index: Arc<FleetIndex>, clock: Clock, shutdown: CancellationToken) -> Self {
        Self {
            index,
            clock,
            shutdown,
            store: None,
        }
    }

    /// With what others heard, by a store.
    pub fn with_store(mut self, store: Arc<Store>) -> Self {
        self.store = Some(store);
        self
    }

    /// A batch of a stream.
    fn take_bytes(
        &self,
        bytes: &Bytes,
        intake: &mut Intake,
    ) -> Result<pb::StreamPingsResponse, Refusal> {
        let malformed = |error: Malformed| FieldError::new("pings", error.to_string());
        let pings = PingBatch::read(bytes).map_err(malformed)?;
        let city = parse::city(&self.index, pings.city)?;
        parse::at_most("pings", pings.len, parse::PINGS_MAX)?;
        let now = self.clock.now();
        intake.begin();
        let mut number = 0;
        pings
            .for_each(|ping| {
                self.check(city, number, &ping, now, intake);
                number += 1;
            })
            .map_err(malformed)?;
        let Taken {
            accepted, stale, ..
        } = self.take(city, intake, now);
        Ok(pb::StreamPingsResponse {
            accepted: saturating_i32(accepted.into()),
            stale: saturating_i32(stale.into()),
            rejected: std::mem::take(&mut intake.rejected),
        })
    }

    fn check(
        &self,
        city: CityNumber,
        number: u32,
        ping: &Ping<'_>,
        now: Timestamp,
        intake: &mut Intake,
    ) {
        match ping.sighting(self.index.products(city), now) {
            Ok(seen) => intake.batch.push(number, seen),
            Err(rejection) => intake.reject(number, &rejection),
        }
    }

    fn take(&self, city: CityNumber, intake: &mut Intake, now: Timestamp) -> Taken {
        let taken = self.index.take(city, &mut intake.batch, now);
        if !taken.full.is_empty() {
            for number in &taken.full {
                intake.reject(*number, &Rejection::FleetFull);
            }
            intake.rejected.sort_by_key(|rejected| rejected.index);
        }
        measures::taken(&taken, intake.rejected.len());
        taken
    }

    fn nearby(&self, asked: &Asked, now: Timestamp) -> Vec<Answer> {
        let answers = self.index.nearest(asked.city, &asked.query(), now);
        measures::answered(&answers);
        answers
    }

    /// Has the index know what others heard where this is asked.
    async fn look(&self, asked: &[Asked]) {
        if let Some(store) = &self.store {
            let circles: Vec<_> = asked.iter().map(Asked::circle).collect();
            store.look(&circles).await;
        }
    }
}

#[tonic::async_trait]
impl LocationService for Locations {
    type StreamPingsStream =
        Pin<Box<dyn Stream<Item = Result<pb::StreamPingsResponse, Status>> + Send>>;

    async fn stream_pings(
        &self,
        request: Request<Streaming<PingBytes>>,
    ) -> Result<Response<Self::StreamPingsStream>, Status> {
        let service = self.clone();
        let mut intake = Intake::default();
        let answers = request.into_inner().then(move |batch| {
            let taken = batch.and_then(|PingBytes(bytes)| {
                service
                    .take_bytes(&bytes, &mut intake)
                    .map_err(Status::from)
            });
            async {
                // A stream that always has more must not keep the thread from the others.
                tokio::task::yield_now().await;
                taken
            }
        });
        // A stream that stays open must not hold the process: the app opens it again elsewhere.
        let until = self.shutdown.clone().cancelled_owned();
        Ok(Response::new(Box::pin(answers.take_until(until))))
    }

    async fn report_pings(
        &self,
        request: Request<pb::ReportPingsRequest>,
    ) -> Result<Response<pb::ReportPingsResponse>, Status> {
        let pb::ReportPingsRequest { city, pings } = request.into_inner();
        let city = parse::city(&self.index, &city)?;
        parse::at_most("pings", pings.len(), parse::PINGS_MAX)?;
        let (now, mut intake) = (self.clock.now(), Intake::default());
        for (number, ping) in (0..).zip(&pings) {
            self.check(city, number, &parse::ping(ping), now, &mut intake);
        }
        let Taken {
            accepted, stale, ..
        } = self.take(city, &mut intake, now);
        Ok(Response::new(pb::ReportPingsResponse {
            accepted: saturating_i32(accepted.into()),
            stale: saturating_i32(stale.into()),
            rejected: intake.rejected,
        }))
    }

    async fn find_nearby(
        &self,
        request: Request<pb::FindNearbyRequest>,
    ) -> Result<Response<Encoded>, Status> {
        let asked = parse::find_nearby(&self.index, request.get_ref())?;
        self.look(std::slice::from_ref(&asked)).await;
        let answers = self.nearby(&asked, self.clock.now());
        let mut encoded = Vec::new();
        wire::nearby(&answers, &mut encoded);
        Ok(Response::new(Encoded(encoded)))
    }

    async fn find_nearby_batch(
        &self,
        request: Request<pb::FindNearbyBatchRequest>,
    ) -> Result<Response<Encoded>, Status> {
        let queries = request.into_inner().queries;
        parse::at_most("queries", queries.len(), parse::QUERIES_MAX)?;
        let asked = queries.iter().enumerate().map(|(number, query)| {
            parse::find_nearby(&self.index, query)
                .map_err(|refusal| refusal.within(&format!("queries[{number}].")))
        });
        let asked = asked.collect::<Result<Vec<Asked>, Refusal>>()?;
        self.look(&asked).await;
        let now = self.clock.now();
        let (mut room, mut encoded) = (Vec::new(), Vec::new());
        for (number, asked) in asked.iter().enumerate() {
            if number % QUERIES_PER_TURN == QUERIES_PER_TURN - 1 {
                tokio::task::yield_now().await;
            }
            let answers = self.nearby(asked, now);
            wire::nearby_of_batch(&answers, &mut room, &mut encoded);
        }
        Ok(Response::new(Encoded(encoded)))
    }

    type WatchAreaStream = watch::Answers;

    async fn watch_area(
        &self,
        request: Request<pb::WatchAreaRequest>,
    ) -> Result<Response<Self::WatchAreaStream>, Status> {
        let (watch, interval) = parse::watch(&self.index, request.get_ref())?;
        Ok(Response::new(watch::answers(self.clone(), watch, interval)))
    }

    async fn get_driver_track(
        &self,
        request: Request<pb::GetDriverTrackRequest>,
    ) -> Result<Response<pb::GetDriverTrackResponse>, Status> {
        let driver: DriverId = name(&request.get_ref().driver, "driver")?;
        let track = self
            .index
            .track(driver, self.clock.now())
            .ok_or(Refusal::DriverNotSeen(driver))?;
        Ok(Response::new(pb::GetDriverTrackResponse {
            driver: driver.name(),
            legs: track.legs().iter().map(track_leg).collect(),
        }))
    }

    async fn get_driver_position(
        &self,
        request: Request<pb::GetDriverPositionRequest>,
    ) -> Result<Response<pb::GetDriverPositionResponse>, Status> {
        let driver: DriverId = name(&request.get_ref().driver, "driver")?;
        if let Some(store) = &self.store {
            store.look_for(driver).await;
        }
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
        let city = parse::city(&self.index, &asked.city)?;
        let max_age_ms = parse::max_age_ms(asked.max_age_ms, "max_age_ms")?;
        if let Some(store) = &self.store {
            store.look_everywhere(city).await;
        }
        let mut census = self.index.census(city, max_age_ms, self.clock.now());
        while census.step() {
            tokio::task::yield_now().await;
        }
        let cells = census
            .counts()
            .into_iter()
            .map(|(cell, available)| pb::CellCount {
                cell: cell.to_u64(),
                available: saturating_i32(available.into()),
            })
            .collect();
        Ok(Response::new(pb::CountCellsResponse { cells }))
    }
}

fn track_leg(leg: &Leg) -> pb::TrackLeg {
    let time = |ms| Timestamp::from_timestamp_millis(ms).map(to_timestamp);
    pb::TrackLeg {
        status: parse::to_status(leg.status).into(),
        start_time: time(leg.start_ms),
        end_time: time(leg.end_ms),
        distance_m: leg.distance_m,
        line: leg.line().into_iter().map(Into::into).collect(),
        tolerance_m: leg.tolerance_m.ceil() as i32,
    }
}

fn saturating_i32(figure: i64) -> i32 {
    i32::try_from(figure).unwrap_or(i32::MAX)
}

#[cfg(test)]
mod tests;
