//! The door for the process the server lives in: sessions and requests without TCP.
//!
//! A [`LocalSession`] is a session like any other, with the same checks, order and durability, but it needs no pings:
//! it lives as long as the value does. Requests take effect in the order of the calls of [`LocalSession::request`].

use super::clients::{Client, ClientId, Message, Outbox, Ticket};
use super::listener::Shared;
use crate::jute::{ConnectRequest, ConnectResponse, ErrorCode, Reply, Request, WatchEvent, Writer};
use bytes::Bytes;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use thiserror::Error;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::sync::oneshot;

/// Why a request of this process was not done.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
pub enum ZkError {
    /// The tree refused it; nothing was changed.
    #[error("ZooKeeper refused the request: {0:?}")]
    Refused(ErrorCode),
    /// The server has stopped or failed; whether the request was done is unknown.
    #[error("the embedded ZooKeeper server does not serve: {0}")]
    Stopped(String),
}

impl From<ErrorCode> for ZkError {
    fn from(code: ErrorCode) -> ZkError {
        ZkError::Refused(code)
    }
}

fn stopped() -> ZkError {
    ZkError::Stopped("it has been stopped".into())
}

/// Opens sessions on the server of this process.
#[derive(Clone)]
pub struct LocalHandle {
    pub(super) shared: Arc<Shared>,
}

impl LocalHandle {
    /// Opens a session. `timeout_ms` counts from when the [`LocalSession`] is dropped, and is bounded as for others.
    pub async fn connect(&self, timeout_ms: i32) -> Result<LocalSession, ZkError> {
        self.attach(timeout_ms, 0, &[]).await
    }

    /// Attaches to a session that was opened before, here or over TCP.
    pub async fn reattach(&self, timeout_ms: i32, id: i64, password: &[u8]) -> Result<LocalSession, ZkError> {
        self.attach(timeout_ms, id, password).await
    }

    async fn attach(
        &self,
        timeout_ms: i32,
        session_id: i64,
        password: &[u8],
    ) -> Result<LocalSession, ZkError> {
        let id = self.shared.new_client();
        let (connected, granted) = oneshot::channel();
        let (events, heard) = unbounded_channel();
        let outbox = Outbox::Local { connected: Some(connected), events };
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let client =
            Box::new(Client { session: 0, address, identities: Vec::new(), outbox, received: 0, sent: 0 });
        let request = ConnectRequest {
            protocol_version: 0,
            last_zxid_seen: 0,
            timeout_ms,
            session_id,
            password: Some(Bytes::copy_from_slice(password)),
            read_only: None,
        };
        let shared = self.shared.clone();
        let mut session = LocalSession { shared, id, granted: None, events: Some(heard) };
        session.tell(Message::Connect { id, client, request })?;
        let response = granted.await.map_err(|_| stopped())??;
        if response.session_id == 0 {
            return Err(ErrorCode::SessionExpired.into());
        }
        session.granted = Some(response);
        Ok(session)
    }
}

/// A session of this process. Dropping it is like losing the connection: the session ends after its timeout.
pub struct LocalSession {
    shared: Arc<Shared>,
    id: ClientId,
    granted: Option<ConnectResponse>,
    events: Option<UnboundedReceiver<WatchEvent>>,
}

impl LocalSession {
    /// The session's number: the owner of its ephemeral nodes.
    pub fn session_id(&self) -> i64 {
        self.granted.as_ref().map_or(0, |granted| granted.session_id)
    }

    /// With which the session can be attached to again.
    pub fn password(&self) -> Bytes {
        self.granted.as_ref().and_then(|granted| granted.password.clone()).unwrap_or_default()
    }

    /// Watch events, in order, each before any answer that shows what it tells of. At the end of the session comes
    /// one with the state `Expired`, when the server stops the channel closes. `None` from the second call on.
    pub fn events(&mut self) -> Option<UnboundedReceiver<WatchEvent>> {
        self.events.take()
    }

    /// Asks for something. The request is on its way when this returns; the future only waits for the answer.
    pub fn request(&self, request: Request) -> impl Future<Output = Result<Reply, ZkError>> + Send + use<> {
        let (answer, result) = oneshot::channel();
        let sent = self.check_size(&request).and_then(|()| {
            let received_ms = self.shared.steady_ms();
            let (id, ticket) = (self.id, Ticket::Local(answer));
            self.tell(Message::Request { id, ticket, request: Ok(request), received_ms })
        });
        async move {
            sent?;
            result.await.map_err(|_| stopped())?
        }
    }

    /// Ends the session now, and its ephemeral nodes with it.
    pub async fn close(self) -> Result<(), ZkError> {
        self.request(Request::CloseSession).await.map(drop)
    }

    /// The same bound as for a frame over TCP.
    fn check_size(&self, request: &Request) -> Result<(), ZkError> {
        let mut writer = Writer::new();
        request.encode(&mut writer);
        if writer.len() > self.shared.options.jute_maxbuffer {
            return Err(ErrorCode::QuotaExceeded.into());
        }
        Ok(())
    }

    fn tell(&self, message: Message) -> Result<(), ZkError> {
        self.shared.tell(message).map_err(|_| stopped())
    }
}

impl Drop for LocalSession {
    fn drop(&mut self) {
        // The server may have stopped before.
        let _ = self.tell(Message::Gone { id: self.id });
    }
}
