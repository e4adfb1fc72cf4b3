//! What handlers read from a request. Whatever cannot be read is 400 naming the field.

use std::sync::Arc;

use axum::extract::{FromRequest, FromRequestParts, Path, Request};
use hexcab_types::{DriverId, OperatorId, RequestId, RiderId, TripId};
use http::{StatusCode, request::Parts};
use serde::de::DeserializeOwned;
use tokio::time::Instant;
use uuid::Uuid;

use super::gate::{Identified, read_body};
use crate::{
    auth::{Login, User},
    gateway::Gateway,
    status::Problem,
};

/// The key of a mutation, in the request's headers.
const IDEMPOTENCY_KEY: &str = "idempotency-key";

/// Anyone with a token.
pub struct Caller(pub User);

/// A rider.
pub struct Rider(pub RiderId);

/// A driver.
pub struct Driver(pub DriverId);

/// An operator.
pub struct Operator(pub OperatorId);

/// When the caller's token ends.
pub struct Until(pub Instant);

fn login(parts: &Parts) -> Result<Login, Problem> {
    let identified = parts
        .extensions
        .get::<Identified>()
        .ok_or_else(Problem::internal)?;
    identified.0.clone()
}

impl FromRequestParts<Arc<Gateway>> for Until {
    type Rejection = Problem;
    async fn from_request_parts(parts: &mut Parts, _: &Arc<Gateway>) -> Result<Self, Problem> {
        login(parts).map(|login| Self(login.until))
    }
}

impl FromRequestParts<Arc<Gateway>> for Caller {
    type Rejection = Problem;
    async fn from_request_parts(parts: &mut Parts, _: &Arc<Gateway>) -> Result<Self, Problem> {
        Ok(Self(login(parts)?.user))
    }
}

impl FromRequestParts<Arc<Gateway>> for Rider {
    type Rejection = Problem;
    async fn from_request_parts(parts: &mut Parts, _: &Arc<Gateway>) -> Result<Self, Problem> {
        login(parts)?.user.rider().map(Self)
    }
}

impl FromRequestParts<Arc<Gateway>> for Driver {
    type Rejection = Problem;
    async fn from_request_parts(parts: &mut Parts, _: &Arc<Gateway>) -> Result<Self, Problem> {
        login(parts)?.user.driver().map(Self)
    }
}

impl FromRequestParts<Arc<Gateway>> for Operator {
    type Rejection = Problem;
    async fn from_request_parts(parts: &mut Parts, _: &Arc<Gateway>) -> Result<Self, Problem> {
        login(parts)?.user.operator().map(Self)
    }
}

/// The trip in the path.
pub struct Trip(pub TripId);

impl FromRequestParts<Arc<Gateway>> for Trip {
    type Rejection = Problem;
    async fn from_request_parts(
        parts: &mut Parts,
        gateway: &Arc<Gateway>,
    ) -> Result<Self, Problem> {
        let path: Result<Path<String>, _> = Path::from_request_parts(parts, gateway).await;
        let Path(id) = path.map_err(|error| Problem::field("id", error.body_text()))?;
        id.parse()
            .map(Self)
            .map_err(|error| Problem::field("id", format!("{error}")))
    }
}

/// `Idempotency-Key`, if there is one.
pub struct OptionalKey(Option<RequestId>);

impl OptionalKey {
    /// The key, or a new one for a caller who does without.
    pub fn or_new(self) -> RequestId {
        self.0.unwrap_or_else(|| RequestId::from(Uuid::now_v7()))
    }

    /// The key.
    ///
    /// # Errors
    /// 400 when there is none.
    pub fn required(self) -> Result<RequestId, Problem> {
        self.0.ok_or_else(|| {
            Problem::field(
                "Idempotency-Key",
                "is required here: a UUID that names this request",
            )
        })
    }
}

impl FromRequestParts<Arc<Gateway>> for OptionalKey {
    type Rejection = Problem;
    async fn from_request_parts(parts: &mut Parts, _: &Arc<Gateway>) -> Result<Self, Problem> {
        let Some(value) = parts.headers.get(IDEMPOTENCY_KEY) else {
            return Ok(Self(None));
        };
        let text = value.to_str().unwrap_or_default();
        let key = text
            .parse()
            .map_err(|error| Problem::field("Idempotency-Key", format!("{error}")))?;
        Ok(Self(Some(key)))
    }
}

/// What stands behind the `?`.
pub struct Query<T>(pub T);

impl<T: DeserializeOwned> FromRequestParts<Arc<Gateway>> for Query<T> {
    type Rejection = Problem;
    async fn from_request_parts(parts: &mut Parts, _: &Arc<Gateway>) -> Result<Self, Problem> {
        let read = axum::extract::Query::<T>::try_from_uri(&parts.uri);
        let problem = |error: axum::extract::rejection::QueryRejection| {
            let text = error.body_text();
            Problem::field(field_in(&text).unwrap_or("query"), text.clone())
        };
        read.map(|query| Self(query.0)).map_err(problem)
    }
}

/// A JSON body; an empty one reads as `{}`.
pub struct Body<T>(pub T);

impl<T: DeserializeOwned> FromRequest<Arc<Gateway>> for Body<T> {
    type Rejection = Problem;
    async fn from_request(request: Request, gateway: &Arc<Gateway>) -> Result<Self, Problem> {
        let bytes = read_body(request.into_body(), gateway.config.http.max_body_bytes).await?;
        read_json(if bytes.is_empty() { b"{}" } else { &bytes }).map(Self)
    }
}

fn read_json<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Problem> {
    let mut json = serde_json::Deserializer::from_slice(bytes);
    let value = serde_path_to_error::deserialize(&mut json).map_err(|error| {
        let (path, inner) = (error.path().to_string(), error.inner());
        if inner.is_syntax() || inner.is_eof() {
            return Problem::new(
                StatusCode::BAD_REQUEST,
                "BODY_NOT_JSON",
                format!("the body is not JSON: {inner}"),
            );
        }
        let text = inner.to_string();
        Problem::field(field_of(&path, &text), text)
    })?;
    json.end().map_err(|_| {
        Problem::new(
            StatusCode::BAD_REQUEST,
            "BODY_NOT_JSON",
            "there is more than one value",
        )
    })?;
    Ok(value)
}

/// The field at fault: the path to it, and the one that serde names between backquotes if it is missing or unknown.
fn field_of(path: &str, text: &str) -> String {
    let path = path.trim_matches('.');
    match field_in(text)
        .filter(|_| text.starts_with("missing field") || text.starts_with("unknown field"))
    {
        Some(named) if path.is_empty() => named.to_owned(),
        Some(named) if path == named || path.ends_with(&format!(".{named}")) => path.to_owned(),
        Some(named) => format!("{path}.{named}"),
        None if path.is_empty() => "body".to_owned(),
        None => path.to_owned(),
    }
}

fn field_in(text: &str) -> Option<&str> {
    text.split('`').nth(1)
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;
    use crate::views::PointView;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Asked {
        #[expect(dead_code, reason = "only read from JSON")]
        city: String,
        #[expect(dead_code, reason = "only read from JSON")]
        pickup: PointView,
    }

    fn refused(body: &str) -> (String, Option<String>) {
        let problem = read_json::<Asked>(body.as_bytes()).unwrap_err();
        assert_eq!(problem.status, StatusCode::BAD_REQUEST);
        (problem.reason, problem.field)
    }

    #[test]
    fn the_field_at_fault_is_named() {
        let invalid = |field: &str| ("FIELD_INVALID".to_owned(), Some(field.to_owned()));
        assert_eq!(refused(r#"{"city":"sf"}"#), invalid("pickup"));
        assert_eq!(
            refused(r#"{"city":"sf","pickup":{"lat":1}}"#),
            invalid("pickup.lon")
        );
        assert_eq!(
            refused(r#"{"city":"sf","pickup":{"lat":"x","lon":1}}"#),
            invalid("pickup.lat")
        );
        assert_eq!(
            refused(r#"{"city":"sf","pickup":{"lat":1,"lon":1,"alt":1}}"#),
            invalid("pickup.alt")
        );
        assert_eq!(refused(r#"{"city":7}"#), invalid("city"));
        assert_eq!(refused(r#"{"town":"sf"}"#), invalid("town"));
        assert_eq!(refused("[]").1.as_deref(), Some("body"));
    }

    #[test]
    fn what_is_not_json_is_said_to_be_so() {
        for body in [
            "{",
            "hello",
            r#"{"city":"sf","pickup":{"lat":1,"lon":1}} {}"#,
        ] {
            assert_eq!(refused(body).0, "BODY_NOT_JSON", "{body}");
        }
    }
}
