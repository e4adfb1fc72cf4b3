//! The book against trip's own list: when the city is taken, now and then, and soon when something did not fit.
//!
//! Invariants: a listing never undoes what was seen since it began; a trip that it lacks is looked up, not dropped. So a
//! lost event, or a broker that lost everything, costs a rider delay and nothing else (I9).

use std::{sync::Arc, time::Duration};

use futures::{StreamExt as _, stream};
use hexcab_chassis::{Clock, Component};
use hexcab_types::TripId;
use tokio_util::sync::CancellationToken;
use tonic::Status;

use crate::{
    desk::CityDesk,
    peers::{Heard, Trips},
    wire,
};

/// The least time between two listings, and the wait after one that failed, real time.
const SOONEST: Duration = Duration::from_secs(1);
/// A request must see this many listings before its search ends.
const LISTINGS_PER_SEARCH: u32 = 8;
/// How long an event may take to come by the bus before the listing is believed, real time.
const EVENT_DELAY: Duration = Duration::from_millis(500);
/// Look-ups at once.
const LOOK_UPS: usize = 8;

/// Compares books now and then.
#[derive(Clone)]
pub struct Resync {
    /// Whose list it is.
    pub trips: Trips,
    /// The city's clock.
    pub clock: Clock,
    /// The longest time between two listings, real time.
    pub longest: Duration,
    /// Ready when every book of this process was read from trip.
    pub books: Component,
    /// All cities of this process.
    pub desks: Vec<Arc<CityDesk>>,
}

impl Resync {
    /// Compares one book until shutdown.
    ///
    /// # Errors
    /// Never: trip being away is waited out.
    pub async fn run(self, desk: Arc<CityDesk>, shutdown: CancellationToken) -> anyhow::Result<()> {
        let search = Duration::from_secs(desk.city.dispatch.request_ttl_s.into());
        let often = self.clock.to_real(search) / LISTINGS_PER_SEARCH;
        let usual = self.longest.min(often).max(SOONEST);
        let mut failed = false;
        while shutdown
            .run_until_cancelled(rest(&desk, failed, usual))
            .await
            .is_some()
        {
            let compared = run_once(&desk, &self.trips, &self.clock);
            let Some(compared) = shutdown.run_until_cancelled(compared).await else {
                break;
            };
            match &compared {
                Ok(()) => report(&self.desks, &self.books),
                Err(error) if failed => {
                    tracing::debug!(city = %desk.city.id, %error, "trip is still away")
                }
                Err(error) => {
                    tracing::warn!(city = %desk.city.id, %error, "cannot compare the book, going on with it");
                }
            }
            failed = compared.is_err();
        }
        Ok(())
    }
}

/// Waits until the next listing is due.
async fn rest(desk: &CityDesk, failed: bool, usual: Duration) {
    tokio::time::sleep(SOONEST).await;
    if failed || (desk.is_owned() && !desk.is_rebuilt()) {
        return;
    }
    // Over when the time is, or earlier when something did not fit.
    let _ = tokio::time::timeout(usual - SOONEST, desk.resync_wanted()).await;
}

/// Says whether every book that this process owns was read from trip.
pub fn report(desks: &[Arc<CityDesk>], books: &Component) {
    if desks
        .iter()
        .all(|desk| !desk.is_owned() || desk.is_rebuilt())
    {
        books.set(true);
    }
}

/// Compares the book with trip's list, if the city is ours.
///
/// # Errors
/// When trip does not answer.
pub async fn run_once(desk: &CityDesk, trips: &Trips, clock: &Clock) -> Result<(), Status> {
    let Some(begun) = desk.mark() else {
        return Ok(());
    };
    let listed = trips.list_active(desk.city.id.as_str()).await?;
    let count = listed.len();
    let seen = listed.iter().filter_map(|trip| match wire::seen(trip) {
        Ok(seen) => Some(seen),
        Err(error) => {
            tracing::error!(trip = trip.name, %error, "a listed trip cannot be read");
            None
        }
    });
    let now = clock.now();
    let missed = desk.on_listing(seen.collect(), begun, now - clock.to_city(EVENT_DELAY), now);
    tracing::debug!(city = %desk.city.id, listed = count, missed = missed.len(), "book compared with trip's list");
    look_up(desk, trips, missed)
        .await
        .failure
        .map_or(Ok(()), Err)
}

/// Looks these trips up and folds what trip says. Those it did not answer for stay as they are.
pub async fn look_up(desk: &CityDesk, trips: &Trips, which: Vec<TripId>) -> Heard {
    let mut answers = stream::iter(which)
        .map(|trip| async move { (trip, trips.get(trip).await) })
        .buffer_unordered(LOOK_UPS);
    let mut heard = Heard::default();
    while let Some((trip, answer)) = answers.next().await {
        heard.answered += usize::from(answer.is_ok());
        match answer {
            Ok(Some(found)) => match wire::seen(&found) {
                Ok(seen) => desk.on_look_up(trip, Some(seen)),
                Err(error) => tracing::error!(%trip, %error, "a trip cannot be read"),
            },
            Ok(None) => desk.on_look_up(trip, None),
            Err(status) => heard.failure = Some(status),
        }
    }
    heard
}
