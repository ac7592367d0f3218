//! Starts the parts in their order and waits until each can be used.

use std::fs;
use std::net::{Ipv4Addr, TcpStream};
use std::path::Path;
use std::sync::Mutex;

use super::{Component, ControlPlane, Options};
use crate::client::{self, Client, log_of};
use crate::pki::Pki;
use crate::wait::{free_port, succeeds};
use crate::watchdog::Watchdog;
use crate::{Binaries, Error};

/// What kube-apiserver says when another process took the port between our look and its start.
const PORT_TAKEN: &str = "address already in use";

/// How often another port is tried.
const ATTEMPTS: usize = 5;

/// Whose logs are shown when a test fails.
const SHOWN: [&str; 2] = ["kube-apiserver", "kube-controller-manager"];

/// The metadata of every request, which has the annotations that webhooks give.
const AUDIT_POLICY: &str = "apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules: [{level: Metadata}]
";

/// A control plane on its way up.
struct Starting<'a> {
    binaries: &'a Binaries,
    options: &'a Options,
    watchdog: Watchdog,
    pki: Pki,
    port: u16,
}

impl ControlPlane {
    /// Starts a control plane and waits until it answers, and until the `default` service account exists.
    ///
    /// # Errors
    ///
    /// When a part ends or is not ready in time: with the end of its log. Nothing is left running then.
    pub fn start(binaries: &Binaries, options: &Options) -> Result<Self, Error> {
        let mut attempts = 1;
        loop {
            match Self::try_start(binaries, options) {
                Err(Error::Start { tail, .. }) if attempts < ATTEMPTS && tail.contains(PORT_TAKEN) => {
                    attempts += 1;
                }
                result => return result,
            }
        }
    }

    fn try_start(binaries: &Binaries, options: &Options) -> Result<Self, Error> {
        let watchdog = Watchdog::start(&std::env::temp_dir())?;
        let dir = watchdog.dir().to_owned();
        let pki = Pki::create(&dir.join("pki"), &[])?;
        let port = free_port()?;
        let api_url = format!("https://127.0.0.1:{port}");
        let client = Client::create(&dir, &api_url, binaries, options.controller_manager, &SHOWN)?;
        pki.kubeconfig(client.kubeconfig(), &api_url, "admin", Some("system:masters"))?;
        pki.kubeconfig(
            &dir.join("controllers.kubeconfig"),
            &api_url,
            "system:kube-controller-manager",
            None,
        )?;

        let mut starting = Starting {
            binaries,
            options,
            watchdog,
            pki,
            port,
        };
        starting.etcd(&dir)?;
        starting.api_server(&dir)?;
        if options.controller_manager {
            starting.controller_manager(&dir)?;
        }
        let Starting { watchdog, pki, .. } = starting;
        let watchdog = Mutex::new(watchdog);
        Ok(Self {
            client,
            pki,
            watchdog,
        })
    }
}

impl Starting<'_> {
    /// Over a socket in our folder: no port to find, and nobody else on the machine reaches it.
    fn etcd(&mut self, dir: &Path) -> Result<(), Error> {
        let flags = [
            "--name=env",
            "--data-dir=etcd",
            "--unsafe-no-fsync",
            "--listen-client-urls=unix://etcd.sock",
            "--advertise-client-urls=unix://etcd.sock",
            "--listen-peer-urls=unix://etcd-peer.sock",
            "--initial-advertise-peer-urls=unix://etcd-peer.sock",
            "--initial-cluster=env=unix://etcd-peer.sock",
            "--log-level=warn",
        ];
        let program = self.binaries.etcd().to_owned();
        self.spawn(Component::Etcd, dir, &program, flags.map(str::to_owned))?;
        self.wait_for(Component::Etcd, dir, "its socket", || {
            dir.join("etcd.sock").exists()
        })
    }

    fn api_server(&mut self, dir: &Path) -> Result<(), Error> {
        let pki = |name| self.pki.path(name).display().to_string();
        let mut flags = vec![
            "--etcd-servers=unix://etcd.sock".to_owned(),
            "--bind-address=127.0.0.1".to_owned(),
            format!("--secure-port={}", self.port),
            format!("--tls-cert-file={}", pki("apiserver.crt")),
            format!("--tls-private-key-file={}", pki("apiserver.key")),
            format!("--client-ca-file={}", pki("ca.crt")),
            "--authorization-mode=RBAC".to_owned(),
            "--service-cluster-ip-range=10.0.0.0/24".to_owned(),
            "--service-account-issuer=https://kubernetes.default.svc".to_owned(),
            format!("--service-account-key-file={}", pki("tokens.pub")),
            format!("--service-account-signing-key-file={}", pki("tokens.key")),
            // There is no address that pods could reach, and without this the end waits for it.
            "--endpoint-reconciler-type=none".to_owned(),
            "--allow-privileged=true".to_owned(),
        ];
        if !self.options.controller_manager {
            // Nobody makes service accounts, so no pod could be created for want of one.
            flags.push("--disable-admission-plugins=ServiceAccount".to_owned());
        }
        if self.options.audit {
            let policy = dir.join("audit-policy.yaml");
            fs::write(&policy, AUDIT_POLICY).map_err(Error::io("write", &policy))?;
            flags.push(format!("--audit-policy-file={}", policy.display()));
            flags.push(format!("--audit-log-path={}", dir.join("audit.log").display()));
        }
        flags.extend(self.options.api_server_args.iter().cloned());
        let program = self.binaries.kube_apiserver().to_owned();
        self.spawn(Component::ApiServer, dir, &program, flags)?;

        let address = (Ipv4Addr::LOCALHOST, self.port);
        let kubectl = self.binaries.kubectl().to_owned();
        let mut listening = false;
        self.wait_for(Component::ApiServer, dir, "/readyz to say ok", || {
            // A connection costs nothing, a kubectl does, on a machine that is busy with starting.
            listening = listening || TcpStream::connect(address).is_ok();
            listening && succeeds(client::command(&kubectl, dir).args(["get", "--raw=/readyz"]))
        })
    }

    fn controller_manager(&mut self, dir: &Path) -> Result<(), Error> {
        let mut flags = vec![
            "--kubeconfig=controllers.kubeconfig".to_owned(),
            "--use-service-account-credentials=true".to_owned(),
            format!(
                "--service-account-private-key-file={}",
                self.pki.path("tokens.key").display()
            ),
            format!("--root-ca-file={}", self.pki.path("ca.crt").display()),
            "--leader-elect=false".to_owned(),
            // Its own health is of no interest and would cost a port.
            "--secure-port=0".to_owned(),
            // The defaults protect a large API server from its own controllers and slow tests down.
            "--kube-api-qps=1000".to_owned(),
            "--kube-api-burst=1000".to_owned(),
        ];
        flags.extend(self.options.controller_manager_args.iter().cloned());
        let program = self.binaries.kube_controller_manager().to_owned();
        self.spawn(Component::ControllerManager, dir, &program, flags)?;

        let kubectl = self.binaries.kubectl().to_owned();
        self.wait_for(
            Component::ControllerManager,
            dir,
            "the default service account",
            || {
                succeeds(client::command(&kubectl, dir).args([
                    "get",
                    "--namespace=default",
                    "serviceaccount/default",
                ]))
            },
        )
    }

    fn spawn(
        &mut self,
        component: Component,
        dir: &Path,
        program: &Path,
        flags: impl IntoIterator<Item = String>,
    ) -> Result<(), Error> {
        self.watchdog.spawn(
            component.name(),
            program,
            flags,
            &log_of(dir, component.name()),
            |command| {
                // A clean environment: a proxy or a debug variable of the user must not reach it.
                client::isolate(command, dir).current_dir(dir);
            },
        )
    }

    fn wait_for(
        &mut self,
        component: Component,
        dir: &Path,
        what: &str,
        ready: impl FnMut() -> bool,
    ) -> Result<(), Error> {
        let timeout = self.options.start_timeout;
        self.watchdog.wait_for(
            component.name(),
            &log_of(dir, component.name()),
            what,
            timeout,
            ready,
        )
    }
}
