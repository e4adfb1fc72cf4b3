//! EdDSA tokens (JWT), checked as RFC 8725 asks: one algorithm, an explicit `typ`, issuer, audience and expiry.

use ed25519_dalek::pkcs8::{
    EncodePrivateKey as _, EncodePublicKey as _, spki::der::pem::LineEnding,
};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

/// Who issues user tokens.
pub const ISSUER: &str = "hexcab";
/// For whom user tokens are.
pub const AUDIENCE: &str = "hexcab";
/// The `typ` of a user token (RFC 9068).
pub const USER_TOKEN_TYPE: &str = "at+jwt";
/// How far two machines' clocks may differ, seconds.
const LEEWAY_S: u64 = 5;

/// Why a token is not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// It was good until lately.
    #[error("the token has expired")]
    Expired,
    /// Signature, algorithm, type, issuer, audience or form is wrong.
    #[error("the token is not valid: {0}")]
    Invalid(String),
    /// A key that cannot be read, or signing failed.
    #[error("key: {0}")]
    Key(String),
}

/// What a user token says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UserClaims {
    /// [`ISSUER`].
    pub iss: String,
    /// [`AUDIENCE`].
    pub aud: String,
    /// The user's resource name: `riders/…`, `drivers/…` or `operators/…`.
    pub sub: String,
    /// Issued at, seconds since 1970, the machine's time.
    pub iat: i64,
    /// Expires at, seconds since 1970, the machine's time.
    pub exp: i64,
    /// Unique per token.
    pub jti: String,
}

/// Claims for a user, issued at `now_s` (the machine's time, seconds since 1970) for `ttl_s` seconds.
pub fn user_claims(sub: String, now_s: i64, ttl_s: i64) -> UserClaims {
    UserClaims {
        iss: ISSUER.to_owned(),
        aud: AUDIENCE.to_owned(),
        sub,
        iat: now_s,
        exp: now_s + ttl_s,
        jti: format!("{:032x}", rand::random::<u128>()),
    }
}

/// A new Ed25519 key pair as PEM: private (PKCS #8) and public (SPKI).
///
/// # Errors
/// When it cannot be encoded.
pub fn generate_keys() -> Result<(String, String), TokenError> {
    let key = ed25519_dalek::SigningKey::from_bytes(&rand::random::<[u8; 32]>());
    let private = key
        .to_pkcs8_pem(LineEnding::LF)
        .map_err(|error| TokenError::Key(error.to_string()))?;
    let public = key
        .verifying_key()
        .to_public_key_pem(LineEnding::LF)
        .map_err(|error| TokenError::Key(error.to_string()))?;
    Ok((private.to_string(), public))
}

/// Signs tokens.
#[derive(Clone)]
pub struct Signer(EncodingKey);

impl Signer {
    /// From a private key in PEM (PKCS #8).
    ///
    /// # Errors
    /// When it is no Ed25519 private key.
    pub fn from_pem(pem: &str) -> Result<Self, TokenError> {
        EncodingKey::from_ed_pem(pem.as_bytes())
            .map(Self)
            .map_err(|error| TokenError::Key(error.to_string()))
    }

    /// A token of this type with these claims.
    ///
    /// # Errors
    /// When the claims cannot be written.
    pub fn sign(&self, typ: &str, claims: &impl Serialize) -> Result<String, TokenError> {
        let mut header = Header::new(Algorithm::EdDSA);
        header.typ = Some(typ.to_owned());
        jsonwebtoken::encode(&header, claims, &self.0)
            .map_err(|error| TokenError::Key(error.to_string()))
    }
}

/// Checks tokens.
#[derive(Clone)]
pub struct Verifier(DecodingKey);

impl Verifier {
    /// From a public key in PEM (SPKI).
    ///
    /// # Errors
    /// When it is no Ed25519 public key.
    pub fn from_pem(pem: &str) -> Result<Self, TokenError> {
        DecodingKey::from_ed_pem(pem.as_bytes())
            .map(Self)
            .map_err(|error| TokenError::Key(error.to_string()))
    }

    /// The claims of a token of this type. Checks signature and type, not expiry: that is the caller's, by his clock.
    ///
    /// # Errors
    /// When the token is forged, of another type, or malformed.
    pub fn verify<T: DeserializeOwned + Clone>(
        &self,
        typ: &str,
        token: &str,
    ) -> Result<T, TokenError> {
        let mut rules = Validation::new(Algorithm::EdDSA);
        rules.validate_exp = false;
        rules.validate_aud = false;
        rules.required_spec_claims.clear();
        self.decode(typ, token, &rules)
    }

    /// The claims of a user token: type, issuer, audience and expiry (the machine's time) checked.
    ///
    /// # Errors
    /// When it has expired or is not valid.
    pub fn verify_user(&self, token: &str) -> Result<UserClaims, TokenError> {
        let mut rules = Validation::new(Algorithm::EdDSA);
        rules.set_issuer(&[ISSUER]);
        rules.set_audience(&[AUDIENCE]);
        rules.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
        rules.leeway = LEEWAY_S;
        self.decode(USER_TOKEN_TYPE, token, &rules)
    }

    fn decode<T: DeserializeOwned + Clone>(
        &self,
        typ: &str,
        token: &str,
        rules: &Validation,
    ) -> Result<T, TokenError> {
        let data = jsonwebtoken::decode::<T>(token, &self.0, rules).map_err(|error| {
            if *error.kind() == jsonwebtoken::errors::ErrorKind::ExpiredSignature {
                TokenError::Expired
            } else {
                TokenError::Invalid(error.to_string())
            }
        })?;
        if data.header.typ.as_deref() == Some(typ) {
            Ok(data.claims)
        } else {
            Err(TokenError::Invalid(format!("its type is not {typ}")))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair() -> (Signer, Verifier) {
        let (private, public) = generate_keys().unwrap();
        (
            Signer::from_pem(&private).unwrap(),
            Verifier::from_pem(&public).unwrap(),
        )
    }

    #[expect(
        clippy::disallowed_methods,
        reason = "user tokens follow the machine's time"
    )]
    fn now_s() -> i64 {
        chrono::Utc::now().timestamp()
    }

    #[test]
    fn a_users_token_is_taken_until_it_expires() {
        let (signer, verifier) = pair();
        let good = user_claims("riders/x".into(), now_s(), 600);
        let token = signer.sign(USER_TOKEN_TYPE, &good).unwrap();
        assert_eq!(verifier.verify_user(&token), Ok(good));
        let old = user_claims("riders/x".into(), now_s() - 700, 600);
        assert_eq!(
            verifier.verify_user(&signer.sign(USER_TOKEN_TYPE, &old).unwrap()),
            Err(TokenError::Expired)
        );
    }

    #[test]
    fn a_token_of_another_key_type_issuer_or_audience_is_refused() {
        let ((signer, verifier), (stranger, _)) = (pair(), pair());
        let claims = user_claims("riders/x".into(), now_s(), 600);
        let forged = stranger.sign(USER_TOKEN_TYPE, &claims).unwrap();
        let quote = signer.sign("quote+jwt", &claims).unwrap();
        let elsewhere = signer
            .sign(
                USER_TOKEN_TYPE,
                &UserClaims {
                    iss: "other".into(),
                    ..claims.clone()
                },
            )
            .unwrap();
        let for_others = signer
            .sign(
                USER_TOKEN_TYPE,
                &UserClaims {
                    aud: "other".into(),
                    ..claims.clone()
                },
            )
            .unwrap();
        let mut tampered = signer.sign(USER_TOKEN_TYPE, &claims).unwrap();
        tampered.truncate(tampered.len() - 2);
        for bad in [
            forged,
            quote,
            elsewhere,
            for_others,
            tampered,
            String::new(),
            "a.b.c".into(),
        ] {
            assert!(
                matches!(verifier.verify_user(&bad), Err(TokenError::Invalid(_))),
                "{bad}"
            );
        }
    }

    #[test]
    fn a_token_without_signature_is_refused() {
        let (_, verifier) = pair();
        // {"alg":"none","typ":"at+jwt"}.{"sub":"operators/x"}.
        let none = "eyJhbGciOiJub25lIiwidHlwIjoiYXQrand0In0.eyJzdWIiOiJvcGVyYXRvcnMveCJ9.";
        assert!(verifier.verify_user(none).is_err());
    }
}
