//! The states of a trip, drawn by asking `decide`: from a trip that is just requested and one that is booked, every command
//! is tried in every state that is reached, when the state begins and long after.
//!
//! Invariant: no list of states or edges stands here; a new command does not compile until it has its place in [`next`].
//! Does not: draw refusals (the table in tests/it/table.rs has them).

use std::{collections::BTreeMap, fmt::Write as _, path::PathBuf};

use anyhow::Context as _;
use chrono::TimeDelta;
use hexcab_trip::domain::{
    Canceller, Command, Event, NewTrip, OfferRef, OfferTo, PaymentMethod, RiderReason, Rules,
    StartCode, State, Trip, decide, request,
};
use hexcab_types::{
    CityId, Currency, DriverId, Money, OperatorId, Point, ProductId, QuoteClaims, QuoteId, RiderId,
    Timestamp, TripId,
};
use uuid::Uuid;

/// The drawing stands between these lines.
const BEGIN: &str = "<!-- drawn by `cargo run -p hexcab-trip --example states -- --write` -->\n";
const END: &str = "<!-- end of the drawing -->\n";

/// When a command is carried out in a state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum When {
    Always,
    /// Only when its time has come: a deadline, or having waited.
    Late,
    /// Only until its time is over.
    InTime,
}

/// What a command does in a state.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Edge {
    event: &'static str,
    to: &'static str,
    when: When,
}

/// A command, whose it is, and what it does in each state that does not refuse it.
type Row = (&'static str, &'static str, BTreeMap<&'static str, Edge>);

/// All states by name in the order of a ride, and what every command does in each.
struct States {
    first: Vec<(&'static str, &'static str)>,
    names: BTreeMap<u8, &'static str>,
    edges: Vec<Row>,
}

/// The file that holds the drawing.
pub fn architecture() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../ARCHITECTURE.md")
}

/// The text with this drawing in its place.
pub fn with(text: &str, drawn: &str) -> anyhow::Result<String> {
    let (before, rest) = text.split_once(BEGIN).context("no begin of the drawing")?;
    let (_, after) = rest.split_once(END).context("no end of the drawing")?;
    Ok(format!("{before}{BEGIN}{drawn}{END}{after}"))
}

/// The drawing: a diagram of the events, and a table of the commands.
pub fn drawn() -> anyhow::Result<String> {
    let states = explore()?;
    Ok(format!("{}\n{}", diagram(&states)?, table(&states)?))
}

fn diagram(states: &States) -> Result<String, std::fmt::Error> {
    let mut drawn = String::from("```mermaid\nstateDiagram-v2\n");
    for (event, to) in &states.first {
        writeln!(drawn, "    [*] --> {to}: {event}")?;
    }
    for from in states.names.values() {
        let mut arrows: Vec<((&str, &str), Vec<&str>)> = Vec::new();
        for (command, _, does) in &states.edges {
            let Some(edge) = does.get(from) else { continue };
            let arrow = (edge.to, edge.event);
            match arrows.iter_mut().find(|(known, _)| *known == arrow) {
                Some((_, commands)) => commands.push(command),
                None => arrows.push((arrow, vec![command])),
            }
        }
        for ((to, event), commands) in &arrows {
            writeln!(
                drawn,
                "    {from} --> {to}: {event} ({})",
                commands.join(", ")
            )?;
        }
        if arrows.is_empty() {
            writeln!(drawn, "    {from} --> [*]")?;
        }
    }
    drawn.push_str("```\n");
    Ok(drawn)
}

fn table(states: &States) -> Result<String, std::fmt::Error> {
    let living: Vec<&str> = states
        .names
        .values()
        .copied()
        .filter(|name| {
            states
                .edges
                .iter()
                .any(|(_, _, does)| does.contains_key(name))
        })
        .collect();
    let mut drawn = String::from(
        "What a command makes of a trip; `·` is refused, `+` only once its time has come, `-` only until its time is over.\n```\n",
    );
    write!(drawn, "{:<16}{:<10}", "command", "by")?;
    for name in &living {
        write!(drawn, "{name:<13}")?;
    }
    drawn = drawn.trim_end().to_owned() + "\n";
    for (command, by, does) in &states.edges {
        let mut line = format!("{command:<16}{by:<10}");
        for name in &living {
            let cell = does.get(name).map_or_else(
                || "·".to_owned(),
                |edge| match edge.when {
                    When::Always => edge.to.to_owned(),
                    When::Late => format!("{}+", edge.to),
                    When::InTime => format!("{}-", edge.to),
                },
            );
            write!(line, "{cell:<13}")?;
        }
        writeln!(drawn, "{}", line.trim_end())?;
    }
    drawn.push_str("```\n");
    Ok(drawn)
}

fn explore() -> anyhow::Result<States> {
    let rules = rules()?;
    let mut states = States {
        first: Vec::new(),
        names: BTreeMap::new(),
        edges: Vec::new(),
    };
    let mut reached: Vec<Trip> = Vec::new();
    for pickup_time in [Some(now() + rules.schedule_lead * 2), None] {
        let (trip, event) = request(new_trip(pickup_time)?, &rules, now())?;
        states.first.push((event.kind(), trip.state.name()));
        reached.push(trip);
    }
    let mut looked_at = 0;
    while let Some(trip) = reached.get(looked_at).cloned() {
        looked_at += 1;
        states.names.insert(place(&trip.state), trip.state.name());
        for next in tried(&trip, &rules, &mut states.edges) {
            if reached
                .iter()
                .all(|known| known.state.name() != next.state.name())
            {
                reached.push(next);
            }
        }
    }
    Ok(states)
}

/// Tries every command on a trip; the trips that come of them.
fn tried(trip: &Trip, rules: &Rules, edges: &mut Vec<Row>) -> Vec<Trip> {
    let (soon, late) = (trip.updated_at, trip.updated_at + TimeDelta::days(2));
    let mut reached = Vec::new();
    let mut command = Some(next(None, trip));
    while let Some(Some(it)) = command {
        let outcome = |at: Timestamp| decide(trip, &it, rules, at).ok();
        let (at_once, later) = (outcome(soon), outcome(late));
        let when = match (&at_once, &later) {
            (Some(_), Some(_)) => Some(When::Always),
            (Some(_), None) => Some(When::InTime),
            (None, Some(_)) => Some(When::Late),
            (None, None) => None,
        };
        let event: Option<(Event, Timestamp)> = at_once
            .map(|event| (event, soon))
            .or_else(|| later.map(|event| (event, late)));
        let (label, by) = label(&it);
        if !edges.iter().any(|(known, _, _)| *known == label) {
            edges.push((label, by, BTreeMap::new()));
        }
        if let (Some(when), Some((event, at))) = (when, event) {
            let after = trip.clone().apply(&event, at);
            let edge = Edge {
                event: event.kind(),
                to: after.state.name(),
                when,
            };
            if let Some((_, _, does)) = edges.iter_mut().find(|(known, _, _)| *known == label) {
                does.insert(trip.state.name(), edge);
            }
            reached.push(after);
        }
        command = Some(next(Some(&it), trip));
    }
    reached
}

/// The place of a state in the life of a trip.
const fn place(state: &State) -> u8 {
    match state {
        State::Scheduled => 0,
        State::Requested => 1,
        State::Offered(_) => 2,
        State::EnRoute(_) => 3,
        State::Arrived(_) => 4,
        State::InProgress(_) => 5,
        State::Completed { .. } => 6,
        State::Cancelled { .. } => 7,
        State::Expired { .. } => 8,
    }
}

/// What a command is called, and whose it is.
const fn label(command: &Command) -> (&'static str, &'static str) {
    let by = match command {
        Command::Offer(_) => "dispatch",
        Command::Activate
        | Command::ExpireOffer { .. }
        | Command::ExpireRequest
        | Command::Stall { .. }
        | Command::Cancel(Canceller::RiderBusy) => "sweeper",
        Command::Accept(_)
        | Command::Decline(_)
        | Command::Arrive { .. }
        | Command::Start { .. }
        | Command::Complete { .. }
        | Command::NoShow { .. }
        | Command::Release { .. } => "driver",
        Command::Cancel(Canceller::Rider { .. }) => "rider",
        Command::Cancel(Canceller::PaymentDeclined) => "payment",
        Command::Reassign { .. } | Command::ForceEnd { .. } => "operator",
    };
    let name = match command {
        Command::Cancel(Canceller::RiderBusy) => "rider busy",
        Command::Cancel(Canceller::PaymentDeclined) => "hold declined",
        Command::Cancel(Canceller::Rider { .. })
        | Command::Activate
        | Command::Offer(_)
        | Command::Accept(_)
        | Command::Decline(_)
        | Command::ExpireOffer { .. }
        | Command::ExpireRequest
        | Command::Stall { .. }
        | Command::Arrive { .. }
        | Command::Start { .. }
        | Command::Complete { .. }
        | Command::NoShow { .. }
        | Command::Release { .. }
        | Command::Reassign { .. }
        | Command::ForceEnd { .. } => command.name(),
    };
    (name, by)
}

/// The command after this one, each once, in the order of a ride; the first one after none. They fit the trip: they are
/// of its rider, of the driver it is about and of its last offer.
fn next(after: Option<&Command>, trip: &Trip) -> Option<Command> {
    let driver = match &trip.state {
        State::Offered(open) => open.driver,
        State::Scheduled
        | State::Requested
        | State::EnRoute(_)
        | State::Arrived(_)
        | State::InProgress(_)
        | State::Completed { .. }
        | State::Cancelled { .. }
        | State::Expired { .. } => trip.driver().unwrap_or(DriverId::from(Uuid::from_u128(1))),
    };
    let epoch = trip.epoch.max(1);
    let operator = OperatorId::from(Uuid::from_u128(3));
    let note = String::from("why");
    let Some(after) = after else {
        return Some(Command::Activate);
    };
    Some(match after {
        Command::Activate => Command::Offer(OfferTo {
            driver,
            version: None,
            decision: None,
            pickup_eta_s: 60,
            pickup_distance_m: 500,
        }),
        Command::Offer(_) => Command::Accept(OfferRef { driver, epoch }),
        Command::Accept(_) => Command::Decline(OfferRef { driver, epoch }),
        Command::Decline(_) => Command::ExpireOffer { epoch },
        Command::ExpireOffer { .. } => Command::ExpireRequest,
        Command::ExpireRequest => Command::Arrive {
            driver,
            position: trip.order.pickup,
        },
        Command::Arrive { .. } => Command::Start {
            driver,
            code: trip.order.start_code.clone(),
        },
        Command::Start { .. } => Command::Complete { driver },
        Command::Complete { .. } => Command::NoShow { driver },
        Command::NoShow { .. } => Command::Release { driver },
        Command::Release { .. } => Command::Stall { epoch },
        Command::Stall { .. } => Command::Reassign { operator, note },
        Command::Reassign { .. } => Command::Cancel(Canceller::Rider {
            rider: trip.order.rider,
            reason: RiderReason::ChangedMind,
        }),
        Command::Cancel(Canceller::Rider { .. }) => Command::Cancel(Canceller::PaymentDeclined),
        Command::Cancel(Canceller::PaymentDeclined) => Command::Cancel(Canceller::RiderBusy),
        Command::Cancel(Canceller::RiderBusy) => Command::ForceEnd { operator, note },
        Command::ForceEnd { .. } => return None,
    })
}

fn now() -> Timestamp {
    Timestamp::UNIX_EPOCH
}

fn rules() -> anyhow::Result<Rules> {
    let (sf, standard) = (CityId::new("sf")?, ProductId::new("standard")?);
    let book = hexcab_trip::app::rules(&["sf".to_owned()])?;
    Ok(*book.of(&sf, &standard).context("sf sells standard rides")?)
}

fn new_trip(pickup_time: Option<Timestamp>) -> anyhow::Result<NewTrip> {
    let rider = RiderId::from(Uuid::from_u128(2));
    let usd = |minor| Money::new(minor, Currency::Usd);
    let quote = QuoteClaims {
        quote: QuoteId::from(Uuid::from_u128(4)),
        rider,
        city: CityId::new("sf")?,
        product: ProductId::new("standard")?,
        pickup: Point::from_degrees(37.77, -122.42)?,
        dropoff: Point::from_degrees(37.79, -122.40)?,
        price: usd(1840),
        driver_pay: usd(1120),
        tax: usd(58),
        cancellation_fee: usd(500),
        duration_s: 720,
        distance_m: 4100,
        expires_at: now(),
        traceparent: None,
    };
    Ok(NewTrip {
        id: TripId::from(Uuid::from_u128(5)),
        rider,
        quote,
        pickup_time,
        payment_method: PaymentMethod::Card,
        start_code: StartCode::of(4711),
        traceparent: None,
    })
}
