//! A session over a WebSocket: queued messages out as JSON, texts in, keepalive, and a close frame that says why.
//!
//! Reading and writing go on side by side, so that an app that does not read cannot hold up what it says, nor the
//! reverse. Does not: know what is said; see [`crate::driver`] and [`rider`].

pub mod rider;

use std::time::Duration;

use axum::extract::ws::{CloseFrame, Message, Utf8Bytes, WebSocket};
use futures::{SinkExt as _, Stream, StreamExt as _, future::Either, stream::SplitSink};
use serde::Serialize;
use tokio::{
    sync::mpsc,
    time::{Interval, MissedTickBehavior, timeout},
};

use crate::{
    config::SessionConfig,
    session::{End, Ending},
};

/// How long a close frame may take to leave, and to be answered.
const CLOSE_PATIENCE: Duration = Duration::from_secs(1);

/// What came from an app.
#[derive(Debug, PartialEq, Eq)]
pub enum Frame {
    /// Text.
    Text(Utf8Bytes),
    /// Bytes, which nobody sends here.
    Bytes,
}

/// Carries messages both ways until the session ends; `hear` gets what the app says and ends when it says no more.
pub async fn carry<M: Serialize, F>(
    socket: WebSocket,
    messages: mpsc::Receiver<M>,
    ending: Ending,
    config: &SessionConfig,
    hear: impl FnOnce(futures::stream::BoxStream<'static, Frame>) -> F,
) where
    F: Future<Output = ()>,
{
    let (out, incoming) = socket.split();
    let heard = hear(frames(incoming, ending.clone(), config.idle()).boxed());
    let written = write(out, messages, ending.clone(), config.keepalive());
    futures::pin_mut!(heard, written);
    match futures::future::select(heard, written).await {
        Either::Left(((), written)) => {
            ending.end(End::Left);
            written.await;
        }
        // Whoever stops reading here resets the connection, and the app never sees why it was closed.
        Either::Right(((), heard)) => drop(timeout(CLOSE_PATIENCE, heard).await),
    }
}

/// What the app says, until it goes. Pings and pongs count as signs of life; silence ends the session. What is said
/// after the end is read and dropped.
fn frames(
    incoming: impl Stream<Item = Result<Message, axum::Error>> + Unpin + Send + 'static,
    ending: Ending,
    idle: Duration,
) -> impl Stream<Item = Frame> + Send {
    futures::stream::unfold(
        (incoming, ending),
        move |(mut incoming, ending)| async move {
            loop {
                match timeout(idle, incoming.next()).await {
                    Ok(Some(Ok(_))) if ending.is_over() => {}
                    Ok(Some(Ok(Message::Text(text)))) => {
                        return Some((Frame::Text(text), (incoming, ending)));
                    }
                    Ok(Some(Ok(Message::Binary(_)))) => {
                        return Some((Frame::Bytes, (incoming, ending)));
                    }
                    Ok(Some(Ok(Message::Ping(_) | Message::Pong(_)))) => {}
                    Ok(Some(Ok(Message::Close(_)) | Err(_)) | None) => return None,
                    Err(_) => ending.end(End::Idle),
                }
            }
        },
    )
}

/// Writes what is queued, until the end, which is written too.
async fn write<M: Serialize>(
    mut out: SplitSink<WebSocket, Message>,
    mut messages: mpsc::Receiver<M>,
    ending: Ending,
    keepalive: Duration,
) {
    let mut keepalive = interval(keepalive);
    let why = loop {
        let next = tokio::select! {
            biased;
            why = ending.ended() => break why,
            message = messages.recv() => match message {
                Some(message) => text(&message),
                None => break End::Left,
            },
            _ = keepalive.tick() => Message::Ping(Default::default()),
        };
        tokio::select! {
            biased;
            why = ending.ended() => break why,
            sent = out.send(next) => if sent.is_err() { return },
        }
    };
    let frame = CloseFrame {
        code: close_code(why),
        reason: why.reason().into(),
    };
    let _ = timeout(CLOSE_PATIENCE, out.send(Message::Close(Some(frame)))).await;
}

fn text<M: Serialize>(message: &M) -> Message {
    match serde_json::to_string(message) {
        Ok(json) => Message::Text(json.into()),
        Err(error) => {
            tracing::error!(%error, "a message cannot be written as JSON");
            Message::Ping(Default::default())
        }
    }
}

fn interval(every: Duration) -> Interval {
    let every = every.max(Duration::from_millis(10));
    let mut interval = tokio::time::interval_at(tokio::time::Instant::now() + every, every);
    interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
    interval
}

/// RFC 6455, section 7.4.1.
fn close_code(why: End) -> u16 {
    match why {
        End::Left => 1000,
        End::ShuttingDown => 1001,
        End::SlowClient | End::Idle | End::Replaced | End::TokenExpired => 1008,
    }
}
