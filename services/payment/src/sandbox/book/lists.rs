//! Reads: single objects, and lists newest first, page by page.

use hexcab_pg::PgError;
use sqlx::{FromRow, postgres::PgRow, types::Json};

use super::{Book, Dispute, Event, Payment, Refund, disputes, events, payments, refunds};
use crate::sandbox::operation::{Metadata, fields::Listing};

impl Book {
    /// One payment.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn payment(&self, id: &str) -> Result<Option<Payment>, PgError> {
        let from = format!(
            "SELECT {} FROM payment_intents p WHERE p.id = $1",
            payments::COLUMNS
        );
        self.one(from, id).await
    }

    /// One refund.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn refund(&self, id: &str) -> Result<Option<Refund>, PgError> {
        let from = format!(
            "SELECT {} FROM refunds r JOIN payment_intents p ON p.id = r.payment_intent WHERE r.id = $1",
            refunds::COLUMNS
        );
        self.one(from, id).await
    }

    /// One dispute.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn dispute(&self, id: &str) -> Result<Option<Dispute>, PgError> {
        let from = format!(
            "SELECT {} FROM disputes d JOIN payment_intents p ON p.id = d.payment_intent WHERE d.id = $1",
            disputes::COLUMNS
        );
        self.one(from, id).await
    }

    /// One event.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn event(&self, id: &str) -> Result<Option<Event>, PgError> {
        let from = format!("SELECT {} FROM events e WHERE e.id = $1", events::COLUMNS);
        self.one(from, id).await
    }

    /// Payments, and whether there are more.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn payments(&self, listing: &Listing) -> Result<(Vec<Payment>, bool), PgError> {
        let select = format!("SELECT {} FROM payment_intents p", payments::COLUMNS);
        self.list(
            &select,
            "p",
            "payment_intents",
            "$5::text IS NULL OR p.id = $5",
            listing,
        )
        .await
    }

    /// Refunds, and whether there are more.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn refunds(&self, listing: &Listing) -> Result<(Vec<Refund>, bool), PgError> {
        let select = format!(
            "SELECT {} FROM refunds r JOIN payment_intents p ON p.id = r.payment_intent",
            refunds::COLUMNS
        );
        let of = "$5::text IS NULL OR r.payment_intent = $5";
        self.list(&select, "r", "refunds", of, listing).await
    }

    /// Disputes, and whether there are more.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn disputes(&self, listing: &Listing) -> Result<(Vec<Dispute>, bool), PgError> {
        let select = format!(
            "SELECT {} FROM disputes d JOIN payment_intents p ON p.id = d.payment_intent",
            disputes::COLUMNS
        );
        let of = "$5::text IS NULL OR d.payment_intent = $5";
        self.list(&select, "d", "disputes", of, listing).await
    }

    /// Events, and whether there are more.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn events(&self, listing: &Listing) -> Result<(Vec<Event>, bool), PgError> {
        let select = format!("SELECT {} FROM events e", events::COLUMNS);
        let of = "$5::text IS NULL OR e.payment_intent = $5";
        self.list(&select, "e", "events", of, listing).await
    }

    /// Payments with all of this metadata, newest first, and whether there are more.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn search(
        &self,
        metadata: &Metadata,
        limit: i64,
    ) -> Result<(Vec<Payment>, bool), PgError> {
        let sql = format!(
            "SELECT {} FROM payment_intents p WHERE p.metadata @> $1 ORDER BY p.seq DESC LIMIT $2",
            payments::COLUMNS
        );
        let found = sqlx::query_as(sqlx::AssertSqlSafe(sql))
            .bind(Json(metadata))
            .bind(limit + 1)
            .fetch_all(self.pg.pool())
            .await?;
        Ok(cut(found, limit))
    }

    async fn one<T>(&self, sql: String, id: &str) -> Result<Option<T>, PgError>
    where
        T: for<'r> FromRow<'r, PgRow> + Send + Unpin,
    {
        Ok(sqlx::query_as(sqlx::AssertSqlSafe(sql))
            .bind(id)
            .fetch_optional(self.pg.pool())
            .await?)
    }

    async fn list<T>(
        &self,
        select: &str,
        row: &str,
        table: &str,
        of: &str,
        listing: &Listing,
    ) -> Result<(Vec<T>, bool), PgError>
    where
        T: for<'r> FromRow<'r, PgRow> + Send + Unpin,
    {
        let kind = if table == "events" {
            "$6::text IS NULL OR e.type = $6"
        } else {
            "$6::text IS NULL OR true"
        };
        let sql = format!(
            "{select}
             WHERE ($2::text IS NULL OR {row}.seq < (SELECT seq FROM {table} WHERE id = $2))
               AND ($3::timestamptz IS NULL OR {row}.created_at >= $3)
               AND ($4::timestamptz IS NULL OR {row}.created_at < $4)
               AND ({of}) AND ({kind})
             ORDER BY {row}.seq DESC LIMIT $1"
        );
        let found = sqlx::query_as(sqlx::AssertSqlSafe(sql))
            .bind(listing.limit + 1)
            .bind(&listing.after)
            .bind(listing.from)
            .bind(listing.until)
            .bind(&listing.payment)
            .bind(&listing.kind)
            .fetch_all(self.pg.pool())
            .await?;
        Ok(cut(found, listing.limit))
    }
}

/// A page of the one too many that was read.
fn cut<T>(mut items: Vec<T>, limit: i64) -> (Vec<T>, bool) {
    let limit = usize::try_from(limit).unwrap_or_default();
    let has_more = items.len() > limit;
    items.truncate(limit);
    (items, has_more)
}
