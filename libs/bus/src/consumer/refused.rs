//! Told apart: a database that says no, and one that is away.

/// Whether the database refused what the event asks for, somewhere in this chain of errors: a constraint was broken or a
/// value makes no sense (SQLSTATE classes 23 and 22).
pub fn is_refused(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| {
        let said = cause.downcast_ref::<sqlx::Error>();
        let code = said
            .and_then(sqlx::Error::as_database_error)
            .and_then(sqlx::error::DatabaseError::code);
        code.is_some_and(|code| code.starts_with("23") || code.starts_with("22"))
    })
}
