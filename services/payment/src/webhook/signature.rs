//! Who sent a webhook, and when: `Stripe-Signature: t=…,v1=…`, HMAC-SHA256 over the time and the raw body.
//!
//! Invariants: compared in constant time; a time further from the machine's than the tolerance is refused, so that an old
//! webhook cannot be played again; several secrets count while they are rotated, and several signatures of one webhook.

use std::time::Duration;

use hexcab_chassis::{Clock, Secret};
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;
use subtle::ConstantTimeEq as _;

/// How far the signature's time may be from ours, before or after.
pub const TOLERANCE: Duration = Duration::from_secs(300);
/// Signatures of one webhook that are looked at. Stripe sends one for each secret that is in force.
const SIGNATURES_MAX: usize = 8;

/// Why a webhook is not the processor's, or not of now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unsigned {
    /// There is no signature that could be read.
    #[error("no signature")]
    Missing,
    /// Nobody who knows a secret signed this body and time.
    #[error("a wrong signature")]
    Forged,
    /// Signed rightly, at another time.
    #[error("signed too long ago, or in the future")]
    Stale,
}

/// Knows the secrets.
#[derive(Debug, Clone)]
pub struct Verifier {
    secrets: Vec<Secret>,
    clock: Clock,
}

impl Verifier {
    /// Secrets are separated by white space: one, or several while they are rotated. The clock tells real time.
    pub fn new(secrets: &Secret, clock: Clock) -> Self {
        let secrets = secrets.expose().split_whitespace().map(Secret::new);
        Self {
            secrets: secrets.collect(),
            clock,
        }
    }

    /// Whether there is nothing to check with: nothing is taken then.
    pub fn is_empty(&self) -> bool {
        self.secrets.is_empty()
    }

    /// Whether this header signs this body.
    ///
    /// # Errors
    /// When it does not: why.
    pub fn verify(&self, header: &str, body: &[u8]) -> Result<(), Unsigned> {
        let (at, signatures) = read(header).ok_or(Unsigned::Missing)?;
        let mut known = false;
        for secret in &self.secrets {
            let right = sign(secret, at, body);
            for signature in &signatures {
                known |= bool::from(signature.ct_eq(&right));
            }
        }
        if !known {
            return Err(Unsigned::Forged);
        }
        let age = self.clock.now().timestamp().abs_diff(at);
        if age > TOLERANCE.as_secs() {
            return Err(Unsigned::Stale);
        }
        Ok(())
    }
}

fn sign(secret: &Secret, at: i64, body: &[u8]) -> Vec<u8> {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.expose().as_bytes())
        .expect("HMAC takes a key of any length");
    mac.update(format!("{at}.").as_bytes());
    mac.update(body);
    mac.finalize().into_bytes().to_vec()
}

/// The time and the `v1` signatures. Other schemes, such as the `v0` of test webhooks, are none.
fn read(header: &str) -> Option<(i64, Vec<Vec<u8>>)> {
    let (mut at, mut signatures) = (None, Vec::new());
    for item in header.split(',') {
        match item.trim().split_once('=') {
            Some(("t", time)) => at = Some(time.parse().ok()?),
            Some(("v1", signature)) if signatures.len() < SIGNATURES_MAX => {
                signatures.push(hex::decode(signature).ok()?);
            }
            Some(_) | None => {}
        }
    }
    (!signatures.is_empty()).then_some((at?, signatures))
}

#[cfg(test)]
mod tests {
    use hexcab_types::Timestamp;

    use super::*;

    const BODY: &[u8] = br#"{"id":"evt_1"}"#;
    /// `printf '1700000000.{"id":"evt_1"}' | openssl dgst -sha256 -hmac whsec_test`
    const RIGHT: &str = "c89214b5b5da833daed6f0b8c5bb6bd58cea9022bd80ccc78230f3942d632925";

    fn verifier(secrets: &str, now: i64) -> Verifier {
        let (clock, _) = Clock::manual(Timestamp::from_timestamp(now, 0).unwrap());
        Verifier::new(&Secret::new(secrets), clock)
    }

    fn verify(header: &str) -> Result<(), Unsigned> {
        verifier("whsec_test", 1_700_000_100).verify(header, BODY)
    }

    #[test]
    fn the_right_signature_is_right_and_every_other_is_not() {
        assert_eq!(verify(&format!("t=1700000000,v1={RIGHT}")), Ok(()));
        let wrong = RIGHT.replace("c892", "c893");
        for forged in [
            format!("t=1700000000,v1={wrong}"),
            format!("t=1700000001,v1={RIGHT}"),
            format!("t=1700000000,v1={}", &RIGHT[2..]),
        ] {
            assert_eq!(verify(&forged), Err(Unsigned::Forged), "{forged}");
        }
        let right = format!("t=1700000000,v1={RIGHT}");
        let other = verifier("whsec_test", 1_700_000_100).verify(&right, br#"{"id":"evt_2"}"#);
        assert_eq!(other, Err(Unsigned::Forged));
    }

    #[test]
    fn what_cannot_be_read_is_no_signature() {
        for missing in [
            "".to_owned(),
            "t=1700000000".to_owned(),
            format!("v1={RIGHT}"),
            format!("t=now,v1={RIGHT}"),
            format!("t=1700000000,v0={RIGHT}"),
            "t=1700000000,v1=zz".to_owned(),
        ] {
            assert_eq!(verify(&missing), Err(Unsigned::Missing), "{missing:?}");
        }
    }

    #[test]
    fn a_signature_counts_for_five_minutes_before_and_after() {
        let header = format!("t=1700000000,v1={RIGHT}");
        for (now, expected) in [
            (1_700_000_300, Ok(())),
            (1_700_000_301, Err(Unsigned::Stale)),
            (1_699_999_700, Ok(())),
            (1_699_999_699, Err(Unsigned::Stale)),
        ] {
            assert_eq!(
                verifier("whsec_test", now).verify(&header, BODY),
                expected,
                "{now}"
            );
        }
    }

    #[test]
    fn while_secrets_are_rotated_either_counts_and_either_signature() {
        let now = 1_700_000_000;
        let header = format!("t={now},v1={},v1={RIGHT}", "00".repeat(32));
        for secrets in [
            "whsec_test",
            "whsec_new whsec_test",
            "whsec_test\nwhsec_new\n",
        ] {
            assert_eq!(
                verifier(secrets, now).verify(&header, BODY),
                Ok(()),
                "{secrets:?}"
            );
        }
        assert_eq!(
            verifier("whsec_new", now).verify(&header, BODY),
            Err(Unsigned::Forged)
        );
        let none = verifier(" \n", now);
        assert!(none.is_empty());
        assert_eq!(none.verify(&header, BODY), Err(Unsigned::Forged));
    }
}
