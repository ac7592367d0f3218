//! A real cluster of one node: kubelet, containerd and kube-proxy beside the control plane, in namespaces of their own.

mod config;
mod machine;
mod network;
mod parts;
mod requirements;

use std::fs::File;
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use self::parts::Node;
use crate::client::Client;
use crate::wait::stdout_of;
use crate::{Binaries, Error, NodeBinaries};

/// One node with a control plane, on Linux and as root.
///
/// Everything of it is in namespaces and in one folder: it uses no port of the host and no service of its containerd,
/// and several run at the same time. Dropping it ends all processes and removes folder, interfaces and control groups;
/// if this process dies without that, a watchdog does it.
#[derive(Debug)]
pub struct NodeCluster {
    client: Client,
    node: Mutex<Node>,
}

/// How a node is started.
#[derive(Debug, Clone)]
pub struct NodeOptions {
    /// Archives of images that are loaded before the node is used.
    pub images: Vec<PathBuf>,
    /// How long each part may take to become ready.
    pub start_timeout: Duration,
}

impl Default for NodeOptions {
    fn default() -> Self {
        Self {
            images: Vec::new(),
            start_timeout: Duration::from_secs(120),
        }
    }
}

impl NodeCluster {
    /// The image that a test can run without any other: see `src/bin/step.rs` for what it does.
    pub const STEP_IMAGE: &'static str = crate::step::IMAGE;

    /// Why no node can run on this machine, each reason with what to do; empty if it can.
    #[must_use]
    pub fn obstacles() -> Vec<String> {
        requirements::obstacles()
    }

    /// Starts it and waits until the node is ready and the `default` service account exists.
    ///
    /// # Errors
    ///
    /// When this machine cannot run a node, or a part ends or is not ready in time: with the end of its log. Nothing is
    /// left running then.
    pub fn start(binaries: &Binaries, node: &NodeBinaries, options: &NodeOptions) -> Result<Self, Error> {
        let reasons = Self::obstacles();
        if !reasons.is_empty() {
            return Err(Error::NoNode { reasons });
        }
        let (client, node) = Node::start(binaries, node, options)?;
        let cluster = Self {
            client,
            node: Mutex::new(node),
        };
        cluster.load_image(&crate::step::archive()?)?;
        for image in &options.images {
            cluster.load_image(image)?;
        }
        Ok(cluster)
    }

    /// Loads an archive of images into the node.
    ///
    /// # Errors
    ///
    /// When it cannot be read or is no such archive.
    pub fn load_image(&self, archive: &Path) -> Result<(), Error> {
        // As input, because the node has a /run and a /var of its own.
        let file = File::open(archive).map_err(Error::io("read", archive))?;
        let mut import = self.on_node("ctr");
        import.args(["--namespace=k8s.io", "images", "import", "-"]);
        stdout_of(import.stdin(Stdio::from(file))).map(drop)
    }

    /// A program of the host inside the node, for example `ctr`, `nft` or `ps`.
    #[must_use]
    pub fn on_node(&self, program: &str) -> Command {
        self.node().inside(Path::new(program))
    }

    /// Cuts the power: every process of the node is killed at once, the control plane among them. Its disk stays.
    ///
    /// # Errors
    ///
    /// When the first process cannot be killed.
    pub fn power_off(&self) -> Result<(), Error> {
        self.node().power_off()
    }

    /// Starts the node on its old disk and waits until the API server answers; nothing is waited for beyond that.
    ///
    /// # Errors
    ///
    /// As for [`Self::start`].
    pub fn power_on(&self) -> Result<(), Error> {
        self.node().power_on()
    }

    /// Has a process that uses this cluster ended before it (SIGTERM, and SIGKILL after 5 s), also when this process is
    /// killed.
    ///
    /// # Errors
    ///
    /// When the watchdog is gone.
    pub fn end_with(&self, pid: u32) -> Result<(), Error> {
        self.node().end_with(pid)
    }

    fn node(&self) -> MutexGuard<'_, Node> {
        self.node.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Deref for NodeCluster {
    type Target = Client;

    fn deref(&self) -> &Client {
        &self.client
    }
}
