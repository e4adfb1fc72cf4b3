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
pub const MONEY: &[SqlCheck] = &[
    SqlCheck {
        name: "ledger sum",
        says: "all entries of a currency sum to zero, the posted and the promised each",
        over: "SELECT count(*) FROM ledger.entries",
        bad: "SELECT currency::text AS id, format('posted sum to %s, promised to %s', posted, promised) AS detail
              FROM (SELECT currency, sum(CASE side WHEN 'credit' THEN posted_minor ELSE -posted_minor END) AS posted,
                           sum(CASE side WHEN 'credit' THEN pending_minor ELSE -pending_minor END) AS promised
                    FROM ledger.entries GROUP BY currency) AS sums
              WHERE posted <> 0 OR promised <> 0",
    },
    SqlCheck {
        name: "ledger rules",
        says: "what the ledger derives follows from its transfers; promises end once, in time and within; limits hold",
        over: "SELECT count(*) FROM ledger.transfers",
        bad: "SELECT subject::text AS id, rule::text AS detail FROM ledger.violations",
    },
    SqlCheck {
        name: "ledger references",
        says: "every transfer is about a trip's money or a payout, or is a correction by name",
        over: "SELECT count(*) FROM ledger.transfers",
        bad: "SELECT t.id::text AS id, format('%s of %s, which is neither', t.code, t.reference) AS detail
              FROM ledger.transfers t
              WHERE NOT EXISTS (SELECT FROM intents i WHERE i.id = t.reference)
                AND NOT EXISTS (SELECT FROM payouts p WHERE p.id = t.reference)
                AND t.code NOT IN ('settlement', 'processor_fee', 'dispute_fee', 'debt_payment', 'write_off', 'cash_commission',
                                   'payout_return', 'adjustment')",
    },
    SqlCheck {
        name: "money told",
        says: "everything that happened to an intent was told in an event, once, while events of its time are kept",
        over: "SELECT count(*) FROM intents",
        bad: "WITH due (intent, kind, times) AS (
                  SELECT id, 'HoldPlaced', 1 FROM intents WHERE held_minor > 0
                  UNION ALL SELECT id, 'HoldDeclined', 1 FROM intents WHERE state = 'DECLINED'
                  UNION ALL SELECT id, 'Captured', 1 FROM intents WHERE captured_minor > 0
                  UNION ALL SELECT id, 'CaptureFailed', 1 FROM intents WHERE state = 'CAPTURE_FAILED'
                  UNION ALL SELECT id, 'Voided', 1 FROM intents WHERE state = 'VOIDED'
                  UNION ALL SELECT id, 'CashCollected', 1 FROM intents WHERE state = 'CASH_COLLECTED'
                  UNION ALL SELECT id, 'DebtIncurred', 1 FROM intents
                            WHERE state = 'OWED' OR (state = 'DECLINED' AND owed_minor IS NOT NULL)
                  UNION ALL
                  SELECT intent, CASE kind || ' ' || state WHEN 'REST DONE' THEN 'RestCharged' WHEN 'REST REFUSED' THEN 'RestDeclined'
                                                           WHEN 'TIP DONE' THEN 'TipCharged' ELSE 'TipDeclined' END, count(*)
                  FROM extras WHERE state IN ('DONE', 'REFUSED') GROUP BY 1, 2
                  UNION ALL
                  SELECT intent, CASE state WHEN 'DONE' THEN 'Refunded' ELSE 'RefundFailed' END, count(*)
                  FROM refunds WHERE state IN ('DONE', 'REFUSED') GROUP BY 1, 2
                  UNION ALL SELECT intent, 'ChargebackOpened', count(*) FROM disputes GROUP BY 1
                  UNION ALL SELECT intent, 'ChargebackClosed', count(*) FROM disputes WHERE state <> 'OPEN' GROUP BY 1),
              told AS (
                  SELECT i.id AS intent, replace(o.kind, 'hexcab.payment.v1.', '') AS kind, count(*) AS times
                  FROM intents i JOIN outbox o ON o.subject = 'intents/' || i.id GROUP BY 1, 2)
              SELECT intent::text AS id, format('%s: due %s times, told %s times', kind, coalesce(d.times, 0), coalesce(t.times, 0)) AS detail
              FROM due d FULL JOIN told t USING (intent, kind)
              WHERE kind NOT IN ('HoldRaised', 'RaiseDeclined')
                AND (coalesce(t.times, 0) > coalesce(d.times, 0)
                     OR coalesce(t.times, 0) < d.times AND intent >= (SELECT kept_from FROM bus_tables WHERE name = 'outbox'))
              UNION ALL
              SELECT i.id::text, format('is at version %s, told %s times', i.version, count(o.event_id))
              FROM intents i LEFT JOIN outbox o ON o.subject = 'intents/' || i.id
              WHERE i.id >= (SELECT kept_from FROM bus_tables WHERE name = 'outbox')
              GROUP BY i.id, i.version HAVING count(o.event_id) <> i.version",
    },
    SqlCheck {
        name: "money answered",
        says: "every rest, tip and refund that was asked for was answered, and every request has one answer",
        over: "SELECT (SELECT count(*) FROM extras) + (SELECT count(*) FROM refunds) + (SELECT count(*) FROM requests)",
        bad: "SELECT id::text AS id, format('%s of intent %s is %s', lower(kind), intent, state) AS detail
              FROM extras WHERE state NOT IN ('DONE', 'REFUSED')
              UNION ALL
              SELECT id::text, format('refund of intent %s is %s', intent, state) FROM refunds WHERE state NOT IN ('DONE', 'REFUSED')
              UNION ALL
              SELECT request_id::text, format('%s answers', num_nonnulls(made, refusal)) FROM requests WHERE num_nonnulls(made, refusal) <> 1",
    },
    SqlCheck {
        name: "money refunded",
        says: "no more is given back than was taken and is not the bank's, nobody bears more than he got, and the sums are kept",
        over: "SELECT count(*) FROM refunds",
        bad: "SELECT i.id::text AS id,
                     format('%s taken, %s given back (%s by the intent), %s disputed, %s by the driver, %s by the tax', i.captured_minor + i.rest_minor,
                            r.given, i.refunded_minor, d.disputed, r.driver, r.tax) AS detail
              FROM intents i
              CROSS JOIN LATERAL (
                  SELECT coalesce(sum(amount_minor), 0) AS given, coalesce(sum(driver_minor), 0) AS driver, coalesce(sum(tax_minor), 0) AS tax,
                         coalesce(sum(amount_minor) FILTER (WHERE state = 'DONE'), 0) AS done
                  FROM refunds WHERE intent = i.id AND state <> 'REFUSED') AS r
              CROSS JOIN LATERAL (
                  SELECT coalesce(sum(amount_minor), 0) AS disputed FROM disputes WHERE intent = i.id AND state <> 'WON') AS d
              WHERE r.given > i.captured_minor + i.rest_minor OR r.done <> i.refunded_minor
                 OR r.driver > coalesce(i.driver_due_minor, 0) OR r.tax > coalesce(i.tax_minor, 0)",
    },
    SqlCheck {
        name: "money extra",
        says: "a trip has one hold, at most one rest, of what it cost above it, and at most one tip",
        over: "SELECT count(*) FROM extras",
        bad: "SELECT i.id::text AS id, format('rests of %s, tips of %s, a charge of %s above %s', x.rests, x.tips, i.charge_minor, i.captured_minor) AS detail
              FROM intents i
              CROSS JOIN LATERAL (
                  SELECT array_agg(amount_minor) FILTER (WHERE kind = 'REST') AS rests,
                         array_agg(amount_minor) FILTER (WHERE kind = 'TIP' AND state <> 'REFUSED') AS tips
                  FROM extras WHERE intent = i.id) AS x
              WHERE cardinality(x.tips) > 1 OR cardinality(x.rests) > 1
                 OR (x.rests IS NOT NULL AND x.rests[1] IS DISTINCT FROM i.charge_minor - i.captured_minor)
                 OR (x.rests IS NULL AND i.captured_minor > 0 AND i.captured_minor < i.charge_minor)
              UNION ALL
              SELECT trip::text, 'intents ' || string_agg(id::text, ', ' ORDER BY id) FROM intents GROUP BY trip HAVING count(*) > 1",
    },
    SqlCheck {
        name: "payouts",
        says: "a batch is its lines; each is promised, paid or given back in the ledger as it says; nobody is in two open ones",
        over: "SELECT count(*) FROM payout_lines",
        bad: "SELECT p.id::text AS id, format('%s of %s lines, %s of %s', count(l.*), p.line_count, sum(l.amount_minor), p.total_minor) AS detail
              FROM payouts p LEFT JOIN payout_lines l ON l.payout = p.id GROUP BY p.id
              HAVING count(l.*) <> p.line_count OR sum(l.amount_minor) IS DISTINCT FROM p.total_minor::numeric
                  OR bool_or((l.state = 'PENDING') <> (p.state = 'OPEN'))
              UNION ALL
              SELECT l.payout::text, format('line %s is %s, its transfer %s, its end %s', l.number, l.state, coalesce(t.kind, 'missing'), coalesce(r.kind, 'open'))
              FROM payout_lines l LEFT JOIN ledger.transfers t ON t.id = l.transfer AND t.kind = 'pending' AND t.amount_minor = l.amount_minor
                                                                AND t.debit = 'drivers/' || l.driver AND t.currency = l.currency
              LEFT JOIN ledger.transfers r ON r.pending_id = l.transfer
              WHERE t.id IS NULL OR r.kind IS DISTINCT FROM CASE l.state WHEN 'PAID' THEN 'post_pending' WHEN 'FAILED' THEN 'void_pending' END
              UNION ALL
              SELECT driver::text, format('in open payouts %s', string_agg(payout::text, ', ' ORDER BY payout))
              FROM payout_lines WHERE state = 'PENDING' GROUP BY driver, currency HAVING count(*) > 1",
    },
    SqlCheck {
        name: "payouts owed",
        says: "nobody was promised more than was owed to him then",
        over: "SELECT count(*) FROM payout_lines",
        bad: "SELECT l.payout::text AS id, format('driver %s was owed %s and promised %s', l.driver, coalesce(sum(owed.minor), 0), l.amount_minor) AS detail
              FROM payout_lines l JOIN ledger.entries p ON p.transfer = l.transfer AND p.side = 'debit'
              LEFT JOIN LATERAL (
                  SELECT CASE e.side WHEN 'credit' THEN e.posted_minor ELSE -e.posted_minor END AS minor FROM ledger.entries e
                  WHERE e.account = p.account AND e.currency = p.currency AND e.seq < p.seq AND e.posted_minor > 0) AS owed ON true
              GROUP BY l.payout, l.number, l.driver, l.amount_minor HAVING coalesce(sum(owed.minor), 0) < l.amount_minor",
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
