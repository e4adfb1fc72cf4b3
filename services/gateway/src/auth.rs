//! Who is calling: the user of an EdDSA token, what he is, and until when.
//!
//! Invariant: a role is part of the user's name in the token, so a rider's token never passes for a driver's.
//! Does not: know whose trip is whose; that is checked where the trip is known.

use std::{fmt, time::Duration};

use hexcab_chassis::{
    Clock,
    token::{TokenError, Verifier},
};
use hexcab_types::{DriverId, OperatorId, RiderId};
use http::{HeaderMap, StatusCode, Uri, header::AUTHORIZATION};

use tokio::time::Instant;

use crate::status::Problem;

/// A token counts for no longer than this, whatever it says.
const LONGEST_MS: i64 = 24 * 60 * 60 * 1_000;

/// A caller, and until when he is one.
#[derive(Debug, Clone, Copy)]
pub struct Login {
    /// Whose token it is.
    pub user: User,
    /// When it ends, by the machine's time, whatever the city's clock says.
    pub until: Instant,
}

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

/// The user of a bearer token, and when it ends.
///
/// # Errors
/// 401 TOKEN_MISSING, TOKEN_EXPIRED or TOKEN_INVALID.
pub fn login(verifier: &Verifier, token: Option<&str>) -> Result<Login, Problem> {
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
    let user = User::from_name(&claims.sub).ok_or_else(invalid)?;
    let until = Instant::now() + left_of(claims.exp, Clock::system().now().timestamp_millis());
    Ok(Login { user, until })
}

/// What is left of a token that ends at `exp_s`. Nothing for one that is let in a little late, as clocks may differ.
fn left_of(exp_s: i64, now_ms: i64) -> Duration {
    let left = exp_s.saturating_mul(1_000).saturating_sub(now_ms);
    Duration::from_millis(left.clamp(0, LONGEST_MS).unsigned_abs())
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
    fn what_is_left_of_a_token_is_never_less_than_nothing_nor_more_than_a_day() {
        let left_ms = |exp_s, now_ms| left_of(exp_s, now_ms).as_millis();
        assert_eq!(left_ms(700, 100_250), 599_750);
        assert_eq!(left_ms(700, 703_000), 0);
        assert_eq!(left_ms(i64::MAX, 0), 86_400_000);
        assert_eq!(left_ms(i64::MIN, 0), 0);
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
