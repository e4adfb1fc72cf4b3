//! What does not fit, in words.

use hexcab_types::IntentId;

use crate::domain::ProcessorId;

/// The kinds of mismatch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// We know of a payment, refund or dispute that the processor does not know.
    MissingThere,
    /// The processor took, holds or gave back money that we do not know of.
    MissingHere,
    /// Both know it, with different amounts.
    AmountDiffers,
    /// Both know it, in different states.
    StateDiffers,
    /// The ledger does not say what the intent says.
    LedgerDiffers,
    /// The processor was asked long ago and nothing is known.
    StuckUnknown,
    /// Money is on hold for long and nobody settles it.
    StuckHold,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::MissingThere,
        Self::MissingHere,
        Self::AmountDiffers,
        Self::StateDiffers,
        Self::LedgerDiffers,
        Self::StuckUnknown,
        Self::StuckHold,
    ];

    /// As it stands in columns.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::MissingThere => "MISSING_THERE",
            Self::MissingHere => "MISSING_HERE",
            Self::AmountDiffers => "AMOUNT_DIFFERS",
            Self::StateDiffers => "STATE_DIFFERS",
            Self::LedgerDiffers => "LEDGER_DIFFERS",
            Self::StuckUnknown => "STUCK_UNKNOWN",
            Self::StuckHold => "STUCK_HOLD",
        }
    }

    /// The kind of a column.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == text)
    }
}

/// One thing that does not fit. Kind and subject say which; seen again, it is the same mismatch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// What does not fit.
    pub kind: Kind,
    /// Of what.
    pub subject: Subject,
    /// Whose money, as far as anybody says.
    pub intent: Option<IntentId>,
    /// What we know.
    pub ours: String,
    /// What the other side says.
    pub theirs: String,
}

/// What a finding is about.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Subject {
    /// A payment at the processor.
    Payment(String),
    /// A refund of a payment there.
    Refund {
        /// The processor's id of the refund.
        id: String,
        /// … and of its payment.
        payment: String,
    },
    /// A dispute there.
    Dispute(String),
    /// An intent of ours, by itself.
    Intent(IntentId),
}

impl Subject {
    /// The payment to look at again, of payments and refunds.
    pub fn payment(&self) -> Option<ProcessorId> {
        match self {
            Self::Payment(id) | Self::Refund { payment: id, .. } => Some(ProcessorId(id.clone())),
            Self::Dispute(_) | Self::Intent(_) => None,
        }
    }

    /// As it stands in columns and answers.
    pub fn name(&self) -> String {
        match self {
            Self::Payment(id) => format!("payment:{id}"),
            Self::Refund { id, .. } => format!("refund:{id}"),
            Self::Dispute(id) => format!("dispute:{id}"),
            Self::Intent(id) => format!("intent:{id}"),
        }
    }

    /// The subject of a row.
    pub fn parse(name: &str, payment: Option<&str>) -> Option<Self> {
        let (area, id) = name.split_once(':')?;
        match area {
            "payment" => Some(Self::Payment(id.to_owned())),
            "refund" => Some(Self::Refund {
                id: id.to_owned(),
                payment: payment?.to_owned(),
            }),
            "dispute" => Some(Self::Dispute(id.to_owned())),
            "intent" => Some(Self::Intent(id.parse().ok()?)),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    #[test]
    fn kinds_and_subjects_read_back_from_their_columns() {
        for kind in Kind::ALL {
            assert_eq!(Kind::parse(kind.as_str()), Some(kind));
        }
        assert_eq!(Kind::parse("ODD"), None);
        for subject in [
            Subject::Payment("pi_1".into()),
            Subject::Refund {
                id: "re_1".into(),
                payment: "pi_1".into(),
            },
            Subject::Dispute("dp_1".into()),
            Subject::Intent(Uuid::from_u128(7).into()),
        ] {
            let payment = subject.payment().map(|id| id.0);
            assert_eq!(
                Subject::parse(&subject.name(), payment.as_deref()),
                Some(subject)
            );
        }
        assert_eq!(Subject::parse("refund:re_1", None), None);
    }
}
