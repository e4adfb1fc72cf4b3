//! Signs users in until identity does: anyone on this machine who asks gets a token for the role asked for.
//!
//! Invariant: a token lives [`TOKEN_TTL_S`] and names one rider, driver or operator.
//! Does not: know users, ask for a password. So it is to be reached from this machine alone: the launcher serves it on
//! loopback, a cluster for trying things (`hexcab cluster sign-in`) inside its own network.

use std::{net::SocketAddr, sync::Arc};

use anyhow::Context as _;
use axum::{
    Json, Router,
    extract::State,
    http::StatusCode,
    response::IntoResponse,
    routing::{get, post},
};
use hexcab_chassis::{
    Clock, Tasks,
    token::{Signer, USER_TOKEN_TYPE, user_claims},
};
use hexcab_types::{DriverId, OperatorId, RiderId};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// How long a token is good, seconds (DESIGN section 10).
pub const TOKEN_TTL_S: i64 = 600;

/// What a user is to the platform.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Asks for rides.
    Rider,
    /// Gives them.
    Driver,
    /// Looks after the city.
    Operator,
}

impl Role {
    /// The user's resource name.
    pub fn name(self, id: Uuid) -> String {
        match self {
            Self::Rider => RiderId::from(id).name(),
            Self::Driver => DriverId::from(id).name(),
            Self::Operator => OperatorId::from(id).name(),
        }
    }
}

/// Body of `POST /v1/tokens`.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SignIn {
    /// As what.
    pub role: Role,
    /// As whom; somebody new when not given.
    #[serde(default)]
    pub id: Option<Uuid>,
}

/// A token and whose it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SignedIn {
    /// For `Authorization: Bearer …`.
    pub token: String,
    /// As what.
    pub role: Role,
    /// As whom.
    pub id: Uuid,
    /// How long it is good, seconds.
    pub expires_in_s: i64,
}

/// Issues tokens with the city's key.
#[derive(Clone)]
pub struct Issuer(Arc<Signer>);

impl Issuer {
    /// From the private key in PEM.
    ///
    /// # Errors
    /// When it is no Ed25519 key.
    pub fn new(private_pem: &str) -> anyhow::Result<Self> {
        Ok(Self(Arc::new(Signer::from_pem(private_pem)?)))
    }

    /// A token for this user, or for a new one.
    ///
    /// # Errors
    /// When it cannot be signed.
    pub fn issue(&self, ask: SignIn) -> anyhow::Result<SignedIn> {
        let id = ask
            .id
            .filter(|id| !id.is_nil())
            .unwrap_or_else(Uuid::now_v7);
        // User tokens follow the machine's time, at any speed of the city's.
        let now_s = Clock::system().now().timestamp();
        let token = self.0.sign(
            USER_TOKEN_TYPE,
            &user_claims(ask.role.name(id), now_s, TOKEN_TTL_S),
        )?;
        Ok(SignedIn {
            token,
            role: ask.role,
            id,
            expires_in_s: TOKEN_TTL_S,
        })
    }
}

/// Serves `POST /v1/tokens`, and `GET /healthz`.
///
/// # Errors
/// When the port is taken.
pub async fn serve(address: SocketAddr, issuer: Issuer, tasks: &Tasks) -> anyhow::Result<()> {
    let listener = tokio::net::TcpListener::bind(address)
        .await
        .with_context(|| format!("bind {address}"))?;
    let stop = tasks.shutdown();
    tasks.spawn("sign-in", async move {
        let serving =
            axum::serve(listener, router(issuer)).with_graceful_shutdown(stop.cancelled_owned());
        serving.await.context("serve sign-in")
    });
    Ok(())
}

fn router(issuer: Issuer) -> Router {
    Router::new()
        .route("/v1/tokens", post(sign_in))
        .route("/healthz", get(|| async { "serving" }))
        .with_state(issuer)
}

async fn sign_in(State(issuer): State<Issuer>, Json(ask): Json<SignIn>) -> impl IntoResponse {
    issuer
        .issue(ask)
        .map(|signed| (StatusCode::CREATED, Json(signed)))
        .map_err(|error| (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()))
}

#[cfg(test)]
mod tests {
    use hexcab_chassis::token::{Verifier, generate_keys};

    use super::*;

    fn pair() -> (Issuer, Verifier) {
        let (private, public) = generate_keys().unwrap();
        (
            Issuer::new(&private).unwrap(),
            Verifier::from_pem(&public).unwrap(),
        )
    }

    #[test]
    fn a_token_names_the_user_who_asked() {
        let (issuer, verifier) = pair();
        let id = Uuid::from_u128(7);
        for (role, name) in [
            (Role::Rider, "riders"),
            (Role::Driver, "drivers"),
            (Role::Operator, "operators"),
        ] {
            let signed = issuer.issue(SignIn { role, id: Some(id) }).unwrap();
            let claims = verifier.verify_user(&signed.token).unwrap();
            assert_eq!((claims.sub, signed.id), (format!("{name}/{id}"), id));
            assert_eq!(claims.exp - claims.iat, TOKEN_TTL_S);
        }
    }

    #[test]
    fn whoever_names_nobody_is_somebody_new() {
        let (issuer, _) = pair();
        let ask = SignIn {
            role: Role::Rider,
            id: None,
        };
        assert_ne!(issuer.issue(ask).unwrap().id, issuer.issue(ask).unwrap().id);
    }

    #[tokio::test]
    async fn the_endpoint_answers_and_refuses_what_it_does_not_know() {
        let (issuer, verifier) = pair();
        let tasks = Tasks::new();
        let port = crate::stack::ports::Ports::default().take(None).unwrap();
        serve(SocketAddr::from(([127, 0, 0, 1], port)), issuer, &tasks)
            .await
            .unwrap();
        let url = format!("http://127.0.0.1:{port}/v1/tokens");
        let http = reqwest::Client::new();
        let answer = http
            .post(&url)
            .json(&serde_json::json!({"role": "driver"}))
            .send()
            .await
            .unwrap();
        assert_eq!(answer.status(), 201);
        let signed: SignedIn = answer.json().await.unwrap();
        assert!(verifier.verify_user(&signed.token).is_ok());
        for bad in [
            r#"{"role":"king"}"#,
            r#"{"role":"rider","admin":true}"#,
            r#"{"role":"rider","id":"x"}"#,
        ] {
            let answer = http
                .post(&url)
                .header("content-type", "application/json")
                .body(bad)
                .send()
                .await
                .unwrap();
            assert!(answer.status().is_client_error(), "{bad}");
        }
        tasks.stop(std::time::Duration::from_secs(5)).await;
    }
}
