//! Combinations of values: any two choices of different things are tried together. Each combination renders, is accepted
//! by the API server as it stands, and keeps what the chart promises.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::sync::Mutex;
use std::thread;

use clap::Parser as _;
use datagate::cli::{self, Cli};
use datagate_env::{ControlPlane, Options, stdout_of};
use serde_json::{Value, json};

use crate::webhook::api::collection_in;
use crate::webhook::{Api, SYSTEM, control_plane, repository};

/// The things that can be chosen, each with its choices: a name and the values. Later ones win.
fn choices() -> Vec<(&'static str, Vec<Value>)> {
    let pem = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n";
    let digest = format!("sha256:{}", "0a".repeat(32));
    let subject = |kind: &str| json!({"kind": kind, "name": "someone"});
    let own = json!({"kind": "ServiceAccount", "name": "bot", "namespace": "ci"});
    vec![
        (
            "release",
            vec![
                json!("datagate"),
                json!("x"),
                json!("a-release-with-a-name-as-long-as-helm-permits-it-to-b"),
            ],
        ),
        ("mode", vec![json!({}), json!({"mode": "Observe"})]),
        (
            "certificate",
            vec![
                json!({}),
                json!({"certificate": {"mode": "CertManager"}}),
                json!({"certificate": {"mode": "CertManager", "certManager": {"issuerRef": {"name": "corp", "kind": "ClusterIssuer"}}}}),
                json!({"certificate": {"mode": "Secret", "existingSecret": "cert"}, "webhook": {"caBundle": pem}}),
                json!({"webhook": {"url": "https://datagate.example.com/validate"}}),
                json!({"webhook": {"url": "https://10.0.0.9:9443/validate", "caBundle": pem}}),
            ],
        ),
        (
            "excluded",
            vec![
                json!({}),
                json!({"excludedNamespaces": ["gpu-operator"]}),
                json!({"excludedNamespaces": ["kube-system", SYSTEM, "no", "off"]}),
            ],
        ),
        (
            "accelerators",
            vec![
                json!({}),
                json!({"accelerators": {"ignoredResources": [], "runtimeClasses": []}}),
                json!({"accelerators": {"ignoredResources": ["*.example.com/nic-*"], "runtimeClasses": ["gpu", "*-cdi"]}}),
            ],
        ),
        (
            "accounts",
            vec![
                json!({}),
                json!({
                    "controllerAccounts": [
                        "RayCluster.ray.io/Pod=system:serviceaccount:ml-infra:kuberay-operator",
                        "Workflow.argoproj.io/Pod=system:serviceaccount:flows:argo",
                    ],
                    "injectedImages": ["mirror.example.com/*/proxy@sha256:*"],
                }),
            ],
        ),
        (
            "clients",
            vec![
                json!({}),
                json!({"clientAuthentication": {"caConfigMap": "callers"}}),
                json!({"clientAuthentication": {"caConfigMap": "callers", "names": ["kube-apiserver", "no"]}}),
            ],
        ),
        ("stale", vec![json!({}), json!({"refuseWhenStaleFor": "10m"})]),
        (
            "network",
            vec![
                json!({}),
                json!({"networkPolicy": {"enabled": true}}),
                json!({"networkPolicy": {
                    "enabled": true,
                    "webhookCidrs": ["10.0.0.0/8", "fd00::/8"],
                    "adminFrom": [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "monitoring"}}}],
                    "apiServerCidrs": ["10.1.2.3/32"],
                    "apiServerPorts": [6443],
                    "extraEgress": [{"ports": [{"port": 8443}], "to": [{"podSelector": {}}]}],
                }}),
                json!({"hostNetwork": true}),
            ],
        ),
        (
            "guard",
            vec![
                json!({}),
                json!({"guard": {"enabled": true, "users": ["system:serviceaccount:argocd:argocd-application-controller"]}}),
                json!({"guard": {"enabled": true, "groups": ["system:masters", "oidc:platform"]}}),
            ],
        ),
        (
            "second layer",
            vec![
                json!({}),
                json!({"secondLayer": {"enabled": true}}),
                json!({"secondLayer": {"enabled": true, "validationActions": ["Warn", "Audit"], "namespaceSelector": {"matchLabels": {"team": "ml"}, "matchExpressions": [{"key": "stage", "operator": "In", "values": ["prod"]}]}}}),
            ],
        ),
        (
            "logs",
            vec![
                json!({}),
                json!({"logs": {"format": "Text"}}),
                json!({"logs": {"pseudonymiseKeySecret": "key"}, "drainDelaySeconds": 30}),
            ],
        ),
        (
            "tracing",
            vec![
                json!({}),
                json!({"tracing": {"otlpEndpoint": "http://collector.observability:4318", "ratio": 1}}),
                json!({"tracing": {"otlpEndpoint": "https://traces.example.com/v1"}}),
            ],
        ),
        (
            "crds",
            vec![
                json!({"crds": {"install": false}}),
                json!({"crds": {"install": true}}),
            ],
        ),
        (
            "account",
            vec![
                json!({}),
                json!({"serviceAccount": {"name": "gate", "annotations": {"example.com/role": "no"}}}),
                json!({"serviceAccount": {"create": false, "name": "theirs"}}),
            ],
        ),
        (
            "image",
            vec![
                json!({}),
                json!({"image": {"repository": "registry.example.com/datagate", "digest": digest}}),
                json!({"image": {"tag": "1.10", "pullPolicy": "Always"}, "imagePullSecrets": [{"name": "pull"}]}),
            ],
        ),
        (
            "pods",
            vec![
                json!({}),
                json!({"replicas": 1, "ports": {"webhook": 8443, "admin": 9090}}),
                json!({
                    "replicas": 5,
                    "priorityClassName": "system-cluster-critical",
                    "nodeSelector": {"pool": "no"},
                    "tolerations": [{"operator": "Exists"}],
                    "affinity": {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [{"topologyKey": "kubernetes.io/hostname", "labelSelector": {}}]}},
                    "resources": {"requests": {"cpu": "1"}, "limits": {"memory": "1Gi"}},
                }),
            ],
        ),
        (
            "labels",
            vec![
                json!({}),
                json!({
                    "commonLabels": {"region": "NO", "app.kubernetes.io/name": "other"},
                    "commonAnnotations": {"example.com/owner": "1e3"},
                    "podLabels": {"mesh": "off"},
                    "podAnnotations": {"sidecar.example.com/inject": "false"},
                    "serviceAnnotations": {"example.com/hint": "true"},
                }),
            ],
        ),
        (
            "metrics",
            vec![
                json!({}),
                json!({"metrics": {
                    "serviceMonitor": {"enabled": true, "labels": {"release": "no"}},
                    "prometheusRule": {"enabled": true, "alertLabels": {"team": "off"}, "runbookUrl": "https://example.com/runbooks"},
                    "dashboard": {"enabled": true, "annotations": {"folder": "1e3"}},
                }}),
            ],
        ),
        (
            "people",
            vec![
                json!({}),
                json!({"rbac": {"readers": [subject("Group"), own], "policyOwners": [subject("User")]}}),
            ],
        ),
    ]
}

/// Rows of choices in which any two choices of different things meet at least once.
fn rows(sizes: &[usize]) -> Vec<Vec<usize>> {
    let mut open = BTreeSet::new();
    for (i, a) in sizes.iter().enumerate() {
        for (j, b) in sizes.iter().enumerate().skip(i + 1) {
            open.extend((0..*a).flat_map(|x| (0..*b).map(move |y| (i, x, j, y))));
        }
    }
    // A linear congruence: the same rows on each run.
    let mut state: u64 = 5;
    let mut next = |below: usize| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize % below
    };
    let mut rows = vec![vec![0; sizes.len()]];
    while rows.len() < 200 || !open.is_empty() {
        let mut row: Vec<usize> = sizes.iter().map(|size| next(*size)).collect();
        if let Some((i, x, j, y)) = open.first().copied() {
            (row[i], row[j]) = (x, y);
        }
        open.retain(|(i, x, j, y)| row[*i] != *x || row[*j] != *y);
        rows.push(row);
    }
    rows
}

fn merge(into: &mut Value, from: &Value) {
    match (into, from) {
        (Value::Object(into), Value::Object(from)) => {
            for (key, value) in from {
                merge(into.entry(key.clone()).or_insert(Value::Null), value);
            }
        }
        (into, from) => *into = from.clone(),
    }
}

/// What comes of a combination.
struct Rendered {
    name: String,
    values: Value,
    objects: Vec<Value>,
}

fn render(cluster: &ControlPlane, row: &[usize]) -> Rendered {
    let choices = choices();
    let mut values = json!({});
    let mut name = Vec::new();
    for ((thing, of), choice) in choices.iter().zip(row) {
        if *choice > 0 {
            name.push(format!("{thing} {choice}"));
        }
        if of[*choice].is_object() {
            merge(&mut values, &of[*choice]);
        }
    }
    let release = choices[0].1[row[0]].as_str().unwrap();
    let name = name.join(", ");
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("values.yaml");
    fs::write(&file, values.to_string()).unwrap();
    let mut helm = cluster.helm(["template", release, &repository("charts/datagate")]);
    helm.args(["--namespace", SYSTEM, "--values"]).arg(&file);
    let text = stdout_of(&mut helm).unwrap_or_else(|error| panic!("{name}: {error}"));
    let objects =
        serde_saphyr::from_multiple::<Value>(&text).unwrap_or_else(|error| panic!("{name}: {error}"));
    let objects = objects.into_iter().filter(|it| !it.is_null()).collect();
    Rendered {
        name,
        values,
        objects,
    }
}

/// What the chart promises of every webhook configuration.
fn check_webhook(it: &Rendered, configuration: &Value) {
    let name = &it.name;
    let observe = it.values["mode"] == "Observe";
    let url = it.values["webhook"]["url"].is_string();
    let hooks = configuration["webhooks"].as_array().unwrap();
    assert_eq!(hooks.len(), 3, "{name}");
    for hook in hooks {
        assert_eq!(
            hook["failurePolicy"],
            if observe { "Ignore" } else { "Fail" },
            "{name}"
        );
        assert_eq!(hook["admissionReviewVersions"], json!(["v1"]), "{name}");
        assert_eq!(hook["sideEffects"], "None", "{name}");
        assert_eq!(hook["matchPolicy"], "Equivalent", "{name}");
        assert_eq!(hook.get("objectSelector"), None, "{name}");
        assert!(hook["timeoutSeconds"].as_u64().unwrap() <= 10, "{name}");
        let bundle = it.values["webhook"]["caBundle"].is_string();
        assert_eq!(hook["clientConfig"].get("caBundle").is_some(), bundle, "{name}");
        for rule in hook["rules"].as_array().unwrap() {
            for list in ["apiGroups", "resources"] {
                for item in rule[list].as_array().unwrap() {
                    assert!(!item.as_str().unwrap().contains('*'), "{name}: {rule}");
                }
            }
            assert_eq!(rule["operations"], json!(["CREATE", "UPDATE"]), "{name}");
        }
        let selector = &hook["namespaceSelector"]["matchExpressions"][0];
        assert_eq!(selector["key"], "kubernetes.io/metadata.name", "{name}");
        assert_eq!(selector["operator"], "NotIn", "{name}");
        let left_out: BTreeSet<&str> = selector["values"]
            .as_array()
            .unwrap()
            .iter()
            .map(|it| it.as_str().unwrap())
            .collect();
        let mut expected = BTreeSet::from(["kube-system"]);
        if !url {
            expected.insert(SYSTEM);
        }
        for namespace in it.values["excludedNamespaces"].as_array().into_iter().flatten() {
            expected.insert(namespace.as_str().unwrap());
        }
        assert_eq!(left_out, expected, "{name}");
    }
}

fn check_workload(it: &Rendered, template: &Value) {
    let name = &it.name;
    let spec = &template["spec"];
    assert_eq!(spec["securityContext"]["runAsNonRoot"], true, "{name}");
    assert_eq!(
        spec["securityContext"]["seccompProfile"]["type"], "RuntimeDefault",
        "{name}"
    );
    assert_eq!(spec.get("initContainers"), None, "{name}");
    for container in spec["containers"].as_array().unwrap() {
        assert!(!container["image"].as_str().unwrap().ends_with(':'), "{name}");
        let security = &container["securityContext"];
        assert_eq!(security["readOnlyRootFilesystem"], true, "{name}");
        assert_eq!(security["allowPrivilegeEscalation"], false, "{name}");
        assert_eq!(security["capabilities"], json!({"drop": ["ALL"]}), "{name}");
        assert!(container["resources"]["requests"].is_object(), "{name}");
        assert!(container["resources"]["limits"]["memory"].is_string(), "{name}");
    }
    for volume in spec["volumes"].as_array().into_iter().flatten() {
        assert_eq!(volume.get("hostPath"), None, "{name}");
    }
}

/// The program takes these arguments.
fn understood(name: &str, arguments: &[&str]) {
    let command = ["datagate"].iter().chain(arguments);
    match Cli::try_parse_from(command).map(|it| it.command) {
        Ok(cli::Command::Serve(serve)) => {
            serve.options().unwrap_or_else(|error| panic!("{name}: {error}"));
        }
        Ok(_) => {}
        Err(error) => panic!("{name}: {error}"),
    }
}

fn check(it: &Rendered) {
    let name = &it.name;
    let of = |kind: &str| {
        it.objects
            .iter()
            .filter(|object| object["kind"] == kind)
            .collect::<Vec<_>>()
    };
    let url = it.values["webhook"]["url"].is_string();
    check_webhook(it, of("ValidatingWebhookConfiguration")[0]);
    assert_eq!(of("Deployment").len(), usize::from(!url), "{name}");
    assert_eq!(
        of("CustomResourceDefinition").len(),
        if it.values["crds"]["install"] == true {
            2
        } else {
            0
        },
        "{name}"
    );
    assert!(of("Secret").is_empty(), "{name}: a CA out of a template");
    for pod in of("Pod") {
        check_workload(it, pod);
        let arguments = pod["spec"]["containers"][0]["args"].as_array().unwrap().iter();
        let arguments: Vec<&str> = arguments.map(|it| it.as_str().unwrap()).collect();
        understood(name, &arguments);
    }
    for deployment in of("Deployment") {
        let spec = &deployment["spec"];
        assert_eq!(spec["strategy"]["rollingUpdate"]["maxUnavailable"], 0, "{name}");
        check_workload(it, &spec["template"]);
        let labels = spec["template"]["metadata"]["labels"].as_object().unwrap();
        for (key, value) in spec["selector"]["matchLabels"].as_object().unwrap() {
            assert_eq!(labels.get(key), Some(value), "{name}");
        }
        let arguments: Vec<&str> = spec["template"]["spec"]["containers"][0]["args"]
            .as_array()
            .unwrap()
            .iter()
            .map(|it| it.as_str().unwrap())
            .collect();
        understood(name, &arguments);
        let has = |flag: &str| arguments.iter().any(|it| it.starts_with(flag));
        let own = !it.values["certificate"].is_object();
        for flag in ["--ca-secret=", "--serving-name=", "--owner-deployment="] {
            assert_eq!(has(flag), own, "{name}: {flag}");
        }
        for flag in ["--tls-cert=", "--tls-key="] {
            assert_eq!(has(flag), !own, "{name}: {flag}");
        }
        assert_eq!(has("--observe"), it.values["mode"] == "Observe", "{name}");
        assert_eq!(
            has("--client-ca="),
            it.values["clientAuthentication"].is_object(),
            "{name}"
        );
        assert_eq!(
            has("--refuse-when-stale-for="),
            it.values["refuseWhenStaleFor"].is_string(),
            "{name}"
        );
        let ports = &spec["template"]["spec"]["containers"][0]["ports"];
        assert!(
            has(&format!("--listen=0.0.0.0:{}", ports[0]["containerPort"])),
            "{name}"
        );
    }
    for object in &it.objects {
        if let Some(more) = it.values["commonLabels"]["region"].as_str() {
            assert_eq!(
                object["metadata"]["labels"]["region"], more,
                "{name}: {}",
                object["kind"]
            );
        }
        if it.values["commonAnnotations"].is_object() {
            let owner = &object["metadata"]["annotations"]["example.com/owner"];
            assert_eq!(owner, "1e3", "{name}: {}", object["kind"]);
        }
        if object["kind"] == "ClusterRole" || object["kind"] == "Role" {
            assert!(!object["rules"].to_string().contains('*'), "{name}");
        }
    }
}

/// What is to be asked of the API server: paths and bodies, each once, with the name of a combination it comes from.
type Requests = BTreeMap<(String, String), String>;

fn requests(it: &Rendered, into: &mut Requests) {
    let mut add = |namespace: Option<&str>, object: &Value| {
        let path = format!(
            "{}?dryRun=All&fieldValidation=Strict",
            collection_in(object, namespace)
        );
        into.entry((path, object.to_string()))
            .or_insert_with(|| it.name.clone());
    };
    for object in &it.objects {
        let mut object = object.clone();
        // The hook's namespace is not there in a dry run, and pods are to meet Pod Security.
        if object["kind"] == "Pod"
            || object["metadata"]["namespace"]
                .as_str()
                .is_some_and(|it| it != SYSTEM)
        {
            object["metadata"]["namespace"] = json!("restricted");
        }
        add(object["metadata"]["namespace"].as_str(), &object);
        if object["kind"] == "Deployment" {
            // As a ReplicaSet would make it. On the network of the node only where that is allowed.
            let template = &object["spec"]["template"];
            let host = template["spec"]["hostNetwork"] == true;
            let mut pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": template["metadata"], "spec": template["spec"]});
            pod["metadata"]["name"] = json!("pod");
            add(Some(if host { "open" } else { "restricted" }), &pod);
        }
    }
}

#[test]
fn every_combination_of_values_renders_and_is_accepted() {
    let options = Options {
        controller_manager: false,
        ..Options::default()
    };
    let cluster = control_plane(&options);
    let api = Api::new(&cluster);
    let stand_ins = fs::read_to_string(repository("tests/chart/crds.yaml")).unwrap();
    crate::rig::apply(&cluster, &stand_ins);
    for name in [
        "issuers.cert-manager.io",
        "certificates.cert-manager.io",
        "servicemonitors.monitoring.coreos.com",
        "prometheusrules.monitoring.coreos.com",
    ] {
        crate::rig::kubectl(
            &cluster,
            [
                "wait",
                "--for=condition=Established",
                "--timeout=60s",
                "crd",
                name,
            ],
        );
    }
    let restricted = json!({"pod-security.kubernetes.io/enforce": "restricted"});
    cluster.create_namespace(SYSTEM).unwrap();
    // Where the pods are tried, with the accounts that the real namespace would have.
    for (name, labels) in [("restricted", restricted), ("open", json!({}))] {
        let namespace =
            json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}});
        api.create(&namespace).admitted();
        for account in [
            "datagate",
            "x-datagate",
            "a-release-with-a-name-as-long-as-helm-per-datagate",
            "gate",
            "theirs",
        ] {
            let account = json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": account, "namespace": name}});
            api.create(&account).admitted();
        }
    }

    let sizes: Vec<usize> = choices().iter().map(|(_, of)| of.len()).collect();
    let rows = rows(&sizes);
    let todo = Mutex::new(rows.iter());
    let requests = Mutex::new(Requests::new());
    thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                while let Some(row) = { todo.lock().unwrap().next() } {
                    let it = render(&cluster, row);
                    check(&it);
                    self::requests(&it, &mut requests.lock().unwrap());
                }
            });
        }
    });
    let requests = requests.into_inner().unwrap();
    let todo = Mutex::new(requests.iter());
    let wrong = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                while let Some(((path, body), name)) = { todo.lock().unwrap().next() } {
                    let answer = api.post(path, &serde_json::from_str(body).unwrap());
                    if answer.code != 201 {
                        wrong
                            .lock()
                            .unwrap()
                            .push(format!("{name}: {path}: {}", answer.text()));
                    }
                }
            });
        }
    });
    let wrong = wrong.into_inner().unwrap();
    println!(
        "{} combinations, {} different objects",
        rows.len(),
        requests.len()
    );
    assert!(
        wrong.is_empty(),
        "{} of {}:\n{}",
        wrong.len(),
        requests.len(),
        wrong.join("\n")
    );
}

#[test]
fn the_rows_pair_everything() {
    let sizes = [2, 3, 4, 2];
    let rows = rows(&sizes);
    for (i, j) in [(0, 1), (1, 2), (0, 3), (2, 3)] {
        let met: BTreeSet<_> = rows.iter().map(|row| (row[i], row[j])).collect();
        assert_eq!(met.len(), sizes[i] * sizes[j]);
    }
    assert_eq!(rows[0], [0, 0, 0, 0], "the defaults stand first");
}
