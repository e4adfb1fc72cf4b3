//! A question and its answer: policies side by side over days, fleets and seeds.
//! Invariants: all policies of a question see the same requests, the same cabs and the same chance; a forecast is made
//! from days before the day judged. Does not: print; the command line and [`page`](crate::page) do.

use std::{
    path::PathBuf,
    sync::{
        atomic::{AtomicUsize, Ordering},
        mpsc,
    },
    thread,
    time::Instant,
};

use chrono::NaiveDate;
use hexcab_cities::{City, replay::ReplayError};
use hexcab_matching::{
    Options, Policy, PolicyError, policy,
    reposition::{FlowOptions, Reposition, reposition},
};
use hexcab_road::{GraphError, RoadGraph};
use serde::{Deserialize, Serialize};

use crate::{
    bound,
    compare::{self, Block, Gain},
    forecast::{Forecast, ForecastError},
    measure::{Figures, figures, mean},
    recording::{Recording, day_time},
    scene::{Cab, Scene, Trip, World},
    sim::{self, Fate, Moves, Pace, Rules, Setup},
};

/// Days with less than this share of a usual day's rides say nothing of one: the first and last of a recording.
const WHOLE_DAY_SHARE: f64 = 0.25;

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum EvaluateError {
    /// A recording.
    #[error(transparent)]
    Replay(#[from] ReplayError),
    /// The street graph.
    #[error(transparent)]
    Graph(#[from] GraphError),
    /// No folder has one.
    #[error(
        "no road-nodes.csv.gz and road-edges.csv.gz in {0}: rides are simulated on the street graph"
    )]
    NoGraph(String),
    /// The forecast.
    #[error(transparent)]
    Forecast(#[from] ForecastError),
    /// A policy.
    #[error(transparent)]
    Policy(#[from] PolicyError),
    /// A day without requests.
    #[error("no rides are recorded on {day}; there are some from {first} to {last}")]
    NoRides {
        /// The day.
        day: NaiveDate,
        /// The first recorded.
        first: NaiveDate,
        /// The last recorded.
        last: NaiveDate,
    },
    /// A day that the clock leaves out.
    #[error("{0} has no 04:00 in this city")]
    NoDay(NaiveDate),
}

/// A matching policy, with or without repositioning: `swaps`, `swaps+flow`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct PolicyChoice {
    /// Who picks up whom.
    pub matching: String,
    /// Where idle cabs go, if anywhere.
    pub reposition: Option<String>,
}

impl std::str::FromStr for PolicyChoice {
    type Err = PolicyError;

    fn from_str(text: &str) -> Result<Self, PolicyError> {
        let (matching, moves) = match text.split_once('+') {
            Some((matching, moves)) => (matching, Some(moves)),
            None => (text, None),
        };
        policy(matching, Options::default())?;
        if let Some(name) = moves {
            reposition(name, FlowOptions::default())?;
        }
        Ok(Self {
            matching: matching.to_owned(),
            reposition: moves.map(str::to_owned),
        })
    }
}

impl std::fmt::Display for PolicyChoice {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.matching)?;
        match &self.reposition {
            Some(name) => write!(f, "+{name}"),
            None => Ok(()),
        }
    }
}

impl TryFrom<String> for PolicyChoice {
    type Error = PolicyError;
    fn try_from(text: String) -> Result<Self, PolicyError> {
        text.parse()
    }
}

impl From<PolicyChoice> for String {
    fn from(choice: PolicyChoice) -> Self {
        choice.to_string()
    }
}

/// What is asked.
#[derive(Debug, Clone)]
pub struct Question {
    /// Days, each from 04:00 to 04:00.
    pub days: Vec<NaiveDate>,
    /// Shares of the cabs.
    pub fleets: Vec<f64>,
    /// Multiples of the demand.
    pub demand: f64,
    /// The policies; the others are compared with the first.
    pub policies: Vec<PolicyChoice>,
    /// How many shares of the cabs are drawn; a whole fleet at the demand recorded needs no drawing.
    pub seeds: u64,
    /// What riders and drivers put up with.
    pub rules: Rules,
    /// When windows are planned.
    pub pace: Pace,
    /// Most candidates of an open request; more where more than these are open.
    pub candidates: usize,
    /// How often idle cabs are told where to go, in milliseconds.
    pub moves_every_ms: i64,
    /// A driver is not turned round so short before the pickup, in milliseconds.
    pub swap_until_ms: i64,
    /// What the matching policies may tune.
    pub options: Options,
    /// What repositioning may tune.
    pub flow: FlowOptions,
    /// Days that forecasts are made from; none: all before the day judged.
    pub forecast_from: Option<Vec<NaiveDate>>,
    /// Whether perfect knowledge is asked, too.
    pub bound: bool,
    /// How many days are simulated at once.
    pub threads: usize,
}

impl Default for Question {
    fn default() -> Self {
        Self {
            days: Vec::new(),
            fleets: vec![1.0],
            demand: 1.0,
            policies: Vec::new(),
            seeds: 3,
            rules: Rules::default(),
            pace: Pace::AtOnce(2_000),
            candidates: 30,
            moves_every_ms: 60_000,
            swap_until_ms: 30_000,
            options: Options {
                max_eta_s: 480.0,
                // An age credit costs more waiting than it is worth.
                waiting_credit: 0.0,
                ..Options::default()
            },
            flow: FlowOptions::default(),
            forecast_from: None,
            bound: false,
            threads: 1,
        }
    }
}

/// The figures of one simulated day.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DayFigures {
    /// The day.
    pub day: NaiveDate,
    /// Which draw of the cabs.
    pub seed: u64,
    /// The figures.
    pub figures: Figures,
}

/// One policy at one size of the fleet.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Line {
    /// The share of the cabs.
    pub fleet: f64,
    /// The policy.
    pub policy: PolicyChoice,
    /// All days and seeds, each counting alike.
    pub figures: Figures,
    /// Each day and seed.
    pub days: Vec<DayFigures>,
    /// Against the first policy.
    pub gain: Option<Gain>,
    /// Rides simulated in a second of one core.
    pub rides_a_second: f64,
}

/// What perfect knowledge could do.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Perfect {
    /// The share of the cabs.
    pub fleet: f64,
    /// The share of requests served when everybody is picked up as he asks: see [`bound`].
    pub on_time_share: f64,
    /// More than any plan that takes riders in the order in which they asked: see [`bound`].
    pub at_most_share: f64,
}

/// The answer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Report {
    /// The days.
    pub days: Vec<NaiveDate>,
    /// Days that forecasts were made from, first and last, and how many for the last day judged.
    pub forecast_from: Option<(NaiveDate, NaiveDate, usize)>,
    /// The demand.
    pub demand: f64,
    /// Draws of the cabs.
    pub seeds: u64,
    /// The share of offers refused.
    pub refusals: f64,
    /// The standard deviation of real drives about their ETAs, as a share.
    pub eta_error: f64,
    /// Riders leave when nobody is on the way after this, in seconds.
    pub leave_unassigned_s: Option<f64>,
    /// The share of suggested moves that drivers follow.
    pub follow: f64,
    /// Policies by fleet.
    pub lines: Vec<Line>,
    /// Perfect knowledge by fleet, where it was asked.
    pub perfect: Vec<Perfect>,
}

/// Everything that questions are asked of.
pub struct Ground {
    /// The city.
    pub city: City,
    recording: Recording,
    world: World,
}

impl Ground {
    /// Reads the recordings of all folders, and the first street graph in them.
    ///
    /// # Errors
    /// When a file is wrong or missing.
    pub fn read(city: City, folders: &[PathBuf]) -> Result<Self, EvaluateError> {
        let recording = Recording::read(folders)?;
        let names = || {
            let names = folders.iter().map(|folder| folder.display().to_string());
            names.collect::<Vec<_>>().join(", ")
        };
        let folder = folders.iter().find(|folder| RoadGraph::is_in(folder));
        let folder = folder.ok_or_else(|| EvaluateError::NoGraph(names()))?;
        Ok(Self {
            city,
            recording,
            world: World::new(RoadGraph::read(folder)?),
        })
    }

    /// The days that have enough rides to be one.
    pub fn days(&self) -> Vec<NaiveDate> {
        let counted: Vec<(NaiveDate, usize)> = self
            .recording
            .days(&self.city)
            .into_iter()
            .filter_map(|day| {
                Some((
                    day,
                    self.recording
                        .rides_within(&day_time(&self.city, day)?)
                        .len(),
                ))
            })
            .collect();
        let mut counts: Vec<usize> = counted.iter().map(|&(_, count)| count).collect();
        counts.sort_unstable();
        let usual = counts.get(counts.len() / 2).copied().unwrap_or(0);
        let whole =
            |&(_, count): &(NaiveDate, usize)| count as f64 >= usual as f64 * WHOLE_DAY_SHARE;
        counted
            .into_iter()
            .filter(whole)
            .map(|(day, _)| day)
            .collect()
    }

    /// Answers a question; `progress` is told what was just done.
    ///
    /// # Errors
    /// When a day has no rides, a policy does not exist, or a forecast would look ahead.
    pub fn answer(
        &self,
        question: &Question,
        progress: &mut dyn FnMut(&str),
    ) -> Result<Report, EvaluateError> {
        let players = question
            .policies
            .iter()
            .map(|choice| Player::new(choice, question))
            .collect::<Result<Vec<_>, _>>()?;
        let mut tally = Tally::new(question);
        let mut forecast_from = None;
        for &day in &question.days {
            let scene = self.scene(day)?;
            let from = self.forecast_days(day, question);
            let forecast = if players.iter().any(|player| player.moves.is_some()) {
                forecast_from = from
                    .first()
                    .zip(from.last())
                    .map(|(&a, &b)| (a, b, from.len()));
                Some(
                    Forecast::new(&self.world, &self.city, &self.recording, day, &from)?
                        .times(question.demand),
                )
            } else {
                None
            };
            for (at, &fleet) in question.fleets.iter().enumerate() {
                let draws: Vec<Draw<'_>> = (0..seeds(question, fleet))
                    .map(|seed| Draw::new(self, &scene, forecast.as_ref(), question, fleet, seed))
                    .collect();
                let all = in_parallel(
                    question.threads,
                    draws.len() * players.len(),
                    |job| draws[job / players.len()].play(&players[job % players.len()]),
                    |job, played| {
                        progress(&format!(
                            "{day} fleet {:.0} % seed {} {}: {:.1} % served, {:.0} s",
                            fleet * 100.0,
                            job / players.len(),
                            question.policies[job % players.len()],
                            played.figures.served_share * 100.0,
                            played.figures.wait_mean_s
                        ));
                    },
                );
                for (draw, played) in draws.iter().zip(all.chunks(players.len().max(1))) {
                    tally.add(at, day, draw, played);
                }
                if let Some(draw) = draws.first().filter(|_| question.bound) {
                    let perfect = draw.perfect(fleet);
                    progress(&format!(
                        "{day} fleet {:.0} %: perfect knowledge serves {:.1} % on time, {:.1} % at most",
                        fleet * 100.0,
                        perfect.on_time_share * 100.0,
                        perfect.at_most_share * 100.0
                    ));
                    tally.perfect[at].push(perfect);
                }
            }
        }
        Ok(tally.report(question, forecast_from))
    }

    fn scene(&self, day: NaiveDate) -> Result<Scene, EvaluateError> {
        let time = day_time(&self.city, day).ok_or(EvaluateError::NoDay(day))?;
        let rides = self.recording.rides_within(&time);
        let scene = Scene::new(
            &self.world,
            &self.city,
            &time,
            rides,
            &self.recording.shifts,
        );
        if scene.trips.is_empty() {
            let days = self.recording.days(&self.city);
            return Err(EvaluateError::NoRides {
                day,
                first: days.first().copied().unwrap_or(day),
                last: days.last().copied().unwrap_or(day),
            });
        }
        Ok(scene)
    }

    fn forecast_days(&self, judged: NaiveDate, question: &Question) -> Vec<NaiveDate> {
        match &question.forecast_from {
            Some(days) => days.clone(),
            None => self
                .days()
                .into_iter()
                .filter(|&day| day < judged)
                .collect(),
        }
    }
}

/// A whole fleet at the demand recorded is the same in every draw.
fn seeds(question: &Question, fleet: f64) -> u64 {
    let Rules {
        refusals,
        eta_error,
        follow,
        ..
    } = question.rules;
    let by_chance = fleet < 1.0
        || question.demand.fract() > 0.0
        || question.demand > 1.0
        || refusals > 0.0
        || eta_error > 0.0
        || follow < 1.0;
    if by_chance { question.seeds.max(1) } else { 1 }
}

/// A policy made ready.
struct Player {
    matching: Box<dyn Policy>,
    moves: Option<Box<dyn Reposition>>,
    swaps: bool,
    chain_ms: Option<i64>,
}

impl Player {
    fn new(choice: &PolicyChoice, question: &Question) -> Result<Self, PolicyError> {
        let chains = choice.matching == hexcab_matching::Chained::NAME;
        Ok(Self {
            matching: policy(&choice.matching, question.options)?,
            moves: match &choice.reposition {
                Some(name) => Some(reposition(name, question.flow)?),
                None => None,
            },
            swaps: chains || choice.matching == hexcab_matching::Swaps::NAME,
            chain_ms: chains.then_some(CHAIN_MS),
        })
    }

    fn setup<'a>(&'a self, question: &Question, forecast: Option<&'a Forecast>) -> Setup<'a> {
        Setup {
            matching: &*self.matching,
            swaps: self.swaps,
            swap_until_ms: question.swap_until_ms,
            chain_ms: self.chain_ms,
            pace: question.pace,
            candidates: question.candidates,
            moves: self
                .moves
                .as_deref()
                .zip(forecast)
                .map(|(policy, forecast)| Moves {
                    policy,
                    forecast,
                    every_ms: question.moves_every_ms,
                }),
        }
    }
}

/// Cabs that will be free so soon, as far as one knows, are chained.
const CHAIN_MS: i64 = 120_000;

/// One day with one draw of its cabs.
struct Draw<'a> {
    ground: &'a Ground,
    scene: &'a Scene,
    forecast: Option<&'a Forecast>,
    question: &'a Question,
    seed: u64,
    trips: Vec<Trip>,
    cabs: Vec<Cab>,
}

/// What a policy made of it.
struct Played {
    figures: Figures,
    fates: Vec<Fate>,
    seconds: f64,
}

impl<'a> Draw<'a> {
    fn new(
        ground: &'a Ground,
        scene: &'a Scene,
        forecast: Option<&'a Forecast>,
        question: &'a Question,
        fleet: f64,
        seed: u64,
    ) -> Self {
        Self {
            ground,
            scene,
            forecast,
            question,
            seed,
            trips: scene.trips_of(question.demand, seed),
            cabs: scene.cabs_of(fleet, seed),
        }
    }

    fn play(&self, player: &Player) -> Played {
        let start = Instant::now();
        let setup = player.setup(self.question, self.forecast);
        let outcome = sim::run(
            &self.ground.world,
            self.scene,
            &self.trips,
            &self.cabs,
            self.question.rules,
            &setup,
            self.seed,
        );
        Played {
            figures: figures(&self.trips, &outcome),
            fates: outcome.fates,
            seconds: start.elapsed().as_secs_f64(),
        }
    }

    fn perfect(&self, fleet: f64) -> Perfect {
        let world = &self.ground.world;
        let share =
            |late_ms| bound::served_share(world, self.scene, &self.trips, &self.cabs, late_ms);
        Perfect {
            fleet,
            on_time_share: share(0),
            at_most_share: share(self.question.rules.patience_ms),
        }
    }
}

/// Does all jobs, so many at once, and tells of each as it is done; the results are in the jobs' order.
fn in_parallel<R: Send>(
    threads: usize,
    jobs: usize,
    work: impl Fn(usize) -> R + Sync,
    mut done: impl FnMut(usize, &R),
) -> Vec<R> {
    let next = AtomicUsize::new(0);
    let (sender, receiver) = mpsc::channel();
    let (next, work) = (&next, &work);
    thread::scope(|scope| {
        for _ in 0..threads.clamp(1, jobs.max(1)) {
            let sender = sender.clone();
            scope.spawn(move || {
                loop {
                    let job = next.fetch_add(1, Ordering::Relaxed);
                    // The receiver goes only when this thread's scope has ended.
                    if job >= jobs || sender.send((job, work(job))).is_err() {
                        break;
                    }
                }
            });
        }
        drop(sender);
        let mut results: Vec<(usize, R)> = receiver
            .into_iter()
            .inspect(|(job, result)| done(*job, result))
            .collect();
        results.sort_unstable_by_key(|&(job, _)| job);
        results.into_iter().map(|(_, result)| result).collect()
    })
}

/// What was played so far, by fleet and policy.
struct Tally {
    cells: Vec<Vec<Played3>>,
    perfect: Vec<Vec<Perfect>>,
}

#[derive(Default)]
struct Played3 {
    days: Vec<DayFigures>,
    blocks: Vec<Block>,
    seconds: f64,
}

impl Tally {
    fn new(question: &Question) -> Self {
        let row = || {
            question
                .policies
                .iter()
                .map(|_| Played3::default())
                .collect()
        };
        Self {
            cells: question.fleets.iter().map(|_| row()).collect(),
            perfect: vec![Vec::new(); question.fleets.len()],
        }
    }

    /// What all policies made of one draw, the first being the one that the others are compared with.
    fn add(&mut self, fleet: usize, day: NaiveDate, draw: &Draw<'_>, all: &[Played]) {
        for (cell, played) in self.cells[fleet].iter_mut().zip(all) {
            cell.days.push(DayFigures {
                day,
                seed: draw.seed,
                figures: played.figures,
            });
            cell.seconds += played.seconds;
            cell.blocks
                .extend(compare::blocks(&draw.trips, &all[0].fates, &played.fates));
        }
    }

    fn report(
        self,
        question: &Question,
        forecast_from: Option<(NaiveDate, NaiveDate, usize)>,
    ) -> Report {
        let perfect = question.fleets.iter().zip(&self.perfect);
        let perfect = perfect.filter(|(_, shares)| !shares.is_empty());
        let perfect = perfect.map(|(&fleet, days)| {
            let mean = |share: fn(&Perfect) -> f64| {
                days.iter().map(share).sum::<f64>() / days.len() as f64
            };
            Perfect {
                fleet,
                on_time_share: mean(|it| it.on_time_share),
                at_most_share: mean(|it| it.at_most_share),
            }
        });
        let perfect = perfect.collect();
        let mut lines = Vec::new();
        for (&fleet, cells) in question.fleets.iter().zip(self.cells) {
            for (at, (policy, cell)) in question.policies.iter().zip(cells).enumerate() {
                let all: Vec<Figures> = cell.days.iter().map(|day| day.figures).collect();
                let figures = mean(&all);
                lines.push(Line {
                    fleet,
                    policy: policy.clone(),
                    figures,
                    gain: (at > 0).then(|| compare::gain(&cell.blocks, question.seeds)),
                    rides_a_second: figures.requests as f64 / cell.seconds.max(1e-9),
                    days: cell.days,
                });
            }
        }
        Report {
            days: question.days.clone(),
            forecast_from,
            demand: question.demand,
            seeds: question.seeds,
            refusals: question.rules.refusals,
            eta_error: question.rules.eta_error,
            leave_unassigned_s: question.rules.unassigned_ms.map(|ms| ms as f64 / 1_000.0),
            follow: question.rules.follow,
            lines,
            perfect,
        }
    }
}
