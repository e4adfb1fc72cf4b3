//! Who is calling: the user of an EdDSA token, and what he is.
//!
//! Invariant: a role is part of the user's name in the token, so a rider's token never passes for a driver's.
//! Does not: know whose trip is whose; that is checked where the trip is known.

use std::fmt;

use hexcab_chassis::token::{TokenError, Verifier};
use hexcab_types::{DriverId, OperatorId, RiderId};
use http::{HeaderMap, StatusCode, Uri, header::AUTHORIZATION};

use crate::status::Problem;

/// The caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum User {
    /// One who rides.
    Rider(RiderId),
    /// One who drives.
    Driver(DriverId),
    /// One of the city's team.
    Operator(OperatorId),
}

impl User {
    /// Reads `riders/{id}`, `drivers/{id}` or `operators/{id}`.
    fn from_name(name: &str) -> Option<Self> {
        match name.split_once('/')?.0 {
            RiderId::COLLECTION => RiderId::from_name(name).ok().map(Self::Rider),
            DriverId::COLLECTION => DriverId::from_name(name).ok().map(Self::Driver),
            OperatorId::COLLECTION => OperatorId::from_name(name).ok().map(Self::Operator),
            _ => None,
        }
    }

    /// The rider.
    ///
    /// # Errors
    /// 403 WRONG_ROLE for anyone else.
    pub fn rider(self) -> Result<RiderId, Problem> {
        match self {
            Self::Rider(rider) => Ok(rider),
            Self::Driver(_) | Self::Operator(_) => Err(wrong_role("rider")),
        }
    }

    /// The driver.
    ///
    /// # Errors
    /// 403 WRONG_ROLE for anyone else.
    pub fn driver(self) -> Result<DriverId, Problem> {
        match self {
            Self::Driver(driver) => Ok(driver),
            Self::Rider(_) | Self::Operator(_) => Err(wrong_role("driver")),
        }
    }

    /// The operator.
    ///
    /// # Errors
    /// 403 WRONG_ROLE for anyone else.
    pub fn operator(self) -> Result<OperatorId, Problem> {
        match self {
            Self::Operator(operator) => Ok(operator),
            Self::Rider(_) | Self::Driver(_) => Err(wrong_role("operator")),
        }
    }
}

impl fmt::Display for User {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Rider(id) => write!(f, "riders/{id}"),
            Self::Driver(id) => write!(f, "drivers/{id}"),
            Self::Operator(id) => write!(f, "operators/{id}"),
        }
    }
}

fn wrong_role(wanted: &str) -> Problem {
    Problem::new(
        StatusCode::FORBIDDEN,
        "WRONG_ROLE",
        format!("this is for a {wanted}'s token"),
    )
}

/// The user of a bearer token.
///
/// # Errors
/// 401 TOKEN_MISSING, TOKEN_EXPIRED or TOKEN_INVALID.
pub fn user(verifier: &Verifier, token: Option<&str>) -> Result<User, Problem> {
    let token = token.ok_or_else(|| {
        Problem::unauthenticated(
            "TOKEN_MISSING",
            "send a user token as `Authorization: Bearer <token>`",
        )
    })?;
    let claims = verifier.verify_user(token).map_err(|error| match error {
        TokenError::Expired => {
            Problem::unauthenticated("TOKEN_EXPIRED", "the token has expired; sign in again")
        }
        TokenError::Invalid(_) | TokenError::Key(_) => invalid(),
    })?;
    User::from_name(&claims.sub).ok_or_else(invalid)
}

fn invalid() -> Problem {
    Problem::unauthenticated("TOKEN_INVALID", "the token is not one of ours for users")
}

/// The token in `Authorization: Bearer …`.
pub fn bearer(headers: &HeaderMap) -> Option<&str> {
    let (scheme, token) = headers.get(AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

/// The token in `?access_token=`, for WebSockets: browsers cannot set headers there.
pub fn access_token(uri: &Uri) -> Option<&str> {
    uri.query()?
        .split('&')
        .find_map(|pair| pair.strip_prefix("access_token="))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_of_another_kind_is_no_user() {
        let id = "7f1f3a52-6f3e-4f43-8e3a-1a2b3c4d5e6f";
        assert!(matches!(
            User::from_name(&format!("riders/{id}")),
            Some(User::Rider(_))
        ));
        assert!(matches!(
            User::from_name(&format!("operators/{id}")),
            Some(User::Operator(_))
        ));
        for bad in [
            format!("trips/{id}"),
            id.to_owned(),
            "riders/".to_owned(),
            "riders/7".to_owned(),
        ] {
            assert_eq!(User::from_name(&bad), None, "{bad}");
        }
    }

    #[test]
    fn the_scheme_is_read_in_any_case() {
        let mut headers = HeaderMap::new();
        headers.insert(AUTHORIZATION, "bearer abc".parse().unwrap());
        assert_eq!(bearer(&headers), Some("abc"));
        headers.insert(AUTHORIZATION, "Basic abc".parse().unwrap());
        assert_eq!(bearer(&headers), None);
    }
}
