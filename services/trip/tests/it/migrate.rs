//! The process that makes the tables, and the one that waits for them.

use std::{
    net::{SocketAddr, TcpListener},
    path::Path,
    process::{Child, Command, ExitStatus, Stdio},
    time::Duration,
};

use hexcab_chassis::token::generate_keys;
use hexcab_testkit::{Broker, TestDb, eventually, within};

/// The service as it is run where others make its tables.
struct Place {
    db: TestDb,
    _broker: Broker,
    dir: tempfile::TempDir,
    listen: SocketAddr,
    settings: Vec<(&'static str, String)>,
}

impl Place {
    async fn new() -> Self {
        let (db, broker) = (TestDb::create("trip_migrate").await, Broker::start());
        for topic in hexcab_bus::topic::ALL {
            broker.create_topic(topic, 1);
        }
        let (_, public) = generate_keys().unwrap();
        let listen = TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap();
        let settings = vec![
            ("HEXCAB_POSTGRES__URL", db.url()),
            ("HEXCAB_POSTGRES__MIGRATE_AT_START", "false".to_owned()),
            ("HEXCAB_KAFKA__BROKERS", broker.brokers()),
            ("HEXCAB_QUOTE_PUBLIC_KEY", public),
            ("HEXCAB_SERVER__LISTEN", listen.to_string()),
        ];
        Self {
            db,
            _broker: broker,
            dir: tempfile::tempdir().unwrap(),
            listen,
            settings,
        }
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_hexcab-trip"));
        command
            .args(arguments)
            .env_clear()
            .env("HEXCAB_EXIT_WITH_PARENT", std::process::id().to_string())
            .envs(self.settings.iter().map(|(name, value)| (*name, value)))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        command
    }

    fn run(&self, arguments: &[&str]) -> ExitStatus {
        self.command(arguments).status().unwrap()
    }

    fn serve(&self) -> Serving {
        let log = std::fs::File::create(self.log()).unwrap();
        Serving(self.command(&[]).stderr(log).spawn().unwrap())
    }

    fn log(&self) -> std::path::PathBuf {
        self.dir.path().join("log")
    }

    fn is_healthy(&self) -> bool {
        self.run(&["--healthcheck"]).success()
    }
}

/// Killed with this value.
struct Serving(Child);

impl Serving {
    /// SIGTERM; its exit.
    async fn stop(mut self) -> ExitStatus {
        let told = Command::new("kill").arg(self.0.id().to_string()).status();
        assert!(told.unwrap().success());
        eventually(|| {
            let ended = self.0.try_wait().unwrap();
            async move { ended }
        })
        .await
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

async fn until_said(log: &Path, text: &str) {
    eventually(|| async {
        let said = std::fs::read_to_string(log).unwrap_or_default();
        said.contains(text).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_that_does_not_migrate_waits_for_its_tables_and_says_so() {
    let place = Place::new().await;
    let mut serving = place.serve();
    until_said(&place.log(), "lacks migration 1").await;
    assert!(!place.is_healthy(), "it has no tables");
    assert_eq!(serving.0.try_wait().unwrap(), None, "it waits");
    let tables = async || -> i64 {
        let count = "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'";
        let pg = place.db.connect().await;
        sqlx::query_scalar(count)
            .fetch_one(pg.pool())
            .await
            .unwrap()
    };
    assert_eq!(tables().await, 0, "it made some by itself");

    assert!(place.run(&["migrate"]).success());
    let made = tables().await;
    within(
        Duration::from_secs(40),
        || "healthy",
        || async { place.is_healthy().then_some(()) },
    )
    .await;
    assert!(place.run(&["migrate"]).success(), "once more does no harm");
    assert_eq!(tables().await, made);
    assert!(serving.stop().await.success());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_that_waits_for_its_tables_can_be_told_to_stop() {
    let place = Place::new().await;
    let serving = place.serve();
    until_said(&place.log(), "lacks migration").await;
    assert!(serving.stop().await.success());
    assert!(TcpListener::bind(place.listen).is_ok(), "its port is free");
}

#[tokio::test(flavor = "multi_thread")]
async fn migrate_is_told_by_the_same_settings_and_refuses_others() {
    let place = Place::new().await;
    assert!(place.run(&["migrate", "--help"]).success());
    assert!(!place.run(&["migrate", "--set", "postgres.ulr=x"]).success());
    let url = format!("postgres.url={}", place.db.url());
    let mut nowhere = place.command(&["migrate", "--set", &url]);
    let migrated = nowhere.env("HEXCAB_POSTGRES__URL", "postgres://127.0.0.1:1/x");
    assert!(migrated.status().unwrap().success(), "a flag wins");
}
