//! The machines of the rig: a network namespace each where root is available, else ports of the loopback.
//!
//! All namespaces hang on one bridge inside a namespace of its own (the hub, where the rig itself runs), so
//! no rule or forwarding policy of the host applies, and nothing is left on it. A direction is cut by giving the
//! receiver a MAC address that nobody has, in the sender's neighbour table: packets vanish without an error,
//! as on a cable that was pulled; no packet filter is needed. Knows nothing of what runs on a node.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::process::Command;

use crate::process::{failed, run};

/// What every namespace of the rig is called first.
pub const PREFIX: &str = "ottla-chaos-";
/// The namespace of the bridge and of the rig.
pub const HUB: &str = "hub";
const HUB_ADDRESS: &str = "10.77.0.100/24";
/// How many brokers, and how many ZooKeepers.
pub const MEMBERS: usize = 3;

/// One machine.
#[derive(Clone, Debug)]
pub struct Node {
    /// `b1`, `z1`, `client`.
    pub name: String,
    /// Where it listens.
    pub address: Ipv4Addr,
    /// The first of the ports it may use.
    pub port: u16,
    /// Last byte of its address, when it has a namespace.
    number: Option<u8>,
}

impl Node {
    /// The words that run a command on it.
    pub fn enter(&self) -> Vec<String> {
        match self.number {
            Some(_) => vec!["nsenter".to_owned(), format!("--net=/run/netns/{PREFIX}{}", self.name)],
            None => vec![],
        }
    }

    /// Its first port.
    pub fn socket(&self) -> SocketAddr {
        SocketAddr::from((self.address, self.port))
    }
}

/// All machines, and which directions between them are cut.
pub struct Nodes {
    /// Of the brokers, in order of their ids.
    pub brokers: Vec<Node>,
    /// Of the ZooKeepers.
    pub zookeepers: Vec<Node>,
    /// Of the workload.
    pub client: Node,
    cuts: Vec<(Node, Node)>,
}

impl Nodes {
    /// With namespaces, or on the loopback.
    pub fn new(isolated: bool) -> io::Result<Nodes> {
        if isolated {
            let node = |name: String, number: u8, port| Node {
                name,
                address: Ipv4Addr::new(10, 77, 0, number),
                port,
                number: Some(number),
            };
            let many = |letter: &str, first: u8, port| {
                (0..MEMBERS as u8).map(|i| node(format!("{letter}{}", i + 1), first + i, port)).collect()
            };
            return Ok(Nodes {
                brokers: many("b", 1, 9092),
                zookeepers: many("z", 11, 2181),
                client: node("client".to_owned(), 50, 0),
                cuts: vec![],
            });
        }
        let mut ports = free_ports()?.into_iter();
        let mut node = |name: String| Node {
            name,
            address: Ipv4Addr::LOCALHOST,
            port: ports.next().unwrap_or(0),
            number: None,
        };
        Ok(Nodes {
            brokers: (1..=MEMBERS).map(|i| node(format!("b{i}"))).collect(),
            zookeepers: (1..=MEMBERS).map(|i| node(format!("z{i}"))).collect(),
            client: node("client".to_owned()),
            cuts: vec![],
        })
    }

    fn all(&self) -> Vec<&Node> {
        self.brokers.iter().chain(&self.zookeepers).chain([&self.client]).collect()
    }

    /// Lets nothing sent by `from` reach `to`.
    pub fn cut(&mut self, from: &Node, to: &Node) -> io::Result<()> {
        let (Some(_), Some(number)) = (from.number, to.number) else {
            return Err(failed("without root there is one network, which cannot be cut"));
        };
        teach(&from.name, to.address, &dead(number))?;
        self.cuts.push((from.clone(), to.clone()));
        Ok(())
    }

    /// Heals every cut.
    pub fn heal(&mut self) -> io::Result<()> {
        for (from, to) in std::mem::take(&mut self.cuts) {
            if let Some(number) = to.number {
                teach(&from.name, to.address, &mac(number))?;
            }
        }
        Ok(())
    }
}

fn mac(number: u8) -> String {
    format!("02:77:00:00:00:{number:02x}")
}

fn dead(number: u8) -> String {
    format!("02:de:ad:00:00:{number:02x}")
}

fn teach(namespace: &str, address: Ipv4Addr, mac: &str) -> io::Result<()> {
    let address = address.to_string();
    ip(namespace, &["neigh", "replace", &address, "lladdr", mac, "nud", "permanent", "dev", "eth0"])
}

fn ip(namespace: &str, arguments: &[&str]) -> io::Result<()> {
    run(Command::new("ip").arg("-n").arg(format!("{PREFIX}{namespace}")).args(arguments)).map(|_| ())
}

/// Makes the namespaces and joins them.
pub fn build() -> io::Result<()> {
    let nodes = Nodes::new(true)?;
    run(Command::new("ip").args(["netns", "add", &format!("{PREFIX}{HUB}")]))?;
    ip(HUB, &["link", "set", "lo", "up"])?;
    ip(HUB, &["link", "add", "br0", "type", "bridge"])?;
    ip(HUB, &["addr", "add", HUB_ADDRESS, "dev", "br0"])?;
    ip(HUB, &["link", "set", "br0", "up"])?;
    for node in nodes.all() {
        let (name, number) = (node.name.as_str(), node.number.unwrap_or(0));
        let (port, namespace) = (format!("v-{name}"), format!("{PREFIX}{name}"));
        run(Command::new("ip").args(["netns", "add", &namespace]))?;
        let mac = mac(number);
        ip(
            HUB,
            &[
                "link", "add", &port, "type", "veth", "peer", "name", "eth0", "address", &mac, "netns",
                &namespace,
            ],
        )?;
        ip(HUB, &["link", "set", &port, "master", "br0", "up"])?;
        ip(name, &["addr", "add", &format!("{}/24", node.address), "dev", "eth0"])?;
        ip(name, &["link", "set", "eth0", "up"])?;
        ip(name, &["link", "set", "lo", "up"])?;
    }
    for from in nodes.all() {
        for to in nodes.all().into_iter().filter(|to| to.name != from.name) {
            teach(&from.name, to.address, &mac(to.number.unwrap_or(0)))?;
        }
    }
    Ok(())
}

/// Removes every namespace of the rig, and with them the bridge, the links and what still runs there.
pub fn remove() -> io::Result<()> {
    for line in run(Command::new("ip").args(["netns", "list"]))?.lines() {
        let Some(name) = line.split_whitespace().next().filter(|name| name.starts_with(PREFIX)) else {
            continue;
        };
        // A process in a namespace of this name was started by a rig that was killed.
        for pid in run(Command::new("ip").args(["netns", "pids", name]))?.split_whitespace() {
            let pid = pid.parse().ok().and_then(rustix::process::Pid::from_raw);
            if let Some(pid) = pid {
                // It may have ended by itself.
                let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
            }
        }
        run(Command::new("ip").args(["netns", "del", name]))?;
    }
    Ok(())
}

/// Three consecutive ports for each node, below those from which the kernel chooses its own.
fn free_ports() -> io::Result<Vec<u16>> {
    let first = 15_000 + (std::process::id() % 1000) as u16 * 10;
    let free = |port: &u16| (0..3).all(|i| TcpListener::bind((Ipv4Addr::LOCALHOST, port + i)).is_ok());
    let ports: Vec<u16> = (first..first + 2000).step_by(3).filter(free).take(2 * MEMBERS + 1).collect();
    if ports.len() <= 2 * MEMBERS { Err(failed("no free ports")) } else { Ok(ports) }
}
