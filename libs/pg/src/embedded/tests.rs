//! A real server: started, stopped, kept, and gone with its owner.

use std::{io::BufRead, process::Stdio, time::Instant};

use super::*;

const OWNER: &str = "HEXCAB_TEST_POSTGRES_OWNER";

async fn started(dir: &Path) -> Postgres {
    Postgres::start(Options::for_tests(dir)).await.unwrap()
}

async fn run(postgres: &Postgres, sql: &'static str) {
    let mut connection = PgConnection::connect(&postgres.url("trip")).await.unwrap();
    sqlx::raw_sql(sql).execute(&mut connection).await.unwrap();
}

async fn number(postgres: &Postgres, sql: &'static str) -> i32 {
    let mut connection = PgConnection::connect(&postgres.url("trip")).await.unwrap();
    sqlx::query_scalar(sql)
        .fetch_one(&mut connection)
        .await
        .unwrap()
}

/// Waits until no process has this folder among its arguments.
fn wait_until_nothing_runs_in(dir: &Path) {
    let name = dir.file_name().unwrap().to_str().unwrap().to_owned();
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        let left: Vec<String> = std::fs::read_dir("/proc")
            .unwrap()
            .flatten()
            .filter_map(|entry| std::fs::read(entry.path().join("cmdline")).ok())
            .map(|command| String::from_utf8_lossy(&command).replace('\0', " "))
            .filter(|command| command.contains(&name))
            .collect();
        if left.is_empty() {
            return;
        }
        assert!(Instant::now() < deadline, "still there: {left:?}");
        std::thread::yield_now();
    }
}

#[tokio::test]
async fn a_server_keeps_its_data_over_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let first = started(dir.path()).await;
    first.create_database("trip").await.unwrap();
    first.create_database("trip").await.unwrap();
    run(&first, "CREATE TABLE t (n int); INSERT INTO t VALUES (7)").await;
    first.stop().await;
    let second = started(dir.path()).await;
    assert_eq!(number(&second, "SELECT n FROM t").await, 7);
    second.stop().await;
    wait_until_nothing_runs_in(dir.path());
}

#[tokio::test]
async fn a_server_asks_for_the_password_and_is_not_root() {
    let dir = tempfile::tempdir().unwrap();
    let postgres = started(dir.path()).await;
    let wrong = postgres
        .url("postgres")
        .replace(&postgres.cluster.password, "guessed");
    let error = PgConnection::connect(&wrong).await.unwrap_err();
    assert!(error.to_string().contains("password"), "{error}");
    let status = std::fs::read_to_string(format!("/proc/{}/status", postgres.pid())).unwrap();
    assert!(!status.contains("Uid:\t0"), "{status}");
    postgres.stop().await;
}

#[tokio::test]
async fn a_folder_has_one_server() {
    let dir = tempfile::tempdir().unwrap();
    let postgres = started(dir.path()).await;
    tokio::time::pause();
    let error = Postgres::start(Options::for_tests(dir.path()))
        .await
        .unwrap_err();
    assert!(
        matches!(error, EmbeddedError::InUse { pid, .. } if pid == postgres.pid()),
        "{error}"
    );
    tokio::time::resume();
    postgres.stop().await;
}

#[tokio::test]
async fn a_pid_file_that_nobody_stands_behind_is_no_obstacle() {
    let dir = tempfile::tempdir().unwrap();
    let first = started(dir.path()).await;
    first.stop().await;
    let ours = std::process::id();
    std::fs::write(
        dir.path().join("data/postmaster.pid"),
        format!("{ours}\n/elsewhere\n"),
    )
    .unwrap();
    started(dir.path()).await.stop().await;
}

/// In the middle of a query, and held up: what a killed server leaves behind at its worst.
#[tokio::test]
async fn a_killed_server_is_started_again_beside_nothing_of_the_old_one() {
    let dir = tempfile::tempdir().unwrap();
    let mut first = started(dir.path()).await;
    first.create_database("trip").await.unwrap();
    run(&first, "CREATE TABLE t (n int); INSERT INTO t VALUES (7)").await;
    let mut busy = PgConnection::connect(&first.url("trip")).await.unwrap();
    let backend: i32 = sqlx::query_scalar("SELECT pg_backend_pid()")
        .fetch_one(&mut busy)
        .await
        .unwrap();
    let server = i32::try_from(first.pid()).unwrap();
    processes::signal(backend, Signal::SIGSTOP);
    processes::signal(server, Signal::SIGKILL);
    first.ended().await;
    assert!(
        processes::serving(&first.cluster.data()).contains(&backend),
        "the backend outlives its server: the case at hand"
    );
    let second = started(dir.path()).await;
    assert_eq!(number(&second, "SELECT n FROM t").await, 7);
    second.stop().await;
    wait_until_nothing_runs_in(dir.path());
}

#[tokio::test]
async fn a_server_that_is_held_up_goes_on_when_told_and_stops_when_told() {
    let dir = tempfile::tempdir().unwrap();
    let postgres = started(dir.path()).await;
    postgres.create_database("trip").await.unwrap();
    let mut open = PgConnection::connect(&postgres.url("trip")).await.unwrap();
    let processes = postgres.processes();
    assert!(processes.signal(Signal::SIGSTOP));
    {
        let mut asked = std::pin::pin!(open.ping());
        let silence = Duration::from_millis(300);
        assert!(tokio::time::timeout(silence, &mut asked).await.is_err());
        assert!(processes.signal(Signal::SIGCONT));
        asked.await.unwrap();
    }
    assert!(processes.signal(Signal::SIGSTOP));
    let begun = Instant::now();
    postgres.stop().await;
    assert!(
        begun.elapsed() < Duration::from_secs(10),
        "it was given up on"
    );
    assert!(!processes.signal(Signal::SIGCONT), "something is left");
}

#[tokio::test]
async fn a_database_name_that_needs_quoting_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let postgres = started(dir.path()).await;
    for bad in ["", "1trip", "trip; DROP DATABASE trip", "Trip"] {
        let error = postgres.create_database(bad).await.unwrap_err();
        assert!(matches!(error, EmbeddedError::BadName(_)), "{error}");
    }
    postgres.stop().await;
}

/// Not a test by itself: the owner that `a_killed_owner_leaves_nothing_behind` kills.
#[tokio::test]
async fn owner_for_the_kill_test() {
    let Some(dir) = std::env::var_os(OWNER) else {
        return;
    };
    let postgres = started(Path::new(&dir)).await;
    println!("\nserving as {}", postgres.pid());
    std::future::pending::<()>().await;
}

#[test]
fn a_killed_owner_leaves_nothing_behind() {
    let dir = tempfile::tempdir().unwrap();
    let mut owner = std::process::Command::new(std::env::current_exe().unwrap())
        .args([
            "--exact",
            "embedded::tests::owner_for_the_kill_test",
            "--nocapture",
        ])
        .env(OWNER, dir.path())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = std::io::BufReader::new(owner.stdout.take().unwrap()).lines();
    let serving = lines
        .map(Result::unwrap)
        .find(|line| line.contains("serving as"));
    assert!(serving.is_some(), "the owner never served");
    owner.kill().unwrap();
    owner.wait().unwrap();
    wait_until_nothing_runs_in(dir.path());
}
