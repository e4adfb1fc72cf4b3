//! Checks that compare databases: trips with intents, intents with the processor, the ledger with both, outboxes with
//! inboxes. The databases are read one after the other, so what moves meanwhile may look wrong until it has settled.
//! Only trip, payment and pricing have inboxes: dispatch and the gateway take events in too, but keep nothing durable, so
//! that there is nothing to check.
//!
//! Does not: judge one database by itself ([`super::rows`] does).

use std::collections::{HashMap, HashSet};

use anyhow::Context as _;
use hexcab_types::Timestamp;
use sqlx::{FromRow, PgConnection};
use uuid::Uuid;

use super::{Databases, Finding, Outcome};

#[derive(Debug, Clone, FromRow)]
struct Trip {
    id: Uuid,
    rider: Uuid,
    state: String,
    driver: Option<Uuid>,
    currency: String,
    fare_minor: i64,
    driver_pay_minor: i64,
    tax_minor: i64,
    charge_minor: Option<i64>,
}

/// What the journals of debts say, by intent: account, currency and minor units of every account they touch.
type Debts = HashMap<Uuid, HashSet<(String, String, i64)>>;

#[derive(Debug, Clone, FromRow)]
struct Intent {
    id: Uuid,
    trip: Uuid,
    rider: Uuid,
    state: String,
    currency: String,
    held_minor: i64,
    captured_minor: i64,
    processor_id: Option<String>,
}

#[derive(Debug, Clone, FromRow)]
struct Charge {
    id: String,
    status: String,
    currency: String,
    amount: i64,
    amount_received: i64,
}

/// Makes all of them.
///
/// # Errors
/// When a database cannot be asked.
pub async fn run(databases: &mut Databases) -> anyhow::Result<Vec<Outcome>> {
    let charges: Vec<Charge> = sqlx::query_as("SELECT id, status, upper(currency) AS currency, amount, amount_received FROM payment_intents")
        .fetch_all(&mut databases.sandbox)
        .await
        .context("read the processor's payments")?;
    let intents: Vec<Intent> = sqlx::query_as(
        "SELECT id, trip, rider, state, currency, held_minor, captured_minor, processor_id FROM intents",
    )
    .fetch_all(&mut databases.payment)
    .await
    .context("read intents")?;
    let trips: Vec<Trip> = sqlx::query_as(
        "SELECT id, rider, state, driver, currency, fare_minor, driver_pay_minor, tax_minor, charge_minor FROM trips",
    )
    .fetch_all(&mut databases.trip)
    .await
    .context("read trips")?;
    let balances: Vec<(String, String, i64)> = sqlx::query_as(
        "SELECT account::text, currency, sum(amount_minor)::bigint FROM entries GROUP BY account, currency",
    )
    .fetch_all(&mut databases.payment)
    .await
    .context("read balances")?;
    let debts = debts(&mut databases.payment).await?;
    let mut outcomes = vec![
        money_of_trips(&trips, &intents, &debts),
        holds(&trips, &intents),
        processor(&intents, &charges),
        processor_account(&charges, &balances),
        drivers_owed(&trips, &intents, &balances),
    ];
    for what in &DELIVERIES {
        outcomes.push(delivered(what, databases).await?);
    }
    Ok(outcomes)
}

async fn debts(payment: &mut PgConnection) -> anyhow::Result<Debts> {
    let rows: Vec<(Uuid, String, String, i64)> = sqlx::query_as(
        "SELECT j.debt_of, e.account::text, e.currency, sum(e.amount_minor)::bigint
         FROM journals j JOIN entries e ON e.journal = j.id WHERE j.debt_of IS NOT NULL
         GROUP BY j.debt_of, e.account, e.currency HAVING sum(e.amount_minor) <> 0",
    )
    .fetch_all(payment)
    .await
    .context("read debts")?;
    let mut debts = Debts::new();
    for (intent, account, currency, minor) in rows {
        debts
            .entry(intent)
            .or_default()
            .insert((account, currency, minor));
    }
    Ok(debts)
}

fn alive(state: &str) -> bool {
    !matches!(state, "COMPLETED" | "CANCELLED" | "EXPIRED")
}

fn money_of_trips(trips: &[Trip], intents: &[Intent], debts: &Debts) -> Outcome {
    let by_trip: HashMap<Uuid, &Intent> =
        intents.iter().map(|intent| (intent.trip, intent)).collect();
    let mut findings = Vec::new();
    for trip in trips.iter().filter(|trip| trip.fare_minor > 0) {
        let wrong = match by_trip.get(&trip.id) {
            // Money is held when a driver is looked for, not when the ride is booked.
            None if trip.state == "SCHEDULED" => None,
            Some(_) if trip.state == "SCHEDULED" => {
                Some("an intent although booked only".to_owned())
            }
            None => Some("no intent".to_owned()),
            Some(intent) => money_of(trip, intent, debts.get(&intent.id)),
        };
        findings.extend(wrong.map(|detail| Finding {
            id: trip.id.to_string(),
            detail,
        }));
    }
    Outcome::new(
        "money of trips",
        "every trip has one intent, which took what the trip charges, or was declined and left it as the rider's debt",
        trips.len(),
        findings,
    )
}

fn money_of(
    trip: &Trip,
    intent: &Intent,
    debt: Option<&HashSet<(String, String, i64)>>,
) -> Option<String> {
    let said = format!(
        "trip {} charges {:?}, intent {} took {}, debt {debt:?}",
        trip.state, trip.charge_minor, intent.state, intent.captured_minor
    );
    let same = trip.rider == intent.rider
        && trip.currency == intent.currency
        && trip.fare_minor == intent.held_minor;
    if !same {
        return Some("the intent is of another rider, amount or currency".to_owned());
    }
    let fits = match (alive(&trip.state), trip.charge_minor, intent.state.as_str()) {
        // Declined after the start: the ride goes on, and its end becomes a debt.
        (true, _, "DECLINED") => trip.state == "IN_PROGRESS",
        (true, _, state) => matches!(state, "REQUIRES_HOLD" | "HELD" | "UNKNOWN"),
        (false, Some(0), state) => matches!(state, "VOIDED" | "DECLINED"),
        // Nothing was promised above the hold.
        (false, Some(charge), "CAPTURED") => intent.captured_minor == charge.min(intent.held_minor),
        (false, Some(charge), "DECLINED") => {
            let owed = owed(trip, charge.min(intent.held_minor));
            return (debt != Some(&owed)).then(|| format!("{said}, not {owed:?}"));
        }
        (false, _, _) => false,
    };
    (!fits || debt.is_some()).then_some(said)
}

/// The entries of the debt that a trip leaves whose hold was declined.
fn owed(trip: &Trip, charge: i64) -> HashSet<(String, String, i64)> {
    let driver = trip.driver.filter(|_| trip.state == "COMPLETED");
    let (pay, tax) = driver.map_or((0, 0), |_| (trip.driver_pay_minor, trip.tax_minor));
    let entries = [
        (format!("riders/{}", trip.rider), -charge),
        (
            driver.map_or_else(String::new, |driver| format!("drivers/{driver}")),
            pay,
        ),
        ("platform:tax".to_owned(), tax),
        ("platform:revenue".to_owned(), charge - pay - tax),
    ];
    entries
        .into_iter()
        .filter(|(_, minor)| *minor != 0)
        .map(|(account, minor)| (account, trip.currency.clone(), minor))
        .collect()
}

fn holds(trips: &[Trip], intents: &[Intent]) -> Outcome {
    let states: HashMap<Uuid, &str> = trips
        .iter()
        .map(|trip| (trip.id, trip.state.as_str()))
        .collect();
    let open = intents
        .iter()
        .filter(|intent| matches!(intent.state.as_str(), "REQUIRES_HOLD" | "HELD" | "UNKNOWN"));
    let findings = open.filter_map(|intent| {
        let detail = match states.get(&intent.trip) {
            None => format!(
                "{} for trip {}, which does not exist",
                intent.state, intent.trip
            ),
            Some(state) if !alive(state) => {
                format!("{} although trip {} is {state}", intent.state, intent.trip)
            }
            Some(_) => return None,
        };
        Some(Finding {
            id: intent.id.to_string(),
            detail,
        })
    });
    Outcome::new(
        "holds",
        "every hold is resolved, or its trip alive",
        intents.len(),
        findings.collect(),
    )
}

fn processor(intents: &[Intent], charges: &[Charge]) -> Outcome {
    let by_id: HashMap<&str, &Charge> = charges
        .iter()
        .map(|charge| (charge.id.as_str(), charge))
        .collect();
    let mut findings = Vec::new();
    let mut known = HashSet::new();
    for intent in intents {
        let Some(id) = &intent.processor_id else {
            let settled = matches!(
                intent.state.as_str(),
                "VOIDED" | "DECLINED" | "REQUIRES_HOLD" | "UNKNOWN"
            );
            if !settled {
                findings.push(Finding {
                    id: intent.id.to_string(),
                    detail: format!("{} without a payment", intent.state),
                });
            }
            continue;
        };
        known.insert(id.as_str());
        let agrees = by_id
            .get(id.as_str())
            .is_some_and(|charge| agree(intent, charge));
        if !agrees {
            let theirs = by_id
                .get(id.as_str())
                .map_or("nothing".to_owned(), |charge| {
                    format!(
                        "{} of {} {}",
                        charge.status, charge.amount_received, charge.currency
                    )
                });
            let detail = format!(
                "{} of {}, the processor's {id} says {theirs}",
                intent.state, intent.captured_minor
            );
            findings.push(Finding {
                id: intent.id.to_string(),
                detail,
            });
        }
    }
    // A declined payment may be unknown to us by its id; money that was taken or is held may not.
    let unknown = charges.iter().filter(|charge| {
        !known.contains(charge.id.as_str())
            && matches!(charge.status.as_str(), "requires_capture" | "succeeded")
    });
    findings.extend(unknown.map(|charge| Finding {
        id: charge.id.clone(),
        detail: format!("{} at the processor, and no intent knows it", charge.status),
    }));
    Outcome::new(
        "processor",
        "the processor's payments are what our intents say",
        charges.len(),
        findings,
    )
}

fn agree(intent: &Intent, charge: &Charge) -> bool {
    let status = match intent.state.as_str() {
        "HELD" => "requires_capture",
        "CAPTURED" => "succeeded",
        "VOIDED" => "canceled",
        "DECLINED" => "requires_payment_method",
        // Not answered yet: whatever it says is possible.
        _ => return true,
    };
    charge.status == status
        && charge.amount == intent.held_minor
        && charge.currency == intent.currency
        && charge.amount_received == intent.captured_minor
}

fn processor_account(charges: &[Charge], balances: &[(String, String, i64)]) -> Outcome {
    let mut differences: HashMap<&str, i64> = HashMap::new();
    for charge in charges {
        *differences.entry(&charge.currency).or_default() += charge.amount_received;
    }
    for (_, currency, balance) in balances
        .iter()
        .filter(|(account, _, _)| account == "processor")
    {
        // What the processor owes us is negative.
        *differences.entry(currency).or_default() += balance;
    }
    let off = differences
        .iter()
        .filter(|(_, difference)| **difference != 0);
    let findings = off.map(|(currency, difference)| Finding {
        id: (*currency).to_owned(),
        detail: format!("the processor took {difference} more than the ledger says"),
    });
    Outcome::new(
        "processor account",
        "the ledger's account of the processor is what it took",
        charges.len(),
        findings.collect(),
    )
}

fn drivers_owed(trips: &[Trip], intents: &[Intent], balances: &[(String, String, i64)]) -> Outcome {
    // A driver is paid for a charge that was taken, and for one that the rider owes.
    let charged: HashSet<Uuid> = intents
        .iter()
        .filter(|intent| matches!(intent.state.as_str(), "CAPTURED" | "DECLINED"))
        .map(|intent| intent.trip)
        .collect();
    let mut owed: HashMap<(String, &str), i64> = HashMap::new();
    let driven = trips
        .iter()
        .filter(|trip| trip.state == "COMPLETED" && charged.contains(&trip.id));
    for trip in driven {
        if let Some(driver) = trip.driver {
            *owed
                .entry((format!("drivers/{driver}"), &trip.currency))
                .or_default() += trip.driver_pay_minor;
        }
    }
    let accounts = balances
        .iter()
        .filter(|(account, _, _)| account.starts_with("drivers/"));
    for (account, currency, balance) in accounts {
        *owed.entry((account.clone(), currency)).or_default() -= balance;
    }
    let off = owed.iter().filter(|(_, difference)| **difference != 0);
    let findings = off.map(|((account, currency), difference)| Finding {
        id: account.clone(),
        detail: format!("his trips come to {difference} {currency} more than his account"),
    });
    Outcome::new(
        "drivers owed",
        "a driver's account is what his completed trips pay",
        owed.len(),
        findings.collect(),
    )
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
        says: "payment took in every request, activation and end of a trip, once",
        from: Party::Trip,
        to: Party::Payment,
        sent: "SELECT o.event_id FROM outbox o JOIN trip_events e ON e.event = o.event_id JOIN trips t ON t.id = e.trip
               WHERE t.fare_minor > 0 AND e.kind IN ('TripRequested', 'TripActivated', 'TripCompleted', 'TripCancelled', 'TripExpired')",
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
