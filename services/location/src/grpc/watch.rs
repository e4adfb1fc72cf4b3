//! The stream of a watch: a turn every interval of the city's clock, sent when something changed. The next turn begins when
//! the answer before was taken, so a slow reader is told less often, never late news of long ago.

use std::{pin::Pin, sync::Arc, time::Duration};

use futures::{Stream, StreamExt as _, stream};
use hexcab_chassis::Clock;
use hexcab_proto::location::v1::{WatchAreaResponse, WatchedDriver};
use hexcab_types::DriverId;
use tokio_util::sync::CancellationToken;
use tonic::Status;

use super::parse;
use crate::domain::{FleetIndex, Sighting, Watch};

/// What a watch tells.
pub type Answers = Pin<Box<dyn Stream<Item = Result<WatchAreaResponse, Status>> + Send>>;

/// Tells what changes until `shutdown`.
pub fn answers(
    index: Arc<FleetIndex>,
    clock: Clock,
    shutdown: CancellationToken,
    watch: Watch,
    interval: Duration,
) -> Answers {
    let ended = shutdown.clone().cancelled_owned();
    let turns = stream::unfold((watch, true), move |(mut watch, mut first)| {
        let (index, clock) = (index.clone(), clock.clone());
        async move {
            loop {
                if !std::mem::take(&mut first) {
                    clock.sleep(interval).await;
                }
                let mut turn = watch.turn(&index, clock.now());
                while turn.step() {
                    tokio::task::yield_now().await;
                }
                let changes = turn.changes();
                if !changes.is_empty() {
                    let answer = WatchAreaResponse {
                        drivers: changes.drivers.iter().map(watched).collect(),
                        left_drivers: changes.left.into_iter().map(DriverId::name).collect(),
                    };
                    return Some((Ok(answer), (watch, false)));
                }
            }
        }
    });
    let gone = stream::once(async { Err(Status::unavailable("location stops: watch again")) });
    Box::pin(turns.take_until(ended).chain(gone))
}

fn watched(seen: &Sighting) -> WatchedDriver {
    WatchedDriver {
        driver: seen.driver.name(),
        position: Some(seen.point.into()),
        status: parse::to_status(seen.status).into(),
        heading_deg: seen.heading_deg.into(),
        record_time_ms: seen.recorded_ms,
    }
}
