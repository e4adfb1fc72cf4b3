//! The life of what is asked of the processor once, beside the hold: a rest, a tip, a refund.
//!
//! Invariants: done or refused once and for ever; an outcome that is not known is neither.
//! Does not: say what it does to the intent ([`super::decide`]).

use super::{ProcessorId, decide::Refusal};

/// What the processor said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// It is about to be asked, or is being asked for the first time.
    Awaited,
    /// It was asked and has not answered; it will be asked what became of it.
    Unknown,
    /// It did it. Terminal.
    Done {
        /// The payment or refund there.
        processor_id: ProcessorId,
    },
    /// It refused. Terminal: an id that failed stays failed.
    Refused {
        /// As the processor said it.
        code: String,
    },
}

/// What is known after the processor was asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Said {
    /// It did it.
    Done {
        /// The payment or refund there.
        processor_id: ProcessorId,
    },
    /// It refused.
    Refused {
        /// As it said it.
        code: String,
    },
}

impl Answer {
    /// As it stands in columns.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Awaited => "AWAITED",
            Self::Unknown => "UNKNOWN",
            Self::Done { .. } => "DONE",
            Self::Refused { .. } => "REFUSED",
        }
    }

    /// Whether it may still be done.
    pub const fn is_outstanding(&self) -> bool {
        match self {
            Self::Awaited | Self::Unknown => true,
            Self::Done { .. } | Self::Refused { .. } => false,
        }
    }

    /// Whether money was moved or may still be: everything but a refusal.
    pub const fn counts(&self) -> bool {
        match self {
            Self::Awaited | Self::Unknown | Self::Done { .. } => true,
            Self::Refused { .. } => false,
        }
    }

    /// The answer after the processor said something.
    ///
    /// # Errors
    /// When it had answered before.
    pub fn hear(&self, said: &Said) -> Result<Self, Refusal> {
        match (self, said) {
            (Self::Awaited | Self::Unknown, Said::Done { processor_id }) => Ok(Self::Done {
                processor_id: processor_id.clone(),
            }),
            (Self::Awaited | Self::Unknown, Said::Refused { code }) => {
                Ok(Self::Refused { code: code.clone() })
            }
            (
                Self::Done { .. } | Self::Refused { .. },
                Said::Done { .. } | Said::Refused { .. },
            ) => Err(Refusal::Finished),
        }
    }

    /// The answer after the processor was asked and said nothing.
    ///
    /// # Errors
    /// When it had answered before.
    pub const fn lose(&self) -> Result<Self, Refusal> {
        match self {
            Self::Awaited | Self::Unknown => Ok(Self::Unknown),
            Self::Done { .. } | Self::Refused { .. } => Err(Refusal::Finished),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_given_once() {
        let done = || Said::Done {
            processor_id: ProcessorId("re_1".into()),
        };
        let refused = || Said::Refused { code: "x".into() };
        for open in [Answer::Awaited, Answer::Unknown] {
            assert_eq!(open.lose(), Ok(Answer::Unknown));
            assert!(open.is_outstanding() && open.counts());
            for (said, becomes) in [(done(), "DONE"), (refused(), "REFUSED")] {
                let heard = open.hear(&said).unwrap();
                assert_eq!(heard.as_str(), becomes);
                assert!(!heard.is_outstanding());
                for again in [done(), refused()] {
                    assert_eq!(heard.hear(&again), Err(Refusal::Finished));
                }
                assert_eq!(heard.lose(), Err(Refusal::Finished));
            }
        }
    }
}
