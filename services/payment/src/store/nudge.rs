//! What somebody hinted at is due at once.
//!
//! Does not: record anything. Whoever works on it asks the processor first.

use hexcab_types::IntentId;

use super::{Store, StoreError};

impl Store {
    /// Whatever is outstanding for an intent is due now, unless a living worker has it. True when something is.
    ///
    /// # Errors
    /// When Postgres refuses.
    pub async fn nudge(&self, intent: IntentId) -> Result<bool, StoreError> {
        let due = sqlx::query(
            "UPDATE work SET due_at = now() WHERE intent = $1 AND finished_at IS NULL AND due_at > now()
               AND (lease_until IS NULL OR lease_until < now())",
        )
        .bind(intent.uuid())
        .execute(self.pg.pool())
        .await?;
        Ok(due.rows_affected() > 0)
    }
}
