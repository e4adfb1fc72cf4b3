//! A database per test, on one real Postgres per test process (or the one that `HEXCAB_TEST_POSTGRES` names, which
//! `./dev test` starts once for all).

use std::{
    path::Path,
    sync::OnceLock,
    sync::atomic::{AtomicU32, Ordering},
};

use hexcab_chassis::Secret;
use hexcab_pg::{Pg, PgConfig, embedded};
use sqlx::{AssertSqlSafe, Connection as _, PgConnection};

/// A fresh, empty database.
pub struct TestDb {
    name: String,
    server: String,
}

/// `postgres://…/` of the server that tests share, without a database.
async fn server() -> String {
    static SERVER: OnceLock<String> = OnceLock::new();
    if let Some(server) = SERVER.get() {
        return server.clone();
    }
    #[expect(clippy::disallowed_methods, reason = "tests find their server here")]
    let given = std::env::var("HEXCAB_TEST_POSTGRES").ok();
    let server = match given {
        Some(server) => server,
        // Blocking on purpose: tests of one process start at once, one of them starts the server.
        None => tokio::task::spawn_blocking(own_server)
            .await
            .expect("start Postgres"),
    };
    SERVER.get_or_init(|| server).clone()
}

/// What a test process's server is kept in is named after this and the process.
const PREFIX: &str = "hexcab-test-pg-";

/// A static is never dropped: what the servers of processes that have ended left is removed by the next. Folders are named
/// by the prefix, the process and anything else.
pub fn remove_left(prefix: &str) {
    let Ok(entries) = std::fs::read_dir(std::env::temp_dir()) else {
        return;
    };
    for entry in entries.flatten() {
        let name = entry.file_name();
        let owner = name.to_str().and_then(|name| name.strip_prefix(prefix));
        let owner = owner.and_then(|rest| rest.split('-').next()?.parse::<u32>().ok());
        let is_left = owner.is_some_and(|pid| !Path::new(&format!("/proc/{pid}")).exists());
        if is_left && Path::new("/proc/self").exists() {
            let _ = std::fs::remove_dir_all(entry.path());
        }
    }
}

/// Starts this process's own server, once. It ends when the process does.
fn own_server() -> String {
    static OWN: OnceLock<(String, embedded::Postgres, tempfile::TempDir)> = OnceLock::new();
    let (url, _, _) = OWN.get_or_init(|| {
        remove_left(PREFIX);
        let dir = tempfile::Builder::new()
            .prefix(&format!("{PREFIX}{}-", std::process::id()))
            .tempdir()
            .expect("a temporary directory");
        // A runtime of its own, kept for ever: the server's handles live on it.
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .expect("runtime");
        let options = embedded::Options::for_tests(dir.path().join("pg"));
        let postgres = runtime
            .block_on(embedded::Postgres::start(options))
            .expect("start Postgres");
        std::mem::forget(runtime);
        (postgres.url(""), postgres, dir)
    });
    url.clone()
}

impl TestDb {
    /// Creates a database named after the test's subject.
    pub async fn create(subject: &str) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let server = server().await;
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("test_{subject}_{}_{count}", std::process::id());
        let db = Self { name, server };
        db.admin(format!("CREATE DATABASE {} TEMPLATE template0", db.name))
            .await;
        db
    }

    /// The database's URL.
    pub fn url(&self) -> String {
        format!("{}/{}", self.server.trim_end_matches('/'), self.name)
    }

    /// A configuration that opens it.
    pub fn config(&self) -> PgConfig {
        PgConfig {
            url: Secret::new(self.url()),
            ..PgConfig::default()
        }
    }

    /// A pool on it.
    pub async fn connect(&self) -> Pg {
        Pg::connect(&self.config(), "test")
            .await
            .expect("connect to the test database")
    }

    async fn admin(&self, sql: String) {
        let url = format!("{}/postgres", self.server.trim_end_matches('/'));
        let mut connection = PgConnection::connect(&url)
            .await
            .expect("connect to Postgres");
        sqlx::raw_sql(AssertSqlSafe(sql))
            .execute(&mut connection)
            .await
            .expect("run SQL");
        let _ = connection.close().await;
    }
}
