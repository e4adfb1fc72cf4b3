//! What goes wrong on demand: rules set at run time by `POST /sandbox/faults`, each with a rate, a filter and a budget.
//!
//! Invariant: chance comes from the configured seed, so a run can be had again.
//! Does not: keep anything; a restarted sandbox is a healthy one.

use std::time::Duration;

use parking_lot::Mutex;
use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};
use serde::{Deserialize, Serialize};

use super::operation::{Metadata, Verb};

/// What a fault does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// A hold, charge or raise is refused with 402, a capture fails, a refund is not taken. Cancels are not affected.
    Decline,
    /// 500 without any effect, before the key is looked at: the same key may be used again.
    #[serde(rename = "error_500")]
    Error500,
    /// 500 without any effect, remembered by the key: it is told again for ever, as Stripe does.
    #[serde(rename = "error_500_kept")]
    Error500Kept,
    /// Nothing happens, and the answer comes too late.
    TimeoutBefore,
    /// It happens, and the answer comes too late.
    TimeoutAfter,
    /// It happens, slowly, even when the caller has gone meanwhile.
    Slow,
    /// A webhook is sent twice.
    WebhookDuplicate,
    /// A webhook is sent late, so that later ones overtake it.
    WebhookReorder,
    /// A webhook is signed with another secret. It is sent again, as it is not taken.
    WebhookWrongSignature,
    /// A webhook was signed long ago: somebody plays an old one again. It is sent again, as it is not taken.
    WebhookStale,
    /// A webhook is never sent.
    WebhookLost,
}

impl Kind {
    /// Whether it can befall a request of this kind, in a rule for any verb or for this one.
    fn befalls(self, verb: Verb, named: bool) -> bool {
        match self {
            Self::Decline => match verb {
                Verb::Create | Verb::Charge | Verb::Raise => true,
                // A capture that fails and a refund that is not taken are rare: only by name.
                Verb::Capture | Verb::Refund => named,
                Verb::Cancel | Verb::Read | Verb::Webhook => false,
            },
            Self::Error500 | Self::TimeoutBefore | Self::TimeoutAfter | Self::Slow => match verb {
                Verb::Create
                | Verb::Charge
                | Verb::Raise
                | Verb::Capture
                | Verb::Cancel
                | Verb::Refund => true,
                Verb::Read => named,
                Verb::Webhook => false,
            },
            Self::Error500Kept => match verb {
                Verb::Create
                | Verb::Charge
                | Verb::Raise
                | Verb::Capture
                | Verb::Cancel
                | Verb::Refund => true,
                Verb::Read | Verb::Webhook => false,
            },
            Self::WebhookDuplicate
            | Self::WebhookReorder
            | Self::WebhookWrongSignature
            | Self::WebhookStale
            | Self::WebhookLost => verb == Verb::Webhook,
        }
    }
}

/// A rule: when, and what then.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fault {
    /// What it does.
    pub kind: Kind,
    /// How often, 0 to 1.
    #[serde(default = "always")]
    pub rate: f64,
    /// Only payments of this rider (UUID).
    pub rider: Option<String>,
    /// Only payments of this trip (UUID).
    pub trip: Option<String>,
    /// Only payments of this intent (UUID).
    pub intent: Option<String>,
    /// Only this verb; any that it can befall when absent, questions aside.
    pub on: Option<Verb>,
    /// How many times at most; without end when absent.
    pub count: Option<u32>,
    /// How late or slow, milliseconds.
    #[serde(default = "too_late_ms")]
    pub delay_ms: u64,
    /// What a refusal says.
    #[serde(default = "declined")]
    pub code: String,
}

const fn always() -> f64 {
    1.0
}

const fn too_late_ms() -> u64 {
    5_000
}

fn declined() -> String {
    "generic_decline".to_owned()
}

impl Fault {
    /// How late or slow.
    pub const fn delay(&self) -> Duration {
        Duration::from_millis(self.delay_ms)
    }

    /// What is wrong with the rule itself.
    pub fn nonsense(&self) -> Option<&'static str> {
        if !(0.0..=1.0).contains(&self.rate) {
            return Some("rate: must be 0 to 1");
        }
        let never = self.on.is_some_and(|on| !self.kind.befalls(on, true));
        never.then_some("on: this fault cannot befall this verb")
    }

    fn fits(&self, verb: Verb, metadata: &Metadata) -> bool {
        let same = |wanted: &Option<String>, key: &str| {
            wanted.as_ref().is_none_or(|wanted| {
                metadata
                    .get(key)
                    .is_some_and(|value| value.eq_ignore_ascii_case(wanted))
            })
        };
        let verb_fits =
            self.on.is_none_or(|on| on == verb) && self.kind.befalls(verb, self.on.is_some());
        self.count != Some(0)
            && verb_fits
            && same(&self.rider, "rider")
            && same(&self.trip, "trip")
            && same(&self.intent, "intent")
    }
}

/// The rules in force.
#[derive(Debug)]
pub struct Faults(Mutex<Inner>);

#[derive(Debug)]
struct Inner {
    rules: Vec<Fault>,
    chance: StdRng,
}

impl Faults {
    /// No rules; chance by this seed.
    pub fn new(seed: u64) -> Self {
        Self(Mutex::new(Inner {
            rules: Vec::new(),
            chance: StdRng::seed_from_u64(seed),
        }))
    }

    /// Adds a rule. Earlier rules go first.
    pub fn add(&self, fault: Fault) {
        self.0.lock().rules.push(fault);
    }

    /// Forgets every rule.
    pub fn clear(&self) {
        self.0.lock().rules.clear();
    }

    /// The rules, with what is left of their counts.
    pub fn list(&self) -> Vec<Fault> {
        self.0.lock().rules.clone()
    }

    /// The fault of this request, if it has one; its count goes down.
    pub fn draw(&self, verb: Verb, metadata: &Metadata) -> Option<Fault> {
        let Inner { rules, chance } = &mut *self.0.lock();
        let rule = rules
            .iter_mut()
            .find(|rule| rule.fits(verb, metadata) && chance.random::<f64>() < rule.rate)?;
        rule.count = rule.count.map(|left| left.saturating_sub(1));
        Some(rule.clone())
    }

    /// A latency of up to this long.
    pub fn latency(&self, up_to_ms: u64) -> Duration {
        Duration::from_micros(
            self.0
                .lock()
                .chance
                .random_range(0..=up_to_ms.saturating_mul(1_000)),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(json: &str) -> Fault {
        serde_json::from_str(json).unwrap()
    }

    #[test]
    fn a_rule_spends_its_count() {
        let faults = Faults::new(1);
        faults.add(rule(r#"{"kind":"error_500","count":2}"#));
        let drawn = (0..5)
            .filter(|_| faults.draw(Verb::Capture, &Metadata::new()).is_some())
            .count();
        assert_eq!(drawn, 2);
    }

    #[test]
    fn a_rule_of_one_rider_spares_the_others() {
        let faults = Faults::new(1);
        faults.add(rule(r#"{"kind":"decline","rider":"A"}"#));
        let of = |rider: &str| Metadata::from([("rider".to_owned(), rider.to_owned())]);
        assert!(faults.draw(Verb::Create, &of("a")).is_some());
        assert!(faults.draw(Verb::Create, &of("b")).is_none());
        assert!(
            faults.draw(Verb::Capture, &of("a")).is_none(),
            "a capture fails by name only"
        );
    }

    #[test]
    fn a_rule_that_can_never_apply_is_nonsense() {
        for wrong in [
            r#"{"kind":"decline","on":"cancel"}"#,
            r#"{"kind":"webhook_lost","on":"create"}"#,
            r#"{"kind":"error_500_kept","on":"read"}"#,
            r#"{"kind":"slow","rate":1.5}"#,
        ] {
            assert!(rule(wrong).nonsense().is_some(), "{wrong}");
        }
        for right in [
            r#"{"kind":"decline","on":"capture"}"#,
            r#"{"kind":"webhook_lost"}"#,
            r#"{"kind":"timeout_after","on":"read"}"#,
        ] {
            assert!(rule(right).nonsense().is_none(), "{right}");
        }
    }

    #[test]
    fn questions_and_webhooks_have_rules_of_their_own() {
        let faults = Faults::new(1);
        faults.add(rule(r#"{"kind":"error_500"}"#));
        assert!(faults.draw(Verb::Read, &Metadata::new()).is_none());
        assert!(faults.draw(Verb::Webhook, &Metadata::new()).is_none());
        faults.add(rule(r#"{"kind":"error_500","on":"read"}"#));
        faults.add(rule(r#"{"kind":"webhook_duplicate"}"#));
        assert!(faults.draw(Verb::Read, &Metadata::new()).is_some());
        let told = faults.draw(Verb::Webhook, &Metadata::new()).unwrap();
        assert_eq!(told.kind, Kind::WebhookDuplicate);
    }

    #[test]
    fn a_rate_is_kept_on_average() {
        let faults = Faults::new(7);
        faults.add(rule(r#"{"kind":"slow","rate":0.2}"#));
        let drawn = (0..10_000)
            .filter(|_| faults.draw(Verb::Create, &Metadata::new()).is_some())
            .count();
        assert!((1_800..2_200).contains(&drawn), "{drawn}");
    }
}
