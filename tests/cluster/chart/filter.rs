//! Which requests reach the webhook: `tests/chart/filter.yaml`, with a webhook at which nobody answers.

use std::fs;
use std::sync::Mutex;
use std::thread;

use datagate_env::{Options, free_port, stdout_of};
use serde_json::{Value, json};

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
        object["metadata"]["namespace"] = json!(namespace);
        object
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

fn run(api: &Api, case: &Case) -> Answer {
    if let Some(object) = &case.object {
        return api.create(object);
    }
    let old = case.old.as_ref().unwrap();
    if case.row["delete"] == true {
        return api.delete(old, "Background");
    }
    match case.row["subresource"].as_str() {
        // Scale is no kind for a strategic merge.
        Some("scale") => api.merge_sub(old, "scale", &case.row["patch"]),
        Some(subresource) => api.patch_sub(old, subresource, &case.row["patch"]),
        None => api.strategic(old, &case.row["patch"]),
    }
}

#[test]
fn the_table_of_requests() {
    let options = Options {
        controller_manager: false,
        ..Options::default()
    };
    let cluster = control_plane(&options);
    let api = Api::new(&cluster);
    let text = fs::read_to_string(repository("tests/chart/filter.yaml")).unwrap();
    let table: Value = serde_saphyr::from_str(&text).unwrap();
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
