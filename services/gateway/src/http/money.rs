//! Money as people ask for it: tips, statements, refunds, payouts. What a ride costs moves by itself.
//!
//! Invariant: whatever moves money wants an `Idempotency-Key`. Does not: know the rules of it (payment does).

use axum::{
    Json,
    extract::{Path, State},
    response::{IntoResponse, Response},
};
use hexcab_proto::{
    common::v1::Money,
    convert::to_timestamp,
    payment::v1::{
        ConfirmPayoutBatchRequest, CreatePayoutBatchRequest, FailedPayout,
        GetDriverStatementRequest, GetIntentRequest, GetPayoutBatchRequest, GetPayoutFileRequest,
        GetTrialBalanceRequest, Intent, RefundTripRequest, TipTripRequest,
    },
};
use hexcab_types::{DriverId, Timestamp, TripId};
use http::{StatusCode, header};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{
    Shared,
    input::{Body, Driver, Operator, OptionalKey, Query, Rider, Trip},
};
use crate::{
    gateway::Gateway,
    status::Problem,
    views::money::{
        AmountAsked, BalanceView, ChargeView, IntentView, PayoutView, RefundView, StatementView,
    },
};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TipAsked {
    amount: AmountAsked,
}

/// `POST /v1/trips/{id}/tip`
pub async fn tip(
    State(gateway): Shared,
    Rider(rider): Rider,
    Trip(id): Trip,
    key: OptionalKey,
    Body(asked): Body<TipAsked>,
) -> Result<(StatusCode, Json<ChargeView>), Problem> {
    let request = TipTripRequest {
        request_id: key.required()?.to_string(),
        trip: id.name(),
        rider: rider.name(),
        amount: Some(asked.amount.into()),
    };
    let answer = gateway
        .peers
        .payment(request, |mut p, r| async move { p.tip_trip(r).await })
        .await?;
    let charge = answer.charge.ok_or_else(Problem::internal)?;
    Ok((StatusCode::CREATED, Json(charge.into())))
}

/// `GET /v1/trips/{id}/payment`: of the rider's own trip.
pub async fn of_rider(
    State(gateway): Shared,
    Rider(rider): Rider,
    Trip(id): Trip,
) -> Result<Json<IntentView>, Problem> {
    let intent = intent(&gateway, id).await?;
    if intent.rider != rider.name() {
        return Err(Problem::not_your_trip());
    }
    Ok(Json(IntentView::for_rider(intent)))
}

/// `GET /v1/operator/trips/{id}/payment`
pub async fn of_trip(
    State(gateway): Shared,
    Operator(_): Operator,
    Trip(id): Trip,
) -> Result<Json<IntentView>, Problem> {
    Ok(Json(intent(&gateway, id).await?.into()))
}

async fn intent(gateway: &Gateway, trip: TripId) -> Result<Intent, Problem> {
    let request = GetIntentRequest { trip: trip.name() };
    let answer = gateway
        .peers
        .payment(request, |mut p, r| async move { p.get_intent(r).await })
        .await?;
    answer.intent.ok_or_else(Problem::internal)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Period {
    /// Included; from the beginning when absent.
    #[serde(default)]
    from: Option<Timestamp>,
    /// Not included; until now when absent.
    #[serde(default)]
    to: Option<Timestamp>,
}

#[derive(Serialize)]
pub struct Statements {
    statements: Vec<StatementView>,
}

/// `GET /v1/driver/statement`: the driver's own, one a currency.
pub async fn statement(
    State(gateway): Shared,
    Driver(driver): Driver,
    Query(asked): Query<Period>,
) -> Result<Json<Statements>, Problem> {
    let request = GetDriverStatementRequest {
        driver: driver.name(),
        from_time: asked.from.map(to_timestamp),
        to_time: asked.to.map(to_timestamp),
    };
    let answer = gateway
        .peers
        .payment(request, |mut p, r| async move {
            p.get_driver_statement(r).await
        })
        .await?;
    let statements = answer.statements.into_iter().map(Into::into).collect();
    Ok(Json(Statements { statements }))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RefundAsked {
    /// All that is left when absent.
    #[serde(default)]
    amount: Option<AmountAsked>,
    reason: String,
    /// The driver bears his share.
    #[serde(default)]
    clawback: bool,
}

#[derive(Serialize)]
pub struct Refunds {
    refunds: Vec<RefundView>,
}

/// `POST /v1/operator/trips/{id}/refund`
pub async fn refund(
    State(gateway): Shared,
    Operator(operator): Operator,
    Trip(id): Trip,
    key: OptionalKey,
    Body(asked): Body<RefundAsked>,
) -> Result<(StatusCode, Json<Refunds>), Problem> {
    let request = RefundTripRequest {
        request_id: key.required()?.to_string(),
        trip: id.name(),
        amount: asked.amount.map(Into::into),
        reason: asked.reason,
        operator: operator.name(),
        clawback: asked.clawback,
    };
    let answer = gateway
        .peers
        .payment(request, |mut p, r| async move { p.refund_trip(r).await })
        .await?;
    let refunds = answer.refunds.into_iter().map(Into::into).collect();
    Ok((StatusCode::CREATED, Json(Refunds { refunds })))
}

#[derive(Serialize)]
pub struct Balances {
    accounts: Vec<BalanceView>,
}

/// `GET /v1/operator/balance`: every account of the ledger; each column sums to zero per currency.
pub async fn balance(
    State(gateway): Shared,
    Operator(_): Operator,
) -> Result<Json<Balances>, Problem> {
    let answer = gateway
        .peers
        .payment(GetTrialBalanceRequest::default(), |mut p, r| async move {
            p.get_trial_balance(r).await
        })
        .await?;
    let accounts = answer.accounts.into_iter().map(Into::into).collect();
    Ok(Json(Balances { accounts }))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PayoutAsked {
    currency: String,
    /// What was owed then; now when absent.
    #[serde(default)]
    as_of: Option<Timestamp>,
    /// Drivers who are owed less wait for another time.
    #[serde(default)]
    minimum_minor: Option<i64>,
}

/// `POST /v1/operator/payouts`
pub async fn pay_out(
    State(gateway): Shared,
    Operator(_): Operator,
    key: OptionalKey,
    Body(asked): Body<PayoutAsked>,
) -> Result<(StatusCode, Json<PayoutView>), Problem> {
    let minimum = asked.minimum_minor.map(|amount_minor| Money {
        amount_minor,
        currency_code: asked.currency.clone(),
    });
    let request = CreatePayoutBatchRequest {
        request_id: key.required()?.to_string(),
        currency_code: asked.currency,
        as_of_time: asked.as_of.map(to_timestamp),
        minimum,
    };
    let answer = gateway
        .peers
        .payment(
            request,
            |mut p, r| async move { p.create_payout_batch(r).await },
        )
        .await?;
    let batch = answer.batch.ok_or_else(Problem::internal)?;
    Ok((StatusCode::CREATED, Json(batch.into())))
}

/// The batch in the path.
fn payout_name(id: Uuid) -> String {
    format!("payouts/{id}")
}

/// `GET /v1/operator/payouts/{id}`
pub async fn payout(
    State(gateway): Shared,
    Operator(_): Operator,
    PayoutId(id): PayoutId,
) -> Result<Json<PayoutView>, Problem> {
    let request = GetPayoutBatchRequest {
        name: payout_name(id),
    };
    let answer = gateway
        .peers
        .payment(
            request,
            |mut p, r| async move { p.get_payout_batch(r).await },
        )
        .await?;
    Ok(Json(answer.batch.ok_or_else(Problem::internal)?.into()))
}

/// `GET /v1/operator/payouts/{id}/file`: for the bank, the same bytes each time.
pub async fn payout_file(
    State(gateway): Shared,
    Operator(_): Operator,
    PayoutId(id): PayoutId,
) -> Result<Response, Problem> {
    let request = GetPayoutFileRequest {
        name: payout_name(id),
    };
    let file = gateway
        .peers
        .payment(
            request,
            |mut p, r| async move { p.get_payout_file(r).await },
        )
        .await?;
    let headers = [
        (header::CONTENT_TYPE, "text/csv; charset=utf-8".to_owned()),
        (
            header::CONTENT_DISPOSITION,
            format!("attachment; filename=\"{}\"", file.filename),
        ),
        (header::ETAG, format!("\"{}\"", file.sha256)),
    ];
    Ok((headers, file.content).into_response())
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BankSays {
    /// Lines that the bank did not pay; every other one it did.
    #[serde(default)]
    failed: Vec<FailedLine>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FailedLine {
    driver: DriverId,
    reason: String,
}

/// `POST /v1/operator/payouts/{id}/confirm`
pub async fn confirm_payout(
    State(gateway): Shared,
    Operator(_): Operator,
    PayoutId(id): PayoutId,
    key: OptionalKey,
    Body(said): Body<BankSays>,
) -> Result<Json<PayoutView>, Problem> {
    let failed = said.failed.into_iter().map(|line| FailedPayout {
        driver: line.driver.name(),
        reason: line.reason,
    });
    let request = ConfirmPayoutBatchRequest {
        request_id: key.required()?.to_string(),
        name: payout_name(id),
        failed: failed.collect(),
    };
    let answer = gateway
        .peers
        .payment(request, |mut p, r| async move {
            p.confirm_payout_batch(r).await
        })
        .await?;
    Ok(Json(answer.batch.ok_or_else(Problem::internal)?.into()))
}

/// The payout batch in the path.
pub struct PayoutId(Uuid);

impl axum::extract::FromRequestParts<std::sync::Arc<Gateway>> for PayoutId {
    type Rejection = Problem;
    async fn from_request_parts(
        parts: &mut http::request::Parts,
        gateway: &std::sync::Arc<Gateway>,
    ) -> Result<Self, Problem> {
        let path: Result<Path<Uuid>, _> = Path::from_request_parts(parts, gateway).await;
        let Path(id) = path.map_err(|error| Problem::field("id", error.body_text()))?;
        Ok(Self(id))
    }
}
