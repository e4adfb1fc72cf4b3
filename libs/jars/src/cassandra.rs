//! Apache Cassandra, one node: whether this machine has it, its folder, and what Java is told to run it.
//!
//! Its folder: `cassandra.yaml` and `logback.xml` (from `infra/local/cassandra`, with ports and folders of this node), and
//! what it keeps. Invariant: its data outlives it, also when it is killed; ports may be others at the next start. Does not:
//! start it, make keyspaces, more than one node.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};

use crate::{Jars, java};

/// Its name: in a city, and of its folder there.
pub const NAME: &str = "cassandra";
/// The Java that Cassandra 5 knows, of those that Kafka 4 runs on.
const JAVA_MAJOR: u32 = 17;
const SETTINGS: &str = include_str!(concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/../../infra/local/cassandra/cassandra.yaml"
));
const LOGGING: &str = include_str!(concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/../../infra/local/cassandra/logback.xml"
));
const JAVA_OPTIONS: &str = include_str!(concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/../../infra/local/cassandra/java.options"
));
/// The agent that tells it how large its own objects are.
const AGENT: &str = "jamm-";
const MAIN: &str = "org.apache.cassandra.service.CassandraDaemon";

/// Everything that Cassandra needs of this machine.
#[derive(Debug, Clone)]
pub struct Installed {
    java: PathBuf,
    jars: Jars,
}

/// Where it listens on 127.0.0.1.
#[derive(Debug, Clone, Copy)]
pub struct Ports {
    /// For clients.
    pub clients: u16,
    /// For other nodes, of which there are none.
    pub nodes: u16,
}

/// A program with its arguments.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Program {
    /// Java.
    pub program: PathBuf,
    /// All of them.
    pub arguments: Vec<String>,
}

impl Installed {
    /// Looks for it.
    ///
    /// # Errors
    /// When something is missing: what, and what to do.
    pub fn find() -> anyhow::Result<Self> {
        let jars = Jars::find(crate::CASSANDRA).context("Cassandra is run from its jars")?;
        let java = java(JAVA_MAJOR..=JAVA_MAJOR).context("Cassandra runs on Java")?;
        Ok(Self { java, jars })
    }

    /// The program with its version, such as `cassandra-5.0.9`.
    pub fn name(&self) -> &'static str {
        self.jars.name()
    }

    /// Its jars.
    pub fn jars(&self) -> &Jars {
        &self.jars
    }

    /// Makes the folder of a node ready, and says how it is run. It says what it does on standard output, and ends itself
    /// in order at SIGTERM.
    ///
    /// # Errors
    /// When the folder cannot be written, or Cassandra cannot live in it.
    pub fn program(&self, home: &Path, ports: Ports) -> anyhow::Result<Program> {
        let text = home.to_str().context("the folder's name is no text")?;
        // It is a part of URLs and of YAML.
        if !home.is_absolute()
            || text.contains(|c: char| c.is_whitespace() || "#?%:\"\\".contains(c))
        {
            bail!("Cassandra cannot live in {text:?}: choose a folder with a plain name");
        }
        let tmp = home.join("tmp");
        std::fs::create_dir_all(&tmp).with_context(|| format!("make {}", tmp.display()))?;
        let write = |name: &str, content: &str| {
            let path = home.join(name);
            std::fs::write(&path, content).with_context(|| format!("write {}", path.display()))
        };
        write("cassandra.yaml", &settings(ports))?;
        write("logback.xml", LOGGING)?;
        let class_path = self.jars.class_path().into_string();
        let class_path = class_path.map_err(|_| anyhow::anyhow!("the cache's name is no text"))?;
        Ok(Program {
            program: self.java.clone(),
            arguments: arguments(text, class_path)?,
        })
    }
}

fn arguments(home: &str, class_path: String) -> anyhow::Result<Vec<String>> {
    let agent = class_path.split(':').find(|jar| jar.contains(AGENT));
    let agent = agent.context("jamm is not among Cassandra's jars")?;
    let options = JAVA_OPTIONS.lines().filter(|line| !line.starts_with('#'));
    let mut all: Vec<String> = options
        .flat_map(str::split_whitespace)
        .map(str::to_owned)
        .collect();
    all.extend([
        format!("-javaagent:{agent}"),
        format!("-Dcassandra.config=file://{home}/cassandra.yaml"),
        format!("-Dlogback.configurationFile={home}/logback.xml"),
        format!("-Dcassandra.storagedir={home}"),
        format!("-Djava.io.tmpdir={home}/tmp"),
    ]);
    all.extend(["-cp".to_owned(), class_path, MAIN.to_owned()]);
    Ok(all)
}

fn settings(Ports { clients, nodes }: Ports) -> String {
    let seeds = |port: &str| format!("seeds: \"127.0.0.1{port}\"");
    let settings = SETTINGS.replace(&seeds(""), &seeds(&format!(":{nodes}")));
    format!(
        "{settings}\n\
         # This node's.\n\
         listen_address: 127.0.0.1\n\
         rpc_address: 127.0.0.1\n\
         native_transport_port: {clients}\n\
         storage_port: {nodes}\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_settings_are_ours_with_the_nodes_ports() {
        let text = settings(Ports {
            clients: 17_001,
            nodes: 17_002,
        });
        for line in [
            "cluster_name: hexcab",
            "      - seeds: \"127.0.0.1:17002\"",
            "native_transport_port: 17001",
            "storage_port: 17002",
        ] {
            assert!(text.lines().any(|own| own == line), "{line} in {text}");
        }
    }

    #[test]
    fn a_folder_that_cassandra_cannot_name_is_refused() {
        let installed = Installed {
            java: "java".into(),
            jars: Jars::listed(Path::new("/c"), crate::CASSANDRA).unwrap(),
        };
        let ports = Ports {
            clients: 1,
            nodes: 2,
        };
        for folder in ["/a b", "relative", "/a#b"] {
            let error = installed.program(Path::new(folder), ports).unwrap_err();
            assert!(error.to_string().contains("plain name"), "{error}");
        }
        let dir = tempfile::tempdir().unwrap();
        let program = installed.program(dir.path(), ports).unwrap();
        assert!(
            program
                .arguments
                .iter()
                .any(|word| word.starts_with("-javaagent:/c/"))
        );
        assert!(!program.arguments.iter().any(|word| word.starts_with('#')));
    }
}
