//! What the API server refuses, the conversion refuses too: a CRD may be edited or old, and files never met one.
//!
//! The cases are those of `tests/schema`, which the cluster tests apply to a real API server: a case with a `.txt` beside
//! it is refused with that text, one without is admitted. A case in two parts, `.before` and `.after`, is an update; only
//! the API server sees both, so that here each part by itself is valid.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::path::{Path, PathBuf};

use datagate_api::v1alpha1::{DatasetPolicy, DatasetRecord};
use datagate_core::dataset::Record;
use datagate_core::policy::Policy;
use serde_json::Value;

/// Refused by the API server for bounds alone; reading them does no harm.
const HARMLESS: [&str; 5] = [
    "actions-twice",
    "contact-too-long",
    "pauses-too-many",
    "region-list-too-long",
    "region-twice",
];

/// Refused by the API server for what the decision does not use.
const UNUSED: [&str; 2] = ["location-no-uri", "counts-removed-more"];

fn cases(kind: &str) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../tests/schema")
        .join(kind);
    let mut cases: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "yaml"))
        .collect();
    cases.sort();
    assert!(cases.len() > 50, "{kind}: {}", cases.len());
    cases
}

fn check(kind: &str, read: impl Fn(Value) -> Result<(), String>) {
    for path in cases(kind) {
        let name = path.file_stem().unwrap().to_str().unwrap();
        let object: Value = serde_saphyr::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap();
        let update = name.ends_with(".after");
        let refused = !update && path.with_extension("txt").exists();
        let tolerated = HARMLESS.contains(&name) || UNUSED.contains(&name);
        match read(object) {
            Ok(()) => assert!(
                !refused || tolerated,
                "{kind}/{name} is refused by the API server and read here"
            ),
            Err(error) => assert!(refused && !tolerated, "{kind}/{name}: {error}"),
        }
    }
}

#[test]
fn policies() {
    check("datasetpolicy", |object| {
        let policy: DatasetPolicy = serde_json::from_value(object).map_err(|error| error.to_string())?;
        Policy::try_from(&policy)
            .map(drop)
            .map_err(|error| error.to_string())
    });
}

#[test]
fn records() {
    check("datasetrecord", |object| {
        let record: DatasetRecord = serde_json::from_value(object).map_err(|error| error.to_string())?;
        Record::try_from(&record)
            .map(drop)
            .map_err(|error| error.to_string())
    });
}
