//! The turns: every kind once a round at every size, each on a server that was started for it and holds the fleet.
//!
//! What a turn yields is divided by the processor time that its server used, all of its threads: how busy the client keeps
//! it does not count, except that a server that must wait sleeps and wakes more often.

use std::time::{Duration, Instant};

use anyhow::Context as _;
use hexcab_testkit::Broker;

use super::{
    Options, QUERIES,
    fleet::Fleet,
    floor, latency,
    process::{Server, free_port},
    report::{Figures, Report},
    resp::Peer,
    rpc::{self, Client},
};

/// The size at which latencies are taken.
const LATENCY_SIZE: usize = 100_000;

/// All rounds at all sizes, and the table.
pub async fn run(options: &Options) -> anyhow::Result<()> {
    let mut report = Report::new(options);
    for round in 1..=options.rounds {
        for &size in &options.sizes {
            eprintln!("round {round} of {}: {size} drivers", options.rounds);
            let mut figures = Figures::default();
            hexcab(options, size, &mut figures).await?;
            floors(options, size, &mut figures).await?;
            for peer in [Peer::Redis, Peer::Tile38] {
                peer_turns(options, size, peer, &mut figures).await?;
            }
            eprintln!("  {figures:?}");
            report.add(size, figures);
        }
    }
    let table = report.table();
    println!("{table}");
    if options.write {
        report.write(&table)?;
    }
    Ok(())
}

/// The service, as it is shipped, with a broker for its supply counts.
pub struct Hexcab {
    pub server: Server,
    pub client: Client,
    _broker: Broker,
    _folder: tempfile::TempDir,
}

/// What a service is told of a store, and of the city's clock.
#[derive(Default)]
pub struct Kept {
    /// None: positions are in memory only.
    pub nodes: String,
    /// None: the machine's.
    pub clock: Option<String>,
}

impl Kept {
    /// A store at this address.
    pub fn at(node: std::net::SocketAddr) -> Self {
        Self {
            nodes: node.to_string(),
            clock: None,
        }
    }
}

impl Hexcab {
    pub async fn start() -> anyhow::Result<Self> {
        Self::start_with(&Kept::default()).await
    }

    pub async fn start_with(kept: &Kept) -> anyhow::Result<Self> {
        let broker = Broker::start();
        broker.create_topic(hexcab_bus::topic::SUPPLY, 1);
        let folder = tempfile::tempdir()?;
        let (port, config) = (free_port()?, folder.path().join("location.toml"));
        let clock = kept
            .clock
            .as_ref()
            .map(|clock| format!("clock = {clock:?}\n"));
        std::fs::write(
            &config,
            format!(
                "{}[server]\nlisten = \"127.0.0.1:{port}\"\n[kafka]\nbrokers = {:?}\n[store]\nnodes = {:?}\n",
                clock.unwrap_or_default(),
                broker.brokers(),
                kept.nodes,
            ),
        )?;
        let args = ["--config".to_owned(), config.display().to_string()];
        let server = Server::start(env!("CARGO_BIN_EXE_hexcab-location"), port, args).await?;
        let client = Client::connect(&server.url()).await?;
        Ok(Self {
            server,
            client,
            _broker: broker,
            _folder: folder,
        })
    }

    /// Has every driver seen once.
    pub async fn fill(&self, fleet: &mut Fleet) -> anyhow::Result<()> {
        let size = fleet.drivers.len();
        let accepted = self
            .client
            .pings(fleet, |sent| sent >= size, async |_| {})
            .await?;
        anyhow::ensure!(accepted >= size, "{accepted} of {size} were accepted");
        Ok(())
    }
}

async fn hexcab(options: &Options, size: usize, figures: &mut Figures) -> anyhow::Result<()> {
    let mut fleet = Fleet::new(size);
    let hexcab = Hexcab::start().await?;
    let base = hexcab.server.memory();
    hexcab.fill(&mut fleet).await?;
    figures.bytes_each = (hexcab.server.memory() - base) / size as f64;
    let length = Duration::from_secs_f64(options.seconds);
    figures.pings = pings(&hexcab.server, &hexcab.client, &mut fleet, length).await?;
    let (single, batch) = (rpc::queries(&mut fleet), rpc::query_batches(&mut fleet));
    // One that says whether anybody is found at all.
    let answer = hexcab
        .client
        .call(0, "FindNearby", single[0].clone())
        .await?;
    anyhow::ensure!(answer.len() > 500, "nobody is near: {} bytes", answer.len());
    figures.nearby = calls(&hexcab, "FindNearby", &single, 1, length).await?;
    figures.nearby_batch = calls(&hexcab, "FindNearbyBatch", &batch, QUERIES, length).await?;
    if size == LATENCY_SIZE {
        figures.latency = Some(latency::measure(&hexcab, &mut fleet, &single, length).await?);
    }
    Ok(())
}

/// Queries a second of the server's time, so many a call.
async fn calls(
    Hexcab { server, client, .. }: &Hexcab,
    method: &str,
    messages: &[bytes::Bytes],
    each: usize,
    length: Duration,
) -> anyhow::Result<f64> {
    let before = server.cpu();
    let calls = client.calls(method, messages, length).await?;
    Ok((calls * each) as f64 / (server.cpu() - before))
}

async fn floors(options: &Options, size: usize, figures: &mut Figures) -> anyhow::Result<()> {
    let (server, mut fleet) = (floor::start().await?, Fleet::new(size));
    let client = Client::connect(&server.url()).await?;
    let length = Duration::from_secs_f64(options.seconds);
    figures.decode_only = pings(&server, &client, &mut fleet, length).await?;
    let before = server.cpu();
    let calls = client
        .calls("CountCells", &[bytes::Bytes::new()], length)
        .await?;
    figures.empty_call = calls as f64 / (server.cpu() - before);
    Ok(())
}

/// Pings a second of the server's time.
async fn pings(
    server: &Server,
    client: &Client,
    fleet: &mut Fleet,
    length: Duration,
) -> anyhow::Result<f64> {
    let (begun, before, mut sent) = (Instant::now(), server.cpu(), 0);
    let enough = |so_far| {
        sent = so_far;
        begun.elapsed() >= length
    };
    let accepted = client.pings(fleet, enough, async |_| {}).await?;
    anyhow::ensure!(accepted == sent, "{accepted} of {sent} were accepted");
    Ok(sent as f64 / (server.cpu() - before))
}

async fn peer_turns(
    options: &Options,
    size: usize,
    peer: Peer,
    figures: &mut Figures,
) -> anyhow::Result<()> {
    let Some(mut running) = peer.start().await? else {
        return Ok(());
    };
    let mut fleet = Fleet::new(size);
    let length = Duration::from_secs_f64(options.seconds);
    running.pings(&mut fleet, Duration::ZERO, true).await?;
    let before = running.server.cpu();
    let pings = running.pings(&mut fleet, length, false).await?;
    let pings = pings as f64 / (running.server.cpu() - before);
    let points: Vec<_> = (0..10_000).map(|_| fleet.rider()).collect();
    let before = running.server.cpu();
    let searches = running
        .searches(&points, length)
        .await
        .with_context(|| format!("{peer:?}"))?;
    let searches = searches as f64 / (running.server.cpu() - before);
    match peer {
        Peer::Redis => figures.redis = Some((pings, searches)),
        Peer::Tile38 => figures.tile38 = Some((pings, searches)),
    }
    Ok(())
}
