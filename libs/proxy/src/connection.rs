//! One connection: requests one way, replies the other, each piece under the mode of the moment.
//!
//! Invariant: when either way ends by a trap or an error, both do. Does not: know other connections.

use std::io;

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{
        TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
};
use tokio_util::sync::CancellationToken;

use crate::{Mode, Shared, Trap};

/// Bytes that are read at once.
const PIECE: usize = 64 * 1024;

/// What a piece of a request does.
enum Step {
    Pass,
    /// Deliver this much of it, then end without a reply.
    Last {
        deliver: usize,
        await_reply: bool,
    },
}

/// Passes until both sides ended, one failed, or the trap is sprung.
pub async fn pass(client: TcpStream, server: TcpStream, shared: &Shared) -> io::Result<()> {
    // Kept here until the end: a half that is dropped ends its direction, and a server may take that for a hang-up.
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_server, mut to_server) = server.into_split();
    // Cancelled when the next reply is the last, and nobody's.
    let silence = CancellationToken::new();
    tokio::try_join!(
        requests(&mut from_client, &mut to_server, shared, &silence),
        replies(&mut from_server, &mut to_client, shared, &silence),
    )?;
    Ok(())
}

async fn requests(
    from: &mut OwnedReadHalf,
    to: &mut OwnedWriteHalf,
    shared: &Shared,
    silence: &CancellationToken,
) -> io::Result<()> {
    let mut seen = Seen::default();
    let mut piece = vec![0; PIECE];
    loop {
        let read = from.read(&mut piece).await?;
        if read == 0 {
            return to.shutdown().await;
        }
        hold(shared).await;
        match seen.step(shared, &piece[..read]) {
            Step::Pass => to.write_all(&piece[..read]).await?,
            Step::Last {
                deliver,
                await_reply,
            } => {
                if await_reply {
                    silence.cancel();
                }
                to.write_all(&piece[..deliver]).await?;
                if await_reply {
                    // `replies` ends the connection.
                    return Ok(());
                }
                return Err(io::ErrorKind::ConnectionReset.into());
            }
        }
    }
}

async fn replies(
    from: &mut OwnedReadHalf,
    to: &mut OwnedWriteHalf,
    shared: &Shared,
    silence: &CancellationToken,
) -> io::Result<()> {
    let mut piece = vec![0; PIECE];
    loop {
        let read = from.read(&mut piece).await?;
        if silence.is_cancelled() {
            return Ok(());
        }
        if read == 0 {
            return to.shutdown().await;
        }
        hold(shared).await;
        to.write_all(&piece[..read]).await?;
    }
}

/// Waits as the mode says.
async fn hold(shared: &Shared) {
    let mut mode = shared.mode.subscribe();
    let now = *mode.borrow_and_update();
    if let Mode::Slow(delay) = now {
        tokio::time::sleep(delay).await;
    }
    // Fails only when the proxy is gone, and the connection with it.
    let _ = mode.wait_for(|mode| *mode != Mode::HalfOpen).await;
}

/// What a connection's requests have said so far, as far as a trap needs it.
#[derive(Default)]
struct Seen {
    bytes: u64,
    /// The end of what went before: a pattern may lie across two pieces.
    tail: Vec<u8>,
}

impl Seen {
    fn step(&mut self, shared: &Shared, piece: &[u8]) -> Step {
        let mut trap = shared.trap.lock();
        let before = self.bytes;
        self.bytes += piece.len() as u64;
        let last = match trap.as_ref() {
            None => None,
            Some(Trap::AtByte(at)) => (*at < self.bytes).then(|| Step::Last {
                deliver: usize::try_from(at.saturating_sub(before)).unwrap_or(0),
                await_reply: false,
            }),
            Some(Trap::BeforeReply(pattern)) => self.says(pattern, piece).then_some(Step::Last {
                deliver: piece.len(),
                await_reply: true,
            }),
            Some(Trap::BeforeRequest(pattern)) => self.says(pattern, piece).then_some(Step::Last {
                deliver: 0,
                await_reply: false,
            }),
        };
        if last.is_some() {
            *trap = None;
        }
        let keep = trap.as_ref().map_or(0, |trap| match trap {
            Trap::BeforeReply(pattern) | Trap::BeforeRequest(pattern) => pattern.len(),
            Trap::AtByte(_) => 0,
        });
        self.tail.extend_from_slice(piece);
        let surplus = self.tail.len().saturating_sub(keep);
        self.tail.drain(..surplus);
        last.unwrap_or(Step::Pass)
    }

    fn says(&self, pattern: &[u8], piece: &[u8]) -> bool {
        let both = [self.tail.as_slice(), piece].concat();
        !pattern.is_empty() && both.windows(pattern.len()).any(|window| window == pattern)
    }
}
