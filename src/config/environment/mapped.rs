//! The port of the host that Docker maps to the broker's, where nothing says which one is advertised (`start-kafka.sh` of
//! wurstmeister's image: several brokers of one service, each on a port of the host that Docker chooses).

use super::commands::Answered;
use super::listeners::{ADVERTISED, PORT, own_port};
use super::{Outside, names};

/// Where the Docker engine listens, once somebody mounts it into the container.
pub const SOCKET: &str = "/var/run/docker.sock";

/// What the Docker engine says of a container's port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mapped {
    /// It is not there to be asked.
    NoEngine,
    /// No port of the host leads to it.
    Nowhere,
    /// This port of the host does.
    To(u16),
}

/// Gives `KAFKA_ADVERTISED_PORT` the port of the host, where the engine can be asked and nothing else says it.
///
/// Without a host to advertise, wurstmeister's image does not start; here the container's own name is advertised then, for those
/// who share its network, and they reach its own port.
pub fn ask(
    hostname: &str,
    answered: &mut Answered,
    outside: &dyn Outside,
    errors: &mut Vec<String>,
    remarks: &mut Vec<String>,
) {
    let is_set = |name: &str| answered.variables.get(name).is_some_and(|value| !value.is_empty());
    let is_listener = |(name, value): (&String, &String)| {
        let key = names::key(name);
        !value.is_empty() && matches!(key.as_deref(), Some("listeners" | "advertised.listeners"))
    };
    // The command is how the port is said where it is there, even if it failed.
    let is_said = is_set(ADVERTISED[1]) || is_set("PORT_COMMAND");
    if is_said || !is_set(ADVERTISED[0]) || answered.variables.iter().any(is_listener) {
        return;
    }
    let port = own_port(&answered.variables).1.unwrap_or(PORT);
    // What is no port is told by those who bind to it.
    let Ok(port) = port.parse::<u16>() else { return };
    match outside.mapped_port(hostname, port) {
        Ok(Mapped::NoEngine) => {}
        Ok(Mapped::Nowhere) => remarks.push(format!(
            "{SOCKET} is mounted, but Docker maps no port of the host to port {port} of a container {hostname}; {port} is advertised"
        )),
        Ok(Mapped::To(mapped)) => answered.give(ADVERTISED[1], mapped.to_string(), SOCKET),
        Err(error) => errors.push(format!(
            "{} is not set, so Docker is asked, and {error}, or set {} to the port of the host",
            ADVERTISED[1], ADVERTISED[1]
        )),
    }
}
