//! The tables of a service: made by it at its start, or beforehand by `hexcab-… migrate`.
//!
//! Where somebody else makes them, a service waits for the server and for the tables, as long as it takes, and says what it
//! waits for. A database that has more than this version of the service knows is as good: a newer one is being rolled out.
//! Does not: know what is in a migration.

use std::{collections::HashMap, time::Duration};

use sqlx::migrate::{Migrate as _, MigrateError, Migrator};
use tokio::time::Instant;

use crate::{Pg, PgConfig, PgError};

/// Between two looks at a server that is away, or at a database that is not up to date.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// Between two lines of the log that say the same.
const SAY_EVERY: Duration = Duration::from_secs(10);
/// How long `migrate` waits for the server.
const PATIENCE: Duration = Duration::from_secs(60);
/// SQLSTATE of a table that is not there.
const UNDEFINED_TABLE: &str = "42P01";

impl Pg {
    /// Applies the service's migrations. Several replicas may do so at once: one does, the others wait.
    ///
    /// # Errors
    /// When one fails, or the database has other ones.
    pub async fn migrate(&self, migrator: &Migrator) -> Result<(), PgError> {
        Ok(migrator.run(self.pool()).await?)
    }

    /// Connects in order to migrate: for up to a minute to a server that may not be there yet.
    ///
    /// # Errors
    /// When the URL cannot be read, or what the server said last.
    pub async fn connect_to_migrate(config: &PgConfig, application: &str) -> Result<Self, PgError> {
        let (begun, mut wait) = (Instant::now(), Wait::default());
        loop {
            match Self::connect(config, application).await {
                Err(error) if error.may_pass() && begun.elapsed() < PATIENCE => {
                    wait.for_what(&chain(&error)).await;
                }
                tried => return tried,
            }
        }
    }

    /// Connects once the server is there and its database has these migrations. Waits for both as long as it takes.
    ///
    /// # Errors
    /// When the URL cannot be read, or a migration there is another than the one of the same number here.
    pub async fn connect_migrated(
        config: &PgConfig,
        application: &str,
        schema: &[&Migrator],
    ) -> Result<Self, PgError> {
        let mut wait = Wait::default();
        loop {
            let looked = async {
                let pg = Self::connect(config, application).await?;
                let lacking = pg.lacking(schema).await?;
                Ok((pg, lacking))
            };
            let complaint = match looked.await {
                Ok((pg, None)) => return Ok(pg),
                Ok((pg, Some(lacking))) => {
                    format!("database {} {lacking}: `migrate` it", pg.database())
                }
                Err(error) if PgError::may_pass(&error) => chain(&error),
                Err(error) => return Err(error),
            };
            wait.for_what(&complaint).await;
        }
    }

    /// What it lacks, in words.
    async fn lacking(&self, schema: &[&Migrator]) -> Result<Option<String>, PgError> {
        let mut connection = self.pool().acquire().await?;
        for migrator in schema {
            let applied = match connection
                .list_applied_migrations(&migrator.table_name)
                .await
            {
                Err(error) if is_missing_table(&error) => Vec::new(),
                applied => applied?,
            };
            let applied: HashMap<i64, _> = applied
                .into_iter()
                .map(|there| (there.version, there.checksum))
                .collect();
            for wanted in migrator.iter() {
                match applied.get(&wanted.version) {
                    None => {
                        let (version, name) = (wanted.version, &wanted.description);
                        return Ok(Some(format!("lacks migration {version} ({name})")));
                    }
                    Some(checksum) if *checksum != wanted.checksum => {
                        return Err(MigrateError::VersionMismatch(wanted.version).into());
                    }
                    Some(_) => {}
                }
            }
        }
        Ok(None)
    }
}

fn is_missing_table(error: &MigrateError) -> bool {
    let source = std::error::Error::source(error);
    let sql = source.and_then(|source| source.downcast_ref::<sqlx::Error>());
    let code = sql.and_then(|sql| sql.as_database_error()?.code());
    code.as_deref() == Some(UNDEFINED_TABLE)
}

impl PgError {
    /// Whether looking again may help: everything but a URL or a schema that is wrong.
    fn may_pass(&self) -> bool {
        match self {
            Self::Sql(sqlx::Error::Configuration(_)) | Self::Migrate(_) => false,
            Self::Sql(_) | Self::Contended { .. } | Self::OutcomeUnknown(_) => true,
        }
    }
}

/// An error with its causes, in one line.
fn chain(error: &PgError) -> String {
    let mut text = error.to_string();
    let mut next = std::error::Error::source(error);
    while let Some(cause) = next {
        text = format!("{text}: {cause}");
        next = cause.source();
    }
    text
}

/// Waiting, and saying so now and then.
#[derive(Default)]
struct Wait {
    said: Option<(String, Instant)>,
}

impl Wait {
    async fn for_what(&mut self, complaint: &str) {
        let fresh = self
            .said
            .as_ref()
            .is_some_and(|(said, at)| said == complaint && at.elapsed() < SAY_EVERY);
        if !fresh {
            tracing::warn!(complaint, "not ready: waiting for postgres");
            self.said = Some((complaint.to_owned(), Instant::now()));
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}
