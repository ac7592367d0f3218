//! Which requests reach the webhook: `tests/chart/filter.yaml`, with a webhook at which nobody answers.

use std::collections::BTreeSet;
use std::fs;
use std::sync::Mutex;
use std::thread;

use datagate_core::workload::{Info, KnownKind};
use datagate_env::{Options, free_port, stdout_of};
use serde_json::{Value, json};

use crate::fixture::{self, placed, with_meta};
use crate::rig::install_third_party;
use crate::webhook::objects::{declare, job, pod};
use crate::webhook::{Answer, Api, control_plane, install, repository};

/// One row of the table.
struct Case {
    name: String,
    called: bool,
    object: Option<Value>,
    old: Option<Value>,
    row: Value,
}

fn cases(table: &Value) -> Vec<Case> {
    let rows = table["cases"].as_array().unwrap().iter().zip(0..);
    let place = |object: &Value, namespace: &str, i: usize| {
        let mut object = object.clone();
        object["metadata"]["name"] = json!(format!("case-{i}"));
        placed(&object, namespace)
    };
    rows.map(|(row, i)| {
        let namespace = row["namespace"].as_str().unwrap_or("team");
        Case {
            name: row["name"].as_str().unwrap().to_owned(),
            called: row["called"].as_bool().unwrap(),
            object: row.get("object").map(|object| place(object, namespace, i)),
            old: row.get("old").map(|old| place(old, namespace, i)),
            row: row.clone(),
        }
    })
    .collect()
}

/// What is the same for every kind of other projects: the object of its fixture is created, changed and cleaned up.
fn of_fixtures() -> Vec<Value> {
    let mut rows = Vec::new();
    for fixture in fixture::all().into_iter().filter_map(|(_, it)| it.ok()) {
        let info = fixture.kind().unwrap().info();
        if info.is_core() {
            continue;
        }
        let mut row = |what: &str, called: bool, more: Value| {
            let mut row = json!({"name": format!("{}, {what}", fixture.name), "called": called});
            row.as_object_mut()
                .unwrap()
                .extend(more.as_object().unwrap().clone());
            rows.push(row);
        };
        let object = &fixture.object;
        let held = with_meta(object.clone(), "finalizers", json!(["example.com/hold"]));
        let patch = |patch: Value| json!({"old": object, "patch": patch});
        row("created", true, json!({"object": object}));
        row("deleted", false, json!({"old": held, "delete": true}));
        let removed = json!({"metadata": {"finalizers": null}});
        row("finalizer removed", false, json!({"old": held, "patch": removed}));
        row(
            "owner added",
            false,
            patch(json!({"metadata": {"ownerReferences": [
                {"apiVersion": "example.com/v1", "kind": "Team", "name": "a", "uid": "7c1e0f3a-0000-4000-8000-000000000000"},
            ]}})),
        );
        row(
            "nothing changed",
            false,
            patch(json!({"metadata": {"annotations": object["metadata"]["annotations"]}})),
        );
        row(
            "data changed",
            true,
            patch(json!({"metadata": {"annotations": {"datagate.dev/datasets": "other"}}})),
        );
        row(
            "label added",
            true,
            patch(json!({"metadata": {"labels": {"team": "a"}}})),
        );
        let status = json!({"status": {"conditions": [{"type": "Succeeded", "status": "True"}]}});
        if info.status && !has_status(object) {
            // Nobody writes one, and nothing reads it.
            row("status", false, patch(status));
        } else if info.status {
            row(
                "status",
                false,
                json!({"old": object, "patch": status, "subresource": "status"}),
            );
        } else {
            row("status by a person", true, patch(status.clone()));
            for account in controllers(info) {
                let update = json!({"old": object, "patch": status, "as": account});
                row(&format!("status by {account}"), false, update);
            }
        }
    }
    rows
}

/// Whether the stand-in of a kind has a status subresource, as the real one.
fn has_status(object: &Value) -> bool {
    let (group, version) = fixture::group_version(object);
    let text = fs::read_to_string(repository(&format!("tests/crds/{group}.yaml"))).unwrap();
    let crds = serde_saphyr::from_multiple::<Value>(&text).unwrap();
    let of = crds
        .iter()
        .filter(|it| it["spec"]["names"]["kind"] == object["kind"]);
    let mut versions = of.flat_map(|it| it["spec"]["versions"].as_array().unwrap());
    versions.any(|it| it["name"] == *version && it["subresources"]["status"].is_object())
}

/// The accounts that make the children of a kind.
fn controllers(info: &Info) -> BTreeSet<String> {
    let edges = KnownKind::ALL.iter().flat_map(|kind| kind.creators());
    edges
        .filter(|edge| (edge.group, edge.kind) == (info.group, info.kind))
        .flat_map(|edge| edge.accounts)
        .map(|account| format!("system:serviceaccount:{account}"))
        .collect()
}

fn run(api: &Api, case: &Case) -> Answer {
    let api = &match case.row["as"].as_str() {
        Some(user) => api.almighty(user),
        None => api.clone(),
    };
    if let Some(object) = &case.object {
        return api.create(object);
    }
    let old = case.old.as_ref().unwrap();
    if case.row["delete"] == true {
        return api.delete(old, "Background");
    }
    match case.row["subresource"].as_str() {
        // Scale is no kind for a strategic merge, nor is any kind of other projects.
        Some(subresource) if subresource == "scale" || is_custom(old) => {
            api.merge_sub(old, subresource, &case.row["patch"])
        }
        Some(subresource) => api.patch_sub(old, subresource, &case.row["patch"]),
        None if is_custom(old) => api.merge(old, &case.row["patch"]),
        None => api.strategic(old, &case.row["patch"]),
    }
}

fn is_custom(object: &Value) -> bool {
    let group = fixture::group_version(object).0;
    !matches!(group.as_str(), "" | "apps" | "batch")
}

#[test]
fn the_table_of_requests() {
    let options = Options {
        controller_manager: false,
        ..Options::default()
    };
    let cluster = control_plane(&options);
    install_third_party(&cluster);
    let api = Api::new(&cluster);
    let text = fs::read_to_string(repository("tests/chart/filter.yaml")).unwrap();
    let mut table: Value = serde_saphyr::from_str(&text).unwrap();
    table["cases"].as_array_mut().unwrap().extend(of_fixtures());
    let given = table["given"].as_array().unwrap();
    let list = json!({"apiVersion": "v1", "kind": "List", "items": given});
    let mut create = cluster.kubectl(["create", "--filename=-"]);
    stdout_of(cluster.with_input(&mut create, &list.to_string()).unwrap()).unwrap();
    cluster.create_namespace("gpu-operator").unwrap();
    let cases = cases(&table);
    assert!(cases.len() > 50, "the table is gone");
    for case in &cases {
        if let Some(old) = &case.old {
            let answer = api.create(old);
            assert_eq!(answer.code, 201, "{}: {answer:#?}", case.name);
        }
    }

    let excluded = "excludedNamespaces={datagate-system,gpu-operator}";
    install(&cluster, free_port().unwrap(), &["--set", excluded]);
    let marker = declare(job("team", "marker"), "any");
    let honoured = || (api.dry_run(&marker).code == 500).then_some(());
    cluster
        .wait_until("the webhook is honoured", crate::webhook::SOON, honoured)
        .unwrap();

    let todo = Mutex::new(cases.iter());
    let wrong = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                while let Some(case) = { todo.lock().unwrap().next() } {
                    let answer = run(&api, case);
                    let called = answer.code == 500 && answer.text().contains("failed calling webhook");
                    let fine = (200..300).contains(&answer.code);
                    if called != case.called || fine == case.called {
                        wrong.lock().unwrap().push(format!(
                            "{}: called {called}: {}",
                            case.name,
                            answer.text()
                        ));
                    }
                }
            });
        }
    });
    let wrong = wrong.into_inner().unwrap();
    assert!(
        wrong.is_empty(),
        "{} of {}:\n{}",
        wrong.len(),
        cases.len(),
        wrong.join("\n")
    );

    // Attack 16: what a GPU operator needs is left out by the name of its namespace.
    api.create(&pod("gpu-operator", "validator")).admitted();
}
