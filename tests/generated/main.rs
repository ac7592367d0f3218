//! Files made from the code are what the code says. `DATAGATE_UPDATE=1` (`make generate`) writes them.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs,
    reason = "a test fails by panicking"
)]

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use datagate_core::reason::Reason;
use datagate_core::settings::Settings;
use serde_json::{Value, json};

mod kinds;
mod links;
mod metrics;
mod threats;
mod values;
mod versions;
mod workloads;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).to_owned()
}

/// Compares a file with what it should be, or writes it.
fn expect(path: &str, expected: &str) {
    let file = root().join(path);
    if std::env::var_os("DATAGATE_UPDATE").is_some() {
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(&file, expected).unwrap();
    }
    let found = fs::read_to_string(&file).unwrap_or_default();
    assert!(found == expected, "{path} is out of date: run `make generate`");
}

fn yaml(path: &str) -> Value {
    serde_saphyr::from_str(&fs::read_to_string(root().join(path)).unwrap()).unwrap()
}

#[test]
fn the_page_of_reasons() {
    let mut page = String::from(
        "<!-- Made from crates/core/src/reason.rs by `make generate`; do not edit. -->\n\n# Reasons\n\nEach line of a rejection ends with one of these, in brackets. They are stable: scripts and dashboards may rely on them.\n\n| reason | what it means |\n|---|---|\n",
    );
    for reason in Reason::ALL {
        let anchor = reason.as_str().to_lowercase();
        writeln!(page, "| [{reason}](#{anchor}) | {} |", reason.page().title).unwrap();
    }
    for reason in Reason::ALL {
        let it = reason.page();
        write!(
            page,
            "\n## {reason}\n\n{} Kubernetes' word: *{}*.\n\n**Cause.** {}\n\n**Remedy.** {}\n",
            it.title,
            it.error.as_str(),
            it.cause,
            it.remedy
        )
        .unwrap();
    }
    expect("docs/reasons.md", &page);
}

#[test]
fn the_chart_carries_the_crds() {
    for crd in [
        "datagate.dev_datasetpolicies.yaml",
        "datagate.dev_datasetrecords.yaml",
    ] {
        let made = fs::read_to_string(root().join("crds").join(crd)).unwrap();
        expect(&format!("charts/datagate/files/crds/{crd}"), &made);
    }
    let files: Vec<_> = fs::read_dir(root().join("charts/datagate/files/crds"))
        .unwrap()
        .collect();
    let yaml = files.iter().filter(|it| {
        it.as_ref()
            .unwrap()
            .path()
            .extension()
            .is_some_and(|it| it == "yaml")
    });
    assert_eq!(yaml.count(), 2, "the chart carries a CRD that does not exist");
}

#[test]
fn the_charts_kinds_are_the_adapters() {
    expect("charts/datagate/files/kinds.yaml", &kinds::chart());
}

#[test]
fn the_charts_values() {
    let text = fs::read_to_string(root().join("charts/datagate/values.yaml")).unwrap();
    // With unknown fields denied.
    let _: values::Values = serde_saphyr::from_str(&text).unwrap();
    expect("charts/datagate/values.schema.json", &values::schema(&text));
    expect("charts/datagate/VALUES.md", &values::page(&text));
}

#[test]
fn the_page_of_workloads() {
    expect("docs/workloads.md", &workloads::page());
}

#[test]
fn the_charts_accelerators_are_the_servers_defaults() {
    let values = yaml("charts/datagate/values.yaml");
    let chart = &values["accelerators"];
    assert_eq!(chart["ignoredResources"], json!(Settings::IGNORED_RESOURCES));
    assert_eq!(chart["runtimeClasses"], json!(Settings::RUNTIME_CLASSES));
}
