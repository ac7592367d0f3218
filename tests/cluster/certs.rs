//! A CA that datagate manages for itself, shared by three replicas that run with the rights that are written down and no
//! others. Each of them is an entry of the webhook configuration, so that each request asks all three.
//!
//! The tests change what all of it rests on, so they have a cluster of their own and take turns in it.

mod clients;
mod life;
mod probe;

use std::collections::BTreeSet;
use std::fs;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread::{self, JoinHandle};

use datagate_env::{ControlPlane, Options, free_port, stdout_of, wait_until};
use serde_json::{Value, json};

use self::probe::{Shown, show};
use crate::webhook::objects::{FINE, PAUSED, REGION_PAUSED, declare, job, policy, record};
use crate::webhook::team::MARKER;
use crate::webhook::{Api, RELEASE, SOON, SYSTEM, Server, control_plane, own_kubeconfig, repository};

const TEAM: &str = "team";

const SECRET: &str = "datagate-ca";

/// Seconds for which a CA must be trusted to be used, and for which one that was used is kept.
const TIMES: [&str; 2] = ["--ca-settle=2", "--ca-keep=5"];

/// What the contract says the server needs for a CA of its own, besides what it always needs.
const RIGHTS: &str = r#"
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: own-ca}
rules:
  - apiGroups: [admissionregistration.k8s.io]
    resources: [validatingwebhookconfigurations]
    resourceNames: [datagate]
    verbs: [get, list, watch, patch]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: own-ca}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: own-ca}
subjects: [{kind: ServiceAccount, name: datagate, namespace: datagate-system}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: own-ca, namespace: datagate-system}
rules:
  - apiGroups: [""]
    resources: [secrets]
    verbs: [create]
  - apiGroups: [""]
    resources: [secrets]
    resourceNames: [datagate-ca]
    verbs: [get, list, watch, update]
  - apiGroups: [apps]
    resources: [deployments]
    resourceNames: [datagate]
    verbs: [get]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: own-ca, namespace: datagate-system}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: own-ca}
subjects: [{kind: ServiceAccount, name: datagate, namespace: datagate-system}]
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: datagate, namespace: datagate-system}
spec:
  replicas: 0
  selector: {matchLabels: {app: datagate}}
  template:
    metadata: {labels: {app: datagate}}
    spec: {containers: [{name: datagate, image: registry.example.com/datagate:1}]}
"#;

struct Replicas {
    servers: Vec<Server>,
    ports: Vec<u16>,
    api: Api,
    cluster: ControlPlane,
}

/// The three replicas, for one test at a time.
fn take() -> (&'static Replicas, MutexGuard<'static, ()>) {
    static REPLICAS: OnceLock<Replicas> = OnceLock::new();
    static TURN: Mutex<()> = Mutex::new(());
    let turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let replicas = REPLICAS.get_or_init(Replicas::start);
    replicas.ready();
    (replicas, turn)
}

fn configuration(name: &str, ports: &[u16]) -> Value {
    let entry = |port: &u16| {
        json!({
            "name": format!("r{port}.datagate.dev"),
            "clientConfig": {"url": format!("https://127.0.0.1:{port}/validate")},
            "rules": [{"apiGroups": ["batch"], "apiVersions": ["*"], "resources": ["jobs"], "operations": ["CREATE"]}],
            "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": TEAM}},
            "sideEffects": "None",
            "admissionReviewVersions": ["v1"],
            "timeoutSeconds": 5,
            "failurePolicy": "Fail",
        })
    };
    json!({
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "ValidatingWebhookConfiguration",
        "metadata": {"name": name},
        "webhooks": ports.iter().map(entry).collect::<Vec<_>>(),
    })
}

fn secret() -> Value {
    json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": SECRET, "namespace": SYSTEM}})
}

/// The namespace, the account and the rights, as the chart and the contract have them.
fn prepare(cluster: &ControlPlane) {
    cluster.create_namespace(SYSTEM).unwrap();
    cluster.create_namespace(TEAM).unwrap();
    let rbac = ["template", RELEASE, &repository("charts/datagate")];
    let mut helm = cluster.helm(rbac);
    helm.args(["--namespace", SYSTEM, "--show-only", "templates/rbac.yaml"]);
    helm.args(["--set", "webhook.url=https://127.0.0.1:1/validate"]);
    let ca = cluster.dir().join("ca.crt");
    fs::write(&ca, cluster.ca_pem()).unwrap();
    helm.args(["--set-file", &format!("webhook.caBundle={}", ca.display())]);
    let rbac = stdout_of(&mut helm).unwrap();
    crate::rig::install_crds(cluster);
    crate::rig::apply(cluster, &rbac);
    crate::rig::apply(cluster, RIGHTS);
}

impl Replicas {
    fn start() -> Self {
        let cluster = control_plane(&Options {
            controller_manager: false,
            ..Options::default()
        });
        prepare(&cluster);
        let api = Api::new(&cluster);
        for object in [
            record(MARKER, &["AQ"]),
            record(PAUSED, &["DE"]),
            record(FINE, &["US"]),
        ] {
            assert!(api.apply(&object).code < 300);
        }
        api.apply(&policy(TEAM, TEAM)).admitted();
        let ports: Vec<u16> = (0..3).map(|_| free_port().unwrap()).collect();
        api.create(&configuration(RELEASE, &ports)).admitted();
        // Theirs looks alike and is nobody's business.
        let mut another = configuration("another", &[1]);
        another["webhooks"][0]["namespaceSelector"]["matchLabels"] = json!({"no": "namespace"});
        api.create(&another).admitted();
        let kubeconfig = own_kubeconfig(&cluster);
        let mut flags: Vec<String> = vec![
            format!("--ca-secret={SECRET}"),
            "--serving-name=127.0.0.1".to_owned(),
            format!("--owner-deployment={RELEASE}"),
        ];
        flags.extend(TIMES.map(str::to_owned));
        let start =
            |port: &u16| Server::start_certified(&cluster, &kubeconfig, *port, free_port().unwrap(), &flags);
        let servers = ports.iter().map(start).collect();
        let replicas = Self {
            servers,
            ports,
            api,
            cluster,
        };
        replicas.ready();
        // Made once, by one of the three; the others read it.
        let logs = replicas
            .servers
            .iter()
            .map(|it| fs::read_to_string(it.dir.join("log")).unwrap());
        let made: Vec<usize> = logs.map(|it| it.matches("made a CA").count()).collect();
        assert_eq!(made.iter().sum::<usize>(), 1, "{made:?}");
        replicas
    }

    fn ready(&self) {
        for server in &self.servers {
            server.ready();
        }
    }

    #[track_caller]
    fn wait<T>(&self, what: &str, mut look: impl FnMut() -> Result<T, String>) -> T {
        wait_until(what, SOON, &mut look).unwrap_or_else(|error| {
            let logs: Vec<String> = self.servers.iter().map(Server::log).collect();
            panic!("{error}\n{}", logs.join("\n--- datagate\n"))
        })
    }

    fn secret(&self) -> Value {
        self.api.get(&secret()).admitted()
    }

    /// The text of a key of the Secret.
    fn pem(&self, key: &str) -> Option<String> {
        probe::decode(self.api.get(&secret()).body["data"].get(key)?)
    }

    fn annotate(&self, key: &str, value: &str) {
        let patch = json!({"metadata": {"annotations": {format!("datagate.dev/{key}"): value}}});
        self.api.merge(&secret(), &patch).admitted();
    }

    /// The bundles of our configuration, without repetition.
    fn bundles(&self) -> BTreeSet<String> {
        let live = self.api.get(&configuration(RELEASE, &[])).body;
        let entries = live["webhooks"].as_array().cloned().unwrap_or_default();
        let bundle = |entry: &Value| probe::decode(&entry["clientConfig"]["caBundle"]).unwrap_or_default();
        entries.iter().map(bundle).collect()
    }

    /// What each replica shows to who trusts the live bundle.
    fn shown(&self) -> Vec<Result<Shown, String>> {
        let bundle = self.bundles().into_iter().next().unwrap_or_default();
        self.ports.iter().map(|port| show(*port, &bundle)).collect()
    }

    fn serials(&self) -> Vec<String> {
        self.shown().into_iter().map(|it| it.unwrap().serial).collect()
    }

    /// Waits until all three serve by this CA, and every entry names these and no others.
    #[track_caller]
    fn settled(&self, signer: &str, bundle: &str) {
        self.wait("all replicas serve by the CA", || {
            let (shown, bundles) = (self.shown(), self.bundles());
            let alone = self.ports.iter().all(|port| show(*port, signer).is_ok());
            let expected: BTreeSet<String> = [bundle.to_owned()].into();
            (alone && bundles == expected)
                .then_some(())
                .ok_or_else(|| format!("{shown:?} {bundles:?}"))
        });
        self.ready();
    }

    /// What is paused is refused, and so all three were asked, or at least one: what is not is admitted by all.
    #[track_caller]
    fn decides(&self) {
        let refused = || {
            let answer = self.api.dry_run(&declare(job(TEAM, "x"), PAUSED));
            (answer.code == 422)
                .then_some(answer.clone())
                .ok_or_else(|| answer.text())
        };
        self.wait("a paused job is refused", refused)
            .refused(422, &[REGION_PAUSED]);
        self.api.dry_run(&declare(job(TEAM, "x"), FINE)).admitted();
    }

    fn metric(&self, server: usize, name: &str) -> i64 {
        let text = self.servers[server].admin("/metrics").unwrap().1;
        let value = text.lines().find_map(|it| it.strip_prefix(&format!("{name} ")));
        value.map_or(-1, |it| it.parse().unwrap())
    }
}

/// Requests, and handshakes as of an API server that has no connection yet, until it is told to stop.
struct Load {
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<(usize, Vec<String>)>>,
}

impl Load {
    fn start(replicas: &'static Replicas) -> Self {
        let stop = Arc::<AtomicBool>::default();
        let mut threads = Vec::new();
        for _ in 0..2 {
            let stop = stop.clone();
            threads.push(thread::spawn(move || {
                let (mut count, mut wrong) = (0, Vec::new());
                while !stop.load(Ordering::Relaxed) {
                    let (dataset, code) = if count % 2 == 0 {
                        (FINE, 201)
                    } else {
                        (PAUSED, 422)
                    };
                    let answer = replicas.api.dry_run(&declare(job(TEAM, "x"), dataset));
                    if answer.code != code {
                        wrong.push(answer.text());
                    }
                    count += 1;
                }
                (count, wrong)
            }));
        }
        let told = stop.clone();
        threads.push(thread::spawn(move || {
            let (mut count, mut wrong) = (0, Vec::new());
            while !told.load(Ordering::Relaxed) {
                // Read first: whoever connects trusts what was there a moment ago.
                wrong.extend(replicas.shown().into_iter().filter_map(Result::err));
                count += 1;
            }
            (count, wrong)
        }));
        Self { stop, threads }
    }

    /// Stops; nothing may have failed. Gives the number of requests.
    #[track_caller]
    fn end(self) -> usize {
        self.stop.store(true, Ordering::Relaxed);
        let mut sum = 0;
        for thread in self.threads {
            let (count, wrong) = thread.join().unwrap();
            assert_eq!(wrong, Vec::<String>::new(), "{} of {count}", wrong.len());
            assert!(count > 2, "{count}");
            sum += count;
        }
        sum
    }
}

#[test]
fn replicas_that_start_at_once_share_one_ca_and_write_only_their_own_configuration() {
    let (replicas, _turn) = take();
    let secret = replicas.secret();
    assert_eq!(secret["type"], "Opaque");
    let labels = json!({"app.kubernetes.io/name": "datagate", "app.kubernetes.io/managed-by": "datagate"});
    assert_eq!(secret["metadata"]["labels"], labels);
    let deployment = json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": RELEASE, "namespace": SYSTEM}});
    let uid = &replicas.api.get(&deployment).admitted()["metadata"]["uid"];
    let owner = &secret["metadata"]["ownerReferences"][0];
    assert_eq!((&owner["kind"], &owner["uid"]), (&json!("Deployment"), uid));

    let ca = replicas.pem("ca.crt").unwrap();
    let serials: BTreeSet<String> = replicas.serials().into_iter().collect();
    assert_eq!(serials.len(), 3, "each has a certificate of its own");
    assert!(replicas.bundles().iter().all(|it| it.contains(&ca)));
    for server in &replicas.servers {
        let (code, text) = server.readyz().unwrap();
        let trusted = "[+] trust: what is served verifies against the live caBundle";
        assert!(code == 200 && text.contains(trusted), "{text}");
    }
    assert_eq!(replicas.metric(0, "datagate_certificate_trusted"), 1);
    assert!(replicas.metric(0, "datagate_ca_not_after_timestamp_seconds") > 1_700_000_000);
    replicas.decides();

    let live = replicas.api.get(&configuration(RELEASE, &[])).admitted();
    let fields = live["metadata"]["managedFields"].as_array().unwrap();
    let ours = fields.iter().find(|it| it["manager"] == "datagate-ca").unwrap();
    let owned = &ours["fieldsV1"]["f:webhooks"];
    let owned = owned.as_object().unwrap();
    assert_eq!(owned.len(), 3, "{ours:#}");
    for entry in owned.values() {
        let expected = json!({"f:clientConfig": {"f:caBundle": {}}});
        assert_eq!(*entry, expected, "{ours:#}");
    }
    let another = replicas.api.get(&configuration("another", &[])).admitted();
    assert_eq!(another["metadata"]["generation"], 1);
    assert_eq!(another["webhooks"][0]["clientConfig"].get("caBundle"), None);
}

#[test]
fn certificates_are_renewed_without_a_failed_request() {
    let (replicas, _turn) = take();
    let load = Load::start(replicas);
    let writes: i64 = (0..3)
        .map(|i| replicas.metric(i, "datagate_ca_bundle_writes_total"))
        .sum();
    for round in 0..5 {
        let before = replicas.serials();
        replicas.annotate("renew-leaf", &format!("round {round}"));
        replicas.wait("each replica has another certificate", || {
            let now = replicas.serials();
            let changed = before.iter().zip(&now).all(|(before, now)| before != now);
            changed.then_some(()).ok_or_else(|| format!("{before:?} {now:?}"))
        });
    }
    let count = load.end();
    let after: i64 = (0..3)
        .map(|i| replicas.metric(i, "datagate_ca_bundle_writes_total"))
        .sum();
    assert_eq!(writes, after, "the CA is the same, so there was nothing to write");
    println!("5 renewals of 3 certificates, {count} requests and rounds of handshakes, 0 failed");
}

#[test]
fn the_ca_is_rotated_without_a_failed_request() {
    let (replicas, _turn) = take();
    let load = Load::start(replicas);
    for round in 0..3 {
        let before = replicas.pem("ca.crt").unwrap();
        replicas.annotate("rotate-ca", &format!("round {round}"));
        let after = replicas.wait("the next CA signs", || {
            let now = replicas.pem("ca.crt").unwrap();
            (now != before).then_some(now).ok_or_else(|| "not yet".to_owned())
        });
        assert!(
            replicas
                .bundles()
                .iter()
                .all(|it| it.contains(&after) && it.contains(&before)),
            "both are trusted while certificates of both are served"
        );
        replicas.settled(&after, &after);
        assert_eq!(replicas.pem("previous.crt"), None);
    }
    let count = load.end();
    let rotations: i64 = (0..3)
        .map(|i| replicas.metric(i, "datagate_ca_rotations_total"))
        .sum();
    assert!(rotations >= 3, "{rotations}");
    println!("3 rotations, {count} requests and rounds of handshakes, 0 failed");
    replicas.decides();
}

#[test]
fn a_bundle_that_was_wiped_is_written_again() {
    let (replicas, _turn) = take();
    let wipe = json!([{"op": "remove", "path": "/webhooks/1/clientConfig/caBundle"}]);
    replicas
        .api
        .json_patch(&configuration(RELEASE, &[]), &wipe)
        .admitted();
    let ca = replicas.pem("ca.crt").unwrap();
    replicas.wait("the bundle is back", || {
        let bundles = replicas.bundles();
        (bundles.len() == 1 && bundles.iter().all(|it| it.contains(&ca)))
            .then_some(())
            .ok_or_else(|| format!("{bundles:?}"))
    });
    replicas.ready();
    replicas.decides();
}

#[test]
fn a_configuration_that_was_deleted_and_made_again_gets_its_bundle() {
    let (replicas, _turn) = take();
    let empty = configuration(RELEASE, &[]);
    assert_eq!(replicas.api.delete(&empty, "Background").code, 200);
    replicas.wait("readiness says that nobody asks", || {
        let text = replicas.servers[0].readyz().unwrap().1;
        let told = text.contains("[+] trust: there is no webhook configuration");
        told.then_some(()).ok_or(text)
    });
    assert_eq!(
        replicas.metric(0, "datagate_certificate_trusted"),
        -1,
        "nothing to compare"
    );
    replicas.ready();
    replicas
        .api
        .create(&configuration(RELEASE, &replicas.ports))
        .admitted();
    replicas.decides();
    replicas.ready();
    assert!(!replicas.bundles().contains(""));
}

#[test]
fn a_secret_that_was_deleted_is_made_anew_without_a_failed_request() {
    let (replicas, _turn) = take();
    let before = replicas.pem("ca.crt").unwrap();
    let load = Load::start(replicas);
    assert_eq!(replicas.api.delete(&secret(), "Background").code, 200);
    let after = replicas.wait("there is another", || {
        replicas
            .pem("ca.crt")
            .filter(|it| *it != before)
            .ok_or_else(|| "not yet".to_owned())
    });
    assert_eq!(
        replicas.pem("previous.crt"),
        Some(before),
        "what is served stays trusted"
    );
    replicas.settled(&after, &after);
    load.end();
    replicas.decides();
}

#[test]
fn a_secret_that_is_broken_is_not_overwritten_and_the_last_certificate_is_served() {
    let (replicas, _turn) = take();
    let served = replicas.serials();
    let patch = json!({"data": {"ca.key": "bm9uc2Vuc2U="}});
    let broken = replicas.api.merge(&secret(), &patch).admitted();
    for server in &replicas.servers {
        replicas.wait("readiness says what to do", || {
            let (code, text) = server.readyz().unwrap();
            let told = text
                .contains("the Secret datagate-system/datagate-ca cannot be used: ca.crt: the key")
                && text.contains("Delete it: another is made");
            (code == 200 && told).then_some(()).ok_or(text)
        });
    }
    assert_eq!(replicas.serials(), served);
    replicas.decides();
    let version = |it: &Value| it["metadata"]["resourceVersion"].clone();
    assert_eq!(version(&replicas.secret()), version(&broken));

    // One that starts now has nothing to serve, and says so.
    let server = &replicas.servers[2];
    server.kill();
    server.start_again(&replicas.cluster);
    replicas.wait("a replica that starts says what to do", || {
        let (code, text) = server.readyz().map_err(|it| it.to_string())?;
        let told = text.contains("[-] certificate: the Secret datagate-system/datagate-ca cannot be used");
        (code == 503 && told).then_some(()).ok_or(text)
    });
    assert_eq!(replicas.api.delete(&secret(), "Background").code, 200);
    let after = replicas.wait("there is another", || {
        replicas.pem("ca.crt").ok_or_else(|| "not yet".to_owned())
    });
    replicas.settled(&after, &after);
    replicas.decides();
}

#[test]
fn a_replica_that_is_killed_comes_back_with_the_same_ca() {
    let (replicas, _turn) = take();
    let (ca, before) = (replicas.pem("ca.crt").unwrap(), replicas.serials());
    let server = &replicas.servers[1];
    server.kill();
    server.start_again(&replicas.cluster);
    server.ready();
    let after = replicas.serials();
    assert_eq!((&before[0], &before[2]), (&after[0], &after[2]));
    assert_ne!(before[1], after[1], "a certificate is in no file");
    assert_eq!(replicas.pem("ca.crt").unwrap(), ca);
    replicas.decides();
}
