//! What the API server itself says to policies and records, through kubectl: `tests/schema/README.md` has the rules.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail like tests")]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::thread;

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
    let todo = Mutex::new(stems.into_iter());
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

fn case(rig: &Rig, stem: &Path) -> Result<(), String> {
    let file = |end: &str| PathBuf::from(format!("{}{end}", stem.display()));
    let before = file(".before.yaml");
    if !before.exists() {
        return apply(rig, &file(".yaml"), &file(".txt"));
    }
    apply(rig, &before, &file(".none"))?;
    let stored = || {
        let yaml = before.to_str().unwrap();
        let object = rig.cluster.get(["--filename", yaml]).unwrap();
        object["spec"].clone()
    };
    let spec = stored();
    apply(rig, &file(".after.yaml"), &file(".after.txt"))?;
    let kept = stored() == spec;
    if kept != file(".after.txt").exists() {
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
