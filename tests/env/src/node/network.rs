//! The addresses of a node, and the pair of interfaces between it and the host.

use std::fs;
use std::path::Path;
use std::process::Command;

use super::machine::Machine;
use crate::Error;
use crate::client::isolate;
use crate::wait::stdout_of;

/// The network of the pods, which exists only inside the node.
pub(super) const PODS: &str = "10.244.0.0/24";
/// The network of the Services, which exists only inside the node.
pub(super) const SERVICES: &str = "10.96.0.0/16";
/// The Service of the API server: the first address of [`SERVICES`].
pub(super) const API_SERVICE: &str = "10.96.0.1";
/// The address that pods are told to ask for names.
pub(super) const CLUSTER_DNS: &str = "10.96.0.10";

/// How many nodes can run at the same time on one host.
const LINKS: u8 = 64;

/// One of the pairs of addresses that nodes and the host meet at.
#[derive(Debug, Clone)]
pub(super) struct Link {
    number: u8,
    /// The file that holds the number for us while the node is down.
    _held: std::sync::Arc<fs::File>,
}

impl Link {
    /// Takes a pair that no other node has. A file lock holds it, which ends with this process.
    pub(super) fn take() -> Result<Self, Error> {
        let dir = Path::new("/run/datagate-env");
        fs::create_dir_all(dir).map_err(Error::io("make", dir))?;
        for number in 0..LINKS {
            let path = dir.join(number.to_string());
            let file = fs::File::create(&path).map_err(Error::io("write", &path))?;
            // An interface may be left for a moment by one that has just ended.
            if file.try_lock().is_ok() && !Path::new("/sys/class/net").join(name(number)).exists() {
                return Ok(Self {
                    number,
                    _held: std::sync::Arc::new(file),
                });
            }
        }
        let reasons = vec![format!("{LINKS} nodes run already: end one")];
        Err(Error::NoNode { reasons })
    }

    /// The address of the node.
    pub(super) fn node(&self) -> String {
        format!("10.123.{}.2", self.number)
    }

    /// The address of the host, as the node sees it.
    fn host(&self) -> String {
        format!("10.123.{}.1", self.number)
    }

    /// Makes the interfaces and gives them their addresses.
    pub(super) fn connect(&self, machine: &Machine, dir: &Path) -> Result<(), Error> {
        let (name, pid) = (name(self.number), machine.pid().to_string());
        let (host, node) = (format!("{}/30", self.host()), format!("{}/30", self.node()));
        let ip = |line: &str| {
            let mut command = Command::new("ip");
            isolate(&mut command, dir).args(line.split(' '));
            stdout_of(&mut command).map(drop)
        };
        // After a loss of the node the kernel takes a moment to remove the old one.
        if Path::new("/sys/class/net").join(&name).exists() {
            // It may go by itself in between.
            let _ = ip(&format!("link del {name}"));
        }
        ip(&format!("link add {name} type veth peer name eth0 netns {pid}"))?;
        ip(&format!("addr add {host} dev {name}"))?;
        ip(&format!("link set {name} up"))?;
        for line in [
            "link set lo up".to_owned(),
            format!("addr add {node} dev eth0"),
            "link set eth0 up".to_owned(),
            // Packets to a Service need a route before they are turned to a pod.
            format!("route add default via {}", self.host()),
        ] {
            stdout_of(machine.inside(dir, Path::new("ip")).args(line.split(' ')))?;
        }
        let forward = "echo 1 >/proc/sys/net/ipv4/ip_forward";
        stdout_of(machine.inside(dir, Path::new("/bin/sh")).args(["-c", forward])).map(drop)
    }
}

fn name(number: u8) -> String {
    format!("datagate{number}")
}
