//! Checks that one SQL statement on one database can make.
//!
//! Invariant: they do not lean on what guards the rows (constraints, triggers, the service's own table of transitions);
//! the table here is written out once more. Does not: compare databases.

use anyhow::Context as _;
use hexcab_types::Timestamp;
use sqlx::PgConnection;

use super::{Finding, Outcome, SqlCheck};

/// Over database `trip`.
pub const TRIP: &[SqlCheck] = &[
    SqlCheck {
        name: "I1 driver",
        says: "a driver has at most one active trip or open offer",
        over: "SELECT count(*) FROM trips WHERE state IN ('OFFERED', 'EN_ROUTE', 'ARRIVED', 'IN_PROGRESS')",
        bad: "SELECT who::text AS id, 'engaged in ' || string_agg(id::text, ', ' ORDER BY id) AS detail
              FROM (SELECT id, CASE state WHEN 'OFFERED' THEN offer_driver ELSE driver END AS who FROM trips
                    WHERE state IN ('OFFERED', 'EN_ROUTE', 'ARRIVED', 'IN_PROGRESS')) engaged
              GROUP BY who HAVING count(*) > 1",
    },
    SqlCheck {
        name: "I1 rider",
        says: "a rider has at most one active trip",
        over: "SELECT count(*) FROM trips WHERE state NOT IN ('SCHEDULED', 'COMPLETED', 'CANCELLED', 'EXPIRED')",
        bad: "SELECT rider::text AS id, 'rides in ' || string_agg(id::text, ', ' ORDER BY id) AS detail FROM trips
              WHERE state NOT IN ('SCHEDULED', 'COMPLETED', 'CANCELLED', 'EXPIRED') GROUP BY rider HAVING count(*) > 1",
    },
    SqlCheck {
        name: "I2 numbers",
        says: "a trip's events are numbered 1..n without gaps, and its version is n",
        over: "SELECT count(*) FROM trip_events",
        bad: "SELECT t.id::text AS id,
                     format('version %s, %s events numbered %s to %s', t.version, count(e.*), min(e.version), max(e.version)) AS detail
              FROM trips t LEFT JOIN trip_events e ON e.trip = t.id GROUP BY t.id, t.version
              HAVING count(e.*) <> t.version OR min(e.version) <> 1 OR max(e.version) <> t.version",
    },
    SqlCheck {
        name: "I2 orphans",
        says: "every event belongs to a trip",
        over: "SELECT count(*) FROM trip_events",
        bad: "SELECT e.trip::text AS id, format('event %s of no trip', e.version) AS detail
              FROM trip_events e LEFT JOIN trips t ON t.id = e.trip WHERE t.id IS NULL",
    },
    SqlCheck {
        name: "I2 state",
        says: "a trip's state is what its events fold to, by known transitions only",
        over: "SELECT count(*) FROM trip_events",
        bad: "WITH known (was, kind, becomes) AS (VALUES
                  ('', 'TripRequested', 'REQUESTED'), ('', 'TripScheduled', 'SCHEDULED'),
                  ('SCHEDULED', 'TripActivated', 'REQUESTED'), ('SCHEDULED', 'TripCancelled', 'CANCELLED'),
                  ('REQUESTED', 'OfferMade', 'OFFERED'),
                  ('REQUESTED', 'TripExpired', 'EXPIRED'), ('REQUESTED', 'TripCancelled', 'CANCELLED'),
                  ('OFFERED', 'OfferAccepted', 'EN_ROUTE'), ('OFFERED', 'OfferDeclined', 'REQUESTED'),
                  ('OFFERED', 'OfferExpired', 'REQUESTED'), ('OFFERED', 'TripCancelled', 'CANCELLED'),
                  ('EN_ROUTE', 'DriverArrived', 'ARRIVED'), ('EN_ROUTE', 'TripReleased', 'REQUESTED'),
                  ('EN_ROUTE', 'TripCancelled', 'CANCELLED'), ('ARRIVED', 'TripStarted', 'IN_PROGRESS'),
                  ('ARRIVED', 'TripReleased', 'REQUESTED'), ('ARRIVED', 'TripCancelled', 'CANCELLED'),
                  ('IN_PROGRESS', 'TripCompleted', 'COMPLETED'), ('IN_PROGRESS', 'TripCancelled', 'CANCELLED')),
              becomes AS (SELECT DISTINCT kind, becomes FROM known),
              lives AS (SELECT e.trip, e.version, e.kind, b.becomes,
                               coalesce(lag(b.becomes) OVER life, CASE WHEN e.version = 1 THEN '' END) AS was,
                               row_number() OVER (PARTITION BY e.trip ORDER BY e.version DESC) = 1 AS is_last
                        FROM trip_events e LEFT JOIN becomes b USING (kind)
                        WINDOW life AS (PARTITION BY e.trip ORDER BY e.version))
              SELECT trip::text AS id, format('event %s: %s in %s', version, kind, coalesce(was, 'no state')) AS detail
              FROM lives l WHERE NOT EXISTS
                  (SELECT FROM known k WHERE (k.was, k.kind, k.becomes) = (l.was, l.kind, l.becomes))
              UNION ALL
              SELECT t.id::text, format('is %s, its events make it %s', t.state, l.becomes)
              FROM trips t JOIN lives l ON l.trip = t.id AND l.is_last WHERE l.becomes IS DISTINCT FROM t.state",
    },
    SqlCheck {
        name: "I3 terminal",
        says: "nothing happens to a trip after its end",
        over: "SELECT count(*) FROM trips WHERE state IN ('COMPLETED', 'CANCELLED', 'EXPIRED')",
        bad: "SELECT DISTINCT e.trip::text AS id, format('%s after %s', later.kind, e.kind) AS detail
              FROM trip_events e JOIN trip_events later ON later.trip = e.trip AND later.version > e.version
              WHERE e.kind IN ('TripCompleted', 'TripCancelled', 'TripExpired')",
    },
    SqlCheck {
        name: "I6 requests",
        says: "every request has exactly one answer",
        over: "SELECT count(*) FROM requests",
        bad: "SELECT request_id::text AS id, format('%s answers', num_nonnulls(trip, refusal)) AS detail
              FROM requests WHERE num_nonnulls(trip, refusal) <> 1",
    },
    SqlCheck {
        name: "I6 quotes",
        says: "a quote is used once",
        over: "SELECT count(*) FROM trips",
        bad: "SELECT quote::text AS id, 'used by ' || string_agg(id::text, ', ' ORDER BY id) AS detail
              FROM trips GROUP BY quote HAVING count(*) > 1",
    },
    SqlCheck {
        name: "I7 outbox",
        says: "every event of a trip has its outbox row while that is kept, and every such row its event",
        over: "SELECT count(*) FROM trip_events",
        bad: "SELECT e.trip::text AS id, format('event %s (%s) is not in the outbox', e.version, e.kind) AS detail
              FROM trip_events e LEFT JOIN outbox o ON o.event_id = e.event AND o.subject = 'trips/' || e.trip
                                                       AND o.kind = 'hexcab.trip.v1.' || e.kind
              WHERE o.event_id IS NULL AND e.event >= (SELECT kept_from FROM bus_tables WHERE name = 'outbox')
              UNION ALL
              SELECT o.event_id::text, format('outbox row %s of %s is no event', o.kind, o.subject)
              FROM outbox o LEFT JOIN trip_events e ON e.event = o.event_id
              WHERE o.topic = 'hexcab.trip.v1' AND e.trip IS NULL",
    },
];

/// Over database `payment`.
pub const LEDGER: &[SqlCheck] = &[
    SqlCheck {
        name: "ledger sum",
        says: "all entries of a currency sum to zero",
        over: "SELECT count(*) FROM entries",
        bad: "SELECT currency AS id, format('sums to %s', sum(amount_minor)) AS detail
              FROM entries GROUP BY currency HAVING sum(amount_minor) <> 0",
    },
    SqlCheck {
        name: "ledger journals",
        says: "every journal sums to zero per currency and has entries",
        over: "SELECT count(*) FROM journals",
        bad: "SELECT j.id::text AS id, format('sums to %s %s', coalesce(sum(e.amount_minor)::text, 'nothing'), e.currency) AS detail
              FROM journals j LEFT JOIN entries e ON e.journal = j.id GROUP BY j.id, e.currency
              HAVING coalesce(sum(e.amount_minor), 1) <> 0",
    },
    SqlCheck {
        name: "ledger transfers",
        says: "a transfer is posted with its journal or voided without, as its intent says",
        over: "SELECT count(*) FROM transfers",
        bad: "SELECT i.id::text AS id, format('intent is %s, transfer is %s of %s, %s journals', i.state, coalesce(t.state, 'missing'),
                     coalesce(t.posted_minor::text, 'nothing'), count(j.id)) AS detail
              FROM intents i LEFT JOIN transfers t ON t.intent = i.id LEFT JOIN journals j ON j.transfer = t.id
              GROUP BY i.id, i.state, i.captured_minor, t.state, t.posted_minor
              HAVING CASE i.state
                  WHEN 'CAPTURED' THEN t.state IS DISTINCT FROM 'posted' OR t.posted_minor <> i.captured_minor OR count(j.id) <> 1
                  WHEN 'VOIDED' THEN t.state IS DISTINCT FROM 'voided' OR count(j.id) <> 0
                  WHEN 'DECLINED' THEN t.state IS DISTINCT FROM 'voided' OR count(j.id) <> 0
                  ELSE t.state IS DISTINCT FROM 'pending' OR count(j.id) <> 0 END",
    },
    SqlCheck {
        name: "ledger debts",
        says: "a journal is of a transfer or of a debt; a debt is of a declined intent, and its only one",
        over: "SELECT count(*) FROM journals",
        bad: "SELECT j.id::text AS id, 'of neither a transfer nor a debt, or of both' AS detail
              FROM journals j WHERE num_nonnulls(j.transfer, j.debt_of) <> 1
              UNION ALL
              SELECT j.debt_of::text, format('intent is %s, has %s debts', coalesce(i.state, 'missing'), count(*))
              FROM journals j LEFT JOIN intents i ON i.id = j.debt_of WHERE j.debt_of IS NOT NULL
              GROUP BY j.debt_of, i.state HAVING i.state IS DISTINCT FROM 'DECLINED' OR count(*) <> 1",
    },
    SqlCheck {
        name: "money told",
        says: "every capture, void, hold and decline was told in an event, once, while events of the intent's time are kept",
        over: "SELECT count(*) FROM intents WHERE state IN ('HELD', 'CAPTURED', 'VOIDED', 'DECLINED')",
        bad: "SELECT i.id::text AS id, format('is %s, told %s times', i.state, count(o.event_id)) AS detail
              FROM intents i LEFT JOIN outbox o ON o.subject = 'intents/' || i.id AND o.kind = 'hexcab.payment.v1.' ||
                  CASE i.state WHEN 'HELD' THEN 'HoldPlaced' WHEN 'CAPTURED' THEN 'Captured'
                               WHEN 'VOIDED' THEN 'Voided' WHEN 'DECLINED' THEN 'HoldDeclined' END
              WHERE i.state IN ('HELD', 'CAPTURED', 'VOIDED', 'DECLINED')
              GROUP BY i.id, i.state
              HAVING count(o.event_id) > 1
                  OR count(o.event_id) = 0 AND i.id >= (SELECT kept_from FROM bus_tables WHERE name = 'outbox')",
    },
];

/// I9: no rider is forgotten. A booking, a search, an offer or a driver's way whose deadline has passed was carried out.
///
/// # Errors
/// When the database cannot be asked.
pub async fn nobody_is_forgotten(
    trip: &mut PgConnection,
    now: Timestamp,
    slack_s: f64,
) -> anyhow::Result<Outcome> {
    const OVER: &str = "SELECT count(*) FROM trips WHERE state IN ('SCHEDULED', 'REQUESTED', 'OFFERED', 'EN_ROUTE')";
    const BAD: &str = "SELECT id::text, format('%s, due at %s, %s s ago', state, due, round(extract(epoch FROM $1 - due)))
        FROM (SELECT id, state, CASE state WHEN 'SCHEDULED' THEN activates_at WHEN 'REQUESTED' THEN request_expires_at
                                           WHEN 'OFFERED' THEN offer_expires_at ELSE stalls_at END AS due FROM trips
              WHERE state IN ('SCHEDULED', 'REQUESTED', 'OFFERED', 'EN_ROUTE')) open
        WHERE due IS NULL OR due < $1 - make_interval(secs => $2) ORDER BY id";
    let asked = async {
        let looked_at: i64 = sqlx::query_scalar(OVER).fetch_one(&mut *trip).await?;
        let bad: Vec<(String, String)> = sqlx::query_as(BAD)
            .bind(now)
            .bind(slack_s)
            .fetch_all(&mut *trip)
            .await?;
        Ok::<_, sqlx::Error>((looked_at, bad))
    };
    let (looked_at, bad) = asked.await.context("check I9")?;
    let findings = bad
        .into_iter()
        .map(|(id, detail)| Finding { id, detail })
        .collect();
    let says = "every booking, search, offer and way to a pickup is carried out by its deadline";
    Ok(Outcome::new(
        "I9 deadlines",
        says,
        usize::try_from(looked_at)?,
        findings,
    ))
}
