//! The local stack's Kafka: Apache Kafka itself, one node, KRaft, on Java.
//!
//! Its folder in the city's: `server.properties` and `log4j2.properties` (from `infra/local/kafka`, with ports and folders
//! of this city), `data/`, `tmp/`.
//! Invariants: it is formatted once, wholly or not at all; its data outlives it, and the city when that has a folder of its
//! own. Does not: more than one node.

use std::{
    ffi::OsString,
    path::{Path, PathBuf},
    process::Stdio,
};

use anyhow::{Context as _, bail};
use async_trait::async_trait;
use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use hexcab_jars::{self as jars, Jars};
use tokio::process::Command;
use uuid::Uuid;

use super::NAME;
use crate::stack::{
    child::{Child, Prepare, Spec},
    services::Environment,
};

const SETTINGS: &str = include_str!(concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/../../infra/local/kafka/server.properties"
));
const LOGGING: &str = include_str!(concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/../../infra/local/kafka/log4j2.properties"
));
/// Quick to start, and modest: one of many on its machine.
const JAVA_OPTIONS: [&str; 7] = [
    "-Xms64m",
    "-Xmx256m",
    "-XX:+UseSerialGC",
    "-XX:TieredStopAtLevel=1",
    "-XX:-UsePerfData",
    "-XX:+ExitOnOutOfMemoryError",
    "-Djava.awt.headless=true",
];

/// Everything that Kafka needs of this machine.
#[derive(Debug, Clone)]
pub struct Installed {
    java: PathBuf,
    jars: Jars,
}

impl Installed {
    /// Looks for it.
    ///
    /// # Errors
    /// When something is missing: what, and what to do.
    pub fn find() -> anyhow::Result<Self> {
        let jars = Jars::find(jars::KAFKA).context("the local stack runs Kafka from its jars")?;
        let java = jars::java(jars::SINCE_17).context("the local stack runs Kafka on Java")?;
        Ok(Self { java, jars })
    }

    /// The program with its version, such as `kafka-4.1.1`.
    pub fn name(&self) -> &'static str {
        self.jars.name()
    }

    /// Its jars.
    pub fn jars(&self) -> &Jars {
        &self.jars
    }

    /// Kafka on these ports, not started yet; `home` is its folder.
    ///
    /// # Errors
    /// When the folder cannot be made ready.
    pub fn child(&self, home: &Path, ports: Ports, log: &Path) -> anyhow::Result<Child> {
        let home = Home::make(home, ports)?;
        let mut arguments = Vec::new();
        for argument in self.java_arguments(&home, "kafka.Kafka") {
            let text = argument.into_string();
            arguments.push(text.map_err(|text| anyhow::anyhow!("{} is no text", text.display()))?);
        }
        arguments.push(home.settings().display().to_string());
        let spec = Spec {
            name: NAME.to_owned(),
            program: self.java.clone(),
            arguments,
            environment: Environment::inherited().into(),
            log: log.to_owned(),
        };
        let installed = self.clone();
        Ok(Child::new(spec).prepared_by(Format { installed, home }))
    }

    fn java_arguments(&self, home: &Home, class: &str) -> Vec<OsString> {
        let mut all: Vec<OsString> = JAVA_OPTIONS.into_iter().map(OsString::from).collect();
        let set = |key: &str, value: PathBuf| {
            let mut argument = OsString::from(format!("-D{key}="));
            argument.push(value);
            argument
        };
        all.push(set("java.io.tmpdir", home.0.join("tmp")));
        all.push(set("kafka.logs.dir", home.0.clone()));
        all.push(set("log4j2.configurationFile", home.logging()));
        all.extend(["-cp".into(), self.jars.class_path(), class.into()]);
        all
    }
}

/// Where it listens on 127.0.0.1.
#[derive(Debug, Clone, Copy)]
pub struct Ports {
    /// For clients.
    pub clients: u16,
    /// For its own quorum.
    pub controller: u16,
}

/// Its folder.
#[derive(Debug, Clone)]
struct Home(PathBuf);

impl Home {
    /// Ports may be others than last time: the settings are written anew.
    fn make(dir: &Path, ports: Ports) -> anyhow::Result<Self> {
        let home = Self(dir.to_owned());
        let tmp = dir.join("tmp");
        std::fs::create_dir_all(&tmp).with_context(|| format!("make {}", tmp.display()))?;
        let write = |path: PathBuf, text: &str| {
            std::fs::write(&path, text).with_context(|| format!("write {}", path.display()))
        };
        write(home.logging(), LOGGING)?;
        write(home.settings(), &settings(ports, &home.data())?)?;
        write(home.format_settings(), &settings(ports, &home.half_made())?)?;
        Ok(home)
    }

    fn settings(&self) -> PathBuf {
        self.0.join("server.properties")
    }

    fn format_settings(&self) -> PathBuf {
        self.0.join("format.properties")
    }

    fn logging(&self) -> PathBuf {
        self.0.join("log4j2.properties")
    }

    fn data(&self) -> PathBuf {
        self.0.join("data")
    }

    /// Where it is formatted, before it is its data.
    fn half_made(&self) -> PathBuf {
        self.0.join("data.new")
    }
}

fn settings(ports: Ports, data: &Path) -> anyhow::Result<String> {
    let Ports {
        clients,
        controller,
    } = ports;
    let data = data.to_str().context("the folder's name is no text")?;
    if data.contains(['\\', ',', '\n']) {
        bail!("Kafka cannot live in {data:?}: choose a folder without backslashes and commas");
    }
    Ok(format!(
        "{SETTINGS}\n\
         # This city's.\n\
         listeners=PLAINTEXT://127.0.0.1:{clients},CONTROLLER://127.0.0.1:{controller}\n\
         controller.quorum.voters=1@127.0.0.1:{controller}\n\
         log.dirs={data}\n"
    ))
}

/// Before the first start its folder is formatted.
#[derive(Debug)]
struct Format {
    installed: Installed,
    home: Home,
}

#[async_trait]
impl Prepare for Format {
    async fn prepare(&self, _before: u32) -> anyhow::Result<Vec<String>> {
        let (data, half_made) = (self.home.data(), self.home.half_made());
        if data.exists() {
            return Ok(Vec::new());
        }
        if half_made.exists() {
            std::fs::remove_dir_all(&half_made).context("clear what is half made")?;
        }
        let mut format = Command::new(&self.installed.java);
        format
            .args(
                self.installed
                    .java_arguments(&self.home, "kafka.tools.StorageTool"),
            )
            .args(["format", "--cluster-id", &cluster_id(), "--config"])
            .arg(self.home.format_settings())
            .stdin(Stdio::null())
            .kill_on_drop(true);
        let done = format.output().await.context("run Kafka's storage tool")?;
        if !done.status.success() {
            let said = [done.stderr, done.stdout].concat();
            bail!(
                "format its folder: {}",
                String::from_utf8_lossy(&said).trim()
            );
        }
        std::fs::rename(&half_made, &data).context("take the folder into use")?;
        Ok(Vec::new())
    }
}

/// A name in Kafka's own form: a UUID in base 64. One that began with a dash would be taken for an option.
fn cluster_id() -> String {
    loop {
        let id = BASE64_URL_SAFE_NO_PAD.encode(Uuid::new_v4().as_bytes());
        if !id.starts_with('-') {
            return id;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_settings_are_ours_with_the_citys_ports_and_folder() {
        let dir = tempfile::tempdir().unwrap();
        let ports = Ports {
            clients: 17_001,
            controller: 17_002,
        };
        let home = Home::make(&dir.path().join("kafka"), ports).unwrap();
        let text = std::fs::read_to_string(home.settings()).unwrap();
        for line in [
            "auto.create.topics.enable=false",
            "listeners=PLAINTEXT://127.0.0.1:17001,CONTROLLER://127.0.0.1:17002",
            &format!("log.dirs={}", home.data().display()),
        ] {
            assert!(text.lines().any(|own| own == line), "{line} in {text}");
        }
        let error = settings(ports, Path::new("/a,b")).unwrap_err().to_string();
        assert!(error.contains("commas"), "{error}");
    }
}
