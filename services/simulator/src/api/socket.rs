//! WebSockets to the gateway: text messages of JSON, small buffers because there are thousands.

use std::time::Duration;

use bytes::Bytes;
use futures::{SinkExt as _, StreamExt as _};
use reqwest::header::{AUTHORIZATION, HeaderValue};
use tokio::net::TcpStream;
use tokio_tungstenite::{
    MaybeTlsStream, WebSocketStream, connect_async_with_config,
    tungstenite::{
        self, Message, Utf8Bytes, client::IntoClientRequest as _, protocol::WebSocketConfig,
    },
};

use super::{Api, fault::Fault, wire::Down};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
const SEND_TIMEOUT: Duration = Duration::from_secs(10);
const READ_BUFFER_BYTES: usize = 4 * 1024;
const MESSAGE_MAX_BYTES: usize = 64 * 1024;

/// A connection; it ends with the first fault.
#[derive(Debug)]
pub struct Socket(WebSocketStream<MaybeTlsStream<TcpStream>>);

impl Api {
    /// Opens a WebSocket, such as `/v1/rider/ws`.
    ///
    /// # Errors
    /// When the gateway is not there or does not let this token in.
    pub async fn connect(&self, token: &str, path: &str) -> Result<Socket, Fault> {
        let bad = |_| Fault::Refused("BAD_ADDRESS".to_owned());
        let mut request = format!("{}{path}", self.web_socket)
            .into_client_request()
            .map_err(bad)?;
        let bearer = HeaderValue::from_str(&format!("Bearer {token}")).map_err(|_| Fault::Token)?;
        request.headers_mut().insert(AUTHORIZATION, bearer);
        let config = WebSocketConfig::default()
            .read_buffer_size(READ_BUFFER_BYTES)
            .write_buffer_size(0)
            .max_message_size(Some(MESSAGE_MAX_BYTES));
        let connecting = connect_async_with_config(request, Some(config), true);
        match tokio::time::timeout(CONNECT_TIMEOUT, connecting).await {
            Ok(Ok((socket, _))) => Ok(Socket(socket)),
            Ok(Err(tungstenite::Error::Http(refusal))) => {
                Err(Fault::of(refusal.status().as_u16(), String::new()))
            }
            Ok(Err(_)) => Err(Fault::Network("CONNECT".to_owned())),
            Err(_) => Err(Fault::Network("NO_ANSWER".to_owned())),
        }
    }
}

impl Socket {
    /// The next message; none when the connection is over. Positions and other things nobody here needs are skipped
    /// unread. Cancel safe.
    pub async fn next(&mut self) -> Option<Down> {
        loop {
            match self.0.next().await?.ok()? {
                Message::Text(text) if text.starts_with(r#"{"type":"driver_position""#) => {}
                Message::Text(text) => match serde_json::from_str(&text) {
                    Ok(Down::Other) => {}
                    Ok(down) => return Some(down),
                    Err(error) => {
                        tracing::warn!(%error, %text, "a message of the gateway cannot be read")
                    }
                },
                Message::Close(_) => return None,
                Message::Binary(_) | Message::Ping(_) | Message::Pong(_) | Message::Frame(_) => {}
            }
        }
    }

    /// Sends JSON text.
    ///
    /// # Errors
    /// When the connection is over.
    pub async fn send(&mut self, json: Bytes) -> Result<(), Fault> {
        let text = Utf8Bytes::try_from(json).map_err(|_| Fault::Refused("NOT_UTF8".to_owned()))?;
        match tokio::time::timeout(SEND_TIMEOUT, self.0.send(Message::Text(text))).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) => Err(Fault::Network("CUT".to_owned())),
            Err(_) => Err(Fault::Network("NO_ANSWER".to_owned())),
        }
    }

    /// Says goodbye.
    pub async fn close(mut self) {
        // The other side may be gone already: nothing is lost then.
        let _ = tokio::time::timeout(SEND_TIMEOUT, self.0.close(None)).await;
    }
}
