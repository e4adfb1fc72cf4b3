//! pgbench's turns, with what the service was seen to send: the one statement of a transition, or the same work in six.
//!
//! A life's own ids come from a table with one SELECT a life, whose share of the time is taken out again. All other values
//! are those of the captured life. Values travel as text, which is all that pgbench knows.

use std::{collections::BTreeMap, fmt::Write as _, process::Stdio};

use anyhow::{Context as _, bail, ensure};
use sqlx::{PgConnection, Row as _};
use tokio::process::Command;
use uuid::Uuid;

use super::{CLIENTS, STEPS, capture::Captured, lives::Life, stack::Stack};

/// What pgbench made of its turn.
pub struct Raw {
    /// Transitions a second.
    pub per_second: f64,
    /// Mean latency of a transition, milliseconds.
    pub mean_ms: f64,
    /// Lives that were not carried to their end: a transaction was rolled back.
    pub failed: u64,
}

/// What is a life's own, by name.
const OWN: [&str; 3] = ["trip", "driver", "place"];

/// (a) The very statement, in one round trip.
pub async fn one_trip(stack: &Stack, captured: &Captured, lives: &[Life]) -> anyhow::Result<Raw> {
    let mut script = Script::new(captured, lives.len() / CLIENTS);
    for step in 0..STEPS {
        script.statement(step, &captured.sql.clone(), " \\gset");
    }
    run(stack, &script, lives).await
}

/// (b) BEGIN, claim, fetch, change, tell, COMMIT.
pub async fn six_trips(stack: &Stack, captured: &Captured, lives: &[Life]) -> anyhow::Result<Raw> {
    let sql = &captured.sql;
    let part = |from: &str, to: &str| {
        let begin = sql.find(from).with_context(|| format!("no {from:?}"))?;
        let end = sql[begin..]
            .find(to)
            .with_context(|| format!("no {to:?}"))?;
        anyhow::Ok(sql[begin..begin + end].trim_end().to_owned())
    };
    let change = format!(
        "{} RETURNING ctid::text AS place",
        part("UPDATE trips", "RETURNING")?
    );
    let mut script = Script::new(captured, lives.len() / CLIENTS);
    for step in 0..STEPS {
        script.line("BEGIN ISOLATION LEVEL SERIALIZABLE;");
        script.named(step, "INSERT INTO requests (request_id, body_hash, asked_at, trip, version) VALUES (:request::uuid, :hash::bytea, now(), :trip::uuid, :version::bigint + 1);");
        script.named(step, "SELECT * FROM trips WHERE id = :trip::uuid;");
        script.statement(step, &change, " \\gset");
        script.named(step, "WITH happened AS (INSERT INTO trip_events (trip, version, kind, occurred_at, event, payload) VALUES (:trip::uuid, :version::bigint + 1, :kind, now(), :event::uuid, :payload::bytea) RETURNING trip, occurred_at, event, payload) INSERT INTO outbox (event_id, topic, key, kind, source, subject, occur_time, payload) SELECT event, 'hexcab.trip.v1', 'sf', 'hexcab.trip.v1', 'trip', 'trips/' || trip, occurred_at, payload FROM happened;");
        script.line("COMMIT;");
    }
    run(stack, &script, lives).await
}

/// A pgbench script under construction, and the variables that it is started with.
struct Script<'a> {
    captured: &'a Captured,
    text: String,
    /// Values that are the same in every life, by name.
    constants: BTreeMap<String, String>,
    lives_each: usize,
    /// Which parameter is which, counted from 0, as the captured values tell.
    request: usize,
    event: usize,
    hash: usize,
    payload: usize,
    kind: usize,
    version: usize,
    place: usize,
    /// Deadlines of the captured life. They have passed by now, and the sweeper would be quick.
    deadlines: [usize; 2],
}

/// A deadline that does not pass while this lasts.
const LATER: &str = "2100-01-01 00:00:00+00";

impl<'a> Script<'a> {
    fn new(captured: &'a Captured, lives_each: usize) -> Self {
        let cast = |of: &str| {
            let at = captured
                .sql
                .find(of)
                .unwrap_or_else(|| panic!("no {of} in {}", captured.sql));
            let digits = &captured.sql[..at];
            let from = digits.rfind('$').unwrap() + 1;
            digits[from..].parse::<usize>().unwrap() - 1
        };
        let after = |of: &str| {
            let at = captured.sql.find(of).unwrap() + of.len();
            let digits: String = captured.sql[at..]
                .chars()
                .take_while(char::is_ascii_digit)
                .collect();
            digits.parse::<usize>().unwrap() - 1
        };
        let mut own = captured.sql.match_indices("::uuid");
        let uuid = |at: Option<(usize, &str)>| {
            let digits = &captured.sql[..at.unwrap().0];
            digits[digits.rfind('$').unwrap() + 1..]
                .parse::<usize>()
                .unwrap()
                - 1
        };
        // In the order of the statement: the event's id, then the request's.
        let (event, request) = (uuid(own.next()), uuid(own.next()));
        let mut bytes = captured.sql.match_indices("::bytea");
        let (payload, hash) = (uuid(bytes.next()), uuid(bytes.next()));
        let mut script = Self {
            captured,
            text: String::new(),
            constants: BTreeMap::new(),
            lives_each,
            request,
            event,
            hash,
            payload,
            kind: after("last_event = $"),
            version: after("AND version = $"),
            place: cast("::text::tid"),
            deadlines: [after("offer_expires_at = $"), after("stalls_at = $")],
        };
        script.line("\\set n :client_id * :lives_each + :k");
        script.line("\\set k :k + 1");
        let mut names: Vec<String> = OWN.map(str::to_owned).to_vec();
        for step in 0..STEPS {
            names.push(format!("request{step}"));
            names.push(format!("event{step}"));
        }
        let columns: Vec<String> = names
            .iter()
            .enumerate()
            .map(|(n, name)| format!("v[{}] AS {name}", n + 1))
            .collect();
        script.line(&format!(
            "SELECT {} FROM bench_lives WHERE n = :n \\gset",
            columns.join(", ")
        ));
        script
    }

    fn line(&mut self, line: &str) {
        self.text.push_str(line);
        self.text.push('\n');
    }

    /// A statement with the captured parameters of a step.
    fn statement(&mut self, step: usize, sql: &str, end: &str) {
        let mut line = String::new();
        let mut rest = sql;
        while let Some((before, after)) = rest.split_once('$') {
            let digits = after.chars().take_while(char::is_ascii_digit).count();
            let n: usize = after[..digits].parse().unwrap();
            let name = self.variable(step, n - 1);
            let _ = write!(line, "{before}:{name}");
            rest = &after[digits..];
        }
        line.push_str(rest);
        let line = line.split_whitespace().collect::<Vec<_>>().join(" ");
        self.line(&format!("{line}{end}"));
    }

    /// A statement of the bench's own with names for what it takes of the captured ones.
    fn named(&mut self, step: usize, sql: &str) {
        let mut line = sql.to_owned();
        for (name, n) in [
            (":request", self.request),
            (":hash", self.hash),
            (":version", self.version),
            (":kind", self.kind),
            (":event", self.event),
            (":payload", self.payload),
        ] {
            if line.contains(name) {
                let variable = self.variable(step, n);
                line = line.replace(name, &format!(":{variable}"));
            }
        }
        self.line(&line);
    }

    /// The variable of a captured parameter. One that is never set is NULL to pgbench.
    fn variable(&mut self, step: usize, n: usize) -> String {
        let life = &self.captured.life;
        let Some(value) = &self.captured.values[step][n] else {
            return "null".to_owned();
        };
        if n == self.request {
            format!("request{step}")
        } else if n == self.event {
            format!("event{step}")
        } else if n == self.place {
            "place".to_owned()
        } else if *value == life.trip.trim_start_matches("trips/") {
            "trip".to_owned()
        } else if *value == life.driver.uuid().to_string() {
            "driver".to_owned()
        } else {
            let name = format!("p{step}_{n}");
            let is_deadline = self.deadlines.contains(&n);
            let value = if is_deadline { LATER } else { value };
            self.constants.insert(name.clone(), value.to_owned());
            name
        }
    }
}

async fn run(stack: &Stack, script: &Script<'_>, lives: &[Life]) -> anyhow::Result<Raw> {
    let mut connection = stack.connect().await?;
    tables(&mut connection, lives).await?;
    let file = stack.folder.path().join("bench.sql");
    std::fs::write(&file, &script.text)?;
    let url = stack.url();
    let (credentials, place) = url
        .trim_start_matches("postgres://")
        .split_once('@')
        .context("a URL with a user")?;
    let (user, password) = credentials.split_once(':').context("a password")?;
    let (address, database) = place.split_once('/').context("a database")?;
    let (host, port) = address.split_once(':').context("a port")?;
    let mut pgbench = Command::new("pgbench");
    pgbench
        .env("PGPASSWORD", password)
        .env(
            "PGOPTIONS",
            "-c default_transaction_isolation=serializable -c plan_cache_mode=force_generic_plan",
        )
        .args(["-h", host, "-p", port, "-U", user])
        .args([
            "--no-vacuum",
            "--protocol",
            "prepared",
            "--report-per-command",
        ])
        .args(["--client", &CLIENTS.to_string(), "--jobs", "2"])
        .args(["--transactions", &script.lives_each.to_string()])
        .args([
            "-D",
            "k=0",
            "-D",
            &format!("lives_each={}", script.lives_each),
        ])
        .arg("--file")
        .arg(&file)
        .stdin(Stdio::null());
    for (name, value) in &script.constants {
        pgbench.arg("-D").arg(format!("{name}={value}"));
    }
    let output = pgbench
        .arg(database)
        .output()
        .await
        .context("run pgbench (it comes with Postgres)")?;
    let (said, complained) = (
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    ensure!(output.status.success(), "pgbench: {complained}\n{said}");
    read(&said).with_context(|| format!("{complained}\n{said}"))
}

/// What pgbench said, without the time that finding out about a life took.
fn read(said: &str) -> anyhow::Result<Raw> {
    let number = |line: &str, before: &str| {
        said.lines()
            .find_map(|said| {
                said.trim()
                    .strip_prefix(line)?
                    .trim_start()
                    .split(before)
                    .next()
            })
            .and_then(|number| number.trim().parse::<f64>().ok())
            .with_context(|| format!("no {line:?}"))
    };
    let lives_per_second = number("tps = ", " ")?;
    let failed = number("number of failed transactions:", " ").unwrap_or(0.0);
    let mut commands = said
        .lines()
        .skip_while(|line| !line.starts_with("statement latencies"))
        .skip(1)
        .filter_map(|line| {
            let mut words = line.split_whitespace();
            let latency: f64 = words.next()?.parse().ok()?;
            Some((latency, line.contains("FROM bench_lives")))
        })
        .peekable();
    if commands.peek().is_none() {
        bail!("no latencies by statement");
    }
    let (all, finding) = commands.fold((0.0, 0.0), |(all, finding), (latency, is_finding)| {
        (
            all + latency,
            if is_finding {
                finding + latency
            } else {
                finding
            },
        )
    });
    let carrying = all - finding;
    Ok(Raw {
        per_second: lives_per_second * STEPS as f64 * all / carrying,
        mean_ms: carrying / STEPS as f64,
        failed: failed as u64,
    })
}

/// What each life needs: its ids, and where its trip is.
async fn tables(connection: &mut PgConnection, lives: &[Life]) -> anyhow::Result<()> {
    sqlx::raw_sql(
        "DROP TABLE IF EXISTS bench_lives;
         CREATE UNLOGGED TABLE bench_lives (n int PRIMARY KEY, v text[] NOT NULL)",
    )
    .execute(&mut *connection)
    .await?;
    for (chunk, lives) in lives.chunks(500).enumerate() {
        let ids: Vec<Uuid> = lives
            .iter()
            .map(|life| life.trip.trim_start_matches("trips/").parse())
            .collect::<Result<_, _>>()?;
        let places: BTreeMap<Uuid, String> =
            sqlx::query("SELECT id, ctid::text AS place FROM trips WHERE id = ANY ($1)")
                .bind(&ids)
                .fetch_all(&mut *connection)
                .await?
                .iter()
                .map(|row| (row.get("id"), row.get("place")))
                .collect();
        let mut insert = sqlx::QueryBuilder::new("INSERT INTO bench_lives (n, v) ");
        insert.push_values(
            lives.iter().zip(&ids).enumerate(),
            |mut row, (n, (life, id))| {
                let mut values = vec![
                    id.to_string(),
                    life.driver.uuid().to_string(),
                    places.get(id).cloned().unwrap_or_default(),
                ];
                for _ in 0..STEPS {
                    values.push(Uuid::new_v4().to_string());
                    values.push(hexcab_bus::outbox::new_id().uuid().to_string());
                }
                row.push_bind(i32::try_from(chunk * 500 + n).unwrap());
                row.push_bind(values);
            },
        );
        insert.build().execute(&mut *connection).await?;
    }
    sqlx::raw_sql("ANALYZE bench_lives")
        .execute(connection)
        .await?;
    Ok(())
}
