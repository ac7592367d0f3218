//! The program itself: what it prints and the status it exits with.

use std::process::{Command, Output};

use serde_json::Value;

use crate::case::Case;
use crate::judge::pretty;

pub fn run(case: &Case) {
    let mut texts = Vec::new();
    let mut reports = Vec::new();
    for at in case.instants() {
        let run = |format: &str| {
            let mut command = Command::new(env!("CARGO_BIN_EXE_datagate"));
            command
                .current_dir(&case.path)
                .args(["check", "-o", format, "--at", &at.to_string()]);
            if case.file("policy.yaml").is_some() {
                command.args(["--policy", "policy.yaml"]);
            }
            command.args(["--record", case.catalogue]);
            for more in ["records.yaml", "cluster.yaml"] {
                if case.file(more).is_some() {
                    command.args(["--record", more]);
                }
            }
            let labels: Vec<String> = case
                .about
                .namespace_labels
                .iter()
                .map(|(key, value)| format!("{key}={value}"))
                .collect();
            if !labels.is_empty() {
                command.args(["--namespace-labels", &labels.join(",")]);
            }
            command.arg("workload.yaml").output().unwrap()
        };
        let report: Value = serde_json::from_str(&output(run("json"), None)).unwrap();
        let refused = report["summary"]["Denied"] != 0;
        texts.push(output(run("text"), Some(refused)));
        reports.push(report);
    }
    case.expect("expected.txt", &case.join(&texts), false);
    case.expect("expected.json", &pretty(reports), false);
}

fn output(output: Output, refused: Option<bool>) -> String {
    let told = String::from_utf8(output.stderr).unwrap();
    assert!(told.is_empty(), "on standard error: {told}");
    if let Some(refused) = refused {
        assert_eq!(output.status.code(), Some(i32::from(refused)));
    }
    String::from_utf8(output.stdout).unwrap()
}
