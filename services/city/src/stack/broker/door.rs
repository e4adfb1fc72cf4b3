//! The port at which clients find the broker. Behind it is the mock cluster, at a port of the system's choosing.
//!
//! What it changes on the way, because clients of a broker that died would not get on with the next one otherwise:
//!
//! - Answers that name brokers name the door. Through a plain one clients would find a broker once, and then look for it
//!   in vain at a dead port (librdkafka holds on to the address of a group's coordinator while its number is the same).
//! - Places in the log that a member of a group commits before anybody joined that group here are of another broker's log.
//!   A real broker refuses them; the mock cluster would keep them, and members would begin there. They are kept for nobody.
//! - A member whose connection ended is made to leave its group. The cluster would not notice: it does not look at the
//!   connection of a member that waits for its answer, counts it as alive when it has answered, and may choose it to lead;
//!   the others then wait for the dead three times over, 20 seconds and more, and a process that dies on its way into a group
//!   again and again would keep its next one out. So that the door knows whom it lets in, it names members that have no name
//!   yet (the cluster would do that otherwise). One that lost its connection and lives is told that nobody knows it, and
//!   joins again.
//! - When this process stood still, every connection is closed. The cluster then takes members for dead that were waiting
//!   for its answer to their joining, and never answers them; clients would wait for it for five minutes (their
//!   `max.poll.interval.ms`). A closed connection they take for what it is, and join again. So is a connection on which a
//!   joining was not answered within a session, which is longer than the cluster ever waits for others.
//!
//! Invariants: nothing else is changed; what is passed keeps its order; when one side of a connection ends, the other
//! does. Does not: know more of the protocol than [`message`] reads.

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use hexcab_chassis::Tasks;
use parking_lot::Mutex;
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _, BufReader},
    net::{
        TcpListener, TcpStream,
        tcp::{ReadHalf, WriteHalf},
    },
    time::Instant,
};
use tokio_util::sync::{CancellationToken, DropGuard};
use uuid::Uuid;

use super::message::{self, LENGTH, Number, Question};

/// The largest message that librdkafka would send or take, bytes.
const MESSAGE_MAX: usize = 100_000_000;
/// Bytes that are read at once.
const PIECE: usize = 16 * 1024;
/// How often is looked at the time, …
const PULSE: Duration = Duration::from_millis(250);
/// … and how late one must be to have stood still. Members have a second between a rebalance and their session's end.
const STOOD_STILL: Duration = Duration::from_millis(750);
/// How much longer than it should a machine may take that is busy with other things.
const SLOW: Duration = Duration::from_secs(2);
/// How the cluster calls itself: this, and in hexadecimal where in memory it is, which the next one may be too.
const CLUSTER: &[u8] = b"mockCluster";
/// What stands where the group stood whose place in the log is kept for nobody.
const NOBODY: u8 = b'-';

/// An open door; closes with its value.
#[derive(Debug)]
pub struct Door {
    address: SocketAddr,
    _closes: DropGuard,
}

impl Door {
    /// Listens here (port 0: any) and leads to the cluster.
    ///
    /// # Errors
    /// When the port is taken.
    pub async fn open(listen: SocketAddr, cluster: SocketAddr) -> io::Result<Self> {
        let listener = TcpListener::bind(listen).await?;
        let address = listener.local_addr()?;
        let house = House {
            cluster,
            names: Names::new(cluster, address),
            joined: Arc::default(),
            doors: Arc::default(),
        };
        let tasks = Tasks::new();
        let closes = tasks.shutdown().drop_guard();
        let (closed, visitors) = (tasks.shutdown(), tasks.clone());
        let pulse = pulse(house.doors.clone());
        tasks.spawn("door", async move {
            tokio::select! {
                () = accept(listener, house, &visitors) => {}
                () = pulse => {}
                () = closed.cancelled() => {}
            }
            Ok(())
        });
        Ok(Self {
            address,
            _closes: closes,
        })
    }

    /// Where clients knock.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

/// What is behind the door, and is known of it.
#[derive(Debug, Clone)]
struct House {
    cluster: SocketAddr,
    names: Names,
    /// The groups that somebody joined.
    joined: Arc<Mutex<BTreeSet<Vec<u8>>>>,
    /// Cancelled to close every connection; replaced by a fresh one.
    doors: Arc<Mutex<CancellationToken>>,
}

/// Closes every connection whenever this process stood still.
async fn pulse(doors: Arc<Mutex<CancellationToken>>) {
    loop {
        let before = Instant::now();
        tokio::time::sleep(PULSE).await;
        if before.elapsed() > PULSE + STOOD_STILL {
            std::mem::take(&mut *doors.lock()).cancel();
        }
    }
}

async fn accept(listener: TcpListener, house: House, visitors: &Tasks) {
    loop {
        // Out of descriptors, or a client that went before it was let in: the next one may fare better.
        let Ok((client, _)) = listener.accept().await else {
            tokio::task::yield_now().await;
            continue;
        };
        let (house, closed) = (house.clone(), visitors.shutdown());
        let shown_out = house.doors.lock().clone();
        visitors.spawn("visitor", async move {
            tokio::select! {
                // However it ended, the client sees a connection that is closed.
                _ended = lead(client, &house) => {}
                () = shown_out.cancelled() => {}
                () = closed.cancelled() => {}
            }
            Ok(())
        });
    }
}

/// One connection, to its end.
async fn lead(mut client: TcpStream, house: &House) -> io::Result<()> {
    // Closed before the client's, and at once: a member that joins again must not meet the cluster's memory of it waiting.
    let mut server = TcpStream::connect(house.cluster).await?;
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    server.set_zero_linger()?;
    let visit = Visit::default();
    let gone = {
        let (from_client, to_client) = client.split();
        let (from_server, to_server) = server.split();
        tokio::select! {
            _ended = requests(from_client, to_server, &visit, house) => true,
            _ended = answers(from_server, to_client, &visit, house) => false,
            () = visit.overdue() => false,
        }
    };
    drop(server);
    if gone {
        // Those that said so themselves too: whether the cluster read it is not known.
        for (group, member) in visit.members.into_inner() {
            dismiss(house.cluster, &group, &member).await?;
        }
    }
    Ok(())
}

/// Says for a member that it leaves.
async fn dismiss(cluster: SocketAddr, group: &[u8], member: &[u8]) -> io::Result<()> {
    let (from, mut to) = TcpStream::connect(cluster).await?.into_split();
    to.write_all(&message::leave(group, member)).await?;
    // Closed unanswered, it might not be read.
    read_message(&mut BufReader::new(from), &mut Vec::new()).await
}

/// What is known of one connection.
#[derive(Debug, Default)]
struct Visit {
    /// What the answers to open requests will mean.
    open: Mutex<BTreeMap<Number, Meaning>>,
    /// The members that came in over it: group and name.
    members: Mutex<BTreeSet<(Vec<u8>, Vec<u8>)>>,
}

#[derive(Debug)]
enum Meaning {
    NamesBrokers,
    Joined { group: Vec<u8>, by: Instant },
}

impl Visit {
    /// Ends when the answer to a joining will not come any more.
    async fn overdue(&self) {
        loop {
            tokio::time::sleep(PULSE).await;
            let now = Instant::now();
            let late =
                |meaning: &Meaning| matches!(meaning, Meaning::Joined { by, .. } if *by < now);
            if self.open.lock().values().any(late) {
                return;
            }
        }
    }
}

async fn requests(
    from: ReadHalf<'_>,
    mut to: WriteHalf<'_>,
    visit: &Visit,
    house: &House,
) -> io::Result<()> {
    let (mut from, mut message) = (BufReader::with_capacity(PIECE, from), Vec::new());
    loop {
        read_message(&mut from, &mut message).await?;
        match message::question(&message) {
            Question::WhereBrokersAre { number } => {
                visit.open.lock().insert(number, Meaning::NamesBrokers);
            }
            Question::Join {
                number,
                group,
                session_ms,
                member,
            } => {
                let group = message[group].to_vec();
                let by = Instant::now() + Duration::from_millis(session_ms.into()) + SLOW;
                if let Some(member) = member {
                    let mut name = message[member.clone()].to_vec();
                    if name.is_empty() {
                        let given = format!("member-{}", Uuid::new_v4());
                        message::name_member(&mut message, &member, &given);
                        name = given.into_bytes();
                    }
                    visit.members.lock().insert((group.clone(), name));
                }
                let joined = Meaning::Joined { group, by };
                visit.open.lock().insert(number, joined);
            }
            Question::CommitAsMember { group } => {
                if !house.joined.lock().contains(&message[group.clone()]) {
                    message[group].fill(NOBODY);
                }
            }
            Question::Other => {}
        }
        to.write_all(&message).await?;
    }
}

async fn answers(
    from: ReadHalf<'_>,
    mut to: WriteHalf<'_>,
    visit: &Visit,
    house: &House,
) -> io::Result<()> {
    let (mut from, mut message) = (BufReader::with_capacity(PIECE, from), Vec::new());
    loop {
        read_message(&mut from, &mut message).await?;
        let number = message::answered(&message);
        let meaning = number.and_then(|number| visit.open.lock().remove(&number));
        match meaning {
            Some(Meaning::NamesBrokers) => house.names.replace(&mut message),
            Some(Meaning::Joined { group, .. }) => {
                house.joined.lock().insert(group);
            }
            None => {}
        }
        to.write_all(&message).await?;
    }
}

/// Reads the next message, its length included.
async fn read_message<R: AsyncRead + Unpin>(
    from: &mut BufReader<R>,
    message: &mut Vec<u8>,
) -> io::Result<()> {
    let length = usize::try_from(from.read_u32().await?).unwrap_or(usize::MAX);
    if length > MESSAGE_MAX {
        return Err(io::ErrorKind::InvalidData.into());
    }
    message.clear();
    message.extend_from_slice(&u32::try_from(length).unwrap_or_default().to_be_bytes());
    message.resize(LENGTH + length, 0);
    from.read_exact(&mut message[LENGTH..]).await?;
    Ok(())
}

/// How an answer names the cluster, and how it is to name the door: host and port follow each other in every version of
/// the protocol, and both names are of the same length. Its own name becomes one that no other cluster has, by which a
/// client knows whose log it reads.
#[derive(Debug, Clone)]
struct Names {
    cluster: Vec<u8>,
    door: Vec<u8>,
    /// Hexadecimal digits.
    own: Vec<u8>,
}

impl Names {
    fn new(cluster: SocketAddr, door: SocketAddr) -> Self {
        let name = |host: IpAddr, port: u16| {
            [host.to_string().as_bytes(), &u32::from(port).to_be_bytes()].concat()
        };
        Self {
            cluster: name(cluster.ip(), cluster.port()),
            // The cluster is on loopback, and so is the door.
            door: name(cluster.ip(), door.port()),
            own: Uuid::new_v4().simple().to_string().into_bytes(),
        }
    }

    fn replace(&self, message: &mut [u8]) {
        let size = self.cluster.len();
        let mut at = 0;
        while at + size <= message.len() {
            if message[at..].starts_with(&self.cluster) {
                message[at..at + size].copy_from_slice(&self.door);
                at += size;
            } else if message[at..].starts_with(CLUSTER) {
                at += CLUSTER.len();
                let digits = message[at..].iter_mut().zip(&self.own);
                for (digit, own) in digits.take_while(|(digit, _)| digit.is_ascii_hexdigit()) {
                    *digit = *own;
                }
            } else {
                at += 1;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn connections_are_closed_when_this_process_stood_still_and_only_then() {
        let here = || SocketAddr::from(([127, 0, 0, 1], 0));
        let cluster = TcpListener::bind(here()).await.unwrap();
        let door = Door::open(here(), cluster.local_addr().unwrap())
            .await
            .unwrap();
        let mut client = TcpStream::connect(door.address()).await.unwrap();
        let (mut server, _) = cluster.accept().await.unwrap();
        let message = [0, 0, 0, 4, 1, 2, 3, 4];
        let mut passed = [0; 8];
        for _ in 0..3 {
            client.write_all(&message).await.unwrap();
            server.read_exact(&mut passed).await.unwrap();
            tokio::time::sleep(PULSE * 2).await;
        }
        assert_eq!(passed, message);
        tokio::time::advance(PULSE + STOOD_STILL * 2).await;
        assert_eq!(client.read(&mut passed).await.unwrap_or(0), 0);
        // The door is open again.
        let mut client = TcpStream::connect(door.address()).await.unwrap();
        let (mut server, _) = cluster.accept().await.unwrap();
        client.write_all(&message).await.unwrap();
        server.read_exact(&mut passed).await.unwrap();
    }

    /// A member of "it" that joins, silent for six seconds at most; its name, and what follows.
    fn join(name: &[u8]) -> Vec<u8> {
        let length = u16::try_from(name.len()).unwrap().to_be_bytes();
        let rest = [
            b"\0\x0b\0\x05\0\0\0\x09\0\x02me\0\x02it\0\0\x17\x70\0\0\0\0".as_slice(),
            &length,
            name,
            b"...",
        ]
        .concat();
        let size = u32::try_from(rest.len()).unwrap().to_be_bytes();
        [size.as_slice(), &rest].concat()
    }

    async fn next(from: &mut TcpStream) -> Vec<u8> {
        let mut message = Vec::new();
        let mut from = BufReader::with_capacity(1, from);
        read_message(&mut from, &mut message).await.unwrap();
        message
    }

    #[tokio::test]
    async fn a_member_whose_connection_ends_is_made_to_leave() {
        let here = || SocketAddr::from(([127, 0, 0, 1], 0));
        let cluster = TcpListener::bind(here()).await.unwrap();
        let door = Door::open(here(), cluster.local_addr().unwrap())
            .await
            .unwrap();
        let mut client = TcpStream::connect(door.address()).await.unwrap();
        let (mut server, _) = cluster.accept().await.unwrap();
        client.write_all(&join(b"")).await.unwrap();
        let joined = next(&mut server).await;
        let Question::Join {
            member: Some(member),
            ..
        } = message::question(&joined)
        else {
            panic!("{joined:?}");
        };
        let name = &joined[member];
        assert_eq!(joined, join(name), "it has a name and is the same else");
        assert!(!name.is_empty());
        drop(client);
        let (mut other, _) = cluster.accept().await.unwrap();
        assert_eq!(next(&mut other).await, message::leave(b"it", name));
        let closed = server.read_u8().await.unwrap_err().kind();
        assert_eq!(closed, io::ErrorKind::ConnectionReset, "at once");
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_on_which_a_joining_is_never_answered_is_closed() {
        let here = || SocketAddr::from(([127, 0, 0, 1], 0));
        let cluster = TcpListener::bind(here()).await.unwrap();
        let door = Door::open(here(), cluster.local_addr().unwrap())
            .await
            .unwrap();
        let mut client = TcpStream::connect(door.address()).await.unwrap();
        let (mut server, _) = cluster.accept().await.unwrap();
        client.write_all(&join(b"m-1")).await.unwrap();
        assert_eq!(next(&mut server).await, join(b"m-1"));
        let begun = Instant::now();
        assert_eq!(client.read(&mut [0]).await.unwrap_or(0), 0);
        let waited = begun.elapsed();
        assert!(waited >= Duration::from_secs(6) && waited < Duration::from_secs(10));
    }

    #[test]
    fn a_name_is_replaced_wherever_it_stands_and_nothing_else() {
        let address = |port| SocketAddr::from(([127, 0, 0, 1], port));
        let names = Names::new(address(40_000), address(20_000));
        let mut told = b"\x11mockCluster1fd5a0\0\0\0\x01".to_vec();
        names.replace(&mut told);
        let own = [b"\x11mockCluster", &names.own[..6], b"\0\0\0\x01"].concat();
        assert_eq!(told, own);
        let mut message = [
            b"127.0.0.1".as_slice(),
            &40_000_u32.to_be_bytes(),
            b"127.0.0.1",
            &40_001_u32.to_be_bytes(),
            b"127.0.0.1",
            &40_000_u32.to_be_bytes(),
            b"127.0",
        ]
        .concat();
        names.replace(&mut message);
        let ports: Vec<u32> = message
            .windows(13)
            .filter(|window| window.starts_with(b"127.0.0.1"))
            .map(|window| u32::from_be_bytes(*window.last_chunk().unwrap()))
            .collect();
        assert_eq!(ports, [20_000, 40_001, 20_000]);
        assert_eq!(message.len(), 3 * 13 + 5);
    }
}
