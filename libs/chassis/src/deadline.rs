//! How long the work at hand may still take. Set by the server from `grpc-timeout`, passed on by every client and by
//! transactions, so that nobody works for a caller who has gone.

use std::{future::Future, time::Duration};

use tokio::time::Instant;

tokio::task_local! {
    static DEADLINE: Instant;
}

/// Time left, none when the work has no deadline.
pub fn remaining() -> Option<Duration> {
    DEADLINE
        .try_with(|at| at.saturating_duration_since(Instant::now()))
        .ok()
}

/// Runs the work under a deadline, the nearer of this and the one it is already under. Does not stop it: see
/// [`remaining`].
pub async fn scope<F: Future>(left: Duration, work: F) -> F::Output {
    let left = remaining().map_or(left, |outer| outer.min(left));
    DEADLINE.scope(Instant::now() + left, work).await
}

/// Reads a `grpc-timeout` value: up to 8 digits and a unit (gRPC over HTTP/2, "Requests").
pub(crate) fn parse_grpc_timeout(value: &str) -> Option<Duration> {
    let (digits, unit) = value.split_at_checked(value.len().checked_sub(1)?)?;
    if digits.is_empty() || digits.len() > 8 || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let count: u64 = digits.parse().ok()?;
    match unit {
        "H" => Some(Duration::from_secs(count * 3600)),
        "M" => Some(Duration::from_secs(count * 60)),
        "S" => Some(Duration::from_secs(count)),
        "m" => Some(Duration::from_millis(count)),
        "u" => Some(Duration::from_micros(count)),
        "n" => Some(Duration::from_nanos(count)),
        _ => None,
    }
}

/// Writes a `grpc-timeout` value, in milliseconds as long as they fit.
pub(crate) fn format_grpc_timeout(left: Duration) -> String {
    let millis = left.as_millis().max(1);
    if millis < 100_000_000 {
        format!("{millis}m")
    } else {
        format!("{}S", left.as_secs().min(99_999_999))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grpc_timeouts_read_back() {
        for left in [
            Duration::from_millis(1),
            Duration::from_secs(2),
            Duration::from_secs(1_000_000),
        ] {
            assert_eq!(parse_grpc_timeout(&format_grpc_timeout(left)), Some(left));
        }
        for bad in ["", "m", "5", "-5m", "5x", "123456789m", "é"] {
            assert_eq!(parse_grpc_timeout(bad), None, "{bad:?}");
        }
    }

    #[tokio::test]
    async fn an_inner_deadline_is_never_later_than_the_outer() {
        assert_eq!(remaining(), None);
        scope(Duration::from_secs(1), async {
            scope(Duration::from_secs(60), async {
                assert!(remaining().is_some_and(|left| left <= Duration::from_secs(1)));
            })
            .await;
        })
        .await;
    }
}
