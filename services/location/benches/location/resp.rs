//! Redis GEO and Tile38, in the way each is fastest: pipelined, Redis with 100 positions a command.

use std::{
    io::Write as _,
    net::Ipv4Addr,
    time::{Duration, Instant},
};

use hexcab_types::Point;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use super::{
    LIMIT, RADIUS_M,
    fleet::Fleet,
    process::{Server, free_port, on_path},
};

/// Positions in a GEOADD.
const PER_COMMAND: usize = 100;
/// Commands on their way.
const PIPELINED_WRITES: usize = 16;
const PIPELINED_SEARCHES: usize = 16;

/// Which of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Peer {
    Redis,
    Tile38,
}

/// One that runs.
pub struct Running {
    peer: Peer,
    pub server: Server,
    stream: TcpStream,
    buffer: Vec<u8>,
    unread: Vec<u8>,
}

impl Peer {
    /// Starts it, when it is here; Tile38 by `TILE38_SERVER` or on the PATH.
    #[expect(
        clippy::disallowed_methods,
        reason = "a bench takes what the shell says is there"
    )]
    pub async fn start(self) -> anyhow::Result<Option<Running>> {
        let program = match self {
            Self::Redis => "redis-server".to_owned(),
            Self::Tile38 => std::env::var("TILE38_SERVER").unwrap_or("tile38-server".to_owned()),
        };
        if !on_path(&program) {
            eprintln!("{program} is not here: left out");
            return Ok(None);
        }
        let port = free_port()?;
        let folder = std::env::temp_dir().join(format!("hexcab-bench-{port}"));
        let args: Vec<String> = match self {
            Self::Redis => format!("--port {port} --appendonly no --daemonize no --save"),
            Self::Tile38 => format!("-p {port} --appendonly no -d {}", folder.display()),
        }
        .split(' ')
        .map(str::to_owned)
        .chain((self == Self::Redis).then(String::new))
        .collect();
        let server = Server::start(&program, port, args).await?;
        let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await?;
        stream.set_nodelay(true)?;
        Ok(Some(Running {
            peer: self,
            server,
            stream,
            buffer: Vec::new(),
            unread: Vec::new(),
        }))
    }
}

impl Running {
    /// Writes pings of the fleet for so long, at least once each driver when `all`; returns how many.
    pub async fn pings(
        &mut self,
        fleet: &mut Fleet,
        length: Duration,
        all: bool,
    ) -> anyhow::Result<usize> {
        let least = if all { fleet.drivers.len() } else { 0 };
        let (begun, mut done) = (Instant::now(), 0);
        let (mut sent, mut answered) = (0, 0);
        while begun.elapsed() < length || done < least {
            self.buffer.clear();
            while sent - answered < PIPELINED_WRITES {
                done += self.write_pings(fleet);
                sent += 1;
            }
            self.stream.write_all(&self.buffer).await?;
            answered += self.answers(sent - answered, PIPELINED_WRITES / 2).await?;
        }
        self.answers(sent - answered, sent - answered).await?;
        Ok(done)
    }

    /// Searches near these points for so long; returns how many.
    pub async fn searches(&mut self, points: &[Point], length: Duration) -> anyhow::Result<usize> {
        let (begun, mut sent, mut answered) = (Instant::now(), 0, 0);
        while begun.elapsed() < length {
            self.buffer.clear();
            while sent - answered < PIPELINED_SEARCHES {
                self.write_search(points[sent % points.len()]);
                sent += 1;
            }
            self.stream.write_all(&self.buffer).await?;
            answered += self.answers(sent - answered, 1).await?;
        }
        Ok(answered + self.answers(sent - answered, sent - answered).await?)
    }

    fn write_pings(&mut self, fleet: &mut Fleet) -> usize {
        match self.peer {
            Peer::Redis => {
                self.words(2 + 3 * PER_COMMAND, &["GEOADD", "fleet"]);
                for _ in 0..PER_COMMAND {
                    let driver = fleet.ping();
                    self.degrees(driver.point.lon_e7());
                    self.degrees(driver.point.lat_e7());
                    self.id(driver.id.uuid());
                }
                PER_COMMAND
            }
            Peer::Tile38 => {
                let driver = fleet.ping();
                self.words(6, &["SET", "fleet"]);
                self.id(driver.id.uuid());
                self.word("POINT");
                self.degrees(driver.point.lat_e7());
                self.degrees(driver.point.lon_e7());
                1
            }
        }
    }

    fn write_search(&mut self, point: Point) {
        let (limit, radius_m) = (LIMIT.to_string(), RADIUS_M.to_string());
        match self.peer {
            Peer::Redis => {
                self.words(11, &["GEOSEARCH", "fleet", "FROMLONLAT"]);
                self.degrees(point.lon_e7());
                self.degrees(point.lat_e7());
                for word in ["BYRADIUS", &radius_m, "m", "ASC", "COUNT", &limit] {
                    self.word(word);
                }
            }
            Peer::Tile38 => {
                self.words(8, &["NEARBY", "fleet", "LIMIT", &limit, "POINT"]);
                self.degrees(point.lat_e7());
                self.degrees(point.lon_e7());
                self.word(&radius_m);
            }
        }
    }

    fn words(&mut self, count: usize, words: &[&str]) {
        let _ = write!(self.buffer, "*{count}\r\n");
        words.iter().for_each(|word| self.word(word));
    }

    fn word(&mut self, word: &str) {
        let _ = write!(self.buffer, "${}\r\n{word}\r\n", word.len());
    }

    fn id(&mut self, id: uuid::Uuid) {
        self.buffer.extend_from_slice(b"$36\r\n");
        let mut text = [0; 36];
        id.hyphenated().encode_lower(&mut text);
        self.buffer.extend_from_slice(&text);
        self.buffer.extend_from_slice(b"\r\n");
    }

    fn degrees(&mut self, e7: i32) {
        let sign = if e7 < 0 { "-" } else { "" };
        let (whole, part) = (
            e7.unsigned_abs() / 10_000_000,
            e7.unsigned_abs() % 10_000_000,
        );
        self.word(&format!("{sign}{whole}.{part:07}"));
    }

    /// Reads at least so many answers of those under way; returns how many.
    async fn answers(&mut self, under_way: usize, least: usize) -> anyhow::Result<usize> {
        let mut answered = 0;
        let mut unread = std::mem::take(&mut self.unread);
        let mut piece = vec![0; 1 << 16];
        while answered < least.min(under_way) {
            let count = self.stream.read(&mut piece).await?;
            anyhow::ensure!(count > 0, "{:?} hung up", self.peer);
            unread.extend_from_slice(&piece[..count]);
            let mut from = 0;
            while let Some(length) = answer_length(&unread[from..])? {
                from += length;
                answered += 1;
            }
            unread.drain(..from);
        }
        self.unread = unread;
        Ok(answered)
    }
}

/// The length of the answer that these bytes begin with; none when it is not whole.
fn answer_length(bytes: &[u8]) -> anyhow::Result<Option<usize>> {
    let Some(end) = bytes.windows(2).position(|pair| pair == b"\r\n") else {
        return Ok(None);
    };
    let line = std::str::from_utf8(&bytes[..end])?;
    let (kind, rest) = line.split_at(1);
    let mut length = end + 2;
    match kind {
        "+" | ":" => {}
        "-" => anyhow::bail!("refused: {rest}"),
        "$" => {
            let size: i64 = rest.parse()?;
            length += usize::try_from(size).map_or(0, |size| size + 2);
        }
        "*" => {
            for _ in 0..rest.parse::<i64>()? {
                match answer_length(bytes.get(length..).unwrap_or_default())? {
                    Some(part) => length += part,
                    None => return Ok(None),
                }
            }
        }
        other => anyhow::bail!("an answer of no kind: {other}"),
    }
    Ok((length <= bytes.len()).then_some(length))
}
