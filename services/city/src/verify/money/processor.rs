//! The processor's own book against ours: payments, refunds, disputes, and what it owes us.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::{
    finding,
    rows::{Books, Extra, Intent, Payment},
};
use crate::verify::{Finding, Outcome};

/// Makes every check.
pub fn run(books: &Books) -> Vec<Outcome> {
    vec![
        payments(books),
        keys(books),
        refunds(books),
        disputes(books),
        account(books),
    ]
}

fn payments(books: &Books) -> Outcome {
    let by_id: HashMap<&str, &Payment> = books
        .payments
        .iter()
        .map(|payment| (payment.id.as_str(), payment))
        .collect();
    let mut findings = Vec::new();
    let mut known = HashSet::new();
    for intent in &books.intents {
        findings.extend(of_hold(intent, &by_id));
        known.extend(intent.processor_id.as_deref());
    }
    for extra in &books.extras {
        findings.extend(of_extra(extra, &by_id));
        known.extend(extra.processor_id.as_deref());
    }
    // A declined payment may be unknown to us by its id; money that was taken or is held may not.
    let unknown = books.payments.iter().filter(|payment| {
        let status = payment.status.as_str();
        !known.contains(payment.id.as_str()) && matches!(status, "requires_capture" | "succeeded")
    });
    findings.extend(unknown.map(|payment| {
        finding(
            &payment.id,
            format!(
                "{} at the processor, and nobody here knows it",
                payment.status
            ),
        )
    }));
    Outcome::new(
        "processor",
        "the processor's payments are what our intents and charges say",
        books.payments.len(),
        findings,
    )
}

fn of_hold(intent: &Intent, by_id: &HashMap<&str, &Payment>) -> Option<Finding> {
    let Some(id) = &intent.processor_id else {
        let state = intent.state.as_str();
        let none = !intent.is_captured() && !matches!(state, "HELD" | "CAPTURE_FAILED");
        return (!none).then(|| finding(intent.id, format!("{state} without a payment")));
    };
    let payment = by_id.get(id.as_str());
    let agrees = payment.is_some_and(|payment| agree(intent, payment));
    let theirs = payment.map_or("nothing".to_owned(), |payment| {
        format!(
            "{} of {} {}",
            payment.status, payment.amount_received, payment.currency
        )
    });
    let detail = format!(
        "{} of {}, the processor's {id} says {theirs}",
        intent.state, intent.captured_minor
    );
    (!agrees).then(|| finding(intent.id, detail))
}

fn agree(intent: &Intent, payment: &Payment) -> bool {
    let status = payment.status.as_str();
    let is = match intent.state.as_str() {
        "HELD" => status == "requires_capture",
        "CAPTURED" | "PARTLY_REFUNDED" | "REFUNDED" => status == "succeeded",
        "VOIDED" => status == "canceled",
        // Refused, lapsed, or the processor cannot: whatever it is, nothing was taken.
        "CAPTURE_FAILED" => status != "succeeded",
        // Not answered yet: whatever it says is possible.
        _ => return true,
    };
    is && payment.amount == intent.held_minor
        && payment.currency == intent.currency
        && payment.amount_received == intent.captured_minor
}

fn of_extra(extra: &Extra, by_id: &HashMap<&str, &Payment>) -> Option<Finding> {
    let id = extra.processor_id.as_deref()?;
    let agrees = by_id.get(id).is_some_and(|payment| {
        payment.status == "succeeded"
            && payment.amount_received == extra.amount_minor
            && extra.state == "DONE"
    });
    let detail = format!(
        "{} of {} is not the processor's {id}",
        extra.kind, extra.amount_minor
    );
    (!agrees).then(|| finding(extra.id, detail))
}

/// One step, one key, one payment or refund: whatever was lost, asked again or sent twice.
fn keys(books: &Books) -> Outcome {
    let mut made: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for payment in &books.payments {
        if let Some(key) = &payment.key {
            made.entry(key).or_default().push(&payment.id);
        }
    }
    for refund in &books.paid_back {
        if let Some(key) = &refund.key {
            made.entry(key).or_default().push(&refund.id);
        }
    }
    let looked_at = made.len();
    let twice = made.into_iter().filter(|(_, ids)| ids.len() > 1);
    let findings = twice.map(|(key, ids)| finding(key, format!("made {}", ids.join(", "))));
    Outcome::new(
        "processor keys",
        "no key has two answers: at most one payment or refund was made under each",
        looked_at,
        findings.collect(),
    )
}

fn refunds(books: &Books) -> Outcome {
    let holds: HashMap<_, _> = books
        .intents
        .iter()
        .filter_map(|intent| Some((intent.id, intent.processor_id.as_deref()?)))
        .collect();
    let rests: HashMap<_, _> = books
        .extras
        .iter()
        .filter_map(|extra| Some((extra.id, extra.processor_id.as_deref()?)))
        .collect();
    let mut differences: BTreeMap<&str, i64> = BTreeMap::new();
    let mut ours = HashSet::new();
    for refund in books.refunds.iter().filter(|refund| refund.state == "DONE") {
        let payment = match refund.rest {
            Some(rest) => rests.get(&rest),
            None => holds.get(&refund.intent),
        };
        let payment = payment.copied().unwrap_or("no payment");
        *differences.entry(payment).or_default() += refund.amount_minor;
        ours.extend(refund.processor_id.as_deref());
    }
    for refund in books
        .paid_back
        .iter()
        .filter(|refund| refund.status != "failed")
    {
        *differences.entry(&refund.payment_intent).or_default() -= refund.amount;
    }
    let off = differences
        .iter()
        .filter(|(_, difference)| **difference != 0);
    let mut findings: Vec<Finding> = off
        .map(|(payment, difference)| {
            finding(
                payment,
                format!("we gave back {difference} more of it than the processor says"),
            )
        })
        .collect();
    let theirs: HashSet<&str> = books
        .paid_back
        .iter()
        .map(|refund| refund.id.as_str())
        .collect();
    let missing = ours.iter().filter(|id| !theirs.contains(**id));
    findings.extend(missing.map(|id| finding(id, "a refund that the processor does not know")));
    Outcome::new(
        "processor refunds",
        "the processor gave back what we say, of each payment",
        books.paid_back.len(),
        findings,
    )
}

fn disputes(books: &Books) -> Outcome {
    let ours: HashMap<&str, _> = books
        .disputes
        .iter()
        .map(|dispute| (dispute.id.as_str(), dispute))
        .collect();
    let theirs: HashMap<&str, _> = books
        .taken_back
        .iter()
        .map(|dispute| (dispute.id.as_str(), dispute))
        .collect();
    let wrong = books.taken_back.iter().filter_map(|dispute| {
        let state = match dispute.status.as_str() {
            "won" => "WON",
            "lost" => "LOST",
            _ => "OPEN",
        };
        let agrees = ours.get(dispute.id.as_str()).is_some_and(|known| {
            (known.state.as_str(), known.amount_minor) == (state, dispute.amount)
                && known.payment == dispute.payment_intent
        });
        let detail = format!(
            "{} of {} at the processor, otherwise here",
            dispute.status, dispute.amount
        );
        (!agrees).then(|| finding(&dispute.id, detail))
    });
    let invented = books
        .disputes
        .iter()
        .filter(|dispute| !theirs.contains_key(dispute.id.as_str()))
        .map(|dispute| finding(&dispute.id, "a dispute that the processor does not know"));
    Outcome::new(
        "processor disputes",
        "the processor's disputes are ours",
        books.taken_back.len(),
        wrong.chain(invented).collect(),
    )
}

fn account(books: &Books) -> Outcome {
    let mut differences: BTreeMap<&str, i64> = BTreeMap::new();
    let mut currencies: HashMap<&str, &str> = HashMap::new();
    for payment in &books.payments {
        currencies.insert(&payment.id, &payment.currency);
        *differences.entry(&payment.currency).or_default() += payment.amount_received;
    }
    let mut back = |payment: &str, minor: i64| {
        if let Some(currency) = currencies.get(payment) {
            *differences.entry(currency).or_default() -= minor;
        }
    };
    for refund in books
        .paid_back
        .iter()
        .filter(|refund| refund.status != "failed")
    {
        back(&refund.payment_intent, refund.amount);
    }
    for dispute in books
        .taken_back
        .iter()
        .filter(|dispute| dispute.status != "won")
    {
        back(&dispute.payment_intent, dispute.amount);
    }
    for (currency, balance) in &books.processor {
        // What the processor owes us is negative.
        *differences.entry(currency).or_default() += balance;
    }
    let off = differences
        .iter()
        .filter(|(_, difference)| **difference != 0);
    let findings = off.map(|(currency, difference)| {
        finding(
            currency,
            format!("the processor took {difference} more than the ledger says"),
        )
    });
    Outcome::new(
        "processor account",
        "the ledger's account of the processor is what it took, less what it gave back",
        books.payments.len(),
        findings.collect(),
    )
}
