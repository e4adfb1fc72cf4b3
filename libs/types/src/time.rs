//! The time of everything: UTC, in whole microseconds so that it survives a round trip through Postgres unchanged.

/// An instant. Read it from `hexcab_chassis::Clock`, never from the system.
pub type Timestamp = chrono::DateTime<chrono::Utc>;
