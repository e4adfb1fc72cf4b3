//! Checks that compare databases: the money of trips ([`money`]), and outboxes with inboxes. The databases are read one
//! after the other, so what moves meanwhile may look wrong until it has settled.
//! Only trip, payment and pricing have inboxes: dispatch and the gateway take events in too, but keep nothing durable, so
//! that there is nothing to check.
//!
//! Does not: judge one database by itself ([`super::rows`] does).

use std::collections::HashSet;

use anyhow::Context as _;
use hexcab_types::Timestamp;
use sqlx::PgConnection;
use uuid::Uuid;

use super::{Databases, Finding, Outcome, money};

/// Makes all of them.
///
/// # Errors
/// When a database cannot be asked.
pub async fn run(databases: &mut Databases) -> anyhow::Result<Vec<Outcome>> {
    let mut outcomes = money::run(databases).await?;
    for what in &DELIVERIES {
        outcomes.push(delivered(what, databases).await?);
    }
    Ok(outcomes)
}

/// Events of one database that another must have taken in.
struct Delivery {
    name: &'static str,
    says: &'static str,
    /// Whose outbox, and whose inbox.
    from: Party,
    to: Party,
    /// Event ids that the consumer has an effect for.
    sent: &'static str,
    /// Event ids that it has taken in.
    taken: &'static str,
}

#[derive(Clone, Copy)]
enum Party {
    Trip,
    Payment,
    Pricing,
}

impl Party {
    const fn of(self, databases: &mut Databases) -> &mut PgConnection {
        match self {
            Self::Trip => &mut databases.trip,
            Self::Payment => &mut databases.payment,
            Self::Pricing => &mut databases.pricing,
        }
    }
}

const DELIVERIES: [Delivery; 3] = [
    Delivery {
        name: "events trip→payment",
        says: "payment took in every request, activation, start after waiting and end of a trip, once",
        from: Party::Trip,
        to: Party::Payment,
        sent: "SELECT o.event_id FROM outbox o JOIN trip_events e ON e.event = o.event_id JOIN trips t ON t.id = e.trip
               WHERE e.kind IN ('TripRequested', 'TripActivated', 'TripCompleted', 'TripCancelled', 'TripExpired')
                  OR (e.kind = 'TripStarted' AND t.waiting_fee_minor > 0)",
        taken: "SELECT event_id FROM inbox WHERE consumer = 'payment'",
    },
    Delivery {
        name: "events trip→pricing",
        says: "pricing took in every request and activation of a trip, once",
        from: Party::Trip,
        to: Party::Pricing,
        sent: "SELECT event_id FROM outbox WHERE kind IN ('hexcab.trip.v1.TripRequested', 'hexcab.trip.v1.TripActivated')",
        taken: "SELECT event_id FROM inbox WHERE consumer = 'pricing'
                AND kind IN ('hexcab.trip.v1.TripRequested', 'hexcab.trip.v1.TripActivated')",
    },
    Delivery {
        name: "events payment→trip",
        says: "trip took in every event of payment, once",
        from: Party::Payment,
        to: Party::Trip,
        sent: "SELECT event_id FROM outbox WHERE topic = 'hexcab.payment.v1'",
        taken: "SELECT event_id FROM inbox WHERE consumer = 'trip'",
    },
];

/// Events written by then (the machine's time) that were not taken in yet, by delivery.
///
/// # Errors
/// When a database cannot be asked.
pub async fn undelivered(
    databases: &mut Databases,
    by: Timestamp,
) -> anyhow::Result<Vec<(&'static str, usize)>> {
    let mut counts = Vec::new();
    for what in &DELIVERIES {
        let taken = ids(what.to.of(databases), what.taken, what.name).await?;
        let old = "SELECT event_id FROM outbox WHERE write_time <= $1";
        let old: HashSet<Uuid> = sqlx::query_scalar(old)
            .bind(by)
            .fetch_all(what.from.of(databases))
            .await
            .context(what.name)?
            .into_iter()
            .collect();
        let sent = ids(what.from.of(databases), what.sent, what.name).await?;
        let missing = sent
            .iter()
            .filter(|id| old.contains(id) && !taken.contains(id));
        counts.push((what.name, missing.count()));
    }
    Ok(counts)
}

/// When the oldest event was written (the machine's time) that was not taken in yet; none when all were.
///
/// # Errors
/// When a database cannot be asked.
pub async fn oldest_undelivered(databases: &mut Databases) -> anyhow::Result<Option<Timestamp>> {
    let mut oldest = None;
    for what in &DELIVERIES {
        let taken = ids(what.to.of(databases), what.taken, what.name).await?;
        let sent = ids(what.from.of(databases), what.sent, what.name).await?;
        let missing: Vec<Uuid> = sent.difference(&taken).copied().collect();
        let written = "SELECT min(write_time) FROM outbox WHERE event_id = ANY ($1)";
        let written: Option<Timestamp> = sqlx::query_scalar(written)
            .bind(&missing)
            .fetch_one(what.from.of(databases))
            .await
            .context(what.name)?;
        oldest = oldest.into_iter().chain(written).min();
    }
    Ok(oldest)
}

async fn ids(
    database: &mut PgConnection,
    sql: &'static str,
    name: &'static str,
) -> anyhow::Result<HashSet<Uuid>> {
    let ids: Vec<Uuid> = sqlx::query_scalar(sql)
        .fetch_all(database)
        .await
        .context(name)?;
    Ok(ids.into_iter().collect())
}

/// From which id on an outbox has everything: what came before was dropped on purpose, and still is in inboxes.
const KEPT_FROM: &str = "SELECT kept_from FROM bus_tables WHERE name = 'outbox'";

/// The inbox's key makes "at most once"; this is "at least once", and nothing from nowhere.
async fn delivered(what: &Delivery, databases: &mut Databases) -> anyhow::Result<Outcome> {
    // The receiver first: what is sent meanwhile is then missing, and settles; the other way round it would be phantoms.
    let taken = ids(what.to.of(databases), what.taken, what.name).await?;
    let sent = ids(what.from.of(databases), what.sent, what.name).await?;
    let kept_from: Uuid = sqlx::query_scalar(KEPT_FROM)
        .fetch_one(what.from.of(databases))
        .await
        .context(what.name)?;
    let finding = |id: &Uuid, detail: &str| Finding {
        id: id.to_string(),
        detail: detail.to_owned(),
    };
    let missing = sent
        .difference(&taken)
        .map(|id| finding(id, "was not taken in"));
    let phantoms = taken
        .difference(&sent)
        .filter(|id| **id >= kept_from)
        .map(|id| finding(id, "was taken in and never sent"));
    Ok(Outcome::new(
        what.name,
        what.says,
        sent.len(),
        missing.chain(phantoms).collect(),
    ))
}
