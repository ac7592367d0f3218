//! Finding and building, with a `go` of our own: what is under test is what happens around it.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail like tests")]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::thread;
use std::time::Duration;

use datagate_env::wait_until;
use tempfile::TempDir;

use holder::Holder;

#[path = "support/holder.rs"]
mod holder;

/// Writes the file after `-o`, as an executable, and notes that it ran.
const WORKS: &str = r#"
echo built >> "$NOTES"
[ -f go.mod ] && [ -f go.sum ] && [ "$CGO_ENABLED" = 0 ] || exit 9
while [ "$1" != -o ]; do shift; done
echo '#!/bin/sh' > "$2" && chmod +x "$2"
"#;

const FAILS: &str = "echo 'undefined: everything' >&2; exit 1";

const HANGS: &str = r#"echo $$ >> "$NOTES"; exec sleep 1000"#;

struct Folders {
    path: TempDir,
    cache: TempDir,
}

impl Folders {
    fn with_go(script: &str) -> Self {
        let folders = Self {
            path: tempfile::tempdir().unwrap(),
            cache: tempfile::tempdir().unwrap(),
        };
        let go = folders.path.path().join("go");
        fs::write(&go, format!("#!/bin/sh\n{script}")).unwrap();
        fs::set_permissions(go, fs::Permissions::from_mode(0o755)).unwrap();
        folders
    }

    fn command(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_datagate-env"));
        let path = format!("{}:/usr/bin:/bin", self.path.path().display());
        command
            .arg("build")
            .env_remove("KUBEBUILDER_ASSETS")
            .env("PATH", path);
        command
            .env("DATAGATE_ENV_CACHE", self.cache.path())
            .env("NOTES", self.notes());
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    fn notes(&self) -> std::path::PathBuf {
        self.path.path().join("notes")
    }

    fn cached(&self) -> Vec<String> {
        let name = |entry: fs::DirEntry| entry.file_name().into_string().unwrap();
        let mut names: Vec<String> = fs::read_dir(self.cache.path())
            .unwrap()
            .map(|e| name(e.unwrap()))
            .collect();
        names.sort();
        names
    }
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

const ALL: [&str; 6] = [
    ".lock",
    "etcd",
    "helm",
    "kube-apiserver",
    "kube-controller-manager",
    "kubectl",
];

#[test]
fn two_at_once_build_each_program_once() {
    let folders = Folders::with_go(WORKS);
    let outputs = thread::scope(|scope| {
        [(), ()]
            .map(|()| scope.spawn(|| folders.command().output().unwrap()))
            .map(|thread| thread.join().unwrap())
    });
    for output in &outputs {
        assert!(output.status.success(), "{}", stderr(output));
        assert_eq!(String::from_utf8_lossy(&output.stdout).lines().count(), 5);
    }
    assert_eq!(fs::read_to_string(folders.notes()).unwrap().lines().count(), 5);
    assert_eq!(folders.cached(), ALL);

    // The next has nothing to do, and builds only what has gone missing.
    assert_eq!(stderr(&folders.command().output().unwrap()), "");
    fs::remove_file(folders.cache.path().join("kubectl")).unwrap();
    let again = stderr(&folders.command().output().unwrap());
    assert!(
        again.starts_with("datagate-env: building kubectl v1.") && again.contains("(1 of 1)"),
        "{again}"
    );
    assert_eq!(again.lines().count(), 2, "{again}");
}

#[test]
fn a_failed_build_shows_what_go_said() {
    let folders = Folders::with_go(FAILS);
    let output = folders.command().output().unwrap();
    assert!(!output.status.success());
    let error = stderr(&output);
    assert!(
        error.contains("go build of etcd v3.") && error.ends_with("\nundefined: everything\n"),
        "{error}"
    );
    assert_eq!(folders.cached(), [".lock"]);
}

#[test]
fn without_go_it_says_what_to_install() {
    let folders = Folders::with_go(WORKS);
    fs::remove_file(folders.path.path().join("go")).unwrap();
    let output = folders
        .command()
        .env("PATH", folders.path.path())
        .output()
        .unwrap();
    assert!(!output.status.success());
    let error = stderr(&output);
    assert!(
        error.contains("etcd, kube-apiserver, kube-controller-manager, kubectl, helm must be built"),
        "{error}"
    );
    assert!(error.contains("install Go 1.26 or newer"), "{error}");
}

#[test]
fn a_killed_build_leaves_nothing() {
    let folders = Folders::with_go(HANGS);
    let mut holder = Holder(folders.command().spawn().unwrap());
    let soon = Duration::from_secs(30);
    let go = wait_until("go to run", soon, || {
        let notes = fs::read_to_string(folders.notes()).unwrap_or_default();
        notes.strip_suffix('\n').map(str::to_owned).ok_or(notes)
    })
    .unwrap();
    holder.kill();
    wait_until("go and its folder to go", soon, || {
        let stat = fs::read_to_string(Path::new("/proc").join(&go).join("stat")).unwrap_or_default();
        let gone = stat.is_empty() || stat.contains(") Z ");
        let cached = folders.cached();
        if gone && cached == [".lock"] {
            Ok(())
        } else {
            Err(format!("{stat} {cached:?}"))
        }
    })
    .unwrap();
}
