//! The dated versions of a city's fare policies: `city.toml` is the newest; a change of it becomes a version.

use std::collections::BTreeMap;

use hexcab_cities::City;
use hexcab_pg::PgError;
use hexcab_types::Timestamp;
use serde_json::Value;

use super::{Store, corrupt};

impl Store {
    /// The version of the city's fare policies as they are now; a new one when they differ from the newest.
    ///
    /// # Errors
    /// When Postgres refuses.
    pub async fn fare_version(&self, city: &City, now: Timestamp) -> Result<i32, PgError> {
        let by_product: BTreeMap<&str, _> = city
            .products
            .iter()
            .map(|product| (product.id.as_str(), &product.fare))
            .collect();
        let fares = serde_json::to_value(by_product).map_err(corrupt)?;
        let (fares, id) = (&fares, city.id.as_str());
        self.pg
            .serializable("pricing.fare_version", |mut tx| async move {
                let newest: Option<(i32, Value)> = sqlx::query_as(
                    "SELECT version, fares FROM fare_policies WHERE city = $1 ORDER BY version DESC LIMIT 1",
                )
                .bind(id)
                .fetch_optional(&mut *tx)
                .await?;
                let version = match newest {
                    Some((version, known)) if known == *fares => return Ok(version),
                    Some((version, _)) => version + 1,
                    None => 1,
                };
                sqlx::query("INSERT INTO fare_policies (city, version, fares, valid_from) VALUES ($1, $2, $3, $4)")
                    .bind(id)
                    .bind(version)
                    .bind(fares)
                    .bind(now)
                    .execute(&mut *tx)
                    .await?;
                tracing::info!(city = id, version, "fare policies changed");
                Ok(version)
            })
            .await
    }
}
