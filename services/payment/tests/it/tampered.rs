//! The real processor with something between it and the worker: answers that never arrive, a search that is behind.

use std::sync::Arc;

use async_trait::async_trait;
use hexcab_payment::{
    domain::ProcessorId,
    processor::{
        Between, Dispute, Failure, Page, Payment, PaymentRequest, Processor, Refund, RefundRequest,
        http::HttpProcessor,
    },
};
use hexcab_types::Money;
use tokio::sync::Notify;

/// What is between.
pub struct Tampered {
    pub inner: HttpProcessor,
    pub with: Tampering,
}

pub enum Tampering {
    /// Mutations are done, and their answers never arrive: the worker is killed while it waits.
    AnswersNever(Arc<Notify>),
    /// The same, whether it was done or not.
    Dies(Arc<Notify>),
    /// Nothing is found that was made just now, as at Stripe, whose search is behind.
    FindsNothing,
}

impl Tampered {
    async fn done<T>(&self, answer: Result<T, Failure>) -> Result<T, Failure> {
        match &self.with {
            Tampering::AnswersNever(done) => {
                assert!(answer.is_ok(), "the step was done");
                done.notify_one();
                std::future::pending().await
            }
            Tampering::Dies(asked) => {
                asked.notify_one();
                std::future::pending().await
            }
            Tampering::FindsNothing => answer,
        }
    }
}

#[async_trait]
impl Processor for Tampered {
    async fn hold(&self, key: &str, request: &PaymentRequest) -> Result<Payment, Failure> {
        self.done(self.inner.hold(key, request).await).await
    }
    async fn charge(&self, key: &str, request: &PaymentRequest) -> Result<Payment, Failure> {
        self.done(self.inner.charge(key, request).await).await
    }
    async fn raise(&self, key: &str, id: &ProcessorId, total: Money) -> Result<Payment, Failure> {
        self.done(self.inner.raise(key, id, total).await).await
    }
    async fn capture(
        &self,
        key: &str,
        id: &ProcessorId,
        amount: Money,
    ) -> Result<Payment, Failure> {
        self.done(self.inner.capture(key, id, amount).await).await
    }
    async fn cancel(&self, key: &str, id: &ProcessorId) -> Result<Payment, Failure> {
        self.done(self.inner.cancel(key, id).await).await
    }
    async fn refund(&self, key: &str, request: &RefundRequest) -> Result<Refund, Failure> {
        self.done(self.inner.refund(key, request).await).await
    }
    async fn get(&self, id: &ProcessorId) -> Result<Payment, Failure> {
        self.inner.get(id).await
    }
    async fn find(&self, key: &str) -> Result<Option<Payment>, Failure> {
        match self.with {
            Tampering::AnswersNever(_) | Tampering::Dies(_) => self.inner.find(key).await,
            Tampering::FindsNothing => Ok(None),
        }
    }
    async fn find_refund(
        &self,
        payment: &ProcessorId,
        key: &str,
    ) -> Result<Option<Refund>, Failure> {
        self.inner.find_refund(payment, key).await
    }
    async fn refunds_of(&self, payment: &ProcessorId) -> Result<Vec<Refund>, Failure> {
        self.inner.refunds_of(payment).await
    }
    async fn dispute(&self, id: &str) -> Result<Dispute, Failure> {
        self.inner.dispute(id).await
    }
    async fn payments(
        &self,
        within: Between,
        after: Option<&str>,
    ) -> Result<Page<Payment>, Failure> {
        self.inner.payments(within, after).await
    }
    async fn refunds(&self, within: Between, after: Option<&str>) -> Result<Page<Refund>, Failure> {
        self.inner.refunds(within, after).await
    }
    async fn disputes(
        &self,
        within: Between,
        after: Option<&str>,
    ) -> Result<Page<Dispute>, Failure> {
        self.inner.disputes(within, after).await
    }
}
