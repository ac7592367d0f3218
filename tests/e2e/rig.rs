//! The cluster of the run, and what every step does with it.

use std::path::PathBuf;
use std::time::Duration;

use datagate_env::{NodeCluster, stdout_of};
use serde_json::{Value, json};

use crate::figures::Figures;

/// The namespace and the name of the release.
pub const SYSTEM: &str = "datagate-system";
pub const RELEASE: &str = "datagate";

/// Longer than anything takes on a busy machine; only what hangs waits for it.
pub const LONG: Duration = Duration::from_secs(120);

/// Everything that steps share.
pub struct Rig {
    pub cluster: NodeCluster,
    /// The archive of datagate's image.
    pub image: PathBuf,
    /// All repetitions, or only as many as show that it works.
    pub long: bool,
    /// What is installed at first is the previous chart, and not that of today.
    pub previous: bool,
    pub figures: Figures,
}

impl Rig {
    /// Runs kubectl, which must succeed.
    #[track_caller]
    pub fn kubectl(&self, arguments: &[&str]) -> String {
        stdout_of(&mut self.cluster.kubectl(arguments)).unwrap_or_else(|error| panic!("{error}"))
    }

    /// Runs helm, which must succeed.
    #[track_caller]
    pub fn helm(&self, arguments: &[&str]) -> String {
        stdout_of(&mut self.cluster.helm(arguments)).unwrap_or_else(|error| panic!("{error}"))
    }

    /// Applies an object, which must be accepted.
    #[track_caller]
    pub fn apply(&self, object: &Value) {
        let answer = self.try_apply(object);
        assert!(answer.is_ok(), "{answer:?}");
    }

    /// Applies an object; what is said if it is refused.
    pub fn try_apply(&self, object: &Value) -> Result<(), String> {
        let output = self.cluster.apply(&object.to_string()).unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        if output.status.success() {
            Ok(())
        } else {
            Err(said)
        }
    }

    /// What the cluster would say to an object, without storing it.
    pub fn dry_run(&self, object: &Value) -> Result<(), String> {
        let mut command = self
            .cluster
            .kubectl(["create", "--dry-run=server", "--filename=-"]);
        let command = self
            .cluster
            .with_input(&mut command, &object.to_string())
            .unwrap();
        stdout_of(command).map(drop).map_err(|error| error.to_string())
    }

    /// Looks again and again until there is a value.
    #[track_caller]
    pub fn wait<T>(&self, what: &str, look: impl FnMut() -> Option<T>) -> T {
        let waited = self.cluster.wait_until(what, LONG, look);
        waited.unwrap_or_else(|error| panic!("{error}"))
    }

    /// Waits until an answer holds all of these words.
    #[track_caller]
    pub fn wait_refused(&self, object: &Value, words: &str) {
        let mut last = String::new();
        let waited = self.cluster.wait_until(words, LONG, || {
            last = self
                .dry_run(object)
                .err()
                .unwrap_or_else(|| "admitted".to_owned());
            last.contains(words).then_some(())
        });
        waited.unwrap_or_else(|error| panic!("{error}\nthe last answer: {last}"));
    }

    #[track_caller]
    pub fn wait_admitted(&self, object: &Value) {
        self.wait("an object is admitted", || self.dry_run(object).ok());
    }

    /// Waits until all replicas of datagate are ready and no other is left.
    #[track_caller]
    pub fn wait_rolled_out(&self) {
        let deployment = format!("deployment/{RELEASE}");
        self.kubectl(&[
            "rollout",
            "status",
            "--timeout=120s",
            "--namespace",
            SYSTEM,
            &deployment,
        ]);
        self.wait("no other pod of datagate is left", || {
            let pods = self.pods();
            pods.iter()
                .all(|pod| pod["metadata"]["deletionTimestamp"].is_null())
                .then_some(())
        });
    }

    /// The pods of datagate.
    pub fn pods(&self) -> Vec<Value> {
        let selector = "--selector=app.kubernetes.io/name=datagate";
        let pods = self.cluster.get(["pods", "--namespace", SYSTEM, selector]);
        let pods = pods.unwrap_or_else(|error| panic!("{error}"));
        pods["items"].as_array().cloned().unwrap_or_default()
    }

    /// Makes a namespace and waits for what pods in it need.
    #[track_caller]
    pub fn namespace(&self, name: &str, labels: &Value) {
        self.apply(&json!({
            "apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels},
        }));
        self.wait("the namespace is furnished", || {
            let wanted = ["configmap/kube-root-ca.crt", "serviceaccount/default"];
            self.cluster.get(["--namespace", name].iter().chain(&wanted)).ok()
        });
    }

    /// Waits until a Job is complete or has failed, and says which.
    #[track_caller]
    pub fn job_outcome(&self, namespace: &str, name: &str) -> String {
        self.wait(&format!("the end of job {name}"), || {
            let job = self.cluster.get(["job", "--namespace", namespace, name]).ok()?;
            let conditions = job["status"]["conditions"].as_array()?.clone();
            let ended = |it: &&Value| it["type"] == "Complete" || it["type"] == "Failed";
            Some(conditions.iter().find(ended)?["type"].as_str()?.to_owned())
        })
    }
}

/// Whether a condition of an object is true.
pub fn is_true(object: &Value, condition: &str) -> bool {
    let conditions = object["status"]["conditions"].as_array();
    conditions
        .into_iter()
        .flatten()
        .any(|it| it["type"] == condition && it["status"] == "True")
}
