//! Who started the city that scenarios run against, and can harm it: the launcher, or docker.

use std::{process::Stdio, time::Duration};

use serde_json::Value;
use tokio::process::Command;

use crate::{City, PATIENCE, SERVICES, eventually};

/// Who it is.
#[derive(Debug)]
pub(crate) enum Keeper {
    /// `hexcab up`, by its control endpoint.
    Launcher {
        /// Where that is.
        control: String,
    },
    /// Docker, which runs this project of compose's.
    Compose {
        /// The project's name.
        project: String,
    },
    /// Somebody unknown: the city stays as it is.
    Nobody,
}

impl City {
    /// Asks the launcher.
    pub async fn control(&self, method: &str, path: &str) -> Value {
        let Keeper::Launcher { control } = &self.keeper else {
            panic!("{method} {path}: no launcher of ours runs this city");
        };
        let client = reqwest::Client::builder()
            .timeout(Duration::from_secs(90))
            .build()
            .expect("an HTTP client");
        let request = client.request(
            method.parse().expect("a method"),
            format!("{control}{path}"),
        );
        let answer = request.send().await.expect("the launcher answers");
        assert!(
            answer.status().is_success(),
            "{method} {path}: {}",
            answer.status()
        );
        answer.json().await.unwrap_or(Value::Null)
    }

    /// Waits until every service is healthy, as far as that can be seen.
    pub async fn until_healthy(&self) {
        // Cassandra takes its time where much else runs.
        let (patience, what) = (PATIENCE * 3, || "every service is healthy");
        hexcab_testkit::within(patience, what, || async {
            match &self.keeper {
                Keeper::Launcher { .. } => {
                    let status = self.control("GET", "/status").await;
                    let services = status["services"].as_array()?;
                    let healthy = |service: &Value| service["complaint"].is_null();
                    services.iter().all(healthy).then_some(())
                }
                Keeper::Compose { .. } => {
                    let services = SERVICES.into_iter().map(str::to_owned);
                    for name in services.chain(self.stores()) {
                        let health = self.inspect(&name, "{{.State.Health.Status}}").await;
                        (health == "healthy").then_some(())?;
                    }
                    Some(())
                }
                Keeper::Nobody => Some(()),
            }
        })
        .await;
    }

    /// What changes when a service is started again.
    async fn life(&self, name: &str) -> String {
        match &self.keeper {
            Keeper::Launcher { .. } => {
                let status = self.control("GET", "/status").await;
                let services = status["services"].as_array().expect("services");
                let found = services.iter().find(|service| service["name"] == name);
                found.expect("the service")["restarts"].to_string()
            }
            Keeper::Compose { .. } => self.inspect(name, "{{.State.StartedAt}}").await,
            Keeper::Nobody => panic!("nobody knows of {name}"),
        }
    }

    /// The life of each service; without the stores. The same as before when none was started again.
    pub async fn lives_of_services(&self) -> Vec<String> {
        let mut all = Vec::new();
        for service in SERVICES {
            all.push(self.life(service).await);
        }
        all
    }

    /// Kills a service or a store as a crash would, and waits until it was started again and all are healthy.
    pub async fn kill(&self, name: &str) {
        let before = self.life(name).await;
        match &self.keeper {
            Keeper::Launcher { .. } => {
                self.control("POST", &format!("/services/{name}/kill"))
                    .await;
            }
            // Whom docker was told to kill, docker does not start again by itself.
            Keeper::Compose { .. } => {
                self.docker(&["kill", "--signal=KILL"], name).await;
                self.docker(&["start"], name).await;
            }
            Keeper::Nobody => panic!("nobody can kill {name}"),
        }
        eventually(&format!("{name} is started again"), || async {
            (self.life(name).await != before).then_some(())
        })
        .await;
        self.until_healthy().await;
    }

    async fn inspect(&self, name: &str, format: &str) -> String {
        let format = format!("--format={format}");
        self.docker(&["inspect", &format], name).await
    }

    /// Docker's answer about the container of this service.
    async fn docker(&self, words: &[&str], name: &str) -> String {
        let Keeper::Compose { project } = &self.keeper else {
            panic!("{words:?} {name}: this city is not docker's");
        };
        let asked = Command::new("docker")
            .args(words)
            .arg(format!("{project}-{name}-1"))
            .stdin(Stdio::null())
            .output();
        let answer = asked.await.expect("run docker");
        let text = String::from_utf8_lossy(&answer.stderr);
        assert!(answer.status.success(), "docker {words:?} {name}: {text}");
        String::from_utf8_lossy(&answer.stdout).trim().to_owned()
    }
}
