//! One running control plane and what a test asks of it.

mod client;
mod start;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::pki::{Pki, ServerCert};
use crate::wait::tail_of;
use crate::watchdog::Watchdog;
use crate::{Binaries, Error};

/// etcd, kube-apiserver and kube-controller-manager in a folder of their own.
///
/// Dropping it ends them and removes the folder. If this process dies without that, a watchdog does it.
#[derive(Debug)]
pub struct ControlPlane {
    binaries: Binaries,
    dir: PathBuf,
    kubeconfig: PathBuf,
    api_url: String,
    pki: Pki,
    has_controllers: bool,
    watchdog: Mutex<Watchdog>,
}

/// How a control plane is started.
#[derive(Debug, Clone)]
pub struct Options {
    /// Whether the controllers run: without them no Pod comes of a Job and no namespace has a service account.
    pub controller_manager: bool,
    /// Whether the API server writes an audit log (see [`ControlPlane::audit_log`]).
    pub audit: bool,
    /// More flags for kube-apiserver; they come last, so they win.
    pub api_server_args: Vec<String>,
    /// More flags for kube-controller-manager; they come last, so they win.
    pub controller_manager_args: Vec<String>,
    /// How long each part may take to become ready.
    pub start_timeout: Duration,
}

/// A part of the control plane with a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Component {
    /// The store.
    Etcd,
    /// kube-apiserver.
    ApiServer,
    /// kube-controller-manager.
    ControllerManager,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            controller_manager: true,
            audit: false,
            api_server_args: Vec::new(),
            controller_manager_args: Vec::new(),
            // Two cores may be shared by several control planes and a compiler.
            start_timeout: Duration::from_secs(120),
        }
    }
}

impl Component {
    /// The name of its program.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Etcd => "etcd",
            Self::ApiServer => "kube-apiserver",
            Self::ControllerManager => "kube-controller-manager",
        }
    }

    fn log(self, dir: &Path) -> PathBuf {
        dir.join(self.name()).with_extension("log")
    }
}

impl ControlPlane {
    /// The kubeconfig of an administrator (`system:masters`).
    #[must_use]
    pub fn kubeconfig(&self) -> &Path {
        &self.kubeconfig
    }

    /// The address of the API server.
    #[must_use]
    pub fn api_url(&self) -> &str {
        &self.api_url
    }

    /// The authority that signed the API server's certificate and those of [`Self::server_cert`].
    #[must_use]
    pub fn ca_pem(&self) -> &str {
        self.pki.ca_pem()
    }

    /// The folder of this control plane, removed with it; tests may put files there.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// A folder with kubectl and helm, to be put first on a PATH.
    #[must_use]
    pub fn bin_dir(&self) -> PathBuf {
        self.dir.join("bin")
    }

    /// A certificate for a server under these names and addresses, signed by [`Self::ca_pem`].
    ///
    /// # Errors
    ///
    /// When a name cannot stand in a certificate.
    pub fn server_cert(&self, names: &[&str]) -> Result<ServerCert, Error> {
        self.pki.server(names)
    }

    /// The end of the log of a part.
    #[must_use]
    pub fn log_tail(&self, component: Component) -> String {
        tail_of(&component.log(&self.dir))
    }

    /// The lines of the audit log so far, one JSON event each, of level `Metadata`: with the annotations
    /// that webhooks gave. Empty unless [`Options::audit`] is set.
    ///
    /// # Errors
    ///
    /// When the log cannot be read.
    pub fn audit_log(&self) -> Result<String, Error> {
        let path = self.dir.join("audit.log");
        if !path.exists() {
            return Ok(String::new());
        }
        fs::read_to_string(&path).map_err(Error::io("read", path))
    }

    /// Has a process that uses this control plane ended before it (SIGTERM, and SIGKILL after 5 s), also when
    /// this process is killed.
    ///
    /// # Errors
    ///
    /// When the watchdog is gone.
    pub fn end_with(&self, pid: u32) -> Result<(), Error> {
        self.watchdog
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .watch_user(pid)
    }
}
