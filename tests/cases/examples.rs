//! The examples under `examples/workloads/`: admitted as they stand, and refused once the filter is taken out.
//!
//! An example whose first line says `lenient` needs a policy that accepts `Declared` evidence, because another pod of the
//! same name could stand in for its filter.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use libtest_mimic::Trial;
use serde_json::Value;

/// The image that the policies trust.
const FILTER: &str = "registry.example.com/opt-out-filter@sha256:";

pub fn trials() -> Vec<Trial> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/workloads");
    let mut files: Vec<PathBuf> = fs::read_dir(&root)
        .unwrap()
        .flat_map(|family| fs::read_dir(family.unwrap().path()).unwrap())
        .map(|file| file.unwrap().path())
        .collect();
    files.sort();
    let trial = |file: PathBuf| {
        let name = file.strip_prefix(&root).unwrap().display().to_string();
        Trial::test(format!("examples/{name}"), move || {
            run(&fs::read_to_string(&file).unwrap());
            Ok(())
        })
    };
    files.into_iter().map(trial).collect()
}

fn run(text: &str) {
    let lenient = text.lines().next().is_some_and(|line| line.contains("lenient"));
    let documents: Vec<Value> = serde_saphyr::from_multiple(text).unwrap();
    let (report, told) = check(&documents, lenient);
    assert_eq!(report["summary"]["Denied"], 0, "{report:#}\n{told}");
    let governed = report["summary"]["Allowed"].as_u64().unwrap_or_default();
    assert!(governed > 0, "nothing in it is governed: {report:#}");
    let mut without = documents;
    let taken: usize = without.iter_mut().map(take_out_the_filter).sum();
    assert!(taken > 0, "it has no trusted filter");
    let (report, told) = check(&without, lenient);
    assert_ne!(
        report["summary"]["Denied"], 0,
        "without its filter: {report:#}\n{told}"
    );
    let reasons: Vec<&Value> = report["results"]
        .as_array()
        .unwrap()
        .iter()
        .flat_map(|result| result["findings"].as_array().unwrap())
        .map(|finding| &finding["reason"])
        .collect();
    assert!(reasons.iter().all(|it| *it == "StepMissing"), "{reasons:?}");
}

/// Gives every container with the filter's image another one.
fn take_out_the_filter(value: &mut Value) -> usize {
    match value {
        Value::String(text) if text.contains(FILTER) => {
            *text = text.replace(FILTER, "registry.example.com/something-else:1");
            1
        }
        Value::Array(list) => list.iter_mut().map(take_out_the_filter).sum(),
        Value::Object(map) => map.values_mut().map(take_out_the_filter).sum(),
        _ => 0,
    }
}

fn check(documents: &[Value], lenient: bool) -> (Value, String) {
    let policy = if lenient {
        "tests/kinds/policy-lenient.yaml"
    } else {
        "tests/kinds/policy-strict.yaml"
    };
    let mut child = Command::new(env!("CARGO_BIN_EXE_datagate"))
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .args(["check", "-o", "json", "--policy", policy])
        .args(["--record", "tests/kinds/records.yaml", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let list = serde_json::json!({"apiVersion": "v1", "kind": "List", "items": documents});
    child
        .stdin
        .take()
        .unwrap()
        .write_all(list.to_string().as_bytes())
        .unwrap();
    let output = child.wait_with_output().unwrap();
    let told = String::from_utf8(output.stderr).unwrap();
    let report = serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {told}"));
    (report, told)
}
