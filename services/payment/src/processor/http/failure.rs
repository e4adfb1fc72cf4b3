//! What an answer that is no success means, by what the caller must do next.
//!
//! Invariant: only a 402 is a refusal of the card, and only an answer that says so clearly is known.

use reqwest::StatusCode;

use crate::processor::{Failure, wire};

/// Nothing came back: it may have happened or not.
pub(super) fn unanswered(error: reqwest::Error) -> Failure {
    let what = if error.is_timeout() {
        "timed out"
    } else {
        "connection failed"
    };
    let mut why = format!("{what}: {error}");
    let mut cause = std::error::Error::source(&error);
    while let Some(error) = cause {
        why.push_str(&format!(": {error}"));
        cause = error.source();
    }
    Failure::Unanswered(why)
}

/// Tells an error answer apart. `replayed` says that it is the first answer to its key, told again.
pub(super) fn read(
    status: StatusCode,
    replayed: bool,
    request: Option<&str>,
    body: &str,
) -> Failure {
    let error = serde_json::from_str::<wire::ErrorBody>(body)
        .ok()
        .map(|body| body.error);
    let described = error
        .as_ref()
        .map_or_else(|| "no reason given".to_owned(), wire::ApiError::describe);
    let described = format!("{status}: {described} ({})", request.unwrap_or("no id"));
    match status {
        StatusCode::PAYMENT_REQUIRED => Failure::Declined {
            code: error.map_or_else(|| "card_declined".to_owned(), |error| error.code()),
        },
        StatusCode::CONFLICT => Failure::InFlight,
        StatusCode::NOT_FOUND => Failure::Missing(described),
        StatusCode::TOO_MANY_REQUESTS => Failure::Unanswered(described),
        status if status.is_client_error() => Failure::Rejected(described),
        status if status.is_server_error() && replayed => Failure::Spent(described),
        _ => Failure::Unanswered(described),
    }
}

/// For a span.
pub(super) const fn error_type(failure: &Failure) -> &'static str {
    match failure {
        Failure::Declined { .. } => "declined",
        Failure::Unanswered(_) => "unanswered",
        Failure::InFlight => "in_flight",
        Failure::Spent(_) => "spent",
        Failure::Missing(_) => "missing",
        Failure::Rejected(_) => "rejected",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failure(status: StatusCode, body: &str) -> Failure {
        read(status, false, None, body)
    }

    #[test]
    fn every_status_is_told_apart_by_what_to_do_next() {
        let body = r#"{"error":{"type":"card_error","code":"card_declined","decline_code":"insufficient_funds"}}"#;
        let declined = Failure::Declined {
            code: "insufficient_funds".into(),
        };
        assert_eq!(failure(StatusCode::PAYMENT_REQUIRED, body), declined);
        assert_eq!(failure(StatusCode::CONFLICT, ""), Failure::InFlight);
        for status in [
            StatusCode::INTERNAL_SERVER_ERROR,
            StatusCode::BAD_GATEWAY,
            StatusCode::TOO_MANY_REQUESTS,
            StatusCode::TEMPORARY_REDIRECT,
        ] {
            assert!(
                matches!(failure(status, "<html>"), Failure::Unanswered(_)),
                "{status}"
            );
        }
        for status in [StatusCode::BAD_REQUEST, StatusCode::UNAUTHORIZED] {
            assert!(
                matches!(failure(status, "{}"), Failure::Rejected(_)),
                "{status}"
            );
        }
        assert!(matches!(
            failure(StatusCode::NOT_FOUND, "{}"),
            Failure::Missing(_)
        ));
    }

    #[test]
    fn an_error_that_is_told_again_is_told_for_ever() {
        let failure = read(StatusCode::INTERNAL_SERVER_ERROR, true, Some("req_1"), "");
        assert!(
            matches!(&failure, Failure::Spent(why) if why.contains("req_1")),
            "{failure:?}"
        );
    }
}
