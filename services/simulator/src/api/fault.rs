//! What went wrong with a call, and whether trying again may help.

use std::fmt;

/// Reasons that pass: the platform was busy, away, or did not get to an answer. The same request may be sent again.
const PASSING: [&str; 14] = [
    "UNAVAILABLE",
    "ABORTED",
    "OVERLOAD",
    "EXHAUSTED",
    "DEADLINE",
    "TIMEOUT",
    "TIMED_OUT",
    "IN_FLIGHT",
    "INTERNAL",
    "RATE_LIMIT",
    "TOO_MANY",
    "SHUTTING_DOWN",
    "TRIP_CHANGED",
    "CONTENDED",
];
/// HTTP status that passes, whatever the reason: time-outs, too many requests, server errors.
const fn status_passes(status: u16) -> bool {
    matches!(status, 408 | 425 | 429 | 500..=599)
}

/// Whether a refusal passes by itself. `status` is none for an answer on a WebSocket.
pub fn is_passing(status: Option<u16>, reason: &str) -> bool {
    status.is_some_and(status_passes)
        || reason.is_empty()
        || PASSING.iter().any(|passing| reason.contains(passing))
}

/// A call that was not done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// The network or the gateway: no answer that says anything.
    Network(String),
    /// The token is not or no longer good.
    Token,
    /// Not now.
    Passing(String),
    /// No, and it stays no.
    Refused(String),
}

impl Fault {
    /// The fault of an HTTP answer.
    pub fn of(status: u16, reason: String) -> Self {
        if status == 401 {
            Self::Token
        } else if is_passing(
            Some(status),
            if reason.is_empty() { "NONE" } else { &reason },
        ) {
            Self::Passing(if reason.is_empty() {
                format!("HTTP_{status}")
            } else {
                reason
            })
        } else {
            Self::Refused(if reason.is_empty() {
                format!("HTTP_{status}")
            } else {
                reason
            })
        }
    }

    /// The reason to count it under.
    pub fn reason(&self) -> &str {
        match self {
            Self::Network(reason) | Self::Passing(reason) | Self::Refused(reason) => reason,
            Self::Token => "TOKEN",
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.reason())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_passes_is_tried_again_and_what_does_not_is_a_refusal() {
        for (status, reason) in [
            (503, "TRIP_UNAVAILABLE"),
            (409, "REQUEST_IN_FLIGHT"),
            (500, ""),
            (429, "OVERLOADED"),
        ] {
            assert!(
                matches!(Fault::of(status, reason.to_owned()), Fault::Passing(_)),
                "{status} {reason}"
            );
        }
        for (status, reason) in [
            (409, "QUOTE_EXPIRED"),
            (422, "OUTSIDE_AREA"),
            (404, ""),
            (403, "NOT_YOUR_TRIP"),
        ] {
            assert!(
                matches!(Fault::of(status, reason.to_owned()), Fault::Refused(_)),
                "{status} {reason}"
            );
        }
        assert_eq!(Fault::of(401, "TOKEN_EXPIRED".to_owned()), Fault::Token);
        assert!(!is_passing(None, "OFFER_EXPIRED"));
        assert!(is_passing(None, "UNAVAILABLE"));
    }
}
