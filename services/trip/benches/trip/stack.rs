//! What is measured: a private Postgres with fsync on, a broker, and the service as a process of its own.

use std::{
    net::{Ipv4Addr, TcpListener},
    path::PathBuf,
    process::{Child, Command, Stdio},
    time::Duration,
};

use anyhow::{Context as _, bail};
use hexcab_chassis::{
    client::{self, Channel},
    token::{Signer, generate_keys},
};
use hexcab_pg::embedded::{self, Postgres};
use hexcab_proto::trip::v1::{ListTripsRequest, trip_service_client::TripServiceClient};
use hexcab_testkit::Broker;
use sqlx::{Connection as _, PgConnection};
use tempfile::TempDir;

use super::CLIENTS;

const DATABASE: &str = "trip";
/// Connections of gRPC: callers are a few gateways and dispatchers with many calls each.
const CHANNELS: usize = 4;
/// How long the service may take to come up.
const START_TIMEOUT: Duration = Duration::from_secs(30);

/// Postgres, broker, service.
pub struct Stack {
    pub postgres: Postgres,
    pub pricing: Signer,
    pub folder: TempDir,
    broker: Broker,
    public_key: String,
    service: Option<(Child, u16)>,
}

impl Stack {
    /// Postgres and broker; serves nothing yet.
    pub async fn start() -> anyhow::Result<Self> {
        let folder = tempfile::Builder::new()
            .prefix("hexcab-bench-trip-")
            .tempdir()?;
        // Postgres does not run as root: its user must get through to its own folder.
        use std::os::unix::fs::PermissionsExt as _;
        std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o755))?;
        // As large as a server of a city's trips, where the embedded one is small: tables and indexes stay in memory, and
        // no checkpoint comes into a turn.
        let options = embedded::Options {
            settings: vec![
                "shared_buffers=512MB".to_owned(),
                "max_wal_size=4GB".to_owned(),
            ],
            ..embedded::Options::new(folder.path().join("pg"))
        };
        let postgres = Postgres::start(options).await?;
        postgres.create_database(DATABASE).await?;
        let broker = Broker::start();
        for topic in hexcab_bus::topic::ALL {
            broker.create_topic(topic, 1);
        }
        let (private, public_key) = generate_keys()?;
        Ok(Self {
            postgres,
            pricing: Signer::from_pem(&private)?,
            folder,
            broker,
            public_key,
            service: None,
        })
    }

    /// Starts the service, or starts it anew.
    pub async fn serve(&mut self) -> anyhow::Result<()> {
        self.end_service();
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?
            .local_addr()?
            .port();
        let (key, config) = (
            self.folder.path().join("quote.pem"),
            self.folder.path().join("trip.toml"),
        );
        std::fs::write(&key, &self.public_key)?;
        std::fs::write(
            &config,
            format!(
                "quote_public_key_file = {key:?}\n\
                 trips_remembered = 200000\n\
                 [server]\nlisten = \"127.0.0.1:{port}\"\n\
                 [postgres]\nurl = {:?}\n\
                 [kafka]\nbrokers = {:?}\n",
                self.postgres.url(DATABASE),
                self.broker.brokers(),
            ),
        )?;
        let log = std::fs::File::create(self.folder.path().join("trip.log"))?;
        let child = Command::new(env!("CARGO_BIN_EXE_hexcab-trip"))
            .arg("--config")
            .arg(&config)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .context("start hexcab-trip")?;
        self.service = Some((child, port));
        let until = tokio::time::Instant::now() + START_TIMEOUT;
        let mut client = self.clients()?.remove(0);
        while client
            .list_trips(ListTripsRequest::default())
            .await
            .is_err()
        {
            if tokio::time::Instant::now() > until {
                bail!("the service did not come up: {}", self.log());
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        Ok(())
    }

    /// One client for each caller, over a few connections.
    pub fn clients(&self) -> anyhow::Result<Vec<TripServiceClient<Channel>>> {
        let (_, port) = self.service.as_ref().context("nothing is served")?;
        let config = client::ClientConfig {
            timeout_ms: 10_000,
            ..client::ClientConfig::default()
        };
        let channels = (0..CHANNELS)
            .map(|_| client::channel(&format!("http://127.0.0.1:{port}"), &config))
            .collect::<Result<Vec<_>, _>>()?;
        Ok((0..CLIENTS)
            .map(|n| TripServiceClient::new(channels[n % CHANNELS].clone()))
            .collect())
    }

    /// A connection of one's own, beside the service's.
    pub async fn connect(&self) -> anyhow::Result<PgConnection> {
        Ok(PgConnection::connect(&self.url()).await?)
    }

    pub fn url(&self) -> String {
        self.postgres.url(DATABASE)
    }

    /// The service's process id.
    pub fn service_pid(&self) -> Option<u32> {
        self.service.as_ref().map(|(child, _)| child.id())
    }

    pub fn postgres_log(&self) -> PathBuf {
        self.postgres.dir().join("postgres.log")
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("trip.log")).unwrap_or_default()
    }

    /// Ends the service.
    pub fn end_service(&mut self) {
        if let Some((mut child, _)) = self.service.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// Ends everything.
    pub async fn stop(mut self) -> anyhow::Result<()> {
        self.end_service();
        let (folder, postgres) = (self.folder, self.postgres);
        postgres.stop().await;
        folder.close().context("remove the bench's folder")
    }
}
