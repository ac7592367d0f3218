//! Starts the programs of a node in their order and waits until each can be used.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use super::NodeOptions;
use super::config::{NODE, Settings};
use super::machine::{Machine, write_wrapper};
use super::network::{API_SERVICE, Link, SERVICES};
use super::requirements::cni_folder;
use crate::client::{Client, isolate, log_of};
use crate::pki::Pki;
use crate::wait::{stdout_of, succeeds};
use crate::watchdog::Watchdog;
use crate::{Binaries, Error, NodeBinaries};

/// Whose logs are shown when a test fails.
const SHOWN: [&str; 3] = ["kube-apiserver", "kube-controller-manager", "kubelet"];

/// The kubeconfigs of the parts, and who each is.
const USERS: [(&str, &str, Option<&str>); 4] = [
    ("kube-controller-manager", "system:kube-controller-manager", None),
    ("kube-scheduler", "system:kube-scheduler", None),
    ("kube-proxy", "system:kube-proxy", None),
    ("kubelet", "system:node:node", Some("system:nodes")),
];

/// A node, running or not.
#[derive(Debug)]
pub(super) struct Node {
    client: Client,
    binaries: Binaries,
    node_binaries: NodeBinaries,
    timeout: Duration,
    link: Link,
    /// `None` while the power is off.
    machine: Option<Machine>,
    watchdog: Watchdog,
}

impl Node {
    pub(super) fn start(
        binaries: &Binaries,
        node_binaries: &NodeBinaries,
        options: &NodeOptions,
    ) -> Result<(Client, Self), Error> {
        let watchdog = Watchdog::start(&std::env::temp_dir())?;
        let dir = watchdog.dir().to_owned();
        let link = Link::take()?;
        let api_url = format!("https://{}:6443", link.node());
        let client = Client::create(&dir, &api_url, binaries, true, &SHOWN)?;
        let pki = Pki::create(&dir.join("pki"), &[&link.node(), API_SERVICE])?;
        pki.client_files(
            "apiserver-kubelet",
            "kube-apiserver-kubelet-client",
            Some("system:masters"),
        )?;
        pki.server_files("kubelet-server", &[NODE, &link.node(), "127.0.0.1"])?;
        pki.kubeconfig(client.kubeconfig(), &api_url, "admin", Some("system:masters"))?;
        for (part, user, group) in USERS {
            pki.kubeconfig(&kubeconfig_of(&dir, part), &api_url, user, group)?;
        }
        let snapshotter = snapshotter(&dir)?;
        let settings = Settings {
            dir: &dir,
            pki: &pki,
            cni: cni_folder().unwrap_or_else(|| Path::new("/opt/cni/bin")),
            snapshotter,
        };
        settings.write()?;
        write_wrapper(&dir, &client.bin_dir().join("on-node"))?;

        let mut node = Self {
            client: client.clone(),
            binaries: binaries.clone(),
            node_binaries: node_binaries.clone(),
            timeout: options.start_timeout,
            link,
            machine: None,
            watchdog,
        };
        node.power_on()?;
        node.wait_for("kubelet", "the node to be ready", || {
            let path = "jsonpath={.status.conditions[?(@.type=='Ready')].status}";
            let ready = stdout_of(&mut client.kubectl(["get", "node", NODE, "--output", path]));
            ready.is_ok_and(|ready| ready == "True")
        })?;
        node.wait_for("kube-controller-manager", "the default service account", || {
            succeeds(&mut client.kubectl(["get", "--namespace=default", "serviceaccount/default"]))
        })?;
        Ok((client, node))
    }

    pub(super) fn power_off(&mut self) -> Result<(), Error> {
        self.machine = None;
        self.watchdog.end_all_with(super::machine::INIT_NAME)
    }

    pub(super) fn power_on(&mut self) -> Result<(), Error> {
        let dir = self.client.dir().to_owned();
        let machine = Machine::start(&mut self.watchdog, self.timeout)?;
        self.link.connect(&machine, &dir)?;
        self.machine = Some(machine);
        self.etcd(&dir)?;
        self.api_server(&dir)?;
        self.containerd(&dir)?;

        let client = self.client.clone();
        self.wait_for("kube-apiserver", "/readyz to say ok", || {
            succeeds(&mut client.kubectl(["get", "--raw=/readyz"]))
        })?;
        self.controllers(&dir)?;
        self.node_agents(&dir)
    }

    pub(super) fn inside(&self, program: &Path) -> Command {
        match &self.machine {
            Some(machine) => machine.inside(self.client.dir(), program),
            None => {
                // Fails as it would in a shell on a machine without power.
                let mut command = Command::new("/bin/sh");
                command.args(["-c", "echo 'the node is powered off' >&2; exit 1"]);
                command
            }
        }
    }

    pub(super) fn end_with(&mut self, pid: u32) -> Result<(), Error> {
        self.watchdog.watch_user(pid)
    }

    fn etcd(&mut self, dir: &Path) -> Result<(), Error> {
        let data = dir.join("disk/etcd");
        let flags = [
            "--name=node".to_owned(),
            format!("--data-dir={}", data.display()),
            "--unsafe-no-fsync".to_owned(),
            "--listen-client-urls=http://127.0.0.1:2379".to_owned(),
            "--advertise-client-urls=http://127.0.0.1:2379".to_owned(),
            "--listen-peer-urls=http://127.0.0.1:2380".to_owned(),
            "--initial-advertise-peer-urls=http://127.0.0.1:2380".to_owned(),
            "--initial-cluster=node=http://127.0.0.1:2380".to_owned(),
            "--log-level=warn".to_owned(),
        ];
        let program = self.binaries.etcd().to_owned();
        self.spawn("etcd", &program, flags)
    }

    fn api_server(&mut self, dir: &Path) -> Result<(), Error> {
        let pki = |name: &str| dir.join("pki").join(name).display().to_string();
        let flags = [
            "--etcd-servers=http://127.0.0.1:2379".to_owned(),
            "--bind-address=0.0.0.0".to_owned(),
            "--secure-port=6443".to_owned(),
            format!("--advertise-address={}", self.link.node()),
            format!("--tls-cert-file={}", pki("apiserver.crt")),
            format!("--tls-private-key-file={}", pki("apiserver.key")),
            format!("--client-ca-file={}", pki("ca.crt")),
            format!("--kubelet-client-certificate={}", pki("apiserver-kubelet.crt")),
            format!("--kubelet-client-key={}", pki("apiserver-kubelet.key")),
            format!("--kubelet-certificate-authority={}", pki("ca.crt")),
            "--kubelet-preferred-address-types=InternalIP".to_owned(),
            "--authorization-mode=Node,RBAC".to_owned(),
            "--enable-admission-plugins=NodeRestriction".to_owned(),
            format!("--service-cluster-ip-range={SERVICES}"),
            "--service-account-issuer=https://kubernetes.default.svc".to_owned(),
            format!("--service-account-key-file={}", pki("tokens.pub")),
            format!("--service-account-signing-key-file={}", pki("tokens.key")),
            "--allow-privileged=true".to_owned(),
        ];
        let program = self.binaries.kube_apiserver().to_owned();
        self.spawn("kube-apiserver", &program, flags)
    }

    fn containerd(&mut self, dir: &Path) -> Result<(), Error> {
        let flags = [format!("--config={}", dir.join("containerd.toml").display())];
        self.spawn("containerd", Path::new("containerd"), flags)?;
        let mut version = self.inside(Path::new("ctr"));
        version.arg("version");
        self.wait_for("containerd", "its socket", || succeeds(&mut version))
    }

    fn controllers(&mut self, dir: &Path) -> Result<(), Error> {
        let pki = |name: &str| dir.join("pki").join(name).display().to_string();
        let part = "kube-controller-manager";
        let flags = [
            format!("--kubeconfig={}", kubeconfig_of(dir, part).display()),
            "--use-service-account-credentials=true".to_owned(),
            format!("--service-account-private-key-file={}", pki("tokens.key")),
            format!("--root-ca-file={}", pki("ca.crt")),
            "--leader-elect=false".to_owned(),
            "--secure-port=0".to_owned(),
            // It would make its default one in /usr.
            "--flex-volume-plugin-dir=/var/lib/kubelet/volume-plugins".to_owned(),
            // The defaults protect a large API server from its own controllers and slow tests down.
            "--kube-api-qps=1000".to_owned(),
            "--kube-api-burst=1000".to_owned(),
        ];
        let program = self.binaries.kube_controller_manager().to_owned();
        self.spawn(part, &program, flags)?;
        let part = "kube-scheduler";
        let flags = [
            format!("--kubeconfig={}", kubeconfig_of(dir, part).display()),
            "--leader-elect=false".to_owned(),
            "--secure-port=0".to_owned(),
        ];
        let program = self.node_binaries.kube_scheduler().to_owned();
        self.spawn(part, &program, flags)
    }

    fn node_agents(&mut self, dir: &Path) -> Result<(), Error> {
        let flags = [
            format!("--config={}", dir.join("kubelet.yaml").display()),
            format!("--kubeconfig={}", kubeconfig_of(dir, "kubelet").display()),
            format!("--hostname-override={NODE}"),
            format!("--node-ip={}", self.link.node()),
        ];
        let program = self.node_binaries.kubelet().to_owned();
        self.spawn("kubelet", &program, flags)?;
        let flags = [format!("--config={}", dir.join("kube-proxy.yaml").display())];
        let program = self.node_binaries.kube_proxy().to_owned();
        self.spawn("kube-proxy", &program, flags)
    }

    /// Starts a program inside the machine.
    fn spawn(
        &mut self,
        name: &str,
        program: &Path,
        flags: impl IntoIterator<Item = String>,
    ) -> Result<(), Error> {
        let dir = self.client.dir().to_owned();
        let script = self
            .machine
            .as_ref()
            .map(Machine::enter_script)
            .unwrap_or_default();
        let mut arguments = vec![
            "-c".to_owned(),
            script,
            name.to_owned(),
            program.display().to_string(),
        ];
        arguments.extend(flags);
        let log = log_of(&dir, name);
        self.watchdog
            .spawn(name, Path::new("/bin/sh"), arguments, &log, |command| {
                isolate(command, &dir);
            })
    }

    fn wait_for(&mut self, name: &str, what: &str, ready: impl FnMut() -> bool) -> Result<(), Error> {
        let log = log_of(self.client.dir(), name);
        self.watchdog.wait_for(name, &log, what, self.timeout, ready)
    }
}

fn kubeconfig_of(dir: &Path, part: &str) -> PathBuf {
    dir.join(part).with_extension("kubeconfig")
}

/// Overlays cannot lie on an overlay, which the disk of a container is.
fn snapshotter(dir: &Path) -> Result<&'static str, Error> {
    let kind = stdout_of(
        Command::new("stat")
            .args(["--file-system", "--format=%T"])
            .arg(dir),
    )?;
    Ok(if kind.trim() == "overlayfs" {
        "native"
    } else {
        "overlayfs"
    })
}
