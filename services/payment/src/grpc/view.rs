//! The domain's words → answers.

use std::collections::BTreeMap;

use hexcab_ledger::{Account, Balance, Code};
use hexcab_proto::{
    convert,
    payment::v1::{
        self as proto, AnswerState, ChargeKind, DisputeState as WireDispute, IntentState,
        PaymentMethod, PayoutLineState, PayoutState, StatementKind,
    },
};
use hexcab_types::{Currency, Money, MoneyError};
use tonic::Status;

use crate::{
    domain::{
        Answer, Extra, ExtraKind, Intent, Method, Refund, State,
        dispute::{Dispute, DisputeState},
        payout::{Batch, Line, LineState, total},
        refund::Of,
    },
    store::{About, Beside, Statement, StatementLine, StoreError},
};

type WireMoney = Option<hexcab_proto::common::v1::Money>;

fn some(money: Money) -> WireMoney {
    Some(money.into())
}

/// An intent with everything beside it.
pub fn whole(intent: Intent, beside: &Beside) -> proto::Intent {
    proto::Intent {
        charges: beside.extras.iter().map(charge).collect(),
        refunds: beside.refunds.iter().map(refund).collect(),
        disputes: beside.disputes.iter().map(dispute).collect(),
        ..intent.into()
    }
}

impl From<Intent> for proto::Intent {
    fn from(intent: Intent) -> Self {
        let zero = Money::zero(intent.amount.currency);
        let taken = intent.state.taken();
        let hold = intent.state.hold();
        let code = match &intent.state {
            State::Declined { code, .. } | State::CaptureFailed { code, .. } => code.clone(),
            State::RequiresHold
            | State::Held(_)
            | State::Captured { .. }
            | State::Voided { .. }
            | State::Unknown(_)
            | State::AwaitsCash
            | State::CashCollected
            | State::Owed { .. } => String::new(),
        };
        Self {
            name: intent.id.name(),
            trip: intent.trip.name(),
            rider: intent.rider.name(),
            state: state(&intent.state).into(),
            held: some(hold.map_or(intent.amount, |hold| hold.amount)),
            captured: some(taken.map_or(zero, |taken| taken.captured)),
            processor_id: hold.map(|hold| hold.id.0.clone()).unwrap_or_default(),
            decline_code: code,
            create_time: Some(convert::to_timestamp(intent.created_at)),
            update_time: Some(convert::to_timestamp(intent.updated_at)),
            method: match intent.method {
                Method::Card => PaymentMethod::Card.into(),
                Method::Cash => PaymentMethod::Cash.into(),
            },
            charge: intent.ending.map(|ending| ending.charge.amount.into()),
            owed: some(intent.state.owed().unwrap_or(zero)),
            refunded: some(taken.map_or(zero, |taken| taken.refunded)),
            charges: Vec::new(),
            refunds: Vec::new(),
            disputes: Vec::new(),
        }
    }
}

fn state(state: &State) -> IntentState {
    match state {
        State::RequiresHold => IntentState::RequiresHold,
        State::Held(_) => IntentState::Held,
        State::Captured { taken, .. } if taken.refunded.minor == 0 => IntentState::Captured,
        State::Captured { taken, .. } => {
            if taken.refunded.minor < taken.captured.minor + taken.rest.minor {
                IntentState::PartlyRefunded
            } else {
                IntentState::Refunded
            }
        }
        State::CaptureFailed { .. } => IntentState::CaptureFailed,
        State::Voided { .. } => IntentState::Voided,
        State::Declined { .. } => IntentState::Declined,
        State::Unknown(_) => IntentState::Unknown,
        State::AwaitsCash => IntentState::AwaitsCash,
        State::CashCollected => IntentState::CashCollected,
        State::Owed { .. } => IntentState::Owed,
    }
}

/// State, the processor's id and the code of an answer.
fn answer(answer: &Answer) -> (i32, String, String) {
    let (state, id, code) = match answer {
        Answer::Awaited => (AnswerState::Awaited, "", ""),
        Answer::Unknown => (AnswerState::Unknown, "", ""),
        Answer::Done { processor_id } => (AnswerState::Done, processor_id.0.as_str(), ""),
        Answer::Refused { code } => (AnswerState::Refused, "", code.as_str()),
    };
    (state.into(), id.to_owned(), code.to_owned())
}

/// A charge beside the hold.
pub fn charge(extra: &Extra) -> proto::Charge {
    let (state, processor_id, decline_code) = answer(&extra.answer);
    let kind = match extra.kind {
        ExtraKind::Rest => ChargeKind::Rest,
        ExtraKind::Tip { .. } => ChargeKind::Tip,
    };
    proto::Charge {
        name: extra.id.name(),
        kind: kind.into(),
        amount: some(extra.amount),
        state,
        processor_id,
        decline_code,
        create_time: Some(convert::to_timestamp(extra.created_at)),
    }
}

/// A refund.
pub fn refund(refund: &Refund) -> proto::Refund {
    let (state, processor_id, failure_code) = answer(&refund.answer);
    proto::Refund {
        name: refund.id.name(),
        amount: some(refund.amount),
        driver_part: some(refund.driver_part),
        tax_part: some(refund.tax_part),
        platform_part: refund.platform_part().ok().map(Money::into),
        state,
        reason: refund.reason.clone(),
        operator: refund.operator.name(),
        of_charge: match &refund.of {
            Of::Capture => String::new(),
            Of::Rest { charge, .. } => charge.name(),
        },
        processor_id,
        failure_code,
        create_time: Some(convert::to_timestamp(refund.created_at)),
    }
}

fn dispute(dispute: &Dispute) -> proto::Dispute {
    let state = match dispute.state {
        DisputeState::Open => WireDispute::Open,
        DisputeState::Won => WireDispute::Won,
        DisputeState::Lost => WireDispute::Lost,
    };
    proto::Dispute {
        name: dispute.id.clone(),
        amount: some(dispute.amount),
        state: state.into(),
        reason: dispute.reason.clone(),
        processor_id: dispute.payment.0.clone(),
        open_time: Some(convert::to_timestamp(dispute.opened_at)),
        close_time: dispute.closed_at.map(convert::to_timestamp),
    }
}

/// A payout batch with its lines.
pub fn batch(batch: &Batch) -> Result<proto::PayoutBatch, Status> {
    let total = total(batch.currency, &batch.lines).map_err(StoreError::from)?;
    let state = if batch.confirmed_at.is_some() {
        PayoutState::Confirmed
    } else {
        PayoutState::Open
    };
    Ok(proto::PayoutBatch {
        name: batch.id.name(),
        state: state.into(),
        total: some(total),
        count: i32::try_from(batch.lines.len()).unwrap_or(i32::MAX),
        as_of_time: Some(convert::to_timestamp(batch.as_of)),
        file_sha256: hex::encode(batch.sha256),
        create_time: Some(convert::to_timestamp(batch.created_at)),
        confirm_time: batch.confirmed_at.map(convert::to_timestamp),
        lines: batch.lines.iter().map(line).collect(),
    })
}

fn line(line: &Line) -> proto::PayoutLine {
    let (state, failure) = match &line.state {
        LineState::Pending => (PayoutLineState::Pending, ""),
        LineState::Paid => (PayoutLineState::Paid, ""),
        LineState::Failed { reason } => (PayoutLineState::Failed, reason.as_str()),
    };
    proto::PayoutLine {
        number: line.number,
        driver: line.driver.name(),
        amount: some(line.amount),
        state: state.into(),
        failure: failure.to_owned(),
    }
}

/// An account of the ledger.
pub fn balance(balance: &Balance) -> proto::AccountBalance {
    proto::AccountBalance {
        account: balance.account.to_string(),
        posted: some(balance.net()),
        pending: some(pending(balance)),
    }
}

/// The same with all riders in one line, and all drivers.
///
/// # Errors
/// When a sum does not fit.
pub fn summed(balances: &[Balance]) -> Result<Vec<proto::AccountBalance>, MoneyError> {
    let mut sums: BTreeMap<(String, Currency), (Money, Money)> = BTreeMap::new();
    for balance in balances {
        let name = match balance.account {
            Account::Rider(_) => "riders".to_owned(),
            Account::Driver(_) => "drivers".to_owned(),
            Account::Processor
            | Account::Disputes
            | Account::Revenue
            | Account::Tax
            | Account::Fees
            | Account::Losses
            | Account::Payouts
            | Account::Bank => balance.account.to_string(),
        };
        let zero = Money::zero(balance.currency);
        let sum = sums.entry((name, balance.currency)).or_insert((zero, zero));
        *sum = (sum.0.plus(balance.net())?, sum.1.plus(pending(balance))?);
    }
    let account = |((account, _), (posted, pending)): ((String, Currency), (Money, Money))| {
        proto::AccountBalance {
            account,
            posted: some(posted),
            pending: some(pending),
        }
    };
    Ok(sums.into_iter().map(account).collect())
}

fn pending(balance: &Balance) -> Money {
    let minor = balance.totals.credits_pending - balance.totals.debits_pending;
    Money::new(minor, balance.currency)
}

/// A driver's statement; none when it is too long to tell.
pub fn statement(statement: Statement) -> Option<proto::DriverStatement> {
    let lines = statement.lines?;
    Some(proto::DriverStatement {
        opening: some(statement.opening),
        closing: some(statement.closing),
        lines: lines.iter().map(statement_line).collect(),
    })
}

fn statement_line(line: &StatementLine) -> proto::StatementLine {
    let (trip, payout) = match line.about {
        About::Trip(trip) => (trip.name(), String::new()),
        About::Payout(payout) => (String::new(), payout.name()),
        About::Other => (String::new(), String::new()),
    };
    proto::StatementLine {
        post_time: Some(convert::to_timestamp(line.at)),
        kind: kind(line.code).into(),
        amount: some(line.amount),
        balance: some(line.balance),
        trip,
        payout,
    }
}

fn kind(code: Code) -> StatementKind {
    match code {
        Code::DriverShare => StatementKind::Earning,
        Code::CashCollected => StatementKind::Cash,
        Code::Tip => StatementKind::Tip,
        Code::Refund => StatementKind::Clawback,
        Code::Payout => StatementKind::Payout,
        Code::Hold
        | Code::Capture
        | Code::Release
        | Code::Expiry
        | Code::Tax
        | Code::PlatformFee
        | Code::CancellationFee
        | Code::NoShowFee
        | Code::WaitingFee
        | Code::CashCommission
        | Code::DebtPayment
        | Code::WriteOff
        | Code::Chargeback
        | Code::ChargebackReversal
        | Code::DisputeFee
        | Code::ProcessorFee
        | Code::PayoutReturn
        | Code::Settlement
        | Code::Adjustment => StatementKind::Adjustment,
    }
}
