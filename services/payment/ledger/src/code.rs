//! What a transfer is for, in one word.
//!
//! Invariant: the words are those of the schema's `ledger.transfer_code`; a test compares them.
//! Does not: decide anything. The ledger treats all codes alike; people, statements and reports read them.

use std::fmt;

/// What a transfer is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Code {
    /// A rider's promise at the processor; a raise of the hold is another one.
    Hold,
    /// Money taken out of a hold, or charged at once.
    Capture,
    /// A hold or another promise given back.
    Release,
    /// A promise whose time was over.
    Expiry,
    /// The driver's part of a fare.
    DriverShare,
    /// The tax inside a charge.
    Tax,
    /// The platform's part of a fare.
    PlatformFee,
    /// Charged for a cancellation.
    CancellationFee,
    /// Charged to a rider who did not come.
    NoShowFee,
    /// Charged for waiting.
    WaitingFee,
    /// A tip, all of it the driver's.
    Tip,
    /// Cash that a driver took from a rider for us.
    CashCollected,
    /// A correction of what a driver owes of cash rides, such as its payment by bank.
    CashCommission,
    /// A rider's payment of what he owed.
    DebtPayment,
    /// A debt given up.
    WriteOff,
    /// Money on its way back to a rider.
    Refund,
    /// Taken back by the processor for a dispute.
    Chargeback,
    /// Given back by the processor: the dispute was won.
    ChargebackReversal,
    /// What the processor asks for a dispute.
    DisputeFee,
    /// What the processor keeps of its captures.
    ProcessorFee,
    /// On its way to a driver's bank.
    Payout,
    /// A payout that the bank sent back.
    PayoutReturn,
    /// Paid by the processor to our bank.
    Settlement,
    /// A correction by a person, with a reference to why.
    Adjustment,
}

/// Not a code.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a transfer code")]
pub struct CodeError(pub String);

impl Code {
    /// All of them.
    pub const ALL: [Self; 24] = [
        Self::Hold,
        Self::Capture,
        Self::Release,
        Self::Expiry,
        Self::DriverShare,
        Self::Tax,
        Self::PlatformFee,
        Self::CancellationFee,
        Self::NoShowFee,
        Self::WaitingFee,
        Self::Tip,
        Self::CashCollected,
        Self::CashCommission,
        Self::DebtPayment,
        Self::WriteOff,
        Self::Refund,
        Self::Chargeback,
        Self::ChargebackReversal,
        Self::DisputeFee,
        Self::ProcessorFee,
        Self::Payout,
        Self::PayoutReturn,
        Self::Settlement,
        Self::Adjustment,
    ];

    /// The word for it.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Hold => "hold",
            Self::Capture => "capture",
            Self::Release => "release",
            Self::Expiry => "expiry",
            Self::DriverShare => "driver_share",
            Self::Tax => "tax",
            Self::PlatformFee => "platform_fee",
            Self::CancellationFee => "cancellation_fee",
            Self::NoShowFee => "no_show_fee",
            Self::WaitingFee => "waiting_fee",
            Self::Tip => "tip",
            Self::CashCollected => "cash_collected",
            Self::CashCommission => "cash_commission",
            Self::DebtPayment => "debt_payment",
            Self::WriteOff => "write_off",
            Self::Refund => "refund",
            Self::Chargeback => "chargeback",
            Self::ChargebackReversal => "chargeback_reversal",
            Self::DisputeFee => "dispute_fee",
            Self::ProcessorFee => "processor_fee",
            Self::Payout => "payout",
            Self::PayoutReturn => "payout_return",
            Self::Settlement => "settlement",
            Self::Adjustment => "adjustment",
        }
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

impl std::str::FromStr for Code {
    type Err = CodeError;
    fn from_str(text: &str) -> Result<Self, CodeError> {
        Self::ALL
            .into_iter()
            .find(|code| code.word() == text)
            .ok_or_else(|| CodeError(text.to_owned()))
    }
}
