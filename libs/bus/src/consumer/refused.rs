//! Told apart: a database that says no, and one that is away.

use sqlx::error::DatabaseError;

/// Whether the database refused what the event asks for: a constraint was broken or a value makes no sense (SQLSTATE
/// classes 23 and 22).
pub fn is_refused(error: &anyhow::Error) -> bool {
    is_said(error, |said| {
        let code = said.code();
        code.is_some_and(|code| code.starts_with("23") || code.starts_with("22"))
    })
}

/// Whether the database said something like this, somewhere in the chain of errors.
pub fn is_said(error: &anyhow::Error, like: impl Fn(&dyn DatabaseError) -> bool) -> bool {
    let mut said = error
        .chain()
        .filter_map(|cause| cause.downcast_ref::<sqlx::Error>()?.as_database_error());
    said.any(like)
}
