//! A case as it stands in its folder.

use std::fs;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use serde::Deserialize;
use serde_json::Value;

/// A folder.
pub struct Case {
    /// `reason/case`.
    pub name: String,
    /// `reason`.
    pub folder: String,
    /// `case`.
    pub title: String,
    /// Where it is.
    pub path: PathBuf,
    /// `case.yaml`.
    pub about: About,
    /// `../catalogue.yaml`, by its path from the folder.
    pub catalogue: &'static str,
}

/// `case.yaml`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct About {
    /// The instants to judge at, one or several.
    pub at: Instants,
    /// Labels of the namespaces that are not in `cluster.yaml`.
    #[serde(default)]
    pub namespace_labels: std::collections::BTreeMap<String, String>,
    /// Policies and records that cannot be read: what only a server can have, since offline that is bad input.
    #[serde(default)]
    pub unreadable: Vec<Unreadable>,
    /// Whether namespaces cannot be fetched.
    #[serde(default)]
    pub no_namespaces: bool,
    /// Whether owners cannot be fetched.
    #[serde(default)]
    pub no_owners: bool,
}

/// One instant or several.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub enum Instants {
    /// One.
    One(Timestamp),
    /// Several.
    Many(Vec<Timestamp>),
}

/// A policy or a record that cannot be read.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Unreadable {
    /// Its name, if it is a policy.
    pub policy: Option<String>,
    /// Its name, if it is a record.
    pub record: Option<String>,
    /// What is wrong with it.
    pub error: String,
    /// The part of a policy's spec that says what it governs.
    #[serde(default)]
    pub spec: Value,
}

impl Case {
    /// The instants to judge at.
    pub fn instants(&self) -> &[Timestamp] {
        match &self.about.at {
            Instants::One(at) => std::slice::from_ref(at),
            Instants::Many(all) => all,
        }
    }

    /// A file of the folder, if it is there.
    pub fn file(&self, name: &str) -> Option<String> {
        fs::read_to_string(self.path.join(name)).ok()
    }

    /// The documents of a file of the folder, none if it is not there.
    pub fn documents(&self, name: &str) -> Vec<Value> {
        let text = self.file(name).unwrap_or_default();
        let read = serde_saphyr::from_multiple::<Value>(&text);
        let roots = read.unwrap_or_else(|error| panic!("{}/{name}: {error}", self.name));
        let unwrap = |root: Value| match root.get("items") {
            Some(Value::Array(items)) if root["kind"] == "List" => items.clone(),
            _ => vec![root],
        };
        roots.into_iter().flat_map(unwrap).collect()
    }

    /// Whether the program can be given all that the case is about.
    pub fn is_offline(&self) -> bool {
        self.about.unreadable.is_empty() && !self.about.no_namespaces && !self.about.no_owners
    }

    /// The reasons of the findings that refuse, as expected.
    pub fn expects_denied(&self) -> Vec<String> {
        let expected: Value =
            serde_json::from_str(&self.file("expected.json").expect("expected.json")).unwrap();
        let list = |value: &Value| value.as_array().cloned().unwrap_or_else(|| vec![value.clone()]);
        let results = list(&expected)
            .into_iter()
            .flat_map(|report| list(&report["results"]));
        let findings = results.flat_map(|result| list(&result["findings"]));
        findings
            .filter(|finding| finding["action"] == "Deny")
            .map(|finding| finding["reason"].as_str().unwrap().to_owned())
            .collect()
    }

    /// Joins what is said at each instant.
    pub fn join(&self, texts: &[String]) -> String {
        match texts {
            [one] => one.clone(),
            _ => {
                let part = |(at, text): (&Timestamp, &String)| format!("# at {at}\n{text}");
                let parts: Vec<String> = self.instants().iter().zip(texts).map(part).collect();
                parts.join("\n")
            }
        }
    }

    /// Compares with an expectation, or writes it.
    pub fn expect(&self, file: &str, actual: &str, may_write: bool) {
        let path = self.path.join(file);
        if may_write && crate::updates() {
            fs::write(&path, actual).unwrap();
            return;
        }
        let expected = fs::read_to_string(&path).unwrap_or_default();
        snapbox::assert_data_eq!(actual, snapbox::Data::text(expected).raw());
    }
}

/// Every folder, by name.
pub fn all(root: &Path) -> Vec<Case> {
    let mut cases = Vec::new();
    for folder in folders(root) {
        for path in folders(&folder) {
            let name = |path: &Path| path.file_name().unwrap().to_str().unwrap().to_owned();
            let (folder, title) = (name(&folder), name(&path));
            let text = fs::read_to_string(path.join("case.yaml"))
                .unwrap_or_else(|error| panic!("{folder}/{title}/case.yaml: {error}"));
            let about = serde_saphyr::from_str(&text)
                .unwrap_or_else(|error| panic!("{folder}/{title}/case.yaml: {error}"));
            cases.push(Case {
                name: format!("{folder}/{title}"),
                folder,
                title,
                path,
                about,
                catalogue: "../../catalogue.yaml",
            });
        }
    }
    cases
}

fn folders(path: &Path) -> Vec<PathBuf> {
    let mut folders: Vec<PathBuf> = fs::read_dir(path)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.is_dir())
        .collect();
    folders.sort();
    folders
}
