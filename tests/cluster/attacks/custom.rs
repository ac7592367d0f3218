//! The kinds of other projects, by every verb: whatever a fixture of `tests/kinds/` says is refused.

use std::sync::Mutex;
use std::thread;

use serde_json::{Value, json};

use crate::fixture::{self, Fixture, PERSON, group_version, is_cluster_scoped, is_elsewhere, paused, placed};
use crate::kinds::{self, kinds, make_namespace, policy};
use crate::webhook::Answer;
use crate::webhook::team::enforce;

/// Something that is refused: what it is called, the object, and all findings.
type Violation = (String, Value, Vec<String>);

/// Fixtures of kinds that have a namespace and are no kind of Kubernetes itself.
fn custom() -> Vec<Fixture> {
    let all = fixture::all().into_iter().filter_map(|(_, it)| it.ok());
    all.filter(|it| !it.kind().unwrap().info().is_core() && !is_cluster_scoped(&it.object))
        .collect()
}

/// Paused data, and no filter.
fn violations(fixture: &Fixture, object: &Value) -> Vec<Violation> {
    let mut all = Vec::new();
    if paused(object) != *object && fixture.cluster.iter().all(|it| paused(it) == *it) {
        all.push(("paused".to_owned(), paused(object), fixture.region_paused()));
    }
    let mut variants = fixture.variants.iter().filter(|it| {
        let alone = it.cluster.is_empty() && it.policy.is_none_or(|policy| policy == fixture.policy);
        alone && !it.findings.is_empty()
    });
    if let Some(variant) = variants.next() {
        let object = fixture::patched(object, &variant.patch).unwrap();
        all.push((variant.name.clone(), object, variant.findings.clone()));
    }
    all
}

#[test]
fn b30_every_kind_of_other_projects_by_every_verb() {
    let fixtures = custom();
    assert!(!fixtures.is_empty(), "there are no fixtures");
    let todo = Mutex::new(fixtures.iter());
    thread::scope(|scope| {
        let workers: Vec<_> = (0..3)
            .map(|_| {
                scope.spawn(|| {
                    while let Some(fixture) = { todo.lock().unwrap().next() } {
                        by_every_verb(fixture);
                    }
                })
            })
            .collect();
        for worker in workers {
            worker.join().unwrap();
        }
    });
}

/// As large as it may be stored, and compared twice over in the filter.
#[test]
fn attack_09_large_objects_of_other_kinds() {
    let namespace = "attack-09-other-kinds";
    let rig = &kinds().rig;
    let fixture = Fixture::read("pytorchjob").unwrap();
    make_namespace(&rig.api, namespace);
    enforce(rig, policy(fixture.policy, namespace), namespace);
    let api = rig.api.almighty(PERSON);
    let mut job = placed(&fixture.object, namespace);
    job["metadata"]["finalizers"] = json!(["example.com/hold"]);
    // Stored as JSON, in which each of these is six bytes.
    job["spec"]["notes"] = json!("<".repeat(230_000));
    kinds::refused(
        "create",
        &api.create(&paused(&job)),
        422,
        &fixture.region_paused(),
    );
    api.create(&job).admitted();
    let status = json!({"status": {"conditions": [{"type": "Running", "status": "True"}]}});
    api.merge_sub(&job, "status", &status).admitted();
    let labels = json!({"metadata": {"labels": {"team": "a"}}});
    api.merge(&job, &labels).admitted();
    let bad = merge(&job, &paused(&job));
    kinds::refused("merge", &api.merge(&job, &bad), 403, &fixture.region_paused());
    api.merge(&job, &json!({"metadata": {"finalizers": null}}))
        .admitted();
}

fn by_every_verb(fixture: &Fixture) {
    let rig = &kinds().rig;
    let namespace = format!("{}-verbs", fixture.name);
    make_namespace(&rig.api, &namespace);
    for object in fixture.cluster.iter().filter(|it| !is_elsewhere(it)) {
        rig.api.create(&placed(object, &namespace)).admitted();
    }
    enforce(rig, policy(fixture.policy, &namespace), &namespace);
    let api = rig.api.almighty(PERSON);
    let good = placed(&fixture.object, &namespace);
    let violations = violations(fixture, &good);
    assert!(
        !violations.is_empty(),
        "{}: nothing of it is refused",
        fixture.name
    );
    let tell = |violation: &Violation, verb: &str| format!("{} {} by {verb}", fixture.name, violation.0);

    for violation in &violations {
        let (_, bad, findings) = violation;
        let refused =
            |verb: &str, answer: &Answer| kinds::refused(&tell(violation, verb), answer, 422, findings);
        refused("create", &api.create(bad));
        refused("dry run", &api.dry_run(bad));
        refused("apply", &api.apply(bad));
        let mut generated = bad.clone();
        generated["metadata"]["name"].take();
        generated["metadata"]["generateName"] = json!("generated-");
        let answer = api.create(&generated);
        refused("generateName", &answer);
        let name = answer.body["details"]["name"].as_str().unwrap();
        assert!(name.starts_with("generated-"), "{name}");
        // A PUT that makes an object needs its kind's leave, which no custom kind gives without a resource version.
        let put = api.replace(bad);
        assert!(
            [404, 422].contains(&put.code) && put.code != 200,
            "{}: {put:#?}",
            tell(violation, "put")
        );
        assert_eq!(api.get(bad).code, 404, "{}", tell(violation, "create"));
    }

    // By the manager that applies later: only what it owns itself is taken away.
    let stored = api.apply(&good).admitted();
    for violation in &violations {
        let (_, bad, findings) = violation;
        let refused =
            |verb: &str, answer: &Answer| kinds::refused(&tell(violation, verb), answer, 403, findings);
        let mut put = bad.clone();
        put["metadata"]["resourceVersion"] = stored["metadata"]["resourceVersion"].clone();
        refused("put", &api.replace(&put));
        refused("merge patch", &api.merge(&good, &merge(&good, bad)));
        let patch = json_patch::diff(&good, bad);
        refused("JSON patch", &api.json_patch(&good, &json!(patch)));
        refused("JSON patch in dry run", &api.dry_json_patch(&good, &json!(patch)));
        refused("apply over it", &api.apply(bad));
        assert_eq!(api.strategic(&good, &merge(&good, bad)).code, 415);
        let now = api.get(&good).admitted();
        assert_eq!(
            now["metadata"]["resourceVersion"],
            stored["metadata"]["resourceVersion"],
            "{} was stored",
            tell(violation, "some verb")
        );
    }
    // What is no violation passes the same way.
    let mut put = stored;
    put["metadata"]["labels"]["team"] = json!("a");
    api.replace(&put).admitted();
    api.apply(&good).admitted();
    let list = api.get_path(&crate::webhook::api::collection(&good)).admitted();
    let others = fixture.cluster.iter().filter(|it| {
        it["kind"] == good["kind"] && group_version(it).0 == group_version(&good).0 && !is_elsewhere(it)
    });
    assert_eq!(
        list["items"].as_array().unwrap().len(),
        1 + others.count(),
        "{}",
        fixture.name
    );
}

/// The merge patch that makes one of the other.
fn merge(old: &Value, new: &Value) -> Value {
    let (Some(from), Some(to)) = (old.as_object(), new.as_object()) else {
        return new.clone();
    };
    let mut patch = json!({});
    for key in from.keys().filter(|key| !to.contains_key(*key)) {
        patch[key] = Value::Null;
    }
    for (key, value) in to {
        match from.get(key) {
            Some(was) if was == value => {}
            Some(was) => patch[key] = merge(was, value),
            None => patch[key] = value.clone(),
        }
    }
    patch
}
