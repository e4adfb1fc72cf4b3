//! One service as a process: started, watched, started again when it dies, stopped.
//!
//! Invariants: at most one process at a time; a process that ends by itself is started again after a back-off; a stop is
//! SIGTERM, then SIGKILL after [`STOP_TIMEOUT`]; Ctrl-C at the terminal reaches the launcher only (a process group of its
//! own). Does not: know what a service is or when it is healthy.

use std::{
    path::PathBuf,
    process::{ExitStatus, Stdio},
    time::Duration,
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use parking_lot::Mutex;
use tokio::{
    process::{Child as Process, Command},
    sync::{mpsc, watch},
    time::Instant,
};

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

/// What to run.
#[derive(Debug, Clone)]
pub struct Spec {
    /// The service's name.
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

/// What is known of a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Life {
    /// Its id while it runs.
    pub pid: Option<u32>,
    /// How often it was started again.
    pub restarts: u32,
    /// Whether it was told to stop for good.
    pub stopped: bool,
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
            orders,
            inbox: Mutex::new(Some(inbox)),
            life: watch::Sender::default(),
        }
    }

    /// The service's name.
    pub fn name(&self) -> String {
        self.spec.lock().name.clone()
    }

    /// What is known of it now.
    pub fn life(&self) -> Life {
        *self.life.borrow()
    }

    /// Ends it as a crash would. It is started again.
    pub fn kill(&self) -> bool {
        self.life()
            .pid
            .is_some_and(|pid| signal(pid, Signal::SIGKILL))
    }

    /// Sets a variable of its environment, for the next start.
    pub fn set(&self, variable: &str, value: &str) {
        let mut spec = self.spec.lock();
        spec.environment.retain(|(name, _)| name != variable);
        spec.environment
            .push((variable.to_owned(), value.to_owned()));
    }

    /// Stops it gently, starts it again at once and returns when it is another process.
    pub async fn restart(&self) {
        let (mut life, before) = (self.life.subscribe(), self.life().pid);
        if self.orders.send(Order::Restart).await.is_ok() {
            let renewed = |life: &Life| life.stopped || (life.pid.is_some() && life.pid != before);
            let _over = life.wait_for(renewed).await;
        }
    }

    /// Stops it for good and waits until it is gone. One whose loop never began will not begin any more.
    pub async fn stop(&self) {
        let never_ran = self.inbox.lock().take().is_some();
        if never_ran {
            self.life.send_modify(|life| life.stopped = true);
            return;
        }
        let _over = self.orders.send(Order::Stop).await;
        let mut life = self.life.subscribe();
        let _over = life.wait_for(|life| life.stopped).await;
    }

    /// Stops it for good without patience, also when it is stopping already.
    pub async fn stop_at_once(&self) {
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

    /// Starts it and keeps it running until it is stopped.
    pub async fn run(&self) {
        let Some(mut inbox) = self.inbox.lock().take() else {
            return;
        };
        let mut backoff = Backoff::default();
        loop {
            let begun = Instant::now();
            let ended = match self.spawn() {
                Ok(mut process) => {
                    self.life.send_modify(|life| life.pid = process.id());
                    let ended = watch_over(&mut process, &mut inbox).await;
                    self.life.send_modify(|life| life.pid = None);
                    ended
                }
                Err(error) => Ended::Itself(format!("could not be started: {error}")),
            };
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

    fn spawn(&self) -> std::io::Result<Process> {
        let spec = self.spec.lock();
        let log = std::fs::OpenOptions::new()
            .append(true)
            .create(true)
            .open(&spec.log)?;
        Command::new(&spec.program)
            .args(&spec.arguments)
            .env_clear()
            .envs(spec.environment.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
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

enum Ended {
    Itself(String),
    Restarted,
    Stopped,
}

async fn watch_over(process: &mut Process, inbox: &mut mpsc::Receiver<Order>) -> Ended {
    tokio::select! {
        status = process.wait() => Ended::Itself(match status {
            Ok(status) => describe(status),
            Err(error) => format!("cannot be waited for: {error}"),
        }),
        order = inbox.recv() => {
            terminate(process).await;
            match order {
                Some(Order::Restart) => Ended::Restarted,
                Some(Order::Stop) | None => Ended::Stopped,
            }
        }
    }
}

/// SIGTERM, patience, SIGKILL.
pub async fn terminate(process: &mut Process) {
    let Some(pid) = process.id() else { return };
    signal(pid, Signal::SIGTERM);
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

fn signal(pid: u32, signal: Signal) -> bool {
    i32::try_from(pid).is_ok_and(|pid| kill(Pid::from_raw(pid), signal).is_ok())
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
        assert!(child.kill());
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
