//! One program as a process: made ready, started, watched, started again when it dies, stopped.
//!
//! Invariants: at most one process at a time; a process that ends by itself is started again after a back-off; a stop is
//! SIGTERM, then SIGKILL after [`STOP_TIMEOUT`]; it goes with the launcher, also when that is killed; Ctrl-C at the
//! terminal reaches the launcher only (a process group of its own). Does not: know what the program is or when it is
//! healthy.

use std::{
    path::PathBuf,
    process::{ExitStatus, Stdio},
    time::Duration,
};

use async_trait::async_trait;
use nix::sys::signal::Signal;
use parking_lot::Mutex;
use tokio::{
    io::AsyncWriteExt as _,
    process::{Child as Spawned, ChildStdin, Command},
    sync::{mpsc, watch},
    time::Instant,
};

use super::process::{Fault, Life, Process, signal};
use crate::say;

/// How long a service may take after SIGTERM: 20 s to drain, then its spans and its consumers.
pub const STOP_TIMEOUT: Duration = Duration::from_secs(30);
/// The first wait before a process is started again …
const BACKOFF_FIRST: Duration = Duration::from_millis(100);
/// … which doubles up to this …
const BACKOFF_MAX: Duration = Duration::from_secs(5);
/// … and begins anew once a process has lived this long.
const SETTLED: Duration = Duration::from_secs(10);

/// How often a process that is to go at once is killed.
const KILL_POLL: Duration = Duration::from_millis(50);

/// Becomes the program, and leaves a reader beside it that holds a pipe from the launcher. The pipe closes when the
/// launcher is gone: then the program is killed, whatever it is and whatever state it is in (held up by SIGSTOP it could
/// not watch its parent itself). A line in the pipe says that the program has ended.
const LEASH: &str = r#"
exec 3<&0 </dev/null
( read -r _ <&3 || kill -KILL "$$" ) >/dev/null 2>&1 &
exec "$@" 3<&-
"#;

/// What to run.
#[derive(Debug, Clone)]
pub struct Spec {
    /// Its name in the city.
    pub name: String,
    /// Its binary.
    pub program: PathBuf,
    /// Its arguments.
    pub arguments: Vec<String>,
    /// Its whole environment.
    pub environment: Vec<(String, String)>,
    /// Where its output goes, appended.
    pub log: PathBuf,
}

/// What must be done each time before a program is started.
#[async_trait]
pub trait Prepare: std::fmt::Debug + Send + Sync {
    /// Does it; `before` is how often it was tried already. Returns arguments to add this time. When it fails it is tried
    /// again, as if the process had died.
    async fn prepare(&self, before: u32) -> anyhow::Result<Vec<String>>;
}

#[derive(Debug)]
enum Order {
    Restart,
    Stop,
}

/// A supervised process. Its loop is [`Child::run`], on a task of the owner.
#[derive(Debug)]
pub struct Child {
    spec: Mutex<Spec>,
    prepare: Option<Box<dyn Prepare>>,
    orders: mpsc::Sender<Order>,
    inbox: Mutex<Option<mpsc::Receiver<Order>>>,
    life: watch::Sender<Life>,
}

impl Child {
    /// Nothing runs yet.
    pub fn new(spec: Spec) -> Self {
        let (orders, inbox) = mpsc::channel(8);
        Self {
            spec: Mutex::new(spec),
            prepare: None,
            orders,
            inbox: Mutex::new(Some(inbox)),
            life: watch::Sender::default(),
        }
    }

    /// The same, with something to do before each start.
    #[must_use]
    pub fn prepared_by(self, prepare: impl Prepare + 'static) -> Self {
        Self {
            prepare: Some(Box::new(prepare)),
            ..self
        }
    }

    /// Its name in the city.
    pub fn name(&self) -> String {
        self.spec.lock().name.clone()
    }

    /// Sets a variable of its environment, for the next start.
    pub fn set(&self, variable: &str, value: &str) {
        let mut spec = self.spec.lock();
        spec.environment.retain(|(name, _)| name != variable);
        spec.environment
            .push((variable.to_owned(), value.to_owned()));
    }

    /// Starts it and keeps it running until it is stopped.
    pub async fn run(&self) {
        let Some(mut inbox) = self.inbox.lock().take() else {
            return;
        };
        let (mut backoff, mut before) = (Backoff::default(), 0);
        loop {
            let begun = Instant::now();
            let ended = self.live_once(before, &mut inbox).await;
            before = before.saturating_add(1);
            let how = match ended {
                Ended::Stopped => break,
                Ended::Restarted => continue,
                Ended::Itself(how) => how,
            };
            let pause = backoff.after(begun.elapsed());
            self.report(&how, pause);
            self.life.send_modify(|life| life.restarts += 1);
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                order = inbox.recv() => match order {
                    Some(Order::Restart) => {}
                    Some(Order::Stop) | None => break,
                }
            }
        }
        self.life.send_modify(|life| life.stopped = true);
    }

    /// From making ready to the end of one process.
    async fn live_once(&self, before: u32, inbox: &mut mpsc::Receiver<Order>) -> Ended {
        let more = tokio::select! {
            prepared = self.prepare(before) => match prepared {
                Ok(more) => more,
                Err(error) => return Ended::Itself(format!("cannot be started yet: {error:#}")),
            },
            order = inbox.recv() => return Ended::by(order),
        };
        let (mut process, pipe) = match self.spawn(&more) {
            Ok(spawned) => spawned,
            Err(error) => return Ended::Itself(format!("could not be started: {error}")),
        };
        self.life.send_modify(|life| life.pid = process.id());
        let ended = watch_over(&mut process, inbox).await;
        self.life.send_modify(|life| life.pid = None);
        if let Some(mut reader) = pipe {
            // A reader that is gone needs not be told.
            let _gone = reader.write_all(b"\n").await;
        }
        ended
    }

    async fn prepare(&self, before: u32) -> anyhow::Result<Vec<String>> {
        match &self.prepare {
            Some(prepare) => prepare.prepare(before).await,
            None => Ok(Vec::new()),
        }
    }

    /// The process, and the pipe to its reader.
    fn spawn(&self, more: &[String]) -> std::io::Result<(Spawned, Option<ChildStdin>)> {
        let spec = self.spec.lock();
        let log = std::fs::OpenOptions::new()
            .append(true)
            .create(true)
            .open(&spec.log)?;
        let mut process = Command::new("sh")
            .args(["-c", LEASH, "hexcab-leash"])
            .arg(&spec.program)
            .args(&spec.arguments)
            .args(more)
            .env_clear()
            .envs(spec.environment.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::piped())
            .stdout(log.try_clone()?)
            .stderr(log)
            .process_group(0)
            .kill_on_drop(true)
            .spawn()?;
        // Apart from the process, because waiting for that would close it.
        let pipe = process.stdin.take();
        Ok((process, pipe))
    }

    fn report(&self, how: &str, pause: Duration) {
        let spec = self.spec.lock();
        let (name, log) = (&spec.name, spec.log.display());
        say::warn(format_args!(
            "{name} {how}; starting it again in {:.1} s (log: {log})",
            pause.as_secs_f64()
        ));
    }
}

#[async_trait]
impl Process for Child {
    fn life(&self) -> Life {
        *self.life.borrow()
    }

    fn suffer(&self, fault: Fault) -> bool {
        self.life()
            .pid
            .is_some_and(|pid| signal(pid, fault.signal()))
    }

    async fn restart(&self) {
        let (mut life, before) = (self.life.subscribe(), self.life().pid);
        if self.orders.send(Order::Restart).await.is_ok() {
            let renewed = |life: &Life| life.stopped || (life.pid.is_some() && life.pid != before);
            let _over = life.wait_for(renewed).await;
        }
    }

    /// One whose loop never began will not begin any more.
    async fn stop(&self) {
        let never_ran = self.inbox.lock().take().is_some();
        if never_ran {
            self.life.send_modify(|life| life.stopped = true);
            return;
        }
        let _over = self.orders.send(Order::Stop).await;
        let mut life = self.life.subscribe();
        let _over = life.wait_for(|life| life.stopped).await;
    }

    async fn stop_at_once(&self) {
        let kill_what_runs = async {
            let mut life = self.life.subscribe();
            while let Ok(life) = life
                .wait_for(|life| life.pid.is_some())
                .await
                .map(|life| *life)
            {
                if let Some(pid) = life.pid {
                    signal(pid, Signal::SIGKILL);
                }
                tokio::time::sleep(KILL_POLL).await;
            }
        };
        tokio::select! {
            () = self.stop() => {}
            () = kill_what_runs => {}
        }
    }
}

enum Ended {
    Itself(String),
    Restarted,
    Stopped,
}

impl Ended {
    fn by(order: Option<Order>) -> Self {
        match order {
            Some(Order::Restart) => Self::Restarted,
            Some(Order::Stop) | None => Self::Stopped,
        }
    }
}

async fn watch_over(process: &mut Spawned, inbox: &mut mpsc::Receiver<Order>) -> Ended {
    tokio::select! {
        status = process.wait() => Ended::Itself(match status {
            Ok(status) => describe(status),
            Err(error) => format!("cannot be waited for: {error}"),
        }),
        order = inbox.recv() => {
            terminate(process).await;
            Ended::by(order)
        }
    }
}

/// SIGTERM, patience, SIGKILL. One that is held up by SIGSTOP must go on to end.
pub async fn terminate(process: &mut Spawned) {
    let Some(pid) = process.id() else { return };
    signal(pid, Signal::SIGTERM);
    signal(pid, Signal::SIGCONT);
    if tokio::time::timeout(STOP_TIMEOUT, process.wait())
        .await
        .is_err()
    {
        say::warn(format_args!(
            "process {pid} did not stop within {} s; killing it",
            STOP_TIMEOUT.as_secs()
        ));
        let _gone = process.kill().await;
    }
}

fn describe(status: ExitStatus) -> String {
    use std::os::unix::process::ExitStatusExt as _;
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("ended with exit code {code}"),
        (None, Some(signal)) => format!("was ended by signal {signal}"),
        (None, None) => "ended".to_owned(),
    }
}

/// How long to wait before a process that died is started again.
#[derive(Debug, Default)]
struct Backoff {
    next: Option<Duration>,
}

impl Backoff {
    fn after(&mut self, lived: Duration) -> Duration {
        let pause = if lived >= SETTLED {
            BACKOFF_FIRST
        } else {
            self.next.unwrap_or(BACKOFF_FIRST)
        };
        self.next = Some((pause * 2).min(BACKOFF_MAX));
        pause
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use hexcab_chassis::Tasks;

    use super::*;

    fn shell(script: &str, dir: &std::path::Path) -> Arc<Child> {
        Arc::new(Child::new(Spec {
            name: "fake".into(),
            program: "/bin/sh".into(),
            arguments: vec!["-c".into(), script.into()],
            environment: vec![("PATH".into(), "/usr/bin:/bin".into())],
            log: dir.join("fake.log"),
        }))
    }

    fn start(child: &Arc<Child>) -> Tasks {
        let (tasks, child) = (Tasks::new(), child.clone());
        tasks.spawn("child", async move {
            child.run().await;
            Ok(())
        });
        tasks
    }

    async fn alive(child: &Child) -> u32 {
        let mut life = child.life.subscribe();
        life.wait_for(|life| life.pid.is_some())
            .await
            .unwrap()
            .pid
            .unwrap()
    }

    fn exists(pid: u32) -> bool {
        std::path::Path::new(&format!("/proc/{pid}")).exists()
    }

    #[test]
    fn the_wait_doubles_to_its_bound_and_begins_anew_after_a_long_life() {
        let mut backoff = Backoff::default();
        let waits: Vec<u128> = (0..8)
            .map(|_| backoff.after(Duration::ZERO).as_millis())
            .collect();
        assert_eq!(waits, [100, 200, 400, 800, 1600, 3200, 5000, 5000]);
        assert_eq!(backoff.after(SETTLED), BACKOFF_FIRST);
        assert_eq!(backoff.after(Duration::ZERO), BACKOFF_FIRST * 2);
    }

    #[tokio::test]
    async fn a_killed_process_is_started_again_as_another() {
        let dir = tempfile::tempdir().unwrap();
        let child = shell("exec sleep 600", dir.path());
        let tasks = start(&child);
        let first = alive(&child).await;
        assert!(child.suffer(Fault::Kill));
        child
            .life
            .subscribe()
            .wait_for(|life| life.restarts == 1 && life.pid.is_some())
            .await
            .unwrap();
        let second = child.life().pid.unwrap();
        assert!(first != second && !exists(first));
        child.stop().await;
        assert!(!exists(second));
        tasks.stop(Duration::from_secs(5)).await;
    }

    #[tokio::test]
    async fn a_process_that_ends_at_once_is_tried_again_and_can_be_stopped_meanwhile() {
        let dir = tempfile::tempdir().unwrap();
        let child = shell("echo tried; exit 3", dir.path());
        let tasks = start(&child);
        child
            .life
            .subscribe()
            .wait_for(|life| life.restarts == 2)
            .await
            .unwrap();
        child.stop().await;
        assert!(child.life().stopped);
        assert!(
            std::fs::read_to_string(dir.path().join("fake.log"))
                .unwrap()
                .matches("tried")
                .count()
                >= 2
        );
        tasks.stop(Duration::from_secs(5)).await;
    }

    #[tokio::test]
    async fn a_restart_takes_the_new_environment() {
        let dir = tempfile::tempdir().unwrap();
        let child = shell("echo broker=$BROKER; exec sleep 600", dir.path());
        child.set("BROKER", "one");
        let tasks = start(&child);
        let first = alive(&child).await;
        child.set("BROKER", "two");
        child.restart().await;
        assert!(child.life().pid.is_some_and(|pid| pid != first));
        let log = dir.path().join("fake.log");
        hexcab_testkit::eventually(|| async {
            std::fs::read_to_string(&log)
                .unwrap()
                .contains("broker=two")
                .then_some(())
        })
        .await;
        assert_eq!(child.life().restarts, 0, "an ordered restart is no failure");
        child.stop().await;
        tasks.stop(Duration::from_secs(5)).await;
    }

    #[tokio::test]
    async fn one_that_was_never_started_is_stopped_at_once_and_stays_so() {
        let dir = tempfile::tempdir().unwrap();
        let child = shell("exec sleep 600", dir.path());
        child.stop().await;
        child.stop_at_once().await;
        child.run().await;
        let stopped = Life {
            stopped: true,
            ..Life::default()
        };
        assert_eq!(child.life(), stopped);
    }

    #[tokio::test]
    async fn a_stop_at_once_does_not_wait_for_a_process_that_is_stopping() {
        let dir = tempfile::tempdir().unwrap();
        let child = shell(
            "trap '' TERM; echo deaf; while :; do sleep 1; done",
            dir.path(),
        );
        let tasks = start(&child);
        let pid = alive(&child).await;
        let begun = Instant::now();
        tokio::select! {
            biased;
            () = child.stop() => {}
            () = tokio::task::yield_now() => {}
        }
        child.stop_at_once().await;
        assert!(!exists(pid) && begun.elapsed() < STOP_TIMEOUT);
        assert_eq!(child.life().restarts, 0, "it is not started again");
        tasks.stop(Duration::from_secs(5)).await;
    }

    /// The letter of its state: R running, S sleeping, T held up.
    fn state(pid: u32) -> Option<char> {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        stat.rsplit_once(") ")?.1.chars().next()
    }

    #[tokio::test]
    async fn a_process_that_is_held_up_goes_on_when_told_and_stops_when_told() {
        let dir = tempfile::tempdir().unwrap();
        let child = shell("exec sleep 600", dir.path());
        let tasks = start(&child);
        let pid = alive(&child).await;
        for (fault, wanted) in [
            (Fault::Stop, 'T'),
            (Fault::Continue, 'S'),
            (Fault::Stop, 'T'),
        ] {
            assert!(child.suffer(fault));
            hexcab_testkit::eventually(|| async { (state(pid) == Some(wanted)).then_some(()) })
                .await;
        }
        let begun = Instant::now();
        child.stop().await;
        assert!(!exists(pid) && begun.elapsed() < STOP_TIMEOUT);
        assert_eq!(child.life().restarts, 0);
        assert!(!child.suffer(Fault::Kill), "nothing is left to be harmed");
        tasks.stop(Duration::from_secs(5)).await;
    }

    /// Fails once, then tells how often it was asked.
    #[derive(Debug, Default)]
    struct Reluctant;

    #[async_trait]
    impl Prepare for Reluctant {
        async fn prepare(&self, before: u32) -> anyhow::Result<Vec<String>> {
            anyhow::ensure!(before > 0, "not yet");
            Ok(vec![format!("start {before}")])
        }
    }

    #[tokio::test]
    async fn a_process_is_started_when_all_is_ready_with_what_that_adds() {
        let dir = tempfile::tempdir().unwrap();
        let spec = Spec {
            name: "fake".into(),
            program: "/bin/sh".into(),
            arguments: vec!["-c".into(), "echo $0; exec sleep 600".into()],
            environment: vec![("PATH".into(), "/usr/bin:/bin".into())],
            log: dir.path().join("fake.log"),
        };
        let child = Arc::new(Child::new(spec).prepared_by(Reluctant));
        let tasks = start(&child);
        alive(&child).await;
        assert_eq!(
            child.life().restarts,
            1,
            "what is not ready counts as a death"
        );
        hexcab_testkit::eventually(|| async {
            let said = std::fs::read_to_string(dir.path().join("fake.log")).ok()?;
            (said == "start 1\n").then_some(())
        })
        .await;
        child.stop().await;
        tasks.stop(Duration::from_secs(5)).await;
    }

    const LEASH_OWNER: &str = "HEXCAB_TEST_LEASH_OWNER";

    fn leashed(dir: &std::path::Path) -> Arc<Child> {
        Arc::new(Child::new(Spec {
            name: "leashed".into(),
            program: "/bin/sh".into(),
            arguments: vec![
                "-c".into(),
                "trap '' TERM; echo up; while :; do sleep 1; done".into(),
            ],
            environment: vec![("PATH".into(), "/usr/bin:/bin".into())],
            log: dir.join("leashed.log"),
        }))
    }

    /// Not a test by itself: the launcher that `a_process_goes_with_a_killed_launcher` kills.
    #[tokio::test]
    async fn launcher_for_the_kill_test() {
        let Some(dir) = std::env::var_os(LEASH_OWNER) else {
            return;
        };
        let child = leashed(std::path::Path::new(&dir));
        let _tasks = start(&child);
        println!("\nleashed {}", alive(&child).await);
        std::future::pending::<()>().await;
    }

    #[tokio::test]
    async fn a_process_goes_with_a_killed_launcher() {
        use std::io::BufRead as _;
        let dir = tempfile::tempdir().unwrap();
        let name = "stack::child::tests::launcher_for_the_kill_test";
        let mut launcher = std::process::Command::new(std::env::current_exe().unwrap())
            .args(["--exact", name, "--nocapture"])
            .env(LEASH_OWNER, dir.path())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = std::io::BufReader::new(launcher.stdout.take().unwrap()).lines();
        let pid = lines
            .find_map(|line| line.unwrap().strip_prefix("leashed ")?.parse().ok())
            .unwrap();
        let log = dir.path().join("leashed.log");
        hexcab_testkit::eventually(|| async {
            std::fs::read_to_string(&log)
                .ok()?
                .contains("up")
                .then_some(())
        })
        .await;
        // Also one that can do nothing about it.
        assert!(signal(pid, Signal::SIGSTOP));
        launcher.kill().unwrap();
        launcher.wait().unwrap();
        hexcab_testkit::eventually(|| async {
            (!matches!(state(pid), Some('T' | 'S' | 'R'))).then_some(())
        })
        .await;
    }

    #[tokio::test]
    async fn a_process_that_is_killed_leaves_no_reader_and_is_started_again() {
        let dir = tempfile::tempdir().unwrap();
        let child = leashed(dir.path());
        let tasks = start(&child);
        let first = alive(&child).await;
        assert!(child.suffer(Fault::Kill));
        let restarted = |life: &Life| life.restarts == 1 && life.pid.is_some();
        let mut life = child.life.subscribe();
        let second = life.wait_for(restarted).await.unwrap().pid.unwrap();
        hexcab_testkit::eventually(|| async { group(first).is_empty().then_some(()) }).await;
        child.stop_at_once().await;
        hexcab_testkit::eventually(|| async { group(second).is_empty().then_some(()) }).await;
        tasks.stop(Duration::from_secs(5)).await;
    }

    /// The living processes of a process group.
    fn group(id: u32) -> Vec<u32> {
        let all = std::fs::read_dir("/proc").unwrap().flatten();
        let pids = all.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
        pids.filter(|pid| {
            let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
            let mut fields = stat
                .rsplit_once(") ")
                .map_or("", |(_, rest)| rest)
                .split(' ');
            let (state, group) = (fields.next(), fields.nth(1));
            state != Some("Z") && group == Some(id.to_string().as_str())
        })
        .collect()
    }

    #[tokio::test]
    async fn a_process_that_does_not_stop_is_killed() {
        let dir = tempfile::tempdir().unwrap();
        let child = shell(
            "trap '' TERM; echo deaf; while :; do sleep 1; done",
            dir.path(),
        );
        let tasks = start(&child);
        let pid = alive(&child).await;
        let log = dir.path().join("fake.log");
        hexcab_testkit::eventually(|| async {
            std::fs::read_to_string(&log)
                .unwrap_or_default()
                .contains("deaf")
                .then_some(())
        })
        .await;
        tokio::time::pause();
        child.stop().await;
        assert!(!exists(pid));
        tokio::time::resume();
        tasks.stop(Duration::from_secs(5)).await;
    }
}
