//! What a city consists of: processes, and the connections between two of them.
//!
//! Both are written as a person would: `trip`, `postgres`, `dispatch->trip`. Does not: run or connect anything.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use super::services::Service;

/// A process of the city, or those outside of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Node {
    /// Apps: riders, drivers, operators. Nothing of ours to kill, but their connections can be cut.
    Clients,
    /// A service.
    Service(Service),
    /// The database server.
    Postgres,
    /// The broker, whichever it is.
    Kafka,
    /// Where positions are kept, in the local stack.
    Cassandra,
}

impl Node {
    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Clients => "clients",
            Self::Service(service) => service.name(),
            Self::Postgres => "postgres",
            Self::Kafka => "kafka",
            Self::Cassandra => "cassandra",
        }
    }
}

/// Text that names nothing of a city.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is nothing in a city: want a service, postgres, kafka, cassandra or clients; connections as dispatch->trip"
)]
pub struct UnknownTarget(String);

impl FromStr for Node {
    type Err = UnknownTarget;
    fn from_str(text: &str) -> Result<Self, UnknownTarget> {
        let others = [Self::Clients, Self::Postgres, Self::Kafka, Self::Cassandra];
        let services = Service::ALL.into_iter().map(Self::Service);
        services
            .chain(others)
            .find(|node| node.name() == text)
            .ok_or_else(|| UnknownTarget(text.to_owned()))
    }
}

/// The connections of one process to another: `from` connects, `to` listens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Link {
    /// Who connects.
    pub from: Node,
    /// Who listens.
    pub to: Node,
}

impl Link {
    /// From one to the other.
    pub const fn new(from: Node, to: Node) -> Self {
        Self { from, to }
    }
}

impl FromStr for Link {
    type Err = UnknownTarget;
    fn from_str(text: &str) -> Result<Self, UnknownTarget> {
        let (from, to) = text
            .split_once("->")
            .ok_or_else(|| UnknownTarget(text.to_owned()))?;
        Ok(Self::new(from.parse()?, to.parse()?))
    }
}

impl fmt::Display for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl fmt::Display for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}->{}", self.from, self.to)
    }
}

impl TryFrom<String> for Node {
    type Error = UnknownTarget;
    fn try_from(text: String) -> Result<Self, UnknownTarget> {
        text.parse()
    }
}

impl From<Node> for String {
    fn from(node: Node) -> String {
        node.to_string()
    }
}

impl TryFrom<String> for Link {
    type Error = UnknownTarget;
    fn try_from(text: String) -> Result<Self, UnknownTarget> {
        text.parse()
    }
}

impl From<Link> for String {
    fn from(link: Link) -> String {
        link.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_again() {
        for text in [
            "trip",
            "sandbox",
            "postgres",
            "kafka",
            "cassandra",
            "clients",
        ] {
            assert_eq!(text.parse::<Node>().unwrap().to_string(), text);
        }
        for text in [
            "dispatch->trip",
            "clients->gateway",
            "payment->postgres",
            "location->cassandra",
        ] {
            assert_eq!(text.parse::<Link>().unwrap().to_string(), text);
        }
        for text in ["", "tripp", "dispatch-trip", "dispatch->", "a->b"] {
            assert!(
                text.parse::<Node>().is_err() && text.parse::<Link>().is_err(),
                "{text}"
            );
        }
    }
}
