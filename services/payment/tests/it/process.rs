//! The sandbox as the process it is, so that it can be killed as a process is.

use std::{
    net::{SocketAddr, TcpListener},
    process::{Child, Command, Stdio},
};

use hexcab_testkit::{TestDb, eventually};

use crate::rig::WEBHOOK_SECRET;

pub struct SandboxProcess {
    pub addr: SocketAddr,
    child: Child,
}

/// A port that is free now.
pub fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port()
}

impl SandboxProcess {
    pub async fn start(db: &TestDb, webhooks: &str) -> Self {
        let addr = SocketAddr::from(([127, 0, 0, 1], free_port()));
        let child = Command::new(env!("CARGO_BIN_EXE_hexcab-payment-sandbox"))
            .env_clear() // What is meant for the tests (HEXCAB_TEST_POSTGRES) is no setting of the sandbox's.
            .env("HEXCAB_EXIT_WITH_PARENT", std::process::id().to_string())
            .env("HEXCAB_LISTEN", addr.to_string())
            .env("HEXCAB_POSTGRES__URL", db.url())
            .env("HEXCAB_WEBHOOKS__URL", webhooks)
            .env("HEXCAB_WEBHOOKS__SECRET", WEBHOOK_SECRET)
            .env("HEXCAB_WEBHOOKS__TIMEOUT_MS", "1000")
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut process = Self { addr, child };
        eventually(|| {
            let ended = process.child.try_wait().unwrap();
            assert_eq!(ended, None, "the sandbox ended before it served");
            async move {
                let health = reqwest::get(format!("http://{addr}/healthz")).await.ok()?;
                health.status().is_success().then_some(())
            }
        })
        .await;
        process
    }

    pub fn kill(mut self) {
        self.end();
    }

    fn end(&mut self) {
        let _ = self.child.kill(); // SIGKILL
        self.child.wait().unwrap();
    }
}

impl Drop for SandboxProcess {
    fn drop(&mut self) {
        self.end();
    }
}
