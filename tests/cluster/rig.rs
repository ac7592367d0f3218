//! Control planes with datagate's CRDs, and parts of datagate that run against them.

use std::path::Path;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use datagate::index::{self, Folded, Index, Snapshot, Snapshots};
use datagate::metrics::Metrics;
use datagate::server::Readiness;
use datagate::stop::{Stopper, stop};
use datagate_core::settings::Settings;
use datagate_core::world::PolicySlot;
use datagate_env::{Binaries, ControlPlane, Options, stdout_of};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::timeout;

/// Longer than anything takes; only a test that hangs waits for it.
pub const LONG: Duration = Duration::from_secs(60);

/// The control plane of all tests that leave each other alone.
pub fn shared() -> &'static ControlPlane {
    static SHARED: OnceLock<ControlPlane> = OnceLock::new();
    SHARED.get_or_init(|| start(&Options::default()))
}

/// A control plane of one's own, without controllers.
pub fn own() -> ControlPlane {
    start(&Options {
        controller_manager: false,
        ..Options::default()
    })
}

fn start(options: &Options) -> ControlPlane {
    let plane = ControlPlane::start(&Binaries::find_or_build().unwrap(), options).unwrap();
    install_crds(&plane);
    plane
}

/// Applies crds/ and waits until the API server serves them.
pub fn install_crds(plane: &ControlPlane) {
    let crds = Path::new(env!("CARGO_MANIFEST_DIR")).join("crds");
    kubectl(plane, ["apply", "--filename", crds.to_str().unwrap()]);
    for crd in ["datasetpolicies.datagate.dev", "datasetrecords.datagate.dev"] {
        kubectl(
            plane,
            ["wait", "--for=condition=Established", "--timeout=60s", "crd", crd],
        );
    }
}

/// Applies tests/crds/, stand-ins for the kinds of other projects, and waits until the API server serves them.
pub fn install_third_party(plane: &ControlPlane) {
    let crds = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/crds");
    let crds = crds.to_str().unwrap();
    // Server-side, because nothing is to be compared later and it is one request for each.
    kubectl(plane, ["apply", "--server-side", "--filename", crds]);
    kubectl(
        plane,
        [
            "wait",
            "--for=condition=Established",
            "--timeout=60s",
            "--filename",
            crds,
        ],
    );
}

/// Runs kubectl, which must succeed.
pub fn kubectl<const N: usize>(plane: &ControlPlane, arguments: [&str; N]) -> String {
    stdout_of(&mut plane.kubectl(arguments)).unwrap()
}

/// Applies documents, which must be accepted.
pub fn apply(plane: &ControlPlane, yaml: &str) {
    let output = plane.apply(yaml).unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

/// As an administrator, without retries.
pub async fn client(plane: &ControlPlane) -> Client {
    let kubeconfig = Kubeconfig::read_from(plane.kubeconfig()).unwrap();
    let options = KubeConfigOptions::default();
    let mut config = Config::from_custom_kubeconfig(kubeconfig, &options)
        .await
        .unwrap();
    config.default_retry = false;
    Client::try_from(config).unwrap()
}

/// An index that runs.
pub struct Indexed {
    pub snapshots: Snapshots,
    pub folded: watch::Receiver<Option<Folded>>,
    pub readiness: Readiness,
    pub metrics: Arc<Metrics>,
    stopper: Stopper,
    task: JoinHandle<()>,
}

impl Indexed {
    pub fn start(client: Client) -> Self {
        let mut metrics = Metrics::new();
        let readiness = Readiness::new();
        let index = Index::new(Settings::default(), &mut metrics, &readiness);
        let snapshots = index.snapshots();
        let folded = index.folded();
        let (stopper, stop) = stop();
        let task = tokio::spawn(index::run(index, index::Config::default(), client, stop));
        Self {
            snapshots,
            folded,
            readiness,
            metrics: Arc::new(metrics),
            stopper,
            task,
        }
    }

    /// Waits until the newest snapshot is so.
    pub async fn until(&mut self, what: &str, so: impl Fn(&Snapshot) -> bool) -> Snapshot {
        let so = |snapshot: &Option<Snapshot>| snapshot.as_ref().is_some_and(&so);
        if let Ok(found) = timeout(LONG, self.snapshots.wait_for(so)).await {
            return found.unwrap().clone().unwrap();
        }
        let last = self.snapshots.borrow().clone();
        let policies: Vec<_> = last.iter().flat_map(|it| it.world.policies()).collect();
        panic!(
            "waited for {what}: {policies:?}\n{}",
            self.readiness.report().text
        );
    }

    pub async fn stop(self) {
        self.stopper.stop();
        timeout(LONG, self.task).await.unwrap().unwrap();
    }
}

/// A policy of a snapshot.
pub fn policy<'s>(snapshot: &'s Snapshot, name: &str) -> Option<&'s Arc<PolicySlot>> {
    snapshot.world.policies().find(|slot| &*slot.name == name)
}
