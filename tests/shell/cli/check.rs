//! What `check` is given, and what it says.

use std::process::Stdio;

use serde_json::Value;

use super::{Desk, POLICY, RECORDS, job};

#[test]
fn the_exit_status_tells_the_outcome() {
    let desk = Desk::new();
    let good = desk.check(&["good.yaml"]);
    assert_eq!(
        (good.code, good.out.as_str()),
        (Some(0), "The Job \"good\" is allowed.\n")
    );
    let both = desk.check(&["good.yaml", "evil.yaml"]);
    assert_eq!(both.code, Some(1));
    assert!(
        both.out
            .starts_with("The Job \"good\" is allowed.\nThe Job \"evil\" is invalid:\n* "),
        "{}",
        both.out
    );
    // One file that cannot be read, and nothing is told: a policy may be in it.
    desk.put("broken.yaml", "kind: [");
    let broken = desk.check(&["good.yaml", "broken.yaml"]);
    assert_eq!((broken.code, broken.out.as_str()), (Some(2), ""));
}

#[test]
fn a_warning_is_no_refusal() {
    let desk = Desk::new();
    desk.put("policy.yaml", POLICY.replace("[Deny]", "[Warn]"));
    let ended = desk.check(&["evil.yaml"]);
    assert_eq!(ended.code, Some(0));
    assert!(ended.out.starts_with("Warning: "), "{}", ended.out);
}

#[test]
fn time_and_labels_are_inputs() {
    let desk = Desk::new();
    let later = "        regions: [\"EEA\"]\n      effectiveFrom: \"2026-02-01T00:00:00Z\"\n";
    desk.put(
        "policy.yaml",
        POLICY.replace("        regions: [\"EEA\"]\n", later),
    );
    assert_eq!(
        desk.check(&["--at=2026-01-31T23:59:59Z", "evil.yaml"]).code,
        Some(0)
    );
    assert_eq!(
        desk.check(&["--at=2026-02-01T00:00:00Z", "evil.yaml"]).code,
        Some(1)
    );
    let elsewhere = desk.run(&[
        "check",
        "--policy=policy.yaml",
        "--record=records.yaml",
        "evil.yaml",
    ]);
    assert_eq!(
        (elsewhere.code, elsewhere.out.as_str()),
        (Some(0), "The Job \"evil\" is not governed.\n")
    );
    let mut by_env = desk.program(&["check", "evil.yaml"]);
    by_env.envs([
        ("DATAGATE_POLICY", "policy.yaml"),
        ("DATAGATE_RECORD", "records.yaml"),
        ("DATAGATE_NAMESPACE_LABELS", "tier=1,team=ml"),
        ("DATAGATE_AT", "2026-02-01T00:00:00Z"),
    ]);
    assert_eq!(
        by_env.stdin(Stdio::null()).output().unwrap().status.code(),
        Some(1)
    );
}

#[test]
fn everything_may_stand_in_one_stream() {
    let desk = Desk::new();
    let namespace = "apiVersion: v1\nkind: Namespace\nmetadata:\n  name: ml\n  labels: {team: ml}\n";
    let parts = [
        POLICY,
        "",
        namespace,
        "# nothing\n",
        RECORDS,
        &job("good", "posts-us"),
        &job("evil", "posts-de"),
    ];
    let all = parts.join("---\n");
    let ended = desk.run_with(&["check", "-o", "json", "-"], &all);
    assert_eq!((ended.code, ended.err.as_str()), (Some(1), ""));
    let report: Value = serde_json::from_str(&ended.out).unwrap();
    let names: Vec<&Value> = report["results"]
        .as_array()
        .unwrap()
        .iter()
        .map(|it| &it["object"]["name"])
        .collect();
    assert_eq!(
        names,
        ["good", "evil"],
        "policies, records and namespaces are inputs, not results"
    );
    assert_eq!(report["results"][1]["file"], "-");
    assert_eq!(
        report["results"][1]["document"], 5,
        "empty documents do not count"
    );
}

#[test]
fn a_list_is_unwrapped() {
    let desk = Desk::new();
    let indent = |text: &str| text.replace('\n', "\n    ").trim_end().to_owned();
    let list = format!(
        "apiVersion: v1\nkind: List\nitems:\n  - {}\n  - {}\n",
        indent(&job("a", "posts-us")),
        indent(&job("b", "posts-de"))
    );
    desk.put("list.yaml", list);
    let ended = desk.check(&["list.yaml"]);
    assert_eq!(ended.code, Some(1));
    assert!(
        ended.out.contains("\"a\" is allowed") && ended.out.contains("\"b\" is invalid"),
        "{}",
        ended.out
    );
}

#[test]
fn json_is_read_as_kubectl_reads_it() {
    let desk = Desk::new();
    let json = "{\n\t\"apiVersion\": \"batch/v1\",\n\t\"kind\": \"Job\",\n\t\"metadata\": {\"name\": \"evil\", \"namespace\": \"ml\",\n\t\t\"annotations\": {\"datagate.dev/datasets\": \"posts\\u002dde\"}},\n\t\"spec\": {\"template\": {\"spec\": {\"containers\": []}}}\n}\n";
    desk.put("job.json", json);
    let ended = desk.check(&["job.json"]);
    assert_eq!((ended.code, ended.err.as_str()), (Some(1), ""));
    assert!(ended.out.contains("posts-de has people in DE"), "{}", ended.out);
}

#[test]
fn directories_are_read_with_all_below_them() {
    let desk = Desk::new();
    desk.put("rules/eu/policy.yml", POLICY);
    desk.put("rules/records/all.json", "");
    desk.put("rules/records/all.yaml", RECORDS);
    desk.put("rules/README.md", "# not YAML: [");
    desk.put("rules/.git/config.yaml", "not: [yaml");
    desk.put("jobs/2.yaml", job("second", "posts-us"));
    desk.put("jobs/1.yaml", job("first", "posts-de"));
    let args = [
        "check",
        "--policy=rules",
        "--record=rules",
        "--namespace-labels=team=ml",
        "jobs",
    ];
    let ended = desk.run(&args);
    assert_eq!(
        (ended.code, ended.err.as_str()),
        (Some(1), ""),
        "a file that is given twice is no harm"
    );
    assert!(
        ended.out.starts_with("The Job \"first\" is invalid"),
        "by name: {}",
        ended.out
    );
    #[cfg(unix)]
    {
        std::os::unix::fs::symlink(desk.path().join("rules"), desk.path().join("rules/eu/again")).unwrap();
        assert_eq!(
            desk.run(&args).code,
            Some(1),
            "links that lead back are not followed"
        );
    }
}

#[test]
fn what_is_given_as_context_is_not_judged() {
    let desk = Desk::new();
    let ended = desk.check(&["--record=evil.yaml", "good.yaml"]);
    assert_eq!(
        (ended.code, ended.out.as_str()),
        (Some(0), "The Job \"good\" is allowed.\n")
    );
}

#[test]
fn a_report_has_this_shape() {
    let desk = Desk::new();
    desk.put(
        "map.yaml",
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: settings}\n",
    );
    let args = ["-o", "json", "--at=2026-01-01T00:00:00Z", "evil.yaml", "map.yaml"];
    let ended = desk.check(&args);
    assert_eq!(ended.code, Some(1));
    let expected = r#"{
  "apiVersion": "datagate.dev/v1alpha1",
  "kind": "CheckReport",
  "at": "2026-01-01T00:00:00Z",
  "results": [
    {
      "file": "evil.yaml",
      "document": 0,
      "object": {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "namespace": "ml",
        "name": "evil"
      },
      "decision": "Denied",
      "findings": [
        {
          "reason": "RegionPaused",
          "action": "Deny",
          "policy": "member-data",
          "entry": "eea",
          "dataset": "posts-de",
          "field": "metadata.annotations[datagate.dev/datasets]",
          "message": "posts-de has people in DE; member-data/eea pauses EEA until further notice. Use a dataset without these regions."
        }
      ],
      "warnings": []
    },
    {
      "file": "map.yaml",
      "document": 0,
      "object": {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "name": "settings"
      },
      "decision": "NotGoverned",
      "findings": [],
      "warnings": []
    }
  ],
  "summary": {
    "Allowed": 0,
    "AllowedWithWarnings": 0,
    "Denied": 1,
    "NotGoverned": 1
  }
}
"#;
    snapbox::assert_data_eq!(ended.out, snapbox::Data::text(expected).raw());
}

#[test]
fn a_name_that_is_not_final_is_told_as_far_as_it_is_known() {
    let desk = Desk::new();
    desk.put(
        "job.yaml",
        job("x", "posts-us").replace("  name: x\n", "  generateName: train-\n"),
    );
    assert_eq!(desk.check(&["job.yaml"]).out, "The Job \"train-\" is allowed.\n");
}

#[test]
fn nobody_is_left_in_the_belief_that_something_was_checked() {
    let desk = Desk::new();
    let ended = desk.run(&["check", "good.yaml"]);
    assert_eq!(ended.code, Some(0));
    assert!(ended.err.contains("no DatasetPolicy was given"), "{}", ended.err);
}

#[test]
fn a_reader_that_goes_away_is_no_error() {
    let desk = Desk::new();
    let many: String = (0..5000)
        .map(|i| format!("---\n{}", job(&format!("job-{i}"), "posts-de")))
        .collect();
    desk.put("many.yaml", many);
    for (args, code) in [
        (
            &[
                "check",
                "--policy=policy.yaml",
                "--record=records.yaml",
                "--namespace-labels=team=ml",
                "many.yaml",
            ][..],
            1,
        ),
        (&["crds"], 0),
    ] {
        let mut child = desk.program(args).spawn().unwrap();
        drop(child.stdout.take());
        let output = child.wait_with_output().unwrap();
        assert_eq!(
            (output.status.code(), output.stderr.as_slice()),
            (Some(code), &b""[..]),
            "{args:?}"
        );
    }
}
