//! Three replicas as processes: what they report, what the leader makes of it, and what a policy's owner reads.

#![allow(
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "helpers of tests fail like tests"
)]

use datagate_env::{ControlPlane, Options, free_port};
use serde_json::{Value, json};

use crate::webhook::objects::{PAUSED, declare, job, policy};
use crate::webhook::{Api, RELEASE, Rig, SOON, SYSTEM, Server, control_plane, install, own_kubeconfig};

const CONFIGURATION: &str = "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations/datagate";
const LEASES: &str = "/apis/coordination.k8s.io/v1/namespaces/datagate-system/leases";

/// What somebody does to the entries.
type Drift<'a> = &'a dyn Fn(&mut Value);

/// Replicas of one installation; the API server asks the last one.
struct Replicas {
    // First to go: the control plane would wait until they have drained.
    servers: Vec<Server>,
    api: Api,
    cluster: ControlPlane,
}

impl Replicas {
    /// Starts the replicas one after another, so that the first leads. Each belongs to a pod that no node takes.
    fn start(names: &[&str]) -> Self {
        let cluster = control_plane(&Options::default());
        let ports: Vec<u16> = names.iter().map(|_| free_port().unwrap()).collect();
        install(&cluster, *ports.last().unwrap(), &[]);
        let kubeconfig = own_kubeconfig(&cluster);
        let api = Api::new(&cluster);
        let mut this = Self {
            servers: Vec::new(),
            api,
            cluster,
        };
        for (name, port) in names.iter().zip(ports) {
            let uid = this.pod(name);
            let flags = [format!("--replica={name}"), format!("--replica-uid={uid}")];
            let admin = free_port().unwrap();
            let server = Server::start_with(&this.cluster, &kubeconfig, port, admin, &flags);
            server.ready();
            this.servers.push(server);
            this.wait("somebody leads", || {
                this.servers[0].metric("datagate_status_leader")
            });
        }
        this
    }

    fn pod(&self, name: &str) -> String {
        let pod = json!({
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": name, "namespace": SYSTEM},
            "spec": {
                "serviceAccountName": RELEASE,
                "containers": [{"name": "c", "image": "i"}],
            },
        });
        self.wait("the pod is made", || {
            let made = self.api.create(&pod);
            (made.code == 201).then(|| made.body["metadata"]["uid"].as_str().unwrap().to_owned())
        })
    }

    #[track_caller]
    fn wait<T>(&self, what: &str, look: impl FnMut() -> Option<T>) -> T {
        self.cluster.wait_until(what, SOON, look).unwrap_or_else(|error| {
            let log = self.servers.first().map(Server::log).unwrap_or_default();
            let error: String = error.to_string().chars().take(4000).collect();
            panic!("{error}\n--- the first replica\n{log}");
        })
    }

    /// Changes what a policy pauses, and gives the new generation.
    fn change(&self, policy: &Value, region: &str) -> i64 {
        let pauses = json!([{"name": "p", "match": {"regions": [region]}}]);
        let changed = self
            .api
            .merge(policy, &json!({"spec": {"pauses": pauses}}))
            .admitted();
        changed["metadata"]["generation"].as_i64().unwrap()
    }

    /// Waits until the policy's condition is about this generation and has this reason; gives its message.
    #[track_caller]
    fn until(&self, policy: &Value, generation: i64, reason: &str) -> String {
        ready_with(
            policy,
            generation,
            reason,
            |what, look| self.wait(what, look),
            &self.api,
        )
    }

    /// Waits until this many replicas count, as the leader sees it.
    #[track_caller]
    fn counting(&self, leader: usize, count: f64) {
        self.wait(&format!("{count} replicas count"), || {
            (self.servers[leader].metric("datagate_replicas")? == count).then_some(())
        });
    }
}

#[track_caller]
fn ready_with(
    policy: &Value,
    generation: i64,
    reason: &str,
    wait: impl FnOnce(&str, &mut dyn FnMut() -> Option<String>) -> String,
    api: &Api,
) -> String {
    let name = &policy["metadata"]["name"];
    let what = format!("{name} of generation {generation} is {reason}");
    wait(&what, &mut || {
        let policy = api.get(policy).admitted();
        let conditions = policy["status"]["conditions"].as_array()?.clone();
        let ready = conditions.into_iter().find(|it| it["type"] == "Ready")?;
        let fits = ready["observedGeneration"] == generation && ready["reason"] == reason;
        fits.then(|| ready["message"].as_str().unwrap().to_owned())
    })
}

#[test]
fn a_policy_is_ready_when_every_replica_decides_by_it() {
    let replicas = Replicas::start(&["one", "two", "three"]);
    let api = &replicas.api;
    replicas.cluster.create_namespace("ml").unwrap();
    let policy = policy("ml", "ml");
    api.create(&policy).admitted();
    replicas.until(&policy, 1, "Enforced");
    replicas.counting(0, 3.0);
    let report = api.get_path(&format!("{LEASES}/datagate-two")).admitted();
    assert_eq!(
        report["metadata"]["ownerReferences"][0]["name"], "two",
        "{report:#}"
    );
    assert_eq!(report["metadata"]["annotations"]["datagate.dev/ready"], "true");
    assert_eq!(
        replicas.servers[1].metric("datagate_replicas"),
        None,
        "for the leader to tell"
    );

    // One is frozen while the policy changes: as long as it may still be answering, the policy is not ready.
    replicas.servers[1].signal("-STOP");
    let generation = replicas.change(&policy, "FR");
    replicas.wait("only the frozen one is behind", || {
        let message = replicas.until(&policy, generation, "ReplicasBehind");
        (message == "1 of 3 ready replicas do not decide by this version yet: two. If it lasts, their logs say why.")
            .then_some(())
    });
    assert_eq!(replicas.servers[0].metric("datagate_replicas_behind"), Some(1.0));
    replicas.until(&policy, generation, "Enforced");
    replicas.counting(0, 2.0);
    // It comes back and catches up.
    replicas.servers[1].signal("-CONT");
    replicas.counting(0, 3.0);
    let generation = replicas.change(&policy, "IT");
    replicas.until(&policy, generation, "Enforced");

    // As long as the kubelet calls its pod ready it is sent requests, so that its silence proves nothing.
    let pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "two", "namespace": SYSTEM}});
    let kubelet = |ready: &str| {
        let conditions = json!([{"type": "Ready", "status": ready}]);
        let patch = json!({"status": {"conditions": conditions}});
        api.patch_sub(&pod, "status", &patch).admitted();
    };
    kubelet("True");
    replicas.servers[1].signal("-STOP");
    let generation = replicas.change(&policy, "DE");
    replicas.until(&policy, generation, "ReplicasBehind");
    let renewed = || {
        let report = api.get_path(&format!("{LEASES}/datagate-one")).admitted();
        report["metadata"]["resourceVersion"].as_str().unwrap().to_owned()
    };
    // Four renewals of the leader take longer than a report lasts.
    for _ in 0..4 {
        let before = renewed();
        replicas.wait("the leader reports", || (renewed() != before).then_some(()));
    }
    replicas.until(&policy, generation, "ReplicasBehind");
    kubelet("False");
    replicas.until(&policy, generation, "Enforced");
    replicas.servers[1].signal("-CONT");
    replicas.counting(0, 3.0);

    // One that is told to stop does not count from then on, long before its report runs out.
    replicas.servers[1].terminate();
    replicas.counting(0, 2.0);
    let generation = replicas.change(&policy, "ES");
    replicas.until(&policy, generation, "Enforced");
    assert!(replicas.servers[1].end().success());
    // With its pod its report goes.
    api.delete_now(&format!("/api/v1/namespaces/{SYSTEM}/pods/two"))
        .admitted();
    replicas.wait("the report is gone", || {
        (api.get_path(&format!("{LEASES}/datagate-two")).code == 404).then_some(())
    });

    // The leader dies. Another one decides all along, and takes over.
    replicas.servers[0].kill();
    let generation = replicas.change(&policy, "PT");
    let observed = || api.get(&policy).admitted()["status"]["observedGeneration"].as_i64();
    let mut decided = 0;
    while observed() != Some(generation) {
        let answer = api.dry_run(&declare(job("ml", "train"), PAUSED));
        assert_ne!(answer.code, 500, "{answer:#?}");
        decided += 1;
        assert!(decided < 100_000, "nobody takes over");
    }
    replicas.until(&policy, generation, "Enforced");
    assert_eq!(replicas.servers[2].metric("datagate_status_leader"), Some(1.0));
    replicas.counting(2, 1.0);
    println!("{decided} requests decided while nobody led");
}

#[test]
fn a_webhook_configuration_that_lets_something_pass_is_told() {
    let rig = Rig::start(&Options::default());
    let api = &rig.api;
    rig.cluster.create_namespace("ml").unwrap();
    let policy = policy("ml", "ml");
    api.create(&policy).admitted();
    let until = |reason: &str| ready_with(&policy, 1, reason, |what, look| rig.wait(what, look), api);
    until("Enforced");
    assert_eq!(rig.server.metric("datagate_registration_drift"), Some(0.0));
    let original = api.get_path(CONFIGURATION).admitted();
    let exempt = json!({"key": "kubernetes.io/metadata.name", "operator": "NotIn", "values": ["ml"]});
    let drifts: [(&str, Drift<'_>); 7] = [
        ("training.datagate.dev is gone", &|hooks| {
            hooks.as_array_mut().unwrap().remove(0);
        }),
        ("failurePolicy of core.datagate.dev is not Fail", &|hooks| {
            hooks[1]["failurePolicy"] = json!("Ignore");
        }),
        ("the rules of core.datagate.dev leave out pods", &|hooks| {
            hooks[1]["rules"].as_array_mut().unwrap().remove(0);
        }),
        ("core-all.datagate.dev has an objectSelector", &|hooks| {
            hooks[2]["objectSelector"] = json!({"matchLabels": {"a": "b"}});
        }),
        (
            "namespaceSelector of training.datagate.dev leaves out ml",
            &|hooks| {
                hooks[0]["namespaceSelector"]["matchExpressions"]
                    .as_array_mut()
                    .unwrap()
                    .push(exempt.clone());
            },
        ),
        ("training.datagate.dev has a match condition never", &|hooks| {
            hooks[0]["matchConditions"] = json!([{"name": "never", "expression": "false"}]);
        }),
        (
            "match condition changed of training.datagate.dev was edited",
            &|hooks| {
                hooks[0]["matchConditions"][0]["expression"] = json!("false");
            },
        ),
    ];
    for (said, drift) in drifts {
        let mut hooks = original["webhooks"].clone();
        drift(&mut hooks);
        api.merge(&original, &json!({"webhooks": hooks})).admitted();
        let message = until("WebhookAltered");
        assert!(message.contains(said), "{said}: {message}");
        rig.wait("the metric tells", || {
            (rig.server.metric("datagate_registration_drift")? == 1.0).then_some(())
        });
        api.merge(&original, &json!({"webhooks": original["webhooks"]}))
            .admitted();
        until("Enforced");
        assert_eq!(rig.server.metric("datagate_registration_drift"), Some(0.0));
    }
    api.delete(&original, "Background");
    until("WebhookMissing");
    let text = rig.server.admin("/metrics").unwrap().1;
    assert!(
        text.contains("datagate_policies_not_ready{reason=\"WebhookMissing\"} 1\n"),
        "{text}"
    );
}
