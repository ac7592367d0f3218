//! Every door through which bad input comes: it must say where and what, and end with 2.

use super::{Desk, Ended, POLICY, RECORDS};

/// A file among the workloads must be refused with exactly this.
fn door(text: impl AsRef<[u8]>, says: &str) {
    let desk = Desk::new();
    desk.put("bad.yaml", text);
    expect(&desk.check(&["good.yaml", "bad.yaml"]), says);
}

/// A policy file must be refused with exactly this.
fn policy(text: &str, says: &str) {
    let desk = Desk::new();
    desk.put("bad.yaml", text);
    let ended = desk.run(&["check", "--policy=bad.yaml", "--record=records.yaml", "good.yaml"]);
    expect(&ended, says);
}

fn expect(ended: &Ended, says: &str) {
    assert_eq!((ended.code, ended.out.as_str()), (Some(2), ""), "{ended:?}");
    assert_eq!(ended.err, format!("{says}\n"));
}

#[test]
fn no_file() {
    let desk = Desk::new();
    expect(
        &desk.check(&["nothing.yaml"]),
        "nothing.yaml: No such file or directory (os error 2)",
    );
    expect(
        &desk.run(&["check", "--policy=nowhere", "good.yaml"]),
        "nowhere: No such file or directory (os error 2)",
    );
}

#[test]
fn nothing_in_it() {
    door("", "bad.yaml: it is empty: there is no object in it");
    door(
        "# later\n---\n---\n",
        "bad.yaml: it is empty: there is no object in it",
    );
    let desk = Desk::new();
    std::fs::create_dir(desk.path().join("empty")).unwrap();
    expect(&desk.check(&["empty"]), "empty: there is no object in it");
    // A gate without a policy would be open.
    expect(
        &desk.run(&["check", "--policy=records.yaml", "good.yaml"]),
        "records.yaml: there is no DatasetPolicy in it",
    );
    expect(
        &desk.run(&["check", "--policy=policy.yaml", "--record=empty", "good.yaml"]),
        "empty: there is no DatasetRecord in it, and no object that a workload may refer to",
    );
}

#[test]
fn no_yaml() {
    door(
        "apiVersion: v1\nkind: [Job\n",
        "bad.yaml:2:7: unclosed bracket '['",
    );
    door(
        "apiVersion: v1\nkind: Pod\nmetadata:\n\tname: x\n",
        "bad.yaml:4:2: tabs disallowed within this context (block indentation)",
    );
    door(
        "apiVersion: v1\nkind: Pod\nkind: Job\n",
        "bad.yaml:3:1: the key kind stands there twice",
    );
    door(
        b"apiVersion: v1\nkind: Pod\nmetadata:\n  name: \"\xc3\xa4\xff\"\n",
        "bad.yaml:4:11: not UTF-8",
    );
    door(
        "apiVersion: v1\nkind: Pod\nmetadata: {name: \"a\u{7}b\"}\n",
        "bad.yaml:3:20: unexpected character: '\\u{7}'",
    );
}

#[test]
fn no_object() {
    let what = "this is no Kubernetes object";
    door(
        "hello\n",
        &format!("bad.yaml:1:1: {what}: expected apiVersion, kind, metadata"),
    );
    door(
        "- a\n",
        &format!("bad.yaml:1:1: {what}: expected apiVersion, kind, metadata"),
    );
    door("a: 1\n", &format!("bad.yaml:1:1: {what}: it has no apiVersion"));
    door("apiVersion: v1\nkind: 7\n", "bad.yaml:2:7: kind: expected text");
    door(
        "apiVersion: v1\nkind: Namespace\nmetadata: {}\n",
        "bad.yaml:3:11: metadata.name: it has no name",
    );
    door(
        "apiVersion: admission.k8s.io/v1\nkind: AdmissionReview\n",
        "bad.yaml:1:1: the body is not a readable admission.k8s.io/v1 AdmissionReview: missing field request",
    );
}

#[test]
fn deep_and_large() {
    let deep = format!(
        "apiVersion: v1\nkind: Pod\nspec: {}{}\n",
        "[".repeat(5000),
        "]".repeat(5000)
    );
    door(deep, "bad.yaml:3:127: nested deeper than 120");
    let mut block = "apiVersion: v1\nkind: Pod\nspec:\n".to_owned();
    for depth in 1..3000 {
        block += &format!("{}a:\n", "  ".repeat(depth));
    }
    door(block, "bad.yaml:123:241: nested deeper than 120");
    let mut bomb = "apiVersion: v1\nkind: Pod\na0: &a0 [x, x, x, x, x, x, x, x, x]\n".to_owned();
    for i in 1..12 {
        bomb += &format!("a{i}: &a{i} [{}]\n", vec![format!("*a{}", i - 1); 9].join(", "));
    }
    door(bomb, "bad.yaml:8:10: too many aliases");
    let pauses: String = (0..10_000)
        .map(|i| format!("    - name: p{i}\n      match: {{regions: [\"DE\"]}}\n"))
        .collect();
    policy(
        &POLICY.replace("  pauses:\n", &format!("  pauses:\n{pauses}")),
        "bad.yaml:12:5: spec.pauses: 10001 items, at most 32 are allowed",
    );
    policy(
        &POLICY.replace(
            "  pauses:\n",
            &format!("  contact: {}\n  pauses:\n", "x".repeat(1 << 20)),
        ),
        "bad.yaml:11:12: spec.contact: 1048576 characters, at most 128 are allowed",
    );
}

#[test]
fn a_large_workload_is_judged() {
    let desk = Desk::new();
    let text = super::job("large", "posts-us");
    let text = text.replace(
        "  annotations:\n",
        &format!("  annotations:\n    note: {}\n", "x".repeat(1 << 20)),
    );
    desk.put("large.yaml", text);
    assert_eq!(desk.check(&["large.yaml"]).code, Some(0));
    desk.put("long.yaml", super::job("long", &"a".repeat(1 << 20)));
    let ended = desk.check(&["long.yaml"]);
    assert_eq!(ended.code, Some(1));
    assert!(
        ended.out.contains("1048576 bytes") && ended.out.len() < 1000,
        "{}",
        ended.out.len()
    );
}

#[test]
fn policies_that_are_none() {
    let says =
        |old: &str, new: &str, says: &str| policy(&POLICY.replace(old, new), &format!("bad.yaml:{says}"));
    says(
        "\"EEA\"",
        "NO",
        "14:19: spec.pauses[0].match.regions[0]: invalid type: boolean false, expected a string; without quotes NO, \
         ON, Y and the like are booleans in YAML: quote it",
    );
    says(
        "EEA",
        "UK",
        "14:19: spec.pauses[0].match.regions[0]: UK is not an ISO 3166 code; write GB",
    );
    says(
        "[Deny]",
        "Deny",
        "6:22: spec.validationActions: invalid type: string \"Deny\", expected a sequence",
    );
    says(
        "Accelerated",
        "Acelerated",
        "8:14: spec.workloads: unknown variant Acelerated, expected one of TrainingKinds, Accelerated, All",
    );
    says(
        "datagate.dev/v1alpha1",
        "datagate.dev/v2",
        "1:13: datagate.dev/v2 is not known; write datagate.dev/v1alpha1",
    );
    says(
        "kind: DatasetPolicy",
        "kind: DatasetPolcy",
        "2:7: datagate.dev/v1alpha1 has DatasetPolicy and DatasetRecord, no DatasetPolcy",
    );
    says(
        "  name: member-data",
        "  labels: {}",
        "4:3: metadata.name: it has no name",
    );
    says(
        "regions: [\"EEA\"]",
        "{}",
        "14:9: spec.pauses[0].match: an empty match would be about all data; give at least one of regions, purposes, \
         sourceCategories, dataCategories, dataControllers, collectionPeriod, contentPeriod",
    );
}

#[test]
fn two_objects_with_one_name() {
    let desk = Desk::new();
    desk.put("again.yaml", RECORDS.replace("DE", "FR"));
    expect(
        &desk.check(&["--record=again.yaml", "good.yaml"]),
        "again.yaml:1:1: another DatasetRecord posts-de stands in records.yaml:1:1",
    );
}

#[test]
fn all_problems_are_told_at_once() {
    let desk = Desk::new();
    desk.put("a.yaml", "[");
    desk.put("b.yaml", "a: 1\n");
    let ended = desk.check(&["a.yaml", "b.yaml", "c.yaml"]);
    assert_eq!(
        (ended.code, ended.err.lines().count()),
        (Some(2), 3),
        "{}",
        ended.err
    );
}

#[test]
fn a_key_that_is_no_key() {
    let desk = Desk::new();
    desk.put("short", "0123456789abcdef\n");
    let serve = |key: &str| {
        desk.run(&[
            "serve",
            "--tls-cert=c",
            "--tls-key=k",
            "--log-format=text",
            &format!("--pseudonymise-key={key}"),
        ])
    };
    // Names must not go into the log unprotected because of a slip.
    expect(
        &serve("short"),
        "--pseudonymise-key short: the key has 16 bytes, 32 are needed. Make one: openssl rand -hex 32",
    );
    expect(
        &serve("none"),
        "cannot read --pseudonymise-key none: No such file or directory (os error 2)",
    );
}
