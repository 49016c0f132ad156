//! This broker's line to the controller (`NodeToControllerChannelManager`): whoever the metadata names, this broker
//! included; a request at a time, versions as the controller speaks them.
//!
//! After an error, or an answer of a controller that is none any more, the line is dropped and the next call looks again.

use std::sync::Arc;
use std::time::Duration;

use crate::client::connection::{CallError, Connection};
use crate::metadata::cache::MetadataCache;
use crate::protocol::messages::Request;
use crate::protocol::messages::api_versions::ApiVersion;

/// Why the controller could not be asked.
#[derive(Debug, thiserror::Error)]
pub enum LineError {
    /// The metadata names none, or none with the inter-broker listener.
    #[error("no controller is known that has the listener {0}")]
    NoController(String),
    /// It had not answered when another one became controller.
    #[error("controller {0} has been replaced")]
    Replaced(i32),
    /// The connection or the answer.
    #[error("the controller: {0}")]
    Call(#[from] CallError),
}

/// What a line needs.
#[derive(Clone)]
pub struct LineSettings {
    /// Who is controller.
    pub metadata: Arc<MetadataCache>,
    /// Listener on which brokers reach each other.
    pub listener: String,
    /// How this broker names itself.
    pub client_id: String,
    /// Longest wait for a connection, and for an answer.
    pub timeout: Duration,
}

struct Open {
    controller: i32,
    connection: Connection,
    versions: Vec<ApiVersion>,
}

/// See the module.
pub struct ControllerLine {
    settings: LineSettings,
    open: Option<Open>,
}

impl ControllerLine {
    /// A line that connects with the first call.
    pub fn new(settings: LineSettings) -> ControllerLine {
        ControllerLine { settings, open: None }
    }

    /// Asks the controller, in the highest version that both speak and that is not above `highest`; gives the version
    /// with the answer.
    pub async fn call<R: Request>(
        &mut self,
        highest: i16,
        request: impl FnOnce(i16) -> R,
    ) -> Result<(i16, R::Response), LineError> {
        let metadata = self.settings.metadata.clone();
        let controller = metadata.image().controller_id();
        let asked = async {
            let mut open = self.connected(controller).await?;
            let version = open.connection.choose(R::KEY, &open.versions)?.min(highest);
            let answer = open.connection.call(version, &request(version), self.settings.timeout).await?;
            self.open = Some(open);
            Ok((version, answer))
        };
        // One that is paused or cut off never answers, and what it was asked must not wait for that as long as a request
        // may take.
        let replaced = metadata.until(|image| image.controller_id() != controller);
        tokio::select! {
            biased;
            answer = asked => answer,
            () = replaced => Err(LineError::Replaced(controller)),
        }
    }

    /// Drops the connection: who answered is not the controller.
    pub fn look_again(&mut self) {
        self.open = None;
    }

    async fn connected(&mut self, controller: i32) -> Result<Open, LineError> {
        let LineSettings { metadata, listener, client_id, timeout } = &self.settings;
        let (host, port) = {
            let image = metadata.image();
            let endpoint = image.broker(controller).and_then(|broker| broker.endpoint(listener));
            let endpoint = endpoint.ok_or_else(|| LineError::NoController(listener.clone()))?;
            (endpoint.host.to_string(), u16::try_from(endpoint.port).unwrap_or(0))
        };
        if let Some(open) = self.open.take_if(|open| open.controller == controller) {
            return Ok(open);
        }
        let mut connection = Connection::open(&host, port, client_id, *timeout).await?;
        let versions = connection.api_versions(*timeout).await?;
        Ok(Open { controller, connection, versions })
    }
}
