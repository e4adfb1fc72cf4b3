//! One type per kind of id, so that a rider's id cannot stand where a driver's is wanted.
//!
//! Ids are UUIDs; resource names (`trips/{trip}`) are how they appear in protos. New ids are made by the caller
//! (`TripId::from(Uuid::now_v7())` at the edge), never here: the domain takes ids as arguments.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// An id or resource name that could not be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{given:?} is not a {expected}")]
pub struct IdError {
    given: String,
    expected: String,
}

/// An id that has a resource name: for code that reads names of any kind.
pub trait Named: Sized {
    /// Reads a resource name `collection/{id}`.
    ///
    /// # Errors
    /// When the collection is another one or the rest is not a UUID.
    fn from_name(name: &str) -> Result<Self, IdError>;
}

macro_rules! uuid_id {
    ($(#[$doc:meta])* $name:ident, $collection:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(Uuid);

        impl $name {
            /// The collection this id belongs to, as in `collection/{id}`.
            pub const COLLECTION: &'static str = $collection;

            /// The UUID itself, for a database column.
            pub const fn uuid(self) -> Uuid {
                self.0
            }

            /// The resource name, `collection/{id}`.
            pub fn name(self) -> String {
                format!("{}/{}", $collection, self.0)
            }

            /// Reads a resource name `collection/{id}`.
            ///
            /// # Errors
            /// When the collection is another one or the rest is not a UUID.
            pub fn from_name(name: &str) -> Result<Self, IdError> {
                name.strip_prefix(concat!($collection, "/"))
                    .and_then(|id| Uuid::parse_str(id).ok())
                    .filter(|id| !id.is_nil())
                    .map(Self)
                    .ok_or_else(|| IdError {
                        given: name.to_owned(),
                        expected: format!("name of the form {}/{{uuid}}", $collection),
                    })
            }
        }

        impl Named for $name {
            fn from_name(name: &str) -> Result<Self, IdError> {
                Self::from_name(name)
            }
        }

        impl From<Uuid> for $name {
            fn from(id: Uuid) -> Self {
                Self(id)
            }
        }

        impl FromStr for $name {
            type Err = IdError;
            fn from_str(text: &str) -> Result<Self, IdError> {
                Uuid::parse_str(text).ok().filter(|id| !id.is_nil()).map(Self).ok_or_else(|| IdError {
                    given: text.to_owned(),
                    expected: "UUID".to_owned(),
                })
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({})", stringify!($name), self.0)
            }
        }
    };
}

uuid_id!(
    /// A trip.
    TripId, "trips");
uuid_id!(
    /// A rider.
    RiderId, "riders");
uuid_id!(
    /// A driver.
    DriverId, "drivers");
uuid_id!(
    /// An operator: a person of the city's team.
    OperatorId, "operators");
uuid_id!(
    /// A signed price for one ride.
    QuoteId, "quotes");
uuid_id!(
    /// One decision of dispatch: who was considered for a trip, at what cost, and who was chosen.
    DecisionId, "decisions");
uuid_id!(
    /// A payment intent: the money of one trip at the processor.
    IntentId, "intents");
uuid_id!(
    /// A charge beside a trip's hold: what the trip cost above it, or a tip.
    ChargeId, "charges");
uuid_id!(
    /// Money given back to a rider.
    RefundId, "refunds");
uuid_id!(
    /// A batch of payouts to drivers.
    PayoutId, "payouts");
uuid_id!(
    /// A surge snapshot: the multipliers of all cells of a city at one moment.
    SnapshotId, "snapshots");
uuid_id!(
    /// One event, the CloudEvents `id`.
    EventId, "events");
uuid_id!(
    /// The key under which a mutation is done at most once, chosen by the caller.
    RequestId, "requests");

macro_rules! slug_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// Reads a slug: 1 to 32 characters of `a-z`, `0-9` and `_`.
            ///
            /// # Errors
            /// When it is anything else.
            pub fn new(text: impl Into<String>) -> Result<Self, IdError> {
                let text = text.into();
                let fits = (1..=32).contains(&text.len())
                    && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_');
                if fits {
                    Ok(Self(text))
                } else {
                    Err(IdError { given: text, expected: "slug of a-z, 0-9 and _ (1 to 32 characters)".to_owned() })
                }
            }

            /// The slug as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl TryFrom<String> for $name {
            type Error = IdError;
            fn try_from(text: String) -> Result<Self, IdError> {
                Self::new(text)
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> String {
                id.0
            }
        }

        impl FromStr for $name {
            type Err = IdError;
            fn from_str(text: &str) -> Result<Self, IdError> {
                Self::new(text)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({})", stringify!($name), self.0)
            }
        }
    };
}

slug_id!(
    /// A city: the name of its folder under `infra/cities`.
    CityId);
slug_id!(
    /// A kind of ride that a city sells, such as `standard`.
    ProductId);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_reads_back() {
        let id = TripId::from(Uuid::from_u128(7));
        assert_eq!(TripId::from_name(&id.name()), Ok(id));
    }

    #[test]
    fn a_name_of_another_collection_is_refused() {
        let rider = RiderId::from(Uuid::from_u128(7));
        let error = TripId::from_name(&rider.name()).unwrap_err();
        assert!(error.to_string().contains("trips/{uuid}"), "{error}");
    }

    #[test]
    fn the_nil_id_is_refused() {
        assert!(TripId::from_name("trips/00000000-0000-0000-0000-000000000000").is_err());
        assert!(
            "00000000-0000-0000-0000-000000000000"
                .parse::<DriverId>()
                .is_err()
        );
    }

    #[test]
    fn a_slug_is_short_and_lower_case() {
        assert!(CityId::new("sf").is_ok());
        for bad in ["", "SF", "san francisco", &"x".repeat(33)] {
            assert!(CityId::new(bad).is_err(), "{bad}");
        }
    }
}
