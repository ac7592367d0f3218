//! The program on the command line. What it decides is in `tests/cases`; here is how it is given things and how it ends.

mod bad;
mod check;

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use tempfile::TempDir;

/// A folder to run in.
pub struct Desk(TempDir);

/// How the program ended.
#[derive(Debug)]
pub struct Ended {
    pub code: Option<i32>,
    pub out: String,
    pub err: String,
}

pub const POLICY: &str = r#"apiVersion: datagate.dev/v1alpha1
kind: DatasetPolicy
metadata:
  name: member-data
spec:
  validationActions: [Deny]
  undeclared: Deny
  workloads: Accelerated
  namespaceSelector:
    matchLabels: {team: ml}
  pauses:
    - name: eea
      match:
        regions: ["EEA"]
"#;

pub const RECORDS: &str = r#"apiVersion: datagate.dev/v1alpha1
kind: DatasetRecord
metadata:
  name: posts-de
spec:
  sourceCategory: UserData
  personalData: Present
  dataSubjects:
    regions: ["DE"]
---
apiVersion: datagate.dev/v1alpha1
kind: DatasetRecord
metadata:
  name: posts-us
spec:
  sourceCategory: UserData
  personalData: Present
  dataSubjects:
    regions: ["US"]
"#;

/// A Job that uses a dataset.
pub fn job(name: &str, dataset: &str) -> String {
    format!(
        "apiVersion: batch/v1
kind: Job
metadata:
  name: {name}
  namespace: ml
  annotations:
    datagate.dev/purpose: GenerativeAITraining
    datagate.dev/datasets: {dataset}
spec:
  template:
    spec:
      containers:
        - name: train
          image: registry.example.com/llm-trainer:2.4
"
    )
}

impl Desk {
    /// With a policy, two records, a job that is admitted and one that is refused.
    pub fn new() -> Self {
        let desk = Self(TempDir::new().unwrap());
        desk.put("policy.yaml", POLICY);
        desk.put("records.yaml", RECORDS);
        desk.put("good.yaml", job("good", "posts-us"));
        desk.put("evil.yaml", job("evil", "posts-de"));
        desk
    }

    /// Writes a file.
    pub fn put(&self, name: &str, text: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
        path
    }

    pub fn path(&self) -> &Path {
        self.0.path()
    }

    /// The program, to be run here, with nothing from the environment.
    pub fn program(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_datagate"));
        command
            .args(args)
            .current_dir(self.path())
            .env_clear()
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    /// Runs it to its end.
    pub fn run(&self, args: &[&str]) -> Ended {
        self.run_with(args, "")
    }

    /// The same with something on standard input.
    pub fn run_with(&self, args: &[&str], stdin: &str) -> Ended {
        let mut child = self.program(args).spawn().unwrap();
        // It may end without having read anything.
        let _ = child.stdin.take().unwrap().write_all(stdin.as_bytes());
        let output = child.wait_with_output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        Ended {
            code: output.status.code(),
            out: text(output.stdout),
            err: text(output.stderr),
        }
    }

    /// `check` with the policy and the records, for the namespaces of the team.
    pub fn check(&self, args: &[&str]) -> Ended {
        let given = [
            "check",
            "--policy=policy.yaml",
            "--record=records.yaml",
            "--namespace-labels=team=ml",
        ];
        self.run(&[&given, args].concat())
    }
}

#[test]
fn crds_are_those_that_are_committed() {
    let ended = Desk::new().run(&["crds"]);
    assert_eq!((ended.code, ended.err.as_str()), (Some(0), ""));
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("crds");
    let mut files: Vec<PathBuf> = fs::read_dir(folder)
        .unwrap()
        .map(|it| it.unwrap().path())
        .collect();
    files.sort();
    let committed: String = files
        .iter()
        .map(|path| fs::read_to_string(path).unwrap())
        .collect();
    snapbox::assert_data_eq!(ended.out, snapbox::Data::text(committed).raw());
}

#[test]
fn help_tells_the_exit_status_and_the_variables() {
    let ended = Desk::new().run(&["check", "--help"]);
    assert_eq!(ended.code, Some(0));
    for wanted in [
        "Exit status: 0",
        "DATAGATE_POLICY",
        "DATAGATE_AT",
        "--namespace-labels",
    ] {
        assert!(ended.out.contains(wanted), "{wanted} is not in {}", ended.out);
    }
}

#[test]
fn a_wrong_command_line_is_bad_input() {
    let desk = Desk::new();
    for args in [
        &["check"][..],
        &["chekc", "good.yaml"],
        &["check", "--at=yesterday", "good.yaml"],
        &["check", "--namespace-labels=team", "good.yaml"],
        &["check", "-o", "xml", "good.yaml"],
        &["check", "--cluster", "good.yaml"],
        &["check", "--cluster", "--namespace-labels=team=ml"],
        &["check", "--cluster", "-A", "-n", "ml"],
        &["check", "-A", "good.yaml"],
        &["check", "--running", "good.yaml"],
    ] {
        let ended = desk.run(args);
        assert_eq!(ended.code, Some(2), "{args:?}: {ended:?}");
        assert!(ended.out.is_empty() && !ended.err.is_empty());
    }
}
