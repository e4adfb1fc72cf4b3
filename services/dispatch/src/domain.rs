//! The rules of dispatch, without I/O, clock or chance.
//!
//! - [`seen`] a trip as dispatch sees it
//! - [`book`] the trips of a city that are not over, folded from what was seen: who waits, who is busy
//! - [`mod@plan`] requests and the drivers found for them → costs → who is offered whom
//! - [`decision`] what was decided and why; [`kept`] the last of them

pub mod book;
pub mod decision;
pub mod kept;
pub mod plan;
pub mod seen;

pub use book::{Book, Gathering, Mark, Taken, Waiting};
pub use decision::{Considered, Decision, offer_request_id};
pub use kept::Kept;
pub use plan::{Chosen, Found, Nearby, Planned, plan};
pub use seen::{Request, Seen, Standing};
