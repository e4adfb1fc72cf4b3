//! A simulation from its flags to its report: plans who wants what and who drives, puts the window on the city's clock, lets
//! everyone loose, and ends when the last ride does.

use std::{
    collections::HashMap, future::Future, ops::Range, path::Path, sync::Arc, time::Duration,
};

use anyhow::Context as _;
use chrono::TimeDelta;
use hexcab_chassis::Clock;
use hexcab_cities::{City, Profile, replay};
use hexcab_types::Timestamp;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::{
    api::Api,
    chance::Chance,
    config::Flags,
    demand::{self, Request},
    driver, limits,
    meeting::Meetings,
    progress,
    report::Report,
    rider,
    scene::Scene,
    supply::{self, DriverPlan},
    tally::Tally,
};

/// How long coming online takes, real time: for all, and for each driver. Signing in and connecting a fleet is work.
const WARM_UP: Duration = Duration::from_millis(500);
const WARM_UP_PER_DRIVER: Duration = Duration::from_millis(3);
/// A window that begins so soon by the clock is waited for; else it begins after the warm-up. City time.
const WAIT_FOR_WINDOW: TimeDelta = TimeDelta::minutes(15);
/// How long drivers may take to say goodbye, real time.
const GOODBYE: Duration = Duration::from_secs(5);
/// For the limit of connections: a rider is connected for about so long, city seconds.
const RIDER_CONNECTED_S: f64 = 900.0;

/// A simulation ready to run.
pub struct App {
    scene: Arc<Scene>,
    requests: Vec<Request>,
    drivers: Vec<DriverPlan>,
    window: Range<Timestamp>,
    drain: TimeDelta,
    /// What the report says about the simulation itself.
    head: Report,
}

impl App {
    /// Reads the city and plans. `clock` is the city's.
    ///
    /// # Errors
    /// When the city or its data cannot be read, or flags do not fit the city.
    pub fn build(flags: &Flags, clock: Clock) -> anyhow::Result<Self> {
        let city = City::load(&flags.city).with_context(|| format!("--city {}", flags.city))?;
        let profile =
            Profile::load(&flags.city).with_context(|| format!("--city {}", flags.city))?;
        let roads = hexcab_cities::road_times(&profile, flags.data.as_deref())
            .context("street graph of --data")?;
        let from = flags.from_in(city.time_zone).map_err(anyhow::Error::msg)?;
        let window = from..from + flags.window.0;
        let chance = Chance::new(flags.seed);
        let (requests, drivers) = plan(flags, &city, &profile, &window, chance)?;
        let head = Report {
            city: city.id.to_string(),
            seed: flags.seed,
            from: flags.from.to_string(),
            window_s: flags.window.0.num_seconds().unsigned_abs(),
            ..Report::default()
        };
        let scene = Scene {
            city,
            roads,
            clock,
            api: Arc::new(Api::new(&flags.gateway, &flags.sign_in)?),
            chance,
            keys: Chance::new(rand::random()),
            answers: flags.answers(),
            riders: flags.riders(),
            patience: flags.patience.map(|patience| patience.0),
            meetings: Meetings::default(),
            tally: Arc::new(Tally::default()),
        };
        Ok(Self {
            scene: Arc::new(scene),
            requests,
            drivers,
            window,
            drain: flags.drain.0,
            head,
        })
    }

    /// The requests that will be made.
    pub fn requests(&self) -> &[Request] {
        &self.requests
    }

    /// Who will drive.
    pub fn drivers(&self) -> &[DriverPlan] {
        &self.drivers
    }

    /// Runs to the end, or until `stop`; returns the report.
    pub async fn run(self, stop: impl Future<Output = ()>) -> Report {
        limits::make_room(self.drivers.len(), self.riders_at_once());
        let begins = begin(self.scene.clock.now(), self.window.start, self.warm_up());
        let offset = begins - self.window.start;
        let home = CancellationToken::new();
        let mut driving = JoinSet::new();
        for plan in self.drivers {
            driving.spawn(driver::work(
                Arc::clone(&self.scene),
                plan,
                offset,
                home.clone(),
            ));
        }
        let ends = self.window.end + offset;
        let early = {
            let rides = riding(&self.scene, self.requests, offset, ends, ends + self.drain);
            tokio::select! {
                () = rides => false,
                () = stop => true,
                () = progress::print(&self.scene, offset) => false,
            }
        };
        home.cancel();
        let report = Report {
            ended_early: early,
            ..with_head(self.scene.tally.report(), self.head)
        };
        progress::end();
        // Whoever has not said goodbye by then goes without.
        let _ = tokio::time::timeout(GOODBYE, async {
            while driving.join_next().await.is_some() {}
        })
        .await;
        report
    }

    fn warm_up(&self) -> TimeDelta {
        let first = self.drivers.iter().filter(|plan| {
            plan.stints
                .first()
                .is_some_and(|stint| stint.from <= self.window.start)
        });
        let real = WARM_UP + WARM_UP_PER_DRIVER * u32::try_from(first.count()).unwrap_or(u32::MAX);
        TimeDelta::from_std(self.scene.clock.to_city(real)).unwrap_or(TimeDelta::zero())
    }

    fn riders_at_once(&self) -> usize {
        let window_s = (self.window.end - self.window.start)
            .as_seconds_f64()
            .max(1.0);
        let share = (RIDER_CONNECTED_S / window_s).min(1.0);
        (self.requests.len() as f64 * share).ceil() as usize
    }
}

fn plan(
    flags: &Flags,
    city: &City,
    profile: &Profile,
    window: &Range<Timestamp>,
    chance: Chance,
) -> anyhow::Result<(Vec<Request>, Vec<DriverPlan>)> {
    if let Some(dir) = &flags.data {
        return recorded(dir, flags, city, window, chance)
            .with_context(|| format!("--data {}", dir.display()));
    }
    let usual = || {
        profile
            .supply(city.hour_of_week(window.start))
            .online
            .round() as usize
    };
    let requests = demand::drawn(profile, city, window, flags.demand_scale, chance);
    let drivers = supply::staying(
        profile,
        flags.drivers.unwrap_or_else(usual),
        window.start,
        chance,
    );
    Ok((requests, drivers))
}

fn recorded(
    dir: &Path,
    flags: &Flags,
    city: &City,
    window: &Range<Timestamp>,
    chance: Chance,
) -> anyhow::Result<(Vec<Request>, Vec<DriverPlan>)> {
    let rides = replay::rides(dir, window.clone())?.collect::<Result<Vec<_>, _>>()?;
    let shifts = replay::shifts(dir, window.clone())?.collect::<Result<Vec<_>, _>>()?;
    let seen: HashMap<_, _> = replay::last_places(dir, window.start)?;
    let requests = demand::replayed(rides.into_iter(), city, window, flags.demand_scale, chance);
    let drivers = supply::by_shifts(
        shifts.into_iter(),
        &seen,
        city,
        window,
        flags.drivers,
        chance,
    );
    Ok((requests, drivers))
}

/// When the window begins by the clock: at its own time when that is near and leaves time to warm up, else after it.
fn begin(now: Timestamp, from: Timestamp, warm_up: TimeDelta) -> Timestamp {
    let ahead = from - now;
    if (warm_up..=WAIT_FOR_WINDOW.max(warm_up)).contains(&ahead) {
        from
    } else {
        now + warm_up
    }
}

/// Lets each rider loose at his time; ends when the window is over and no ride is open, or at `latest`.
async fn riding(
    scene: &Arc<Scene>,
    requests: Vec<Request>,
    offset: TimeDelta,
    ends: Timestamp,
    latest: Timestamp,
) {
    let mut riders = JoinSet::new();
    for request in requests {
        scene.clock.sleep_until(request.at + offset).await;
        riders.spawn(rider::ride(Arc::clone(scene), request));
        while let Some(ended) = riders.try_join_next() {
            note_panic(scene, ended);
        }
    }
    scene.clock.sleep_until(ends).await;
    let carried = async {
        while let Some(ended) = riders.join_next().await {
            note_panic(scene, ended);
        }
    };
    tokio::select! {
        () = carried => {}
        () = scene.clock.sleep_until(latest) => {}
    }
}

fn note_panic(scene: &Scene, ended: Result<(), tokio::task::JoinError>) {
    if let Err(error) = ended {
        tracing::error!(%error, "a rider's task failed");
        scene.tally.error("simulator", "PANIC");
    }
}

fn with_head(counts: Report, head: Report) -> Report {
    Report {
        city: head.city,
        seed: head.seed,
        from: head.from,
        window_s: head.window_s,
        ..counts
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_near_by_the_clock_is_waited_for_and_another_begins_after_the_warm_up() {
        let from: Timestamp = "2008-05-31T00:00:00Z".parse().unwrap();
        let warm_up = TimeDelta::seconds(60);
        for (now, expected) in [
            (from - TimeDelta::minutes(5), from),
            (from - warm_up, from),
            (from - TimeDelta::seconds(59), from + TimeDelta::seconds(1)),
            (from + TimeDelta::minutes(8), from + TimeDelta::minutes(9)),
            (
                from + TimeDelta::days(6_000),
                from + TimeDelta::days(6_000) + warm_up,
            ),
            (
                from - TimeDelta::hours(5),
                from - TimeDelta::hours(5) + warm_up,
            ),
        ] {
            assert_eq!(begin(now, from, warm_up), expected, "at {now}");
        }
    }
}
