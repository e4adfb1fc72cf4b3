//! `hexcab.payment.v1.PaymentService`: reads. The service works by itself from trip events.

use hexcab_proto::{
    convert::{self, FieldError},
    payment::v1::{
        self as proto, GetIntentRequest, GetIntentResponse, GetTrialBalanceRequest,
        GetTrialBalanceResponse, IntentState, ListIntentsRequest, ListIntentsResponse,
        payment_service_server::PaymentService,
    },
};
use hexcab_types::{Money, Timestamp};
use tonic::{Request, Response, Status};
use uuid::Uuid;

use crate::{
    domain::{Intent, State},
    status,
    store::{Balance, Page, Store},
};

/// Intents on a page when the caller does not say …
const PAGE: i32 = 100;
/// … and at most.
const PAGE_MAX: i32 = 1_000;

/// The service.
#[derive(Debug, Clone)]
pub struct Payments {
    store: Store,
}

impl Payments {
    /// Answers from this store.
    pub const fn new(store: Store) -> Self {
        Self { store }
    }
}

#[tonic::async_trait]
impl PaymentService for Payments {
    async fn get_intent(
        &self,
        request: Request<GetIntentRequest>,
    ) -> Result<Response<GetIntentResponse>, Status> {
        let name = request.into_inner().trip;
        let trip = convert::name(&name, "trip")?;
        let intent = self
            .store
            .of_trip(trip)
            .await?
            .ok_or_else(|| status::intent_not_found(&name))?;
        Ok(Response::new(GetIntentResponse {
            intent: Some(intent.into()),
        }))
    }

    async fn list_intents(
        &self,
        request: Request<ListIntentsRequest>,
    ) -> Result<Response<ListIntentsResponse>, Status> {
        let (states, after, size) = parse(&request.into_inner())?;
        let mut intents = self.store.list(&states, after, i64::from(size) + 1).await?;
        let has_more = intents.len() > size as usize;
        intents.truncate(size as usize);
        let next_page_token = intents
            .last()
            .filter(|_| has_more)
            .map(token)
            .unwrap_or_default();
        let intents = intents.into_iter().map(proto::Intent::from).collect();
        Ok(Response::new(ListIntentsResponse {
            intents,
            next_page_token,
        }))
    }

    async fn get_trial_balance(
        &self,
        _: Request<GetTrialBalanceRequest>,
    ) -> Result<Response<GetTrialBalanceResponse>, Status> {
        let balances = self.store.balances().await?;
        let accounts = balances
            .into_iter()
            .map(proto::AccountBalance::from)
            .collect();
        Ok(Response::new(GetTrialBalanceResponse { accounts }))
    }
}

fn parse(
    request: &ListIntentsRequest,
) -> Result<(Vec<&'static str>, Option<Page>, i32), FieldError> {
    let mut states = Vec::new();
    for state in &request.states {
        let known = IntentState::try_from(*state).ok().and_then(column);
        states
            .push(known.ok_or_else(|| FieldError::new("states", format!("{state} is no state")))?);
    }
    let size = match request.page_size {
        0 => PAGE,
        size if size > 0 => size.min(PAGE_MAX),
        _ => return Err(FieldError::new("page_size", "is below zero")),
    };
    Ok((states, page(&request.page_token)?, size))
}

const fn column(state: IntentState) -> Option<&'static str> {
    match state {
        IntentState::Unspecified => None,
        IntentState::RequiresHold => Some("REQUIRES_HOLD"),
        IntentState::Held => Some("HELD"),
        IntentState::Captured => Some("CAPTURED"),
        IntentState::Voided => Some("VOIDED"),
        IntentState::Declined => Some("DECLINED"),
        IntentState::Unknown => Some("UNKNOWN"),
    }
}

/// Where the next page begins: creation time in microseconds and id of the last intent.
fn token(last: &Intent) -> String {
    format!("{}.{}", last.created_at.timestamp_micros(), last.id)
}

fn page(token: &str) -> Result<Option<Page>, FieldError> {
    if token.is_empty() {
        return Ok(None);
    }
    let read = || {
        let (micros, id) = token.split_once('.')?;
        let created_at = Timestamp::from_timestamp_micros(micros.parse().ok()?)?;
        Some(Page {
            created_at,
            id: Uuid::parse_str(id).ok()?,
        })
    };
    read()
        .map(Some)
        .ok_or_else(|| FieldError::new("page_token", "is not one that was given out"))
}

impl From<Intent> for proto::Intent {
    fn from(intent: Intent) -> Self {
        let (state, captured, decline_code) = match &intent.state {
            State::RequiresHold => (IntentState::RequiresHold, None, ""),
            State::Held { .. } => (IntentState::Held, None, ""),
            State::Captured { amount, .. } => (IntentState::Captured, Some(*amount), ""),
            State::Voided { .. } => (IntentState::Voided, None, ""),
            State::Declined { code } => (IntentState::Declined, None, code.as_str()),
            State::Unknown(_) => (IntentState::Unknown, None, ""),
        };
        Self {
            name: intent.id.name(),
            trip: intent.trip.name(),
            rider: intent.rider.name(),
            state: state.into(),
            held: Some(intent.amount.into()),
            captured: Some(
                captured
                    .unwrap_or_else(|| Money::zero(intent.amount.currency))
                    .into(),
            ),
            processor_id: intent
                .state
                .processor_id()
                .map(ToString::to_string)
                .unwrap_or_default(),
            decline_code: decline_code.to_owned(),
            create_time: Some(convert::to_timestamp(intent.created_at)),
            update_time: Some(convert::to_timestamp(intent.updated_at)),
        }
    }
}

impl From<Balance> for proto::AccountBalance {
    fn from(balance: Balance) -> Self {
        Self {
            account: balance.account.to_string(),
            posted: Some(balance.posted.into()),
            pending: Some(balance.pending.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_that_are_nonsense_name_their_field() {
        let list = |states: Vec<i32>, page_size, page_token: &str| {
            parse(&ListIntentsRequest {
                states,
                page_size,
                page_token: page_token.into(),
            })
            .map(|_| ())
        };
        for (request, field) in [
            (list(vec![0], 0, ""), "states"),
            (list(vec![99], 0, ""), "states"),
            (list(vec![], -1, ""), "page_size"),
            (list(vec![], 0, "x"), "page_token"),
            (list(vec![], 0, "1.x"), "page_token"),
        ] {
            assert_eq!(request.unwrap_err().field, field);
        }
        assert!(list(vec![2], 10_000, "").is_ok());
    }
}
