//! The gateway's REST API and the sign-in.

use std::time::Duration;

use serde_json::{Value, json};

/// A client of one city.
#[derive(Debug, Clone)]
pub struct Api {
    http: reqwest::Client,
    gateway: String,
    sign_in: String,
}

/// What came back.
#[derive(Debug, Clone)]
pub struct Answer {
    /// HTTP status; 0 when nothing came back.
    pub status: u16,
    /// The body; null when it was none or no JSON.
    pub body: Value,
    /// The content type.
    pub content_type: String,
    /// The `traceparent` of the answer.
    pub traceparent: Option<String>,
}

impl Answer {
    /// The reason of a problem.
    pub fn reason(&self) -> &str {
        self.body["reason"].as_str().unwrap_or_default()
    }

    /// The body of a success; panics with the problem otherwise.
    #[track_caller]
    pub fn ok(self) -> Value {
        assert!(
            (200..300).contains(&self.status),
            "{} {}",
            self.status,
            self.body
        );
        self.body
    }

    /// Panics unless it is a problem with this status and reason, in problem+json.
    #[track_caller]
    pub fn refused(&self, status: u16, reason: &str) {
        assert_eq!(
            (self.status, self.reason()),
            (status, reason),
            "{}",
            self.body
        );
        assert!(
            self.content_type.starts_with("application/problem+json"),
            "{}",
            self.content_type
        );
    }

    /// Whether trying again may help.
    pub fn is_passing(&self) -> bool {
        matches!(self.status, 0 | 429 | 502 | 503 | 504) || self.reason() == "CONTENDED"
    }
}

impl Api {
    /// A client of the city at these addresses.
    pub fn new(gateway: &str, sign_in: &str) -> Self {
        let http = reqwest::Client::builder()
            .timeout(Duration::from_secs(15))
            .build()
            .expect("an HTTP client");
        Self {
            http,
            gateway: gateway.to_owned(),
            sign_in: sign_in.to_owned(),
        }
    }

    /// The gateway's address.
    pub fn gateway(&self) -> &str {
        &self.gateway
    }

    /// A token for somebody new: (token, id).
    pub async fn sign_in(&self, role: &str) -> (String, String) {
        let answer = self
            .http
            .post(format!("{}/v1/tokens", self.sign_in))
            .json(&json!({"role": role}))
            .send()
            .await;
        let body: Value = answer.expect("sign in").json().await.expect("a token");
        let text = |key: &str| body[key].as_str().expect("token and id").to_owned();
        (text("token"), text("id"))
    }

    /// GET as this user.
    pub async fn get(&self, token: &str, path: &str) -> Answer {
        self.send(
            self.http
                .get(format!("{}{path}", self.gateway))
                .bearer_auth(token),
        )
        .await
    }

    /// POST as this user, under this key.
    pub async fn post(&self, token: &str, path: &str, key: &str, body: &Value) -> Answer {
        let request = self
            .http
            .post(format!("{}{path}", self.gateway))
            .bearer_auth(token);
        self.send(request.header("Idempotency-Key", key).json(body))
            .await
    }

    /// POST with a key of its own, tried again with that key while the city is not quite there.
    pub async fn post_surely(&self, token: &str, path: &str, body: &Value) -> Answer {
        let key = new_key();
        crate::eventually(path, || async {
            Some(self.post(token, path, &key, body).await).filter(|answer| !answer.is_passing())
        })
        .await
    }

    /// Any request of this client.
    pub fn request(&self, method: &str, path: &str) -> reqwest::RequestBuilder {
        let method = method.parse().expect("a method");
        self.http.request(method, format!("{}{path}", self.gateway))
    }

    /// Sends it.
    pub async fn send(&self, request: reqwest::RequestBuilder) -> Answer {
        let Ok(response) = request.send().await else {
            return Answer {
                status: 0,
                body: Value::Null,
                content_type: String::new(),
                traceparent: None,
            };
        };
        let header = |name: &str| {
            response
                .headers()
                .get(name)
                .and_then(|value| value.to_str().ok())
                .map(str::to_owned)
        };
        let (status, content_type, traceparent) = (
            response.status().as_u16(),
            header("content-type").unwrap_or_default(),
            header("traceparent"),
        );
        let body = response.json().await.unwrap_or(Value::Null);
        Answer {
            status,
            body,
            content_type,
            traceparent,
        }
    }
}

/// An idempotency key.
pub fn new_key() -> String {
    uuid::Uuid::new_v4().to_string()
}
