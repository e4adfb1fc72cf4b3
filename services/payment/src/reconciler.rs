//! Compares the processor's books with our intents and these with the ledger.

pub mod compare;
pub mod finding;
