//! The stream of a watch: a turn every interval of the city's clock, sent when something changed. The next turn begins when
//! the answer before was taken, so a slow reader is told less often, never late news of long ago.

use std::{pin::Pin, time::Duration};

use futures::{Stream, StreamExt as _, stream};
use hexcab_proto::location::v1::{WatchAreaResponse, WatchedDriver};
use hexcab_types::{Cell, DriverId};
use tonic::Status;

use super::{Locations, parse};
use crate::{
    domain::{Sighting, Watch},
    store::Store,
};

/// What a watch looks with.
struct Viewer {
    locations: Locations,
    /// Where the store keeps whom it shows.
    kept_in: Vec<Cell>,
}

/// What a watch tells.
pub type Answers = Pin<Box<dyn Stream<Item = Result<WatchAreaResponse, Status>> + Send>>;

/// Tells what changes until the process ends.
pub fn answers(locations: Locations, watch: Watch, interval: Duration) -> Answers {
    let ended = locations.shutdown.clone().cancelled_owned();
    let kept_in = locations.store.as_ref();
    let kept_in = kept_in
        .map(|_| Store::kept_in(watch.cells()))
        .unwrap_or_default();
    let viewer = Viewer { locations, kept_in };
    let turns = stream::unfold(
        (viewer, watch, true),
        move |(viewer, mut watch, mut first)| async move {
            let Locations {
                index,
                clock,
                store,
                ..
            } = &viewer.locations;
            loop {
                if !std::mem::take(&mut first) {
                    clock.sleep(interval).await;
                }
                if let Some(store) = store {
                    store.look_in(watch.city(), &viewer.kept_in).await;
                }
                let mut turn = watch.turn(index, clock.now());
                while turn.step() {
                    tokio::task::yield_now().await;
                }
                let changes = turn.changes();
                if !changes.is_empty() {
                    let answer = WatchAreaResponse {
                        drivers: changes.drivers.iter().map(watched).collect(),
                        left_drivers: changes.left.into_iter().map(DriverId::name).collect(),
                    };
                    return Some((Ok(answer), (viewer, watch, false)));
                }
            }
        },
    );
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
