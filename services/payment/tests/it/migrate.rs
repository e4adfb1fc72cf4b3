//! Tables that are made beforehand.

use std::{
    net::SocketAddr,
    process::{Command, Stdio},
    time::Duration,
};

use hexcab_chassis::Clock;
use hexcab_payment::{app, config, sandbox};
use hexcab_pg::PgConfig;
use hexcab_testkit::TestDb;

use crate::process::SandboxProcess;

/// How long a start is given that may have to wait.
const PATIENCE: Duration = Duration::from_secs(20);

fn waiting(db: &TestDb) -> PgConfig {
    PgConfig {
        migrate_at_start: false,
        ..db.config()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_migrate_makes_is_all_that_a_service_waits_for() {
    let db = TestDb::create("payment_migrate").await;
    let config = config::Config {
        postgres: waiting(&db),
        ..config::Config::default()
    };
    let build = || app::App::build(config.clone(), Clock::system());
    let early = tokio::time::timeout(Duration::from_secs(1), build()).await;
    assert!(early.is_err(), "it began without its tables");
    app::migrate_database(&config).await.unwrap();
    let built = tokio::time::timeout(PATIENCE, build()).await;
    assert!(built.expect("it waits for something else").is_ok());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_migrate_makes_is_all_that_the_sandbox_waits_for() {
    let db = TestDb::create("sandbox_migrate").await;
    let config = sandbox::Config {
        postgres: waiting(&db),
        ..sandbox::Config::default()
    };
    let build = || sandbox::App::build(config.clone(), Clock::system());
    let early = tokio::time::timeout(Duration::from_secs(1), build()).await;
    assert!(early.is_err(), "it began without its tables");
    sandbox::migrate_database(&config).await.unwrap();
    let built = tokio::time::timeout(PATIENCE, build()).await;
    assert!(built.expect("it waits for something else").is_ok());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_sandbox_tells_its_health_to_its_own_binary() {
    let is_healthy = |listen: SocketAddr| {
        Command::new(env!("CARGO_BIN_EXE_hexcab-payment-sandbox"))
            .arg("--healthcheck")
            .env_clear()
            .env("HEXCAB_LISTEN", listen.to_string())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()
            .unwrap()
            .success()
    };
    let db = TestDb::create("sandbox_health").await;
    let process = SandboxProcess::start(&db, "http://127.0.0.1:1").await;
    let listen = process.addr;
    assert!(is_healthy(listen));
    process.kill();
    assert!(!is_healthy(listen));
}
