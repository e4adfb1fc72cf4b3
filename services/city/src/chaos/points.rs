//! Every crash point there is: where it is in the code, and what dying there proves.
//!
//! Invariant: table and code name the same points (a test reads the sources). A point of a library is listed for every
//! service that is worth killing there. Does not: reach them.

use std::fmt;

use crate::stack::services::Service;

/// A place between two effects where a chaos run ends a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Point {
    /// Which service is sent there.
    pub service: Service,
    /// Its name in `crash::point`.
    pub name: &'static str,
    /// What holds although the process died here.
    pub proves: &'static str,
    /// Whether it is passed seldom: then the first arrival is the one.
    pub rare: bool,
    /// What brings a process there.
    pub needs: Needs,
}

impl fmt::Display for Point {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {}", self.name, self.service.name())
    }
}

/// What brings a process to a point.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Needs {
    /// What riders and drivers do from the beginning.
    Requests,
    /// The end of a ride, or what comes after it.
    Rides,
    /// An event that cannot be read.
    Poison,
}

const fn point(service: Service, name: &'static str, proves: &'static str) -> Point {
    Point {
        service,
        name,
        proves,
        rare: false,
        needs: Needs::Requests,
    }
}

/// One that no ride has come to yet when the load begins.
const fn late(point: Point) -> Point {
    Point {
        needs: Needs::Rides,
        ..point
    }
}

const fn rare(point: Point) -> Point {
    Point {
        rare: true,
        ..point
    }
}

/// Whether this one must be brought there by an event that cannot be read.
pub fn needs_poison(service: Service, name: &str) -> bool {
    let mut poisoned = POINTS.iter().filter(|point| point.needs == Needs::Poison);
    poisoned.any(|point| (point.service, point.name) == (service, name))
}

const NOTED: &str =
    "what was noted is a row: a worker finds it, and the event that came again is known (phase A)";
const CLAIMED: &str = "a lease of the dead runs out, and the step is done by another, once";
const ANSWERED: &str =
    "an answer that nobody recorded is asked for by the same key: the money moves once (phase B)";
const RECORDED: &str =
    "what is recorded is not asked for again; what follows is found as a row (phase C)";

const READ: &str = "events that were read and not sent are sent by the next relay";
const SENT: &str =
    "events that were sent without the cursor moving are sent again, and the inbox takes no notice";
const MOVED: &str = "a cursor that moved is where the next relay begins";
const HANDLED: &str =
    "an event that had its effect, and whose place was not kept, comes again and has none";
const STORED: &str =
    "a place that was kept and not committed is before its event: it comes again and has no effect";
const ASIDE: &str = "an event that was put aside, and whose place was not kept, is put aside again and holds nothing up";

/// All of them.
pub const POINTS: &[Point] = &[
    point(
        Service::Trip,
        "trip.committed",
        "a command that was done and not answered is answered the same when it is sent again (I6), done once (I2)",
    ),
    rare(point(
        Service::Trip,
        "trip.sweep.due",
        "a deadline that was seen and not carried out is still a row: the next sweeper carries it out (I9)",
    )),
    rare(point(
        Service::Trip,
        "trip.sweep.carried_out",
        "a deadline that was carried out and not noted is not carried out twice (I2, I4)",
    )),
    point(
        Service::Dispatch,
        "dispatch.decided",
        "a decision that was told and not offered binds nobody: the trip is offered again from trip's own rows",
    ),
    point(
        Service::Dispatch,
        "dispatch.offered",
        "an offer that was made and not noted is found in trip when the book is built again; the driver is not offered twice",
    ),
    point(
        Service::Dispatch,
        "consumer.handled",
        "a book that died with its process is built again from trip, whatever of the events was handled",
    ),
    point(
        Service::Gateway,
        "consumer.handled",
        "a session that died is opened again by its app, and told how things stand",
    ),
    point(Service::Trip, "relay.read", READ),
    point(Service::Trip, "relay.sent", SENT),
    point(Service::Trip, "relay.moved", MOVED),
    point(Service::Trip, "consumer.handled", HANDLED),
    point(Service::Trip, "consumer.stored", STORED),
    point(Service::Payment, "relay.read", READ),
    point(Service::Payment, "relay.sent", SENT),
    point(Service::Payment, "relay.moved", MOVED),
    point(Service::Payment, "consumer.handled", HANDLED),
    point(Service::Payment, "consumer.stored", STORED),
    point(Service::Pricing, "relay.read", READ),
    point(Service::Pricing, "relay.sent", SENT),
    point(Service::Pricing, "relay.moved", MOVED),
    point(Service::Pricing, "consumer.handled", HANDLED),
    point(Service::Pricing, "consumer.stored", STORED),
    rare(Point {
        needs: Needs::Poison,
        ..point(Service::Trip, "consumer.aside", ASIDE)
    }),
    rare(Point {
        needs: Needs::Poison,
        ..point(Service::Payment, "consumer.aside", ASIDE)
    }),
    point(Service::Payment, "payment.hold.noted", NOTED),
    point(Service::Payment, "payment.hold.claimed", CLAIMED),
    point(Service::Payment, "payment.hold.answered", ANSWERED),
    point(Service::Payment, "payment.hold.recorded", RECORDED),
    rare(late(point(Service::Payment, "payment.raise.noted", NOTED))),
    rare(late(point(
        Service::Payment,
        "payment.raise.claimed",
        CLAIMED,
    ))),
    rare(late(point(
        Service::Payment,
        "payment.raise.answered",
        ANSWERED,
    ))),
    rare(late(point(
        Service::Payment,
        "payment.raise.recorded",
        RECORDED,
    ))),
    late(point(Service::Payment, "payment.capture.noted", NOTED)),
    late(point(Service::Payment, "payment.capture.claimed", CLAIMED)),
    late(point(
        Service::Payment,
        "payment.capture.answered",
        ANSWERED,
    )),
    late(point(
        Service::Payment,
        "payment.capture.recorded",
        RECORDED,
    )),
    rare(point(Service::Payment, "payment.void.noted", NOTED)),
    rare(point(Service::Payment, "payment.void.claimed", CLAIMED)),
    rare(point(Service::Payment, "payment.void.answered", ANSWERED)),
    rare(point(Service::Payment, "payment.void.recorded", RECORDED)),
    rare(late(point(
        Service::Payment,
        "payment.charge.claimed",
        CLAIMED,
    ))),
    rare(late(point(
        Service::Payment,
        "payment.charge.answered",
        ANSWERED,
    ))),
    rare(late(point(
        Service::Payment,
        "payment.charge.recorded",
        RECORDED,
    ))),
    rare(late(point(Service::Payment, "payment.refund.noted", NOTED))),
    rare(late(point(
        Service::Payment,
        "payment.refund.claimed",
        CLAIMED,
    ))),
    rare(late(point(
        Service::Payment,
        "payment.refund.answered",
        ANSWERED,
    ))),
    rare(late(point(
        Service::Payment,
        "payment.refund.recorded",
        RECORDED,
    ))),
    rare(late(point(Service::Payment, "payment.tip.noted", NOTED))),
    rare(late(point(
        Service::Payment,
        "payment.tip.claimed",
        CLAIMED,
    ))),
    rare(late(point(
        Service::Payment,
        "payment.tip.answered",
        ANSWERED,
    ))),
    rare(late(point(
        Service::Payment,
        "payment.tip.recorded",
        RECORDED,
    ))),
    rare(point(
        Service::Payment,
        "payment.webhook.kept",
        "a webhook that was kept and not answered comes again, and is known",
    )),
    rare(point(
        Service::Payment,
        "payment.hint.read",
        "a hint that was read and not followed up is taken over by another follower, once",
    )),
];

#[cfg(test)]
mod tests {
    use std::{
        collections::BTreeSet,
        path::{Path, PathBuf},
    };

    use super::*;

    /// Points that no run can reach, and why.
    const OUT_OF_REACH: [(&str, &str); 1] = [(
        "payment.charge.noted",
        "a rest is noted in the transaction that records the capture: that is payment.capture.recorded",
    )];

    fn sources(parts: &[&str]) -> Vec<(PathBuf, String)> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let mut open: Vec<PathBuf> = parts.iter().map(|part| root.join(part)).collect();
        let mut found = Vec::new();
        while let Some(path) = open.pop() {
            if path.is_dir() {
                if !path.ends_with("target") && !path.ends_with("services/city") {
                    open.extend(path.read_dir().unwrap().map(|entry| entry.unwrap().path()));
                }
            } else if path.extension().is_some_and(|ending| ending == "rs") {
                found.push((path.clone(), std::fs::read_to_string(&path).unwrap()));
            }
        }
        found
    }

    /// The literals that follow this call, in every source file but this crate's; what is no literal is left out.
    fn named(call: &str) -> BTreeSet<String> {
        let mut found = BTreeSet::new();
        for (_, text) in sources(&["libs", "services"]) {
            for after in text.split(call).skip(1) {
                let literal = after.trim_start().strip_prefix('"');
                if let Some((name, _)) = literal.and_then(|after| after.split_once('"')) {
                    found.insert(name.to_owned());
                }
            }
        }
        found
    }

    /// Those that are named by a literal, and those that payment makes of its steps (`services/payment/src/crash.rs`).
    fn in_the_code() -> BTreeSet<String> {
        let mut found = named("crash::point(");
        for step in named("places!(") {
            let places = ["noted", "claimed", "answered", "recorded"];
            found.extend(places.map(|place| format!("payment.{step}.{place}")));
        }
        found
    }

    #[test]
    fn table_and_code_name_the_same_points() {
        let listed = POINTS.iter().map(|point| point.name.to_owned());
        let excused = OUT_OF_REACH.iter().map(|(name, _)| (*name).to_owned());
        assert_eq!(
            listed.chain(excused).collect::<BTreeSet<_>>(),
            in_the_code()
        );
    }

    #[test]
    fn every_crash_point_in_the_code_can_be_named_by_this_test() {
        // Steps of payment are named by a function of their own; nobody else may.
        let other = sources(&["libs", "services"])
            .into_iter()
            .filter(|(path, text)| {
                let literals = text.matches("crash::point(\"").count();
                let calls = text.matches("crash::point(").count();
                let is_payment = path.components().any(|part| part.as_os_str() == "payment");
                calls != literals && !is_payment
            });
        let other: Vec<PathBuf> = other.map(|(path, _)| path).collect();
        assert!(other.is_empty(), "{other:?}");
    }

    #[test]
    fn no_point_is_listed_twice_and_each_says_what_it_proves() {
        let mut seen = BTreeSet::new();
        for point in POINTS {
            assert!(seen.insert((point.service, point.name)), "{point:?}");
            assert!(point.proves.len() > 20, "{point:?}");
        }
    }
}
