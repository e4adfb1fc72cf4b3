//! `hexcab.payment.v1.PaymentService`: what people ask for, and reads.
//!
//! - [`parse`] requests → the domain's words; [`view`] the domain's words → answers
//!
//! Does not: decide anything.

use hexcab_proto::{
    convert,
    payment::v1::{
        self as proto, ConfirmPayoutBatchRequest, ConfirmPayoutBatchResponse,
        CreatePayoutBatchRequest, CreatePayoutBatchResponse, GetDriverStatementRequest,
        GetDriverStatementResponse, GetIntentRequest, GetIntentResponse, GetPayoutBatchRequest,
        GetPayoutBatchResponse, GetPayoutFileRequest, GetPayoutFileResponse,
        GetTrialBalanceRequest, GetTrialBalanceResponse, ListIntentsRequest, ListIntentsResponse,
        RefundTripRequest, RefundTripResponse, TipTripRequest, TipTripResponse,
        payment_service_server::PaymentService,
    },
};
use hexcab_types::PayoutId;
use sha2::{Digest as _, Sha256};
use tonic::{Request, Response, Status};

use crate::{
    domain::payout::Batch,
    status,
    store::{MoneyOf, Store, StoreError},
};

mod parse;
mod view;

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

    async fn batch(&self, name: &str) -> Result<Batch, Status> {
        let id: PayoutId = convert::name(name, "name")?;
        let batch = self.store.payout(id).await?;
        batch.ok_or_else(|| status::payout_not_found(name))
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
        let MoneyOf { intent, beside } = self
            .store
            .money_of(trip)
            .await?
            .ok_or_else(|| status::intent_not_found(&name))?;
        Ok(Response::new(GetIntentResponse {
            intent: Some(view::whole(intent, &beside)),
        }))
    }

    async fn list_intents(
        &self,
        request: Request<ListIntentsRequest>,
    ) -> Result<Response<ListIntentsResponse>, Status> {
        let (states, after, size) = parse::list_intents(&request.into_inner())?;
        let mut intents = self.store.list(&states, after, i64::from(size) + 1).await?;
        let has_more = intents.len() > size as usize;
        intents.truncate(size as usize);
        let next_page_token = intents
            .last()
            .filter(|_| has_more)
            .map(parse::write_page_token)
            .unwrap_or_default();
        let intents = intents.into_iter().map(proto::Intent::from).collect();
        Ok(Response::new(ListIntentsResponse {
            intents,
            next_page_token,
        }))
    }

    async fn refund_trip(
        &self,
        request: Request<RefundTripRequest>,
    ) -> Result<Response<RefundTripResponse>, Status> {
        let (key, trip, ask) = parse::refund_trip(request.into_inner())?;
        let refunds = self.store.refund(&key, trip, &ask).await?;
        Ok(Response::new(RefundTripResponse {
            refunds: refunds.iter().map(view::refund).collect(),
        }))
    }

    async fn tip_trip(
        &self,
        request: Request<TipTripRequest>,
    ) -> Result<Response<TipTripResponse>, Status> {
        let (key, trip, rider, amount) = parse::tip_trip(request.into_inner())?;
        let tip = self.store.tip(&key, trip, rider, amount).await?;
        Ok(Response::new(TipTripResponse {
            charge: Some(view::charge(&tip)),
        }))
    }

    async fn create_payout_batch(
        &self,
        request: Request<CreatePayoutBatchRequest>,
    ) -> Result<Response<CreatePayoutBatchResponse>, Status> {
        let (key, ask) = parse::create_payout_batch(request.into_inner())?;
        let batch = self.store.pay_out(&key, ask).await?;
        Ok(Response::new(CreatePayoutBatchResponse {
            batch: Some(view::batch(&batch)?),
        }))
    }

    async fn confirm_payout_batch(
        &self,
        request: Request<ConfirmPayoutBatchRequest>,
    ) -> Result<Response<ConfirmPayoutBatchResponse>, Status> {
        let (key, id, failed) = parse::confirm_payout_batch(request.into_inner())?;
        let batch = self.store.confirm(&key, id, &failed).await?;
        Ok(Response::new(ConfirmPayoutBatchResponse {
            batch: Some(view::batch(&batch)?),
        }))
    }

    async fn get_payout_batch(
        &self,
        request: Request<GetPayoutBatchRequest>,
    ) -> Result<Response<GetPayoutBatchResponse>, Status> {
        let batch = self.batch(&request.into_inner().name).await?;
        Ok(Response::new(GetPayoutBatchResponse {
            batch: Some(view::batch(&batch)?),
        }))
    }

    async fn get_payout_file(
        &self,
        request: Request<GetPayoutFileRequest>,
    ) -> Result<Response<GetPayoutFileResponse>, Status> {
        let batch = self.batch(&request.into_inner().name).await?;
        let content = batch.file().map_err(StoreError::from)?.into_bytes();
        if Sha256::digest(&content).as_slice() != batch.sha256 {
            return Err(status::file_changed(&batch.id.name()));
        }
        Ok(Response::new(GetPayoutFileResponse {
            filename: batch.filename(),
            content,
            sha256: hex::encode(batch.sha256),
        }))
    }

    async fn get_trial_balance(
        &self,
        request: Request<GetTrialBalanceRequest>,
    ) -> Result<Response<GetTrialBalanceResponse>, Status> {
        let balance = self.store.trial_balance().await?;
        let accounts = if request.into_inner().summed {
            view::summed(&balance.accounts).map_err(StoreError::from)?
        } else {
            balance.accounts.iter().map(view::balance).collect()
        };
        Ok(Response::new(GetTrialBalanceResponse { accounts }))
    }

    async fn get_driver_statement(
        &self,
        request: Request<GetDriverStatementRequest>,
    ) -> Result<Response<GetDriverStatementResponse>, Status> {
        let (driver, from, to) = parse::driver_statement(request.into_inner())?;
        let statements = self.store.statements(driver, from, to).await?;
        let statements = statements
            .into_iter()
            .map(|statement| view::statement(statement).ok_or_else(status::statement_too_long))
            .collect::<Result<_, _>>()?;
        Ok(Response::new(GetDriverStatementResponse { statements }))
    }
}
