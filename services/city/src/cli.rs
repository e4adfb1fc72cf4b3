//! What can be said on the command line. Does not: do any of it.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use chrono::NaiveDate;
use clap::{Args, Parser, Subcommand};
use hexcab_chassis::ClockConfig;
use hexcab_evaluate::PolicyChoice;
use uuid::Uuid;

use crate::stack::{Stores, services::WantedPorts};

/// A ride dispatch platform: start a whole city on this machine, send it an evening, prove that it went right.
#[derive(Debug, Parser)]
#[command(
    name = "hexcab",
    version,
    propagate_version = true,
    max_term_width = 110
)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What can be done.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Start a whole city and keep it up until Ctrl-C: Postgres, Kafka, every service as its own process
    Up(UpArguments),
    /// Start a city, carry a San Francisco evening of requests through it, and prove that it went right
    City(CityArguments),
    /// Start a city, send it riders and faults by seed, and prove that it got over them: exit 1 when it did not
    Chaos(Box<ChaosArguments>),
    /// One ride with one rider and one driver, each step as it happens
    Ride(RideArguments),
    /// Check the invariants over the live databases; exit 1 with the offending ids when one is broken
    Verify(VerifyArguments),
    /// Measure dispatch: live through recorded days again on a simulated clock, policies side by side
    Evaluate(Box<EvaluateArguments>),
    /// What a running city is doing: services, memory, clock, metrics
    Status(StatusArguments),
    /// A token for curl and grpcurl
    Token(TokenArguments),
    /// Compare the processor's books with ours and the ledger now; exit 1 when something does not fit
    Reconcile(ReconcileArguments),
    /// Who owes whom how much: the trial balance, and a driver's statement
    Ledger(LedgerArguments),
    /// Look at events and dead letters; send the outbox again to a broker that lost its data
    Events(EventsArguments),
    /// A private Postgres and nothing else; prints its URL
    Postgres(PostgresArguments),
    /// What a cluster needs that no service makes: keys, topics, a sign-in for trying things
    #[command(subcommand)]
    Cluster(ClusterCommand),
    /// The embedded stack's Kafka and nothing else; the launcher starts it
    #[command(hide = true)]
    Broker(BrokerArguments),
    /// What this machine lacks for a city, and how to get it
    Doctor(DoctorArguments),
}

/// Which running city is meant.
#[derive(Debug, Clone, Args)]
pub struct RunningCity {
    /// Its folder, with city.json [default: the city that was started last by this user]
    #[arg(long, value_name = "DIR", global = true)]
    pub dir: Option<PathBuf>,
}

/// What of the ledger.
#[derive(Debug, Args)]
pub struct LedgerArguments {
    /// The city.
    #[command(flatten)]
    pub city: RunningCity,
    /// Print JSON; amounts in minor units
    #[arg(long, global = true)]
    pub json: bool,
    /// What.
    #[command(subcommand)]
    pub command: LedgerCommand,
}

/// What can be seen of the ledger.
#[derive(Debug, Subcommand)]
pub enum LedgerCommand {
    /// What is posted and pending on every account; the totals are zero per currency, or the exit is 1
    Balance {
        /// Every rider and driver by himself
        #[arg(long)]
        all: bool,
    },
    /// What was posted to a driver's account, with the balance at every line
    Statement {
        /// Whose: drivers/{uuid}
        account: String,
        /// From this time on (RFC 3339, the city's time) [default: the beginning]
        #[arg(long, value_name = "TIME")]
        from: Option<String>,
        /// Until before this time [default: now]
        #[arg(long, value_name = "TIME")]
        to: Option<String>,
    },
}

/// Whether the books fit.
#[derive(Debug, Args)]
pub struct ReconcileArguments {
    /// The city.
    #[command(flatten)]
    pub city: RunningCity,
    /// Something else than to compare.
    #[command(subcommand)]
    pub command: Option<ReconcileCommand>,
}

/// What else can be done with mismatches.
#[derive(Debug, Subcommand)]
pub enum ReconcileCommand {
    /// Mismatches that are open
    List {
        /// Resolved ones too
        #[arg(long)]
        all: bool,
    },
    /// Say that a mismatch was dealt with, or is accepted as it is
    Resolve {
        /// Which one
        mismatch: Uuid,
        /// Who says so
        #[arg(long, value_name = "UUID")]
        operator: Uuid,
        /// What was done, or why it is right
        #[arg(long, value_name = "TEXT")]
        reason: String,
    },
}

/// What is measured.
#[derive(Debug, Args)]
pub struct EvaluateArguments {
    /// A folder with trips-*.csv.gz, shifts-*.csv.gz, and in one of them road-nodes.csv.gz, road-edges.csv.gz and
    /// speed-profile.csv; may be given more than once, days before those judged are what forecasts are made from
    #[arg(long, value_name = "DIR", env = "HEXCAB_DATA", required = true)]
    pub data: Vec<PathBuf>,
    /// A day to judge, from 04:00 to 04:00 local time; more with commas, by repeating, or from..to
    #[arg(long = "day", value_name = "DAY", required = true, value_delimiter = ',', value_parser = days)]
    pub days: Vec<DaySpan>,
    /// The share of the recorded cabs, 0 to 1; more with commas
    #[arg(long = "fleet", value_name = "SHARE", default_value = "1", value_delimiter = ',', value_parser = fleet)]
    pub fleets: Vec<f64>,
    /// Demand, as a multiple of what was recorded
    #[arg(long, value_name = "X", default_value_t = 1.0, value_parser = demand)]
    pub demand: f64,
    /// Who picks up whom (nearest, batched, swaps, chained), and with +flow where idle cabs go; more with commas: the
    /// others are compared with the first
    #[arg(
        long = "policy",
        value_name = "POLICY",
        value_delimiter = ',',
        default_values = ["nearest", "swaps", "swaps+flow"]
    )]
    pub policies: Vec<PolicyChoice>,
    /// How often a share of the cabs is drawn
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u64).range(1..=1_000))]
    pub seeds: u64,
    /// Plan every so many seconds [default: at once, but not twice within two seconds]
    #[arg(long, value_name = "TIME", value_parser = seconds)]
    pub window: Option<Duration>,
    /// The share of offers that drivers refuse
    #[arg(long, value_name = "SHARE", default_value_t = 0.0, value_parser = share)]
    pub refusals: f64,
    /// How far real drives are off their ETA, as a share (standard deviation)
    #[arg(long, value_name = "SHARE", default_value_t = 0.0, value_parser = share)]
    pub eta_error: f64,
    /// Riders leave when nobody is on the way to them after this
    #[arg(long, value_name = "TIME", value_parser = seconds)]
    pub leave_unassigned: Option<Duration>,
    /// The share of suggested moves that drivers follow
    #[arg(long, value_name = "SHARE", default_value_t = 1.0, value_parser = share)]
    pub follow: f64,
    /// Ask what perfect knowledge could do, too (min-cost flow over the day: takes a minute a day and fleet)
    #[arg(long)]
    pub bound: bool,
    /// Make forecasts from these days only; they must come before every day judged
    #[arg(long, value_name = "DAY", value_delimiter = ',', value_parser = days)]
    pub forecast_from: Vec<DaySpan>,
    /// How many days are simulated at once [default: as many as the machine has cores]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=256))]
    pub threads: Option<u16>,
    /// The city whose clock it is: a built-in one, or its folder
    #[arg(long, default_value = "sf", value_name = "CITY")]
    pub city: String,
    /// Write the answer as JSON, each day and draw by itself
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
    /// Put the tables into this page, between its marks, and the plots into a folder beside it
    #[arg(long, value_name = "FILE")]
    pub into: Option<PathBuf>,
}

/// A day, or some after each other, both ends included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DaySpan {
    /// The first.
    pub from: NaiveDate,
    /// The last.
    pub to: NaiveDate,
}

impl DaySpan {
    /// Every day of it.
    pub fn days(self) -> impl Iterator<Item = NaiveDate> {
        self.from.iter_days().take_while(move |&day| day <= self.to)
    }
}

fn days(text: &str) -> Result<DaySpan, String> {
    let day = |text: &str| {
        text.parse()
            .map_err(|_| format!("{text:?} is not a day such as 2008-05-28"))
    };
    let (from, to) = text.split_once("..").unwrap_or((text, text));
    let span = DaySpan {
        from: day(from)?,
        to: day(to)?,
    };
    if span.to < span.from {
        return Err(format!("{text:?} ends before it begins"));
    }
    Ok(span)
}

fn number(text: &str, expected: &str, fits: impl Fn(f64) -> bool) -> Result<f64, String> {
    let number = text.parse().ok().filter(|&number| fits(number));
    number.ok_or_else(|| format!("{text:?} is not {expected}"))
}

fn share(text: &str) -> Result<f64, String> {
    number(text, "a share from 0 to 1", |it| (0.0..=1.0).contains(&it))
}

fn fleet(text: &str) -> Result<f64, String> {
    number(text, "a share above 0, up to 1", |it| it > 0.0 && it <= 1.0)
}

fn demand(text: &str) -> Result<f64, String> {
    number(text, "a multiple above 0, up to 20", |it| {
        it > 0.0 && it <= 20.0
    })
}

/// What is told of it.
#[derive(Debug, Clone, Args)]
pub struct StatusArguments {
    /// The city.
    #[command(flatten)]
    pub city: RunningCity,
    /// The services' metrics too, each series as it was said last
    #[arg(long)]
    pub metrics: bool,
}

/// An evening.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct CityArguments {
    /// Something else than the evening.
    #[command(subcommand)]
    pub command: Option<CityCommand>,
    /// The evening.
    #[command(flatten)]
    pub evening: EveningArguments,
}

/// What else can be done with a city.
#[derive(Debug, Subcommand)]
pub enum CityCommand {
    /// Compute a city's profile from a folder of its rides, shifts and street graph
    Build(BuildArguments),
}

/// Where a profile comes from and goes to.
#[derive(Debug, Args)]
pub struct BuildArguments {
    /// The city: a built-in one, or its folder
    #[arg(long, default_value = "sf", value_name = "CITY")]
    pub city: String,
    /// The folder with rides, shifts and street graph
    #[arg(long, value_name = "DIR", env = "HEXCAB_DATA")]
    pub data: PathBuf,
    /// Where the profile's files go: a city's profile/
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
}

/// What evening, in what city.
#[derive(Debug, Clone, Args)]
pub struct EveningArguments {
    /// The city.
    #[command(flatten)]
    pub up: UpArguments,
    /// How long requests come, in city time: 90s, 60m, 2h; open rides are carried to their end after it
    #[arg(long = "for", value_name = "TIME", default_value = "60m")]
    pub window: String,
    /// Drivers at the beginning [default: as many as usual at that hour, or the recorded shifts with --data]
    #[arg(long, value_name = "N")]
    pub drivers: Option<usize>,
    /// Demand, as a multiple of what is usual or recorded
    #[arg(long, value_name = "X", default_value_t = 1.0)]
    pub demand_scale: f64,
    /// Decides who wants what when, and how people choose
    #[arg(long, value_name = "N", default_value_t = 7)]
    pub seed: u64,
    /// Write the report as JSON (docs/report.md)
    #[arg(long, value_name = "FILE")]
    pub report: Option<PathBuf>,
    /// Keep the city up afterwards, with a curl and a grpcurl line to try
    #[arg(long)]
    pub stay: bool,
    /// How long to wait for what services still have to tell each other, before it counts as a violation
    #[arg(long, value_name = "TIME", default_value = "60s", value_parser = seconds)]
    pub settle: Duration,
}

/// Faults.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct ChaosArguments {
    /// Something else than a run.
    #[command(subcommand)]
    pub command: Option<ChaosCommand>,
    /// The run.
    #[command(flatten)]
    pub run: ChaosRunArguments,
}

/// What else can be done with chaos runs.
#[derive(Debug, Subcommand)]
pub enum ChaosCommand {
    /// Print what many runs came to as Markdown, from the reports that they wrote
    Summary {
        /// Reports of `hexcab chaos --report`
        #[arg(required = true, value_name = "REPORT")]
        reports: Vec<PathBuf>,
        /// Put it into this page, between its marks
        #[arg(long, value_name = "FILE")]
        into: Option<PathBuf>,
        /// Fail when there is a crash point that no run reached
        #[arg(long)]
        every_point: bool,
    },
}

/// What faults, in what city.
#[derive(Debug, Clone, Args)]
pub struct ChaosRunArguments {
    /// The city.
    #[command(flatten)]
    pub up: UpArguments,
    /// Decides which fault strikes what when, and who wants what: the same seed and length give the same schedule
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub seed: u64,
    /// How long faults come, in the machine's time (not the city's, as `hexcab city --for` is): 90s, 10m. The start before
    /// and the open rides after it take some minutes more
    #[arg(long = "for", value_name = "TIME", default_value = "3m", value_parser = seconds)]
    pub window: Duration,
    /// Drivers at the beginning [default: as many as usual at that hour, or the recorded shifts with --data]
    #[arg(long, value_name = "N")]
    pub drivers: Option<usize>,
    /// Demand, as a multiple of what is usual or recorded
    #[arg(long, value_name = "X", default_value_t = 1.0)]
    pub demand_scale: f64,
    /// Write the report as JSON (docs/reliability.md)
    #[arg(long, value_name = "FILE")]
    pub report: Option<PathBuf>,
    /// Carry out this schedule: one that --plan wrote, perhaps edited. It brings its seed and its length
    #[arg(long, value_name = "FILE", conflicts_with_all = ["seed", "window"])]
    pub schedule: Option<PathBuf>,
    /// Write the schedule as JSON before it is carried out, to have it again or edit it
    #[arg(long, value_name = "FILE")]
    pub plan: Option<PathBuf>,
}

/// Which databases are checked.
#[derive(Debug, Args)]
pub struct VerifyArguments {
    /// The city.
    #[command(flatten)]
    pub city: RunningCity,
    /// Check the databases trip, payment, pricing and sandbox of this server instead: postgres://user:password@host:port
    #[arg(long, value_name = "URL", conflicts_with = "dir")]
    pub postgres: Option<String>,
    /// The city's clock, for deadlines, with --postgres: as HEXCAB_CLOCK
    #[arg(long, value_name = "SPEC", default_value = "system")]
    pub clock: ClockConfig,
    /// How long to wait for what services still have to tell each other
    #[arg(long, value_name = "TIME", default_value = "60s", value_parser = seconds)]
    pub settle: Duration,
    /// Print the outcome as JSON
    #[arg(long)]
    pub json: bool,
}

/// One ride.
#[derive(Debug, Args)]
pub struct RideArguments {
    /// The city.
    #[command(flatten)]
    pub city: RunningCity,
    /// Another gateway than the running city's; needs --sign-in
    #[arg(long, value_name = "URL", requires = "sign_in")]
    pub gateway: Option<String>,
    /// Where tokens are issued, with --gateway
    #[arg(long, value_name = "URL")]
    pub sign_in: Option<String>,
    /// What the city stands on, when one is started for this ride
    #[arg(
        long = "stack",
        value_name = "STACK",
        value_enum,
        default_value_t,
        env = "HEXCAB_STACK"
    )]
    pub stores: Stores,
    /// A collector for the spans, when a city is started for this ride
    #[arg(long, value_name = "URL", env = "OTEL_EXPORTER_OTLP_ENDPOINT")]
    pub otlp: Option<String>,
}

/// Whose token.
#[derive(Debug, Args)]
pub struct TokenArguments {
    /// The city.
    #[command(flatten)]
    pub city: RunningCity,
    /// As what: service is for calls of the services themselves
    #[arg(long, value_enum)]
    pub role: TokenRole,
    /// As whom [default: somebody new]
    #[arg(long, value_name = "UUID")]
    pub id: Option<Uuid>,
    /// Ask this sign-in, such as a cluster's, and no running city
    #[arg(long, value_name = "URL", conflicts_with = "dir")]
    pub sign_in: Option<String>,
}

/// As what one calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum TokenRole {
    /// A rider, at the gateway.
    Rider,
    /// A driver, at the gateway.
    Driver,
    /// An operator, at the gateway.
    Operator,
    /// A service, at any service.
    Service,
}

/// Events.
#[derive(Debug, Args)]
pub struct EventsArguments {
    /// The city.
    #[command(flatten)]
    pub city: RunningCity,
    /// What to do with them.
    #[command(subcommand)]
    pub command: EventsCommand,
}

/// What can be done with events.
#[derive(Debug, Subcommand)]
pub enum EventsCommand {
    /// Print events as they come: time, type, subject, trace, place, and what they say
    Tail {
        /// Only these topics: trip, payment, dispatch, surge, supply, demand
        #[arg(long = "topic", value_name = "TOPIC")]
        topics: Vec<String>,
        /// From the beginning of what the broker still has, and end there
        #[arg(long)]
        all: bool,
        /// A line an event, without what it says
        #[arg(long)]
        brief: bool,
        /// A JSON object an event, with its headers
        #[arg(long, conflicts_with = "brief")]
        json: bool,
    },
    /// Events that could not be handled
    #[command(subcommand)]
    Dlq(DlqCommand),
    /// Send the outboxes again; consumers take in only what they have not had
    Republish {
        /// Everything written at or after this (RFC 3339, the machine's time) [default: all]
        #[arg(long, value_name = "TIME")]
        since: Option<String>,
    },
}

/// What can be done with dead letters.
#[derive(Debug, Subcommand)]
pub enum DlqCommand {
    /// List them
    List,
    /// Show one whole
    Show {
        /// As listed: topic:partition:offset
        letter: String,
    },
    /// Send letters to the topic they came from, as the events they were; consumers that had them take no notice
    Replay(Letters),
    /// Give letters up: they are not listed any more
    Drop(Letters),
}

/// Which dead letters.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub struct Letters {
    /// As listed: topic:partition:offset
    #[arg(value_name = "LETTER", required_unless_present = "all")]
    pub letters: Vec<String>,
    /// Every letter that is listed
    #[arg(long, conflicts_with = "letters")]
    pub all: bool,
}

/// A Postgres of one's own.
#[derive(Debug, Args)]
pub struct PostgresArguments {
    /// Its folder: made when missing, reused when there
    #[arg(long, value_name = "DIR")]
    pub dir: PathBuf,
    /// Do not wait for the disk at commits
    #[arg(long)]
    pub fast: bool,
}

/// What a cluster needs (infra/compose.yaml, infra/helm).
#[derive(Debug, Subcommand)]
pub enum ClusterCommand {
    /// Make the keys and secrets that are missing in a folder: of users, of quotes, of the services, of the processor
    Keys {
        /// The folder
        #[arg(long, value_name = "DIR")]
        dir: PathBuf,
    },
    /// Make the topics that are missing
    Topics {
        /// Kafka, host:port
        #[arg(long, value_name = "ADDRESSES")]
        brokers: String,
        /// Copies of each partition
        #[arg(long, value_name = "N", default_value_t = 1)]
        replicas: i32,
    },
    /// Give a token to anyone who asks, for any role: only for a network in which everyone may be anyone
    SignIn {
        /// Where to listen
        #[arg(long, value_name = "ADDRESS")]
        listen: SocketAddr,
        /// The private key of user tokens, PEM; the gateway has the public one
        #[arg(long, value_name = "FILE")]
        key: PathBuf,
        /// Ask the one that listens there whether it serves, and exit
        #[arg(long)]
        healthcheck: bool,
    },
}

/// The embedded stack's Kafka.
#[derive(Debug, Args)]
pub struct BrokerArguments {
    /// Where clients find it
    #[arg(long, value_name = "PORT")]
    pub port: u16,
    /// How many brokers its clients may have known at this port before
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub generation: u32,
}

/// What is looked for.
#[derive(Debug, Args)]
pub struct DoctorArguments {
    /// Where a city's folder would be [default: the temporary folder]
    #[arg(long, value_name = "DIR")]
    pub dir: Option<PathBuf>,
    /// A data folder to look into
    #[arg(long, value_name = "DIR", env = "HEXCAB_DATA")]
    pub data: Option<PathBuf>,
}

/// A length of real time: 90s, 5m.
fn seconds(text: &str) -> Result<Duration, String> {
    let wrong = || format!("{text:?} is not a time such as 60s or 5m");
    let (digits, unit_s) = match text.char_indices().next_back().ok_or_else(wrong)? {
        (at, 's') => (&text[..at], 1),
        (at, 'm') => (&text[..at], 60),
        _ => return Err(wrong()),
    };
    let count: u32 = digits.parse().map_err(|_| wrong())?;
    Ok(Duration::from_secs(u64::from(count) * unit_s))
}

/// How a city is started.
#[derive(Debug, Clone, Args)]
pub struct UpArguments {
    /// What the city stands on
    #[arg(
        long = "stack",
        value_name = "STACK",
        value_enum,
        default_value_t,
        env = "HEXCAB_STACK"
    )]
    pub stores: Stores,
    /// Keep everything of this city here: data, logs, keys, city.json [default: a temporary folder, removed at the end]
    #[arg(long, value_name = "DIR")]
    pub dir: Option<PathBuf>,
    /// The city: a built-in one, or its folder
    #[arg(long, default_value = "sf", value_name = "CITY")]
    pub city: String,
    /// How fast the city's clock runs, in city seconds per second [default: 1; `hexcab city`: 20]
    #[arg(long, value_name = "N")]
    pub speed: Option<f64>,
    /// When the city's clock begins: 2008-05-30T17:00 (the city's time zone) or RFC 3339 [default: now]
    #[arg(long, value_name = "TIME")]
    pub from: Option<String>,
    /// A folder with the city's real rides, shifts and street graph
    #[arg(long, value_name = "DIR", env = "HEXCAB_DATA")]
    pub data: Option<PathBuf>,
    /// A collector (OTLP over gRPC) that gets all spans too
    #[arg(long, value_name = "URL", env = "OTEL_EXPORTER_OTLP_ENDPOINT")]
    pub otlp: Option<String>,
    /// Do not wait for the disk at commits: faster, and lost with the machine
    #[arg(long)]
    pub no_fsync: bool,
    /// Ports.
    #[command(flatten)]
    pub ports: WantedPorts,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }
}
