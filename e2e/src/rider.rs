//! A rider: quotes, requests, follows by polling, cancels.

use serde_json::{Value, json};

use crate::{Answer, Api, Place, api::new_key, eventually};

/// A signed-in rider.
#[derive(Debug, Clone)]
pub struct Rider {
    /// The API he uses.
    pub api: Api,
    /// His token.
    pub token: String,
    /// His id.
    pub id: String,
}

impl Rider {
    /// Somebody new.
    pub async fn new(api: &Api) -> Self {
        let (token, id) = api.sign_in("rider").await;
        Self {
            api: api.clone(),
            token,
            id,
        }
    }

    /// Asks for a price.
    pub async fn quote(&self, from: Place, to: Place) -> Answer {
        let body = json!({"city": "sf", "pickup": from.json(), "dropoff": to.json()});
        self.api.post_surely(&self.token, "/v1/quotes", &body).await
    }

    /// A good quote's token.
    pub async fn quote_token(&self, from: Place, to: Place) -> String {
        self.quote(from, to).await.ok()["token"]
            .as_str()
            .expect("a token")
            .to_owned()
    }

    /// Requests a ride with a quote, under this key.
    pub async fn request_with(&self, quote_token: &str, key: &str) -> Answer {
        self.api
            .post(
                &self.token,
                "/v1/trips",
                key,
                &json!({"quote_token": quote_token}),
            )
            .await
    }

    /// Asks for a price and requests the ride; returns the trip's id.
    pub async fn request(&self, from: Place, to: Place) -> String {
        let quote = self.quote_token(from, to).await;
        let key = new_key();
        let answer = eventually("the request is taken", || async {
            Some(self.request_with(&quote, &key).await).filter(|answer| !answer.is_passing())
        })
        .await;
        answer.ok()["id"].as_str().expect("an id").to_owned()
    }

    /// The trip as he sees it.
    pub async fn trip(&self, id: &str) -> Answer {
        self.api.get(&self.token, &format!("/v1/trips/{id}")).await
    }

    /// Waits until the trip is in this state, and returns it.
    pub async fn until(&self, id: &str, state: &str) -> Value {
        eventually(&format!("trip {id} is {state}"), || async {
            let trip = self.trip(id).await;
            (trip.body["state"] == state).then_some(trip.body)
        })
        .await
    }

    /// Cancels.
    pub async fn cancel(&self, id: &str) -> Answer {
        let path = format!("/v1/trips/{id}/cancel");
        self.api
            .post_surely(&self.token, &path, &json!({"reason": "changed_mind"}))
            .await
    }
}
