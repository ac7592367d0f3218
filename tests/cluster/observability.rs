//! What watches datagate, and what it tells: the chart's objects for Prometheus and Grafana, and a server with everything on.

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpListener;
use std::sync::{Arc, Mutex};
use std::thread;

use datagate_env::{Options, free_port, stdout_of};
use serde_json::{Value, json};

use crate::rig::kubectl;
use crate::webhook::objects::{declare, job, policy};
use crate::webhook::{Api, RELEASE, Rig, SYSTEM, Server, control_plane, install, own_kubeconfig, repository};

/// A collector of traces that takes all.
fn collector() -> (u16, Arc<Mutex<Vec<Value>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let bodies = Arc::new(Mutex::new(Vec::new()));
    let taken = bodies.clone();
    thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let mut reader = BufReader::new(&stream);
            let mut length = 0;
            loop {
                let mut line = String::new();
                if reader.read_line(&mut line).unwrap_or(0) < 3 {
                    break;
                }
                if let Some(value) = line.to_lowercase().strip_prefix("content-length:") {
                    length = value.trim().parse().unwrap();
                }
            }
            let mut body = vec![0; length];
            if reader.read_exact(&mut body).is_ok() {
                taken.lock().unwrap().push(serde_json::from_slice(&body).unwrap());
            }
            let _ =
                (&stream).write_all(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\n{}");
        }
    });
    (port, bodies)
}

#[test]
fn the_charts_monitoring_is_accepted_and_finds_the_replicas() {
    let cluster = control_plane(&Options::default());
    let api = Api::new(&cluster);
    let crds = repository("tests/chart/crds");
    kubectl(&cluster, ["apply", "--server-side", "--filename", &crds]);
    kubectl(
        &cluster,
        [
            "wait",
            "--for=condition=Established",
            "--timeout=60s",
            "--filename",
            &crds,
        ],
    );
    let chart = repository("charts/datagate");
    let on = "metrics.serviceMonitor.enabled=true,metrics.prometheusRule.enabled=true,metrics.dashboard.enabled=true";
    let mut helm = cluster.helm([
        "install",
        RELEASE,
        &chart,
        "--namespace",
        SYSTEM,
        "--create-namespace",
        "--set",
        on,
    ]);
    helm.args(["--set", "metrics.prometheusRule.alertLabels.team=platform"]);
    helm.args([
        "--set",
        "metrics.prometheusRule.runbookUrl=https://wiki.example.com/datagate",
    ]);
    helm.args(["--set", "metrics.prometheusRule.disabled={DatagateTracesLost}"]);
    helm.args(["--set", "metrics.serviceMonitor.labels.release=prometheus"]);
    stdout_of(&mut helm).unwrap();

    let get = |path: &str, kind: &str, name: &str| {
        api.get_path(&format!("{path}/namespaces/{SYSTEM}/{kind}/{name}"))
            .admitted()
    };
    let monitoring = "/apis/monitoring.coreos.com/v1";
    let service = get("/api/v1", "services", "datagate-metrics");
    assert_eq!(service["spec"]["clusterIP"], "None");
    assert_eq!(service["spec"]["publishNotReadyAddresses"], true);
    let monitor = get(monitoring, "servicemonitors", RELEASE);
    assert_eq!(monitor["metadata"]["labels"]["release"], "prometheus");
    for (label, value) in monitor["spec"]["selector"]["matchLabels"].as_object().unwrap() {
        assert_eq!(&service["metadata"]["labels"][label], value, "{label}");
        // The other Service leads to the webhook's port, which has no metrics.
    }
    let other = get("/api/v1", "services", RELEASE);
    assert_eq!(
        other["metadata"]["labels"].get("app.kubernetes.io/component"),
        None
    );
    assert_eq!(
        monitor["spec"]["endpoints"],
        json!([{"port": service["spec"]["ports"][0]["name"], "path": "/metrics", "interval": "30s", "honorLabels": false}])
    );
    let deployment = get("/apis/apps/v1", "deployments", RELEASE);
    let template = &deployment["spec"]["template"];
    for (label, value) in service["spec"]["selector"].as_object().unwrap() {
        assert_eq!(&template["metadata"]["labels"][label], value, "{label}");
    }
    let ports = template["spec"]["containers"][0]["ports"].as_array().unwrap();
    assert!(
        ports
            .iter()
            .any(|it| it["name"] == service["spec"]["ports"][0]["targetPort"])
    );

    let rule = get(monitoring, "prometheusrules", RELEASE);
    let rules = rule["spec"]["groups"][0]["rules"].as_array().unwrap();
    let written = fs::read_to_string(repository("charts/datagate/files/rules.yaml")).unwrap();
    let written: Vec<Value> = serde_saphyr::from_str(&written).unwrap();
    let expected: Vec<Value> = written
        .iter()
        .filter(|it| it["alert"] != "DatagateTracesLost")
        .map(|it| {
            let name = it["alert"].as_str().unwrap();
            json!({
                "alert": name, "expr": it["expr"], "for": it["for"],
                "labels": {"severity": it["severity"], "team": "platform"},
                "annotations": {
                    "summary": it["summary"], "description": it["description"],
                    "runbook_url": format!("https://wiki.example.com/datagate#{}", name.to_lowercase()),
                },
            })
        })
        .collect();
    assert_eq!(rules, &expected);

    let dashboard = get("/api/v1", "configmaps", "datagate-dashboard");
    assert_eq!(dashboard["metadata"]["labels"]["grafana_dashboard"], "1");
    let shown: Value = serde_json::from_str(dashboard["data"]["datagate.json"].as_str().unwrap()).unwrap();
    let file = fs::read_to_string(repository("charts/datagate/files/dashboard.json")).unwrap();
    assert_eq!(shown, serde_json::from_str::<Value>(&file).unwrap());

    let refused = cluster
        .helm(["template", RELEASE, &chart, "--set", on])
        .args(["--set", "metrics.prometheusRule.disabled={DatagateNoSuch}"])
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(!refused.status.success());
    assert!(
        text.contains("there is no alert DatagateNoSuch; files/rules.yaml lists them"),
        "{text}"
    );
}

#[test]
fn a_server_with_everything_on_tells_all_of_it_and_names_nobody() {
    let (collector, bodies) = collector();
    let cluster = control_plane(&Options::default());
    let (port, admin) = (free_port().unwrap(), free_port().unwrap());
    install(&cluster, port, &[]);
    let key = cluster.dir().join("key");
    fs::write(&key, "0123456789abcdef0123456789abcdef").unwrap();
    let flags = [
        format!("--pseudonymise-key={}", key.display()),
        format!("--otlp-endpoint=http://127.0.0.1:{collector}"),
        "--trace-ratio=1".to_owned(),
    ];
    let server = Server::start_with(&cluster, &own_kubeconfig(&cluster), port, admin, &flags);
    let api = Api::new(&cluster);
    let rig = Rig { server, api, cluster };
    rig.server.ready();
    rig.cluster.create_namespace("zoe-private").unwrap();
    rig.api.create(&policy("strict", "zoe-private")).admitted();
    let mut job = declare(job("zoe-private", "zoe-train"), "x");
    job["metadata"]["annotations"] = json!({});
    rig.wait("the policy is enforced", || {
        (rig.api.dry_run(&job).code == 422).then_some(())
    });

    let line = rig.wait("a line", || rig.server.decisions().into_iter().last());
    assert_eq!(
        (&line["decision"], &line["pseudonymKey"]),
        (&json!("Denied"), &json!("a8566335"))
    );
    let text = line.to_string();
    assert!(
        !text.contains("zoe") && text.contains("\"name\":\"hmac:"),
        "{text}"
    );
    for key in [
        &line["user"],
        &line["object"]["name"],
        &line["object"]["namespace"],
    ] {
        assert_eq!(key.as_str().unwrap().len(), "hmac:".len() + 32, "{line}");
    }

    let span = rig.wait("a span of the refusal", || {
        let bodies = bodies.lock().unwrap();
        let spans = bodies.iter().flat_map(|body| {
            let spans = &body["resourceSpans"][0]["scopeSpans"][0]["spans"];
            spans.as_array().unwrap().clone()
        });
        let denied = json!({"key": "datagate.decision", "value": {"stringValue": "Denied"}});
        spans
            .into_iter()
            .find(|it| it["attributes"].as_array().unwrap().contains(&denied))
    });
    let reasons = json!({"key": "datagate.reasons", "value": {"arrayValue": {"values": [{"stringValue": "DataUndeclared"}]}}});
    assert!(
        span["attributes"].as_array().unwrap().contains(&reasons),
        "{span:#}"
    );
    let all = format!("{:?}", bodies.lock().unwrap());
    assert!(!all.contains("zoe") && !all.contains("strict"), "{all}");

    let (code, page) = rig.server.admin("/debug").unwrap();
    assert_eq!(code, 200, "{page}");
    assert!(!page.contains("zoe"), "{page}");
    let page: Value = serde_json::from_str(&page).unwrap();
    assert_eq!((&page["ready"], &page["mode"]), (&json!(true), &json!("Enforce")));
    let shown = &page["index"]["items"][0];
    assert_eq!(
        (&shown["name"], &shown["governedNamespaces"]),
        (&json!("strict"), &json!(1))
    );
    assert_eq!(shown["inForce"]["generation"], 1);
    for watch in page["watches"].as_array().unwrap() {
        assert!(
            watch["synced"] == true && watch["ageSeconds"].as_f64().unwrap() < 120.0,
            "{watch}"
        );
    }

    let (_, metrics) = rig.server.admin("/metrics").unwrap();
    let documented = fs::read_to_string(repository("docs/metrics.md")).unwrap();
    let series: BTreeSet<_> = metrics
        .lines()
        .filter(|line| !line.starts_with('#'))
        .filter_map(|line| line.split(['{', ' ']).next())
        .map(|name| {
            ["_bucket", "_sum", "_count"]
                .iter()
                .find_map(|it| name.strip_suffix(it))
                .unwrap_or(name)
        })
        .collect();
    let missing: Vec<_> = series
        .iter()
        .filter(|it| !documented.contains(&format!("| `{it}` |")))
        .collect();
    assert_eq!(missing, Vec::<&&str>::new(), "not in docs/metrics.md");
    assert!(metrics.contains("\ndatagate_ready 1\n"), "{metrics}");
    let about = metrics
        .lines()
        .filter(|it| it.contains("zoe") || it.contains("strict"));
    assert_eq!(about.collect::<Vec<_>>(), Vec::<&str>::new());

    rig.server.terminate();
    assert!(rig.server.end().success(), "{}", rig.server.log());
}
