//! How a connection gets its session: a new one, or one it had before.
//!
//! Source: `ZooKeeperServer.processConnectRequest`, `reopenSession`, `finishSessionInit` of ZooKeeper 3.9.

use super::clients::{Client, ClientId, Out};
use super::pipeline::{Answer, Pipeline, wall_ms};
use crate::jute::{ConnectRequest, ConnectResponse};
use crate::tree::acl;
use bytes::Bytes;
use std::io::Read as _;
use tracing::{info, warn};

impl Pipeline {
    /// Answers the first request of a connection.
    pub(super) fn connect(&mut self, id: ClientId, mut client: Client, request: &ConnectRequest) {
        if request.last_zxid_seen > self.tree.last_zxid() {
            warn!(
                client = %client.address,
                seen = format_args!("{:#x}", request.last_zxid_seen),
                ours = format_args!("{:#x}", self.tree.last_zxid()),
                "refusing a client that has seen more than this server knows: is it another server's?"
            );
            return;
        }
        client.identities.push(acl::ip_identity(client.address.ip()));
        let timeout_ms = self.options.grant(request.timeout_ms);
        let session = match request.session_id {
            0 => self.new_session(timeout_ms),
            known => self.known_session(known, request.password.as_deref().unwrap_or_default()),
        };
        let Some((session, password)) = session else {
            info!(client = %client.address, session = format_args!("{:#x}", request.session_id), "no such session");
            self.clients.insert(id, client);
            let refused = response(request, 0, 0, [0; 16]);
            self.answers.push(Answer::Send(id, Out::Connected(refused)));
            return self.answers.push(Answer::Close(id));
        };
        client.session = session;
        self.clock.start(self.steady_ms(), session, timeout_ms);
        self.clients.insert(id, client);
        if let Some(before) = self.by_session.insert(session, id) {
            self.answers.push(Answer::Close(before));
        }
        let granted = response(request, timeout_ms, session, password);
        self.answers.push(Answer::Send(id, Out::Connected(granted)));
    }

    fn new_session(&mut self, timeout_ms: i32) -> Option<(i64, [u8; 16])> {
        let mut password = [0; 16];
        if let Err(error) = self.random.read_exact(&mut password) {
            warn!(%error, "no randomness for a session's password");
            return None;
        }
        let id = self.next_session;
        self.next_session += 1;
        let record = self.tree.open_session(id, timeout_ms, password, wall_ms());
        self.batch_push(&record);
        Some((id, password))
    }

    fn known_session(&self, id: i64, password: &[u8]) -> Option<(i64, [u8; 16])> {
        let session = self.tree.session(id)?;
        session.accepts(password).then_some((id, session.password))
    }
}

fn response(
    request: &ConnectRequest,
    timeout_ms: i32,
    session_id: i64,
    password: [u8; 16],
) -> ConnectResponse {
    ConnectResponse {
        protocol_version: 0,
        timeout_ms,
        session_id,
        password: Some(Bytes::copy_from_slice(&password)),
        read_only: request.read_only.map(|_| false),
    }
}
