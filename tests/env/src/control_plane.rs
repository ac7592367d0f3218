//! One running control plane and what a test asks of it.

mod start;

use std::fs;
use std::ops::Deref;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use serde_json::json;

use crate::Error;
use crate::client::{Client, log_of};
use crate::pki::{Pki, ServerCert};
use crate::wait::{stdout_of, tail_of};
use crate::watchdog::Watchdog;

/// etcd, kube-apiserver and kube-controller-manager in a folder of their own.
///
/// Dropping it ends them and removes the folder. If this process dies without that, a watchdog does it.
#[derive(Debug)]
pub struct ControlPlane {
    client: Client,
    pki: Pki,
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
}

impl Deref for ControlPlane {
    type Target = Client;

    fn deref(&self) -> &Client {
        &self.client
    }
}

impl ControlPlane {
    /// The authority that signed the API server's certificate and those of [`Self::server_cert`].
    #[must_use]
    pub fn ca_pem(&self) -> &str {
        self.pki.ca_pem()
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
        tail_of(&log_of(self.dir(), component.name()))
    }

    /// The lines of the audit log so far, one JSON event each, of level `Metadata`: with the annotations
    /// that webhooks gave. Empty unless [`Options::audit`] is set.
    ///
    /// # Errors
    ///
    /// When the log cannot be read.
    pub fn audit_log(&self) -> Result<String, Error> {
        let path = self.dir().join("audit.log");
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

    /// Makes a Service by which the API server reaches `127.0.0.1`, at the port that `clientConfig.service`
    /// gives; so a webhook of this process is registered as one in a cluster would be.
    ///
    /// The API server asks for `NAME.NAMESPACE.svc` and offers only HTTP/1.1, as in production. With
    /// `clientConfig.url` and a loopback address it would offer HTTP/2 too. No root and no hosts file is needed.
    ///
    /// # Errors
    ///
    /// When the namespace does not exist or the Service does.
    pub fn create_local_service(&self, namespace: &str, name: &str) -> Result<(), Error> {
        let service = json!({
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"namespace": namespace, "name": name},
            "spec": {"type": "ExternalName", "externalName": "localhost"},
        });
        let mut command = self.kubectl(["create", "--filename=-"]);
        stdout_of(self.with_input(&mut command, &service.to_string())?).map(drop)
    }
}
