//! A control plane with datagate in it, as a user would have it: installed by the chart, run with the rights of the
//! chart's service account, and asked by the API server.
//!
//! Most tests share one ([`rig`]) and work in a namespace of their own with a policy for it ([`Team`]). Those that stop
//! the server, or register it in another way, start their own ([`Rig::start`]).

#![allow(
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "helpers of tests fail like tests"
)]

pub mod api;
pub mod objects;
pub mod server;
pub mod team;

use std::fs;
use std::path::PathBuf;
use std::sync::OnceLock;
use std::time::Duration;

use datagate_env::{Binaries, ControlPlane, Options, free_port, stdout_of};
use serde_json::json;

pub use api::{Answer, Api};
pub use server::Server;
pub use team::Team;

/// For whatever needs a controller, on two busy cores.
pub const SOON: Duration = Duration::from_secs(60);

/// The release, its webhook configuration and its service account.
pub const RELEASE: &str = "datagate";

/// The namespace of the release.
pub const SYSTEM: &str = "datagate-system";

/// A control plane with the chart installed and the server running.
pub struct Rig {
    // First to go: the control plane would wait until it has drained.
    pub server: Server,
    pub api: Api,
    pub cluster: ControlPlane,
}

/// The one that tests share. It ends with this process.
pub fn rig() -> &'static Rig {
    static RIG: OnceLock<Rig> = OnceLock::new();
    RIG.get_or_init(|| {
        Rig::start(&Options {
            audit: true,
            ..Options::default()
        })
    })
}

/// A file of the repository.
pub fn repository(path: &str) -> String {
    format!("{}/{path}", env!("CARGO_MANIFEST_DIR"))
}

/// A new control plane with nothing in it.
pub fn control_plane(options: &Options) -> ControlPlane {
    let binaries = Binaries::find_or_build().unwrap();
    ControlPlane::start(&binaries, options).unwrap()
}

/// Installs the chart for a server at a port of this machine, with more arguments for helm.
pub fn install(cluster: &ControlPlane, port: u16, more: &[&str]) {
    let ca = cluster.dir().join("ca.crt");
    fs::write(&ca, cluster.ca_pem()).unwrap();
    let mut helm = cluster.helm(["install", RELEASE, &repository("charts/datagate")]);
    helm.args(["--namespace", SYSTEM, "--create-namespace", "--hide-notes"]);
    helm.args(["--set", &format!("webhook.url=https://127.0.0.1:{port}/validate")]);
    helm.args(["--set-file", &format!("webhook.caBundle={}", ca.display())]);
    stdout_of(helm.args(more)).unwrap();
}

/// A kubeconfig with a token of the chart's service account: all that the server has in a cluster.
pub fn own_kubeconfig(cluster: &ControlPlane) -> PathBuf {
    let mut create = cluster.kubectl(["create", "token", RELEASE, "--namespace", SYSTEM]);
    let token = stdout_of(&mut create).unwrap();
    let ca = cluster.dir().join("api-ca.crt");
    fs::write(&ca, cluster.ca_pem()).unwrap();
    let config = json!({
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "env", "cluster": {"server": cluster.api_url(), "certificate-authority": ca}}],
        "users": [{"name": RELEASE, "user": {"token": token.trim()}}],
        "contexts": [{"name": "env", "context": {"cluster": "env", "user": RELEASE}}],
        "current-context": "env",
    });
    let path = cluster.dir().join("datagate.kubeconfig");
    fs::write(&path, config.to_string()).unwrap();
    path
}

impl Rig {
    /// Starts everything and fills the catalogue.
    pub fn start(options: &Options) -> Self {
        Self::on(control_plane(options))
    }

    /// Installs the chart in a control plane, starts the server and fills the catalogue.
    pub fn on(cluster: ControlPlane) -> Self {
        let (port, admin) = (free_port().unwrap(), free_port().unwrap());
        install(&cluster, port, &[]);
        let kubeconfig = own_kubeconfig(&cluster);
        let server = Server::start(&cluster, &kubeconfig, port, admin);
        let api = Api::new(&cluster);
        let rig = Self { server, api, cluster };
        rig.fill_catalogue();
        rig.server.ready();
        rig
    }

    /// Looks again and again until there is something; what was there instead is shown in short.
    #[track_caller]
    pub fn wait<T>(&self, what: &str, look: impl FnMut() -> Option<T>) -> T {
        self.cluster.wait_until(what, SOON, look).unwrap_or_else(|error| {
            let state = error.to_string();
            let lines = state
                .lines()
                .map(|line| line.chars().take(300).collect::<String>());
            panic!(
                "{}\n--- datagate\n{}",
                lines.collect::<Vec<_>>().join("\n"),
                self.server.log()
            );
        })
    }

    /// The records that the cases share, and the one that markers name.
    fn fill_catalogue(&self) {
        let catalogue = fs::read_to_string(repository("tests/cases/catalogue.yaml")).unwrap();
        let all = format!("{catalogue}\n---\n{}", objects::record(team::MARKER, &["AQ"]));
        self.wait("the catalogue can be stored", || {
            let output = self.cluster.apply(&all).unwrap();
            output.status.success().then_some(())
        });
    }
}
