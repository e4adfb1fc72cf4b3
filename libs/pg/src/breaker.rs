//! A circuit breaker: at a server that is away one knocks for all.
//!
//! A server that was killed comes back to everybody who tries at once. It lets them in one after the other, each a process
//! of its own; those at the end of the queue give up before it is their turn and come again, so that it works through a
//! queue of clients who have gone, and never gets to its end. Therefore: once [`crate::Pg::watch`] has found the server
//! away, the pools of its process are sent to a port where nobody listens, where trying costs the server nothing, and the
//! watcher alone asks, until it is let in. The field's words: closed is a circuit that conducts, open one that does not.
//!
//! Does not: know why the server is away, touch connections that are open, or keep the pool from a server that is reached
//! by a Unix socket.

use std::{net::Ipv4Addr, time::Duration};

use sqlx::{Connection as _, PgConnection, PgPool, postgres::PgConnectOptions};
use tokio::{net::TcpSocket, sync::watch};

/// How long one knock may take: longer than the queue of a server that is busy with others.
const KNOCK_TIMEOUT: Duration = Duration::from_secs(10);
/// How long until it, from when the server was found away or the last one.
const KNOCK_EVERY: Duration = Duration::from_millis(250);

/// The way to one server.
#[derive(Debug)]
pub(crate) struct Breaker {
    server: PgConnectOptions,
    /// The same, to a port that is ours and does not listen.
    nowhere: PgConnectOptions,
    /// Holds that port.
    _socket: TcpSocket,
    is_closed: watch::Sender<bool>,
}

impl Breaker {
    /// Closed: the way to this server is free.
    pub fn new(server: PgConnectOptions) -> std::io::Result<Self> {
        let socket = TcpSocket::new_v4()?;
        socket.bind((Ipv4Addr::LOCALHOST, 0).into())?;
        let port = socket.local_addr()?.port();
        let nowhere = server.clone().host("127.0.0.1").port(port);
        Ok(Self {
            server,
            nowhere,
            _socket: socket,
            is_closed: watch::Sender::new(true),
        })
    }

    /// Nobody tries any more: of the pool none from its next try on.
    pub fn open(&self, pool: &PgPool) {
        if self.is_closed.send_replace(false) {
            tracing::warn!("postgres is away");
            pool.set_connect_options(self.nowhere.clone());
        }
    }

    /// The server let somebody in: everybody may try.
    pub fn close(&self, pool: &PgPool) {
        if !self.is_closed.send_replace(true) {
            tracing::info!("postgres is back");
            pool.set_connect_options(self.server.clone());
        }
    }

    /// Waits until everybody may try.
    pub async fn until_closed(&self) {
        let mut is_closed = self.is_closed.subscribe();
        // The sender lives as long as `self`.
        let _ = is_closed.wait_for(|is_closed| *is_closed).await;
    }

    /// Knocks until the server lets one in.
    pub async fn knock(&self) {
        loop {
            tokio::time::sleep(KNOCK_EVERY).await;
            let knock = PgConnection::connect_with(&self.server);
            if let Ok(Ok(connection)) = tokio::time::timeout(KNOCK_TIMEOUT, knock).await {
                let _ = connection.close().await;
                return;
            }
        }
    }
}
