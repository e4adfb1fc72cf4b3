//! Every crash point there is: where it is in the code, and what dying there proves.
//!
//! Invariant: table and code name the same points (a test reads the sources). A point of a library is listed for every
//! service that is worth killing there. Does not: reach them.

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
}

const fn point(service: Service, name: &'static str, proves: &'static str) -> Point {
    Point {
        service,
        name,
        proves,
        rare: false,
    }
}

/// All of them.
pub const POINTS: &[Point] = &[
    point(
        Service::Trip,
        "trip.committed",
        "a command that was done and not answered is answered the same when it is sent again (I6), done once (I2)",
    ),
    point(
        Service::Trip,
        "trip.sweep.due",
        "a deadline that was seen and not carried out is still a row: the next sweeper carries it out (I9)",
    ),
    point(
        Service::Trip,
        "trip.sweep.carried_out",
        "a deadline that was carried out and not noted is not carried out twice (I2, I4)",
    ),
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
];

#[cfg(test)]
mod tests {
    use std::{
        collections::BTreeSet,
        path::{Path, PathBuf},
    };

    use super::*;

    /// The names in `crash::point("…")` of every source file but this crate's.
    fn in_the_code() -> BTreeSet<String> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let mut open: Vec<PathBuf> = ["libs", "services"].map(|part| root.join(part)).into();
        let mut found = BTreeSet::new();
        while let Some(path) = open.pop() {
            if path.is_dir() {
                if !path.ends_with("target") && !path.ends_with("services/city") {
                    open.extend(path.read_dir().unwrap().map(|entry| entry.unwrap().path()));
                }
            } else if path.extension().is_some_and(|ending| ending == "rs") {
                let text = std::fs::read_to_string(&path).unwrap();
                let mut rest = text.as_str();
                while let Some((_, after)) = rest.split_once("crash::point(") {
                    let name = after.trim_start().strip_prefix('"');
                    let name = name.and_then(|after| after.split_once('"'));
                    let (name, after) = name.unwrap_or_else(|| {
                        panic!("{}: a crash point is named by a literal", path.display())
                    });
                    found.insert(name.to_owned());
                    rest = after;
                }
            }
        }
        found
    }

    #[test]
    fn table_and_code_name_the_same_points() {
        let table: BTreeSet<String> = POINTS.iter().map(|point| point.name.to_owned()).collect();
        assert_eq!(table, in_the_code());
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
