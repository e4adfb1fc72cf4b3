//! Where the relay's cursor stands, when something else than the relay moves it: a broker that lost its data, a database
//! that was restored into another server.
//!
//! Invariant: it never goes forward here.

use hexcab_pg::{Pg, PgError};
use hexcab_types::Timestamp;
use sqlx::PgConnection;

/// Sends the outbox again from the first event written at or after `since` (the machine's time): for a broker that lost
/// its data. Returns how many events that is.
///
/// # Errors
/// When Postgres refuses.
pub async fn republish(pg: &Pg, since: Timestamp) -> Result<u64, PgError> {
    // The cursor is held first: a busy relay moves it all the time, and would have won every time otherwise.
    pg.serializable("bus.republish", |mut tx| async move {
        sqlx::query("SELECT FROM outbox_cursor FOR UPDATE")
            .execute(&mut *tx)
            .await?;
        sqlx::query(
            "UPDATE outbox_cursor c SET tx_id = first.tx_id, seq = first.seq - 1 \
             FROM (SELECT tx_id, seq FROM outbox \
                   WHERE event_id >= bus_id_at($1 - interval '1 hour') AND write_time >= $1 \
                   ORDER BY tx_id, seq LIMIT 1) first \
             WHERE (c.tx_id, c.seq) >= (first.tx_id, first.seq)",
        )
        .bind(since)
        .execute(&mut *tx)
        .await?;
        Ok::<_, PgError>(())
    })
    .await?;
    // Apart from it, for the relay waits meanwhile. An id is made before its row is written, by a clock that may be
    // behind: an hour bounds that, here and above, and spares the partitions before.
    let count: i64 = sqlx::query_scalar(
        "SELECT count(*) FROM outbox WHERE event_id >= bus_id_at($1 - interval '1 hour') AND write_time >= $1",
    )
    .bind(since)
    .fetch_one(pg.pool())
    .await?;
    Ok(u64::try_from(count).unwrap_or_default())
}

/// In a database that was restored into another server the ids of transactions begin anew, and the cursor may be beyond
/// all that are to come. True when it was.
pub(super) async fn rebase(connection: &mut PgConnection) -> Result<bool, sqlx::Error> {
    // Every row is written, if it must be.
    sqlx::raw_sql("SET statement_timeout = '10min'")
        .execute(&mut *connection)
        .await?;
    let rebased = sqlx::query_scalar("SELECT bus_rebase()")
        .fetch_one(&mut *connection)
        .await?;
    sqlx::raw_sql("RESET statement_timeout")
        .execute(connection)
        .await?;
    Ok(rebased)
}
