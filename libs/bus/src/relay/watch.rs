//! How long events wait in the outbox, and how many: measured beside the relay, so that it is said while the relay is
//! stuck; by every process that could lead, so that it is said when none does.

use std::{convert::Infallible, time::Duration};

use hexcab_pg::{Pg, PgError};

use crate::measures::{self, OUTBOX_AGE, OUTBOX_WAITING};

/// Rows that are counted at most.
const COUNT_MAX: i64 = 100_000;

/// Measures at this interval, for ever. While Postgres is away the last figures stand.
pub async fn outbox(pg: &Pg, every: Duration) -> Infallible {
    loop {
        if let Err(error) = measure(pg).await {
            tracing::debug!(%error, "the outbox is not measured");
        }
        tokio::time::sleep(every).await;
    }
}

async fn measure(pg: &Pg) -> Result<(), PgError> {
    let (age_s, waiting): (f64, i64) = sqlx::query_as("SELECT age_s, waiting FROM bus_waiting($1)")
        .bind(COUNT_MAX)
        .fetch_one(pg.pool())
        .await?;
    let of = [measures::of_database(pg.database())];
    OUTBOX_AGE.set(age_s.max(0.0), &of);
    OUTBOX_WAITING.set(waiting as f64, &of);
    Ok(())
}
