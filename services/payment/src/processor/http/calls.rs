//! Which request each call of the port is, in Stripe's names.
//!
//! Invariant: everything made carries its intent and its key as metadata, so that it can be found and reconciled.

use async_trait::async_trait;
use hexcab_types::{IntentId, Money};
use reqwest::Method;
use serde::de::DeserializeOwned;

use super::{Call, Fields, HttpProcessor};
use crate::{
    domain::ProcessorId,
    processor::{
        Between, Dispute, Failure, Page, Payment, PaymentRequest, Processor, Refund, RefundRequest,
        lists, wire,
    },
};

const CANCEL: &str = "cancel";
const PAYMENTS: &str = "/v1/payment_intents";
const PAYMENT: &str = "/v1/payment_intents/{id}";
const SEARCH: &str = "/v1/payment_intents/search";
const REFUNDS: &str = "/v1/refunds";
const DISPUTES: &str = "/v1/disputes";
/// Items on a page: the most that Stripe gives.
const PAGE: &str = "100";
/// Keys after the first that are tried for a step that can happen once only, when the processor spent them on failures.
const FURTHER_KEYS: u32 = 3;
/// The same for giving a hold back, which nobody may refuse: more than a processor spends in ten minutes, as steps are
/// tried again.
const FURTHER_KEYS_OF_VOID: u32 = 40;

impl HttpProcessor {
    async fn create(
        &self,
        key: &str,
        request: &PaymentRequest,
        kind: Fields,
    ) -> Result<Payment, Failure> {
        let mut fields = vec![
            ("amount", request.amount.minor.to_string()),
            ("currency", currency(request.amount)),
            ("confirm", "true".to_owned()),
            ("payment_method", self.payment_method.clone()),
            ("payment_method_types[]", "card".to_owned()),
            ("metadata[trip]", request.trip.to_string()),
            ("metadata[rider]", request.rider.to_string()),
            ("expand[]", "latest_charge".to_owned()),
        ];
        fields.extend(kind);
        fields.extend(label(request.intent, key));
        self.post::<wire::PaymentIntent>(key, PAYMENTS, PAYMENTS.to_owned(), &fields)
            .await?
            .try_into()
    }

    /// A step on a payment that the payment's own state lets happen once only. So when the processor spent the key on a
    /// failure of its own, a further key is safe; which one depends on the processor's answers only, never on the attempt.
    async fn once(
        &self,
        key: &str,
        id: &ProcessorId,
        step: (&'static str, &'static str),
        mut fields: Fields,
    ) -> Result<Payment, Failure> {
        let (verb, route) = step;
        fields.push(("expand[]", "latest_charge".to_owned()));
        let mut again = 0;
        loop {
            let further = (again > 0).then(|| format!("{key}.{again}"));
            let path = format!("{PAYMENTS}/{id}/{verb}");
            let key = further.as_deref().unwrap_or(key);
            let keys = if verb == CANCEL {
                FURTHER_KEYS_OF_VOID
            } else {
                FURTHER_KEYS
            };
            match self
                .post::<wire::PaymentIntent>(key, route, path, &fields)
                .await
            {
                Err(Failure::Spent(_)) if again < keys => again += 1,
                answer => return answer?.try_into(),
            }
        }
    }

    async fn post<T: DeserializeOwned>(
        &self,
        key: &str,
        route: &'static str,
        path: String,
        fields: &Fields,
    ) -> Result<T, Failure> {
        let call = Call {
            method: Method::POST,
            path,
            route,
            key: Some(key),
            fields,
        };
        self.send(call).await
    }

    async fn read<T: DeserializeOwned>(
        &self,
        route: &'static str,
        path: String,
        fields: &Fields,
    ) -> Result<T, Failure> {
        let call = Call {
            method: Method::GET,
            path,
            route,
            key: None,
            fields,
        };
        self.send(call).await
    }

    /// A page of what is under `route`, created within this time.
    async fn page<W, T>(
        &self,
        route: &'static str,
        more: Fields,
        within: Between,
        after: Option<&str>,
    ) -> Result<Page<T>, Failure>
    where
        W: DeserializeOwned + wire::Listed<T>,
    {
        let mut fields = vec![
            ("limit", PAGE.to_owned()),
            ("created[gte]", within.from.timestamp().to_string()),
            ("created[lt]", within.until.timestamp().to_string()),
        ];
        fields.extend(more);
        fields.extend(after.map(|after| ("starting_after", after.to_owned())));
        let page: wire::List<W> = self.read(route, route.to_owned(), &fields).await?;
        Ok(page.into())
    }
}

#[async_trait]
impl Processor for HttpProcessor {
    async fn hold(&self, key: &str, request: &PaymentRequest) -> Result<Payment, Failure> {
        let kind = vec![
            ("capture_method", "manual".to_owned()),
            // A rider who would have to do something is not there to do it: that is a refusal.
            ("error_on_requires_action", "true".to_owned()),
            (
                "payment_method_options[card][request_incremental_authorization]",
                "if_available".to_owned(),
            ),
        ];
        self.create(key, request, kind).await
    }

    async fn charge(&self, key: &str, request: &PaymentRequest) -> Result<Payment, Failure> {
        let kind = vec![
            ("capture_method", "automatic".to_owned()),
            ("off_session", "true".to_owned()),
        ];
        self.create(key, request, kind).await
    }

    async fn raise(&self, key: &str, id: &ProcessorId, total: Money) -> Result<Payment, Failure> {
        let step = (
            "increment_authorization",
            "/v1/payment_intents/{id}/increment_authorization",
        );
        let raised = self
            .once(key, id, step, vec![("amount", total.minor.to_string())])
            .await;
        match raised {
            // The card, its bank or its network does not do it: no bug of ours, and the hold stays as it was.
            Err(Failure::Rejected(why)) => {
                tracing::info!(why, "the hold cannot be raised");
                let code = "raise_unavailable".to_owned();
                Err(Failure::Declined { code })
            }
            answer => answer,
        }
    }

    async fn capture(
        &self,
        key: &str,
        id: &ProcessorId,
        amount: Money,
    ) -> Result<Payment, Failure> {
        let fields = vec![("amount_to_capture", amount.minor.to_string())];
        let step = ("capture", "/v1/payment_intents/{id}/capture");
        self.once(key, id, step, fields).await
    }

    async fn cancel(&self, key: &str, id: &ProcessorId) -> Result<Payment, Failure> {
        let step = (CANCEL, "/v1/payment_intents/{id}/cancel");
        self.once(key, id, step, Vec::new()).await
    }

    async fn refund(&self, key: &str, request: &RefundRequest) -> Result<Refund, Failure> {
        let mut fields = vec![
            ("payment_intent", request.payment.to_string()),
            ("amount", request.amount.minor.to_string()),
        ];
        fields.extend(label(request.intent, key));
        self.post::<wire::Refund>(key, REFUNDS, REFUNDS.to_owned(), &fields)
            .await?
            .try_into()
    }

    async fn get(&self, id: &ProcessorId) -> Result<Payment, Failure> {
        let fields = vec![("expand[]", "latest_charge".to_owned())];
        self.read::<wire::PaymentIntent>(PAYMENT, format!("{PAYMENTS}/{id}"), &fields)
            .await?
            .try_into()
    }

    async fn find(&self, key: &str) -> Result<Option<Payment>, Failure> {
        let fields = vec![
            ("query", format!("metadata['key']:'{key}'")),
            ("expand[]", "data.latest_charge".to_owned()),
        ];
        let page: wire::List<wire::PaymentIntent> =
            self.read(SEARCH, SEARCH.to_owned(), &fields).await?;
        page.data
            .into_iter()
            .next()
            .map(Payment::try_from)
            .transpose()
    }

    async fn find_refund(
        &self,
        payment: &ProcessorId,
        key: &str,
    ) -> Result<Option<Refund>, Failure> {
        let made_under =
            |refund: &Refund| refund.label.as_ref().is_some_and(|label| label.key == key);
        Ok(self.refunds_of(payment).await?.into_iter().find(made_under))
    }

    async fn refunds_of(&self, payment: &ProcessorId) -> Result<Vec<Refund>, Failure> {
        lists::all(|after| async move {
            let mut fields = vec![
                ("limit", PAGE.to_owned()),
                ("payment_intent", payment.to_string()),
            ];
            fields.extend(after.map(|after| ("starting_after", after)));
            let page: wire::List<wire::Refund> =
                self.read(REFUNDS, REFUNDS.to_owned(), &fields).await?;
            Ok(page.into())
        })
        .await
    }

    async fn dispute(&self, id: &str) -> Result<Dispute, Failure> {
        self.read::<wire::Dispute>("/v1/disputes/{id}", format!("{DISPUTES}/{id}"), &Vec::new())
            .await?
            .try_into()
    }

    async fn payments(
        &self,
        within: Between,
        after: Option<&str>,
    ) -> Result<Page<Payment>, Failure> {
        let expand = vec![("expand[]", "data.latest_charge".to_owned())];
        self.page::<wire::PaymentIntent, _>(PAYMENTS, expand, within, after)
            .await
    }

    async fn refunds(&self, within: Between, after: Option<&str>) -> Result<Page<Refund>, Failure> {
        self.page::<wire::Refund, _>(REFUNDS, Vec::new(), within, after)
            .await
    }

    async fn disputes(
        &self,
        within: Between,
        after: Option<&str>,
    ) -> Result<Page<Dispute>, Failure> {
        self.page::<wire::Dispute, _>(DISPUTES, Vec::new(), within, after)
            .await
    }
}

fn currency(amount: Money) -> String {
    amount.currency.code().to_ascii_lowercase()
}

fn label(intent: IntentId, key: &str) -> [(&'static str, String); 2] {
    [
        ("metadata[intent]", intent.to_string()),
        ("metadata[key]", key.to_owned()),
    ]
}
