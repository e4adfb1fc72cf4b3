//! The server under a watcher: a tiny shell that holds a pipe from us and stops the server when the pipe closes.
//!
//! Invariants: stopping and dying are the same path (the pipe closes), so `kill -9` of the owner stops the server too;
//! the server is in a process group of its own, so that Ctrl-C reaches the owner only.
//! Does not: restart the server.

use std::{path::Path, process::Stdio, time::Duration};

use tokio::process::{Child, ChildStdin, Command};

use super::Account;

/// How long a stop may take before the watcher is killed (it kills the server itself after 23 s).
const STOP_TIMEOUT: Duration = Duration::from_secs(25);

/// `read` is a builtin: the reader is no further process. INT is Postgres' fast shutdown, QUIT its immediate one (which
/// kills its own children after 5 s). A server that is held up (SIGSTOP) must go on (CONT) to end.
const WATCHER: &str = r#"
exec 3<&0 </dev/null
"$@" 3<&- &
server=$!
(
  while read -r _ <&3; do :; done
  nap=
  trap 'kill $nap; exit 0' TERM
  kill -INT "$server"
  kill -CONT "$server"
  sleep 15 &
  nap=$!
  wait "$nap"
  kill -QUIT "$server"
  sleep 8 &
  nap=$!
  wait "$nap"
  kill -KILL "$server"
) >/dev/null 2>&1 &
reader=$!
wait "$server"
status=$?
kill "$reader" 2>/dev/null
exit "$status"
"#;

/// A command that lives as long as this value.
#[derive(Debug)]
pub struct Watched {
    child: Child,
    /// Apart from the child, because `Child::wait` would close it.
    pipe: Option<ChildStdin>,
    ended: bool,
}

impl Watched {
    /// Runs a program with arguments, as another user if asked, its output in a file.
    pub fn spawn(
        program: &Path,
        arguments: &[String],
        account: Option<&Account>,
        log: std::fs::File,
    ) -> std::io::Result<Self> {
        let mut command = Command::new("sh");
        command
            .arg("-c")
            .arg(WATCHER)
            .arg("hexcab-watcher")
            .arg(program)
            .args(arguments);
        command
            .stdin(Stdio::piped())
            .stdout(log.try_clone()?)
            .stderr(log);
        command
            .env_clear()
            .env("PATH", "/usr/bin:/bin:/usr/local/bin")
            .env("LC_ALL", "C");
        command.current_dir("/").process_group(0);
        if let Some(account) = account {
            command.uid(account.uid).gid(account.gid);
        }
        let mut child = command.spawn()?;
        let pipe = child.stdin.take();
        Ok(Self {
            child,
            pipe,
            ended: false,
        })
    }

    /// Whether the program is gone.
    pub fn has_ended(&mut self) -> bool {
        self.ended = self.ended || matches!(self.child.try_wait(), Ok(Some(_)));
        self.ended
    }

    /// Waits until the program is gone by itself.
    pub async fn ended(&mut self) {
        if !self.ended {
            // An error means that there is no child to wait for.
            let _gone = self.child.wait().await;
            self.ended = true;
        }
    }

    /// Closes the pipe and waits until the program is gone.
    pub async fn stop(&mut self) {
        self.pipe = None;
        if tokio::time::timeout(STOP_TIMEOUT, self.ended())
            .await
            .is_err()
        {
            let _gone = self.child.kill().await;
            self.ended = true;
        }
    }
}
