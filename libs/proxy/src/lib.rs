//! A TCP proxy with faults, for tests and chaos runs: between a client and its server it passes, slows, refuses, holds,
//! or cuts, also at the worst moment: after a request was delivered and before its reply is.
//!
//! - [`Proxy::set`] how it treats connections from now on, those that are open included
//! - [`Proxy::cut`] ends the open ones; [`Proxy::trap`] ends one when a request says certain bytes
//!
//! Invariant: what is passed is passed unchanged and in order. Does not: know any protocol, lose bytes in the middle of a
//! stream that goes on (TCP never does).

mod connection;

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use hexcab_chassis::Tasks;
use parking_lot::Mutex;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::watch,
};
use tokio_util::sync::{CancellationToken, DropGuard};

/// How long a server may take to let a connection in. One that is starting may drop them for minutes, while clients come
/// again and again: those that are waiting would take every descriptor that this process may have.
const CONNECT_MAX: Duration = Duration::from_secs(3);

/// How connections are treated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// As if the proxy were not there.
    Pass,
    /// Every piece of bytes waits this long, in both directions.
    Slow(Duration),
    /// Connections are accepted and nothing comes through, as behind a router that forgot them.
    HalfOpen,
    /// New connections are closed at once, open ones are cut.
    Refuse,
}

/// When a connection is cut, once: the next request that says these bytes springs the trap.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Trap {
    /// The request is delivered; its reply is awaited and thrown away. To the client the outcome is unknown.
    BeforeReply(Vec<u8>),
    /// The request is not delivered. To the client the outcome is as unknown.
    BeforeRequest(Vec<u8>),
    /// After so many bytes of a connection's requests, wherever that is.
    AtByte(u64),
}

/// A running proxy; ends with its value.
#[derive(Debug)]
pub struct Proxy {
    addr: SocketAddr,
    shared: Arc<Shared>,
    _ends: DropGuard,
}

#[derive(Debug)]
struct Shared {
    upstream: Mutex<SocketAddr>,
    mode: watch::Sender<Mode>,
    /// Cancelled to cut what is open; replaced by a fresh one.
    cut: Mutex<CancellationToken>,
    trap: Mutex<Option<Trap>>,
}

impl Proxy {
    /// Listens here (port 0: any) and passes to upstream.
    ///
    /// # Errors
    /// When it cannot listen there.
    pub async fn start(listen: SocketAddr, upstream: SocketAddr) -> io::Result<Self> {
        let listener = TcpListener::bind(listen).await?;
        let addr = listener.local_addr()?;
        let shared = Arc::new(Shared {
            upstream: Mutex::new(upstream),
            mode: watch::Sender::new(Mode::Pass),
            cut: Mutex::new(CancellationToken::new()),
            trap: Mutex::new(None),
        });
        let tasks = Tasks::new();
        let ends = tasks.shutdown().drop_guard();
        let (served, connections) = (shared.clone(), tasks.clone());
        tasks.spawn("proxy", async move {
            let ended = connections.shutdown();
            tokio::select! {
                () = accept(listener, served, &connections) => {}
                () = ended.cancelled() => {}
            }
            Ok(())
        });
        Ok(Self {
            addr,
            shared,
            _ends: ends,
        })
    }

    /// Where clients connect.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Treats all connections like this from now on.
    pub fn set(&self, mode: Mode) {
        self.shared.mode.send_replace(mode);
        if mode == Mode::Refuse {
            self.cut();
        }
    }

    /// Ends the connections that are open.
    pub fn cut(&self) {
        std::mem::take(&mut *self.shared.cut.lock()).cancel();
    }

    /// Sets a trap for the next request that springs it. One trap at a time: the newest stands.
    pub fn trap(&self, trap: Trap) {
        *self.shared.trap.lock() = Some(trap);
    }

    /// Takes a trap away that was not sprung.
    pub fn disarm(&self) {
        *self.shared.trap.lock() = None;
    }

    /// Whether the trap was sprung, or none was set.
    pub fn is_sprung(&self) -> bool {
        self.shared.trap.lock().is_none()
    }

    /// New connections go there; tells where they went.
    pub fn set_upstream(&self, upstream: SocketAddr) -> SocketAddr {
        std::mem::replace(&mut *self.shared.upstream.lock(), upstream)
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>, tasks: &Tasks) {
    loop {
        // Out of descriptors, or a client that went before it was accepted: the next one may fare better.
        let Ok((client, _)) = listener.accept().await else {
            tokio::task::yield_now().await;
            continue;
        };
        if *shared.mode.borrow() == Mode::Refuse {
            continue;
        }
        let (shared, ended) = (shared.clone(), tasks.shutdown());
        tasks.spawn("proxy.connection", async move {
            tokio::select! {
                () = serve(client, &shared) => {}
                () = ended.cancelled() => {}
            }
            Ok(())
        });
    }
}

async fn serve(client: TcpStream, shared: &Shared) {
    let (upstream, cut) = (*shared.upstream.lock(), shared.cut.lock().clone());
    let connecting = tokio::time::timeout(CONNECT_MAX, TcpStream::connect(upstream));
    let server = tokio::select! {
        connected = connecting => match connected {
            Ok(Ok(server)) => server,
            Ok(Err(_)) | Err(_) => return,
        },
        () = cut.cancelled() => return,
    };
    let _ = (client.set_nodelay(true), server.set_nodelay(true));
    tokio::select! {
        _ended = connection::pass(client, server, shared) => {}
        () = cut.cancelled() => {}
    }
}
