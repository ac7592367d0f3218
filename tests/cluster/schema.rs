//! What the API server itself says to policies and records, through kubectl: `tests/schema/README.md` has the rules.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail like tests")]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::thread;

use serde_json::Value;

use crate::webhook::{Rig, repository, rig};

/// kubectl waits more than it works.
const AT_ONCE: usize = 4;

#[test]
fn every_object_is_answered_as_recorded() {
    let rig = rig();
    let mut stems = BTreeSet::new();
    for kind in ["datasetpolicy", "datasetrecord"] {
        for entry in fs::read_dir(repository(&format!("tests/schema/{kind}"))).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_str().unwrap();
            if let Some(stem) = name.strip_suffix(".after.yaml").or(name.strip_suffix(".yaml"))
                && !stem.ends_with(".before")
            {
                stems.insert(path.with_file_name(stem));
            }
        }
    }
    assert!(stems.len() > 100, "the cases are gone: {stems:?}");
    let (updates, creations): (Vec<PathBuf>, Vec<PathBuf>) = stems
        .into_iter()
        .partition(|stem| file(stem, ".before.yaml").exists());
    let (refused, admitted): (Vec<PathBuf>, Vec<PathBuf>) = creations
        .into_iter()
        .partition(|stem| file(stem, ".txt").exists());
    let good = admitted.iter().map(|stem| file(stem, ".yaml"));
    admit(
        rig,
        good.chain(updates.iter().map(|stem| file(stem, ".before.yaml"))),
    );

    let todo = Mutex::new(refused.into_iter().chain(updates));
    let wrong = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                while let Some(stem) = { todo.lock().unwrap().next() } {
                    if let Err(error) = case(rig, &stem) {
                        wrong.lock().unwrap().push(error);
                    }
                }
            });
        }
    });
    let wrong = wrong.into_inner().unwrap();
    assert!(wrong.is_empty(), "{} cases:\n{}", wrong.len(), wrong.join("\n"));
}

fn file(stem: &Path, end: &str) -> PathBuf {
    PathBuf::from(format!("{}{end}", stem.display()))
}

/// Applies what must all be admitted, without a word.
fn admit(rig: &Rig, files: impl Iterator<Item = PathBuf>) {
    let mut kubectl = rig.cluster.kubectl(["apply"]);
    for file in files {
        kubectl.arg("--filename").arg(file);
    }
    let output = kubectl.output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.is_empty(), "{said}");
}

fn case(rig: &Rig, stem: &Path) -> Result<(), String> {
    let before = file(stem, ".before.yaml");
    if !before.exists() {
        return apply(rig, &file(stem, ".yaml"), &file(stem, ".txt"));
    }
    let yaml: Value = serde_saphyr::from_str(&fs::read_to_string(&before).unwrap()).unwrap();
    let stored = || rig.api.get(&yaml).admitted()["spec"].clone();
    let (spec, txt) = (stored(), file(stem, ".after.txt"));
    apply(rig, &file(stem, ".after.yaml"), &txt)?;
    if (stored() == spec) != txt.exists() {
        return Err(format!(
            "{}: refused and changed, or admitted and not",
            stem.display()
        ));
    }
    Ok(())
}

/// Applies a file; it must be refused with the text, or admitted if there is none.
fn apply(rig: &Rig, yaml: &Path, txt: &Path) -> Result<(), String> {
    let expected = fs::read_to_string(txt).unwrap_or_default();
    let name = yaml.file_name().unwrap();
    let folder = yaml.parent().unwrap();
    let mut kubectl = rig.cluster.kubectl(["apply", "--filename"]);
    let output = kubectl.arg(name).current_dir(folder).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    if said == expected && output.status.success() == expected.is_empty() {
        return Ok(());
    }
    Err(format!(
        "{}:\nexpected:\n{expected}\nsaid:\n{said}",
        yaml.display()
    ))
}
