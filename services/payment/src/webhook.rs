//! Hints from the processor: signed webhooks, taken in by a small HTTP server and followed up by workers.
//!
//! - [`signature`] who sent it, and when; [`event`] what it is about; [`ingress`] the server
//! - [`hints`] the table: each event once; [`follower`] reads the object again at the processor and acts on that
//!
//! Invariants: nothing that is not signed by the processor within five minutes has any effect; an event has one at most; no
//! event changes anything by what it says: only what the processor answers when it is asked counts. So duplicates, events
//! out of order and lost ones cost time at most, and the reconciler finds what was never told.

pub mod event;
pub mod follower;
pub mod hints;
pub mod ingress;
pub mod signature;

pub use follower::Follower;
pub use hints::Hints;
pub use ingress::Ingress;
