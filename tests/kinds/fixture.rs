//! A fixture of a kind of workload as it stands in its file; README.md beside this file says what may stand there.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use datagate_core::reason::Reason;
use datagate_core::workload::{KnownKind, Scope};
use json_patch::Patch;
use serde::Deserialize;
use serde_json::{Value, json};

/// Who asks where the fixture does not say who.
pub const PERSON: &str = "jane";

/// Keeps an object until it is taken away.
pub const FINALIZER: &str = "example.com/hold";

/// `<kind>.yaml`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fixture {
    /// Its file's name without the extension.
    #[serde(skip)]
    pub name: String,
    /// What must exist first.
    #[serde(default)]
    pub cluster: Vec<Value>,
    /// The policy that governs it.
    #[serde(default)]
    pub policy: Strictness,
    /// Admitted as it stands.
    pub object: Value,
    /// The field of its declaration.
    #[serde(default = "declared")]
    pub declared: String,
    /// Others like it.
    #[serde(default)]
    pub variants: Vec<Variant>,
    /// What a person makes of it once it is stored.
    #[serde(default)]
    pub updates: Vec<Update>,
    /// Ways in which it is held back and let go.
    #[serde(default)]
    pub releases: Vec<Release>,
    /// What its operator makes of it.
    #[serde(default)]
    pub children: Vec<Child>,
}

/// One of the two policies.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub enum Strictness {
    /// Trusted images only.
    #[default]
    Strict,
    /// Also what the workload itself names.
    Lenient,
}

/// The object with something changed, created anew.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Variant {
    pub name: String,
    pub policy: Option<Strictness>,
    #[serde(default)]
    pub cluster: Vec<Value>,
    pub patch: Patch,
    pub findings: Vec<String>,
}

/// A change of the stored object.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Update {
    pub name: String,
    pub policy: Option<Strictness>,
    #[serde(default)]
    pub cluster: Vec<Value>,
    /// Who makes it, if not a person.
    #[serde(rename = "as", default = "person")]
    pub user: String,
    pub patch: Patch,
    pub findings: Vec<String>,
}

/// Held back before its data was paused, let go afterwards.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Release {
    pub name: String,
    pub held: Patch,
    pub release: Patch,
}

/// What an operator makes.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Child {
    pub name: String,
    /// The operator.
    #[serde(rename = "as")]
    pub user: String,
    #[serde(default)]
    pub owner: Owner,
    pub object: Value,
    /// Made by its operator.
    pub findings: Vec<String>,
    /// Made by a person.
    pub forged: Vec<String>,
}

/// Whose child it is.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
#[serde(untagged)]
pub enum Owner {
    /// The object's, or nobody's.
    Object(bool),
    /// That of an earlier child.
    Child(String),
}

impl Default for Owner {
    fn default() -> Self {
        Self::Object(true)
    }
}

/// Who asks, in a namespace: `{namespace}` stands for it where an account is one of its own.
pub fn user(user: &str, namespace: &str) -> String {
    user.replace("{namespace}", namespace).replace(
        "system:serviceaccount:ml:",
        &format!("system:serviceaccount:{namespace}:"),
    )
}

fn declared() -> String {
    "metadata.annotations[datagate.dev/datasets]".to_owned()
}

fn person() -> String {
    PERSON.to_owned()
}

/// Where the fixtures are.
pub fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/kinds")
}

/// Every fixture by its name, or what is wrong with it.
pub fn all() -> Vec<(String, Result<Fixture, String>)> {
    let files = fs::read_dir(folder()).unwrap().map(|file| file.unwrap().path());
    let yaml = files.filter(|path| path.extension().is_some_and(|it| it == "yaml"));
    let mut names: Vec<String> = yaml
        .map(|path| path.file_stem().unwrap().to_str().unwrap().to_owned())
        .filter(|name| name != "records" && !name.starts_with("policy-"))
        .collect();
    names.sort();
    let read = |name: String| {
        let fixture = Fixture::read(&name);
        (name, fixture)
    };
    names.into_iter().map(read).collect()
}

impl Strictness {
    /// The policy's file.
    pub fn file(self) -> PathBuf {
        folder().join(match self {
            Self::Strict => "policy-strict.yaml",
            Self::Lenient => "policy-lenient.yaml",
        })
    }

    /// The policy.
    pub fn policy(self) -> Value {
        serde_saphyr::from_str(&fs::read_to_string(self.file()).unwrap()).unwrap()
    }
}

impl Fixture {
    /// Reads a fixture; a mistake in it is told, never passed over.
    pub fn read(name: &str) -> Result<Self, String> {
        let path = folder().join(format!("{name}.yaml"));
        let text = fs::read_to_string(path).map_err(|error| error.to_string())?;
        let mut fixture: Self = serde_saphyr::from_str(&text).map_err(|error| error.to_string())?;
        fixture.name = name.to_owned();
        fixture.check()?;
        Ok(fixture)
    }

    fn check(&self) -> Result<(), String> {
        self.kind()?;
        let text = self.object.to_string();
        if paused(&self.object) == self.object && paused(&json!(self.cluster)) == json!(self.cluster) {
            return Err(format!(
                "neither the object nor the cluster uses people-us: {text}"
            ));
        }
        let mut names = BTreeSet::new();
        let variants = self
            .variants
            .iter()
            .map(|it| (&it.name, &it.findings, Some(&it.patch)));
        let updates = self
            .updates
            .iter()
            .map(|it| (&it.name, &it.findings, Some(&it.patch)));
        let children = self.children.iter().map(|it| (&it.name, &it.findings, None));
        let forged = self.children.iter().map(|it| (&it.name, &it.forged, None));
        let groups = [
            ("variant", variants.collect::<Vec<_>>()),
            ("update", updates.collect()),
            ("child", children.collect()),
            ("forged", forged.collect()),
        ];
        for (group, list) in groups {
            for (name, findings, patch) in list {
                if !names.insert((group, name.clone())) {
                    return Err(format!("two are the {group} {name}"));
                }
                for finding in findings {
                    known(finding).map_err(|error| format!("{group} {name}: {error}"))?;
                }
                if let Some(patch) = patch {
                    patched(&self.object, patch).map_err(|error| format!("{group} {name}: {error}"))?;
                }
            }
        }
        for release in &self.releases {
            let told = |error| format!("release {}: {error}", release.name);
            let held = patched(&self.object, &release.held).map_err(told)?;
            patched(&held, &release.release).map_err(told)?;
        }
        let mut earlier = BTreeSet::new();
        for child in &self.children {
            if let Owner::Child(owner) = &child.owner
                && !earlier.contains(owner)
            {
                return Err(format!("child {}: no child {owner} stands before it", child.name));
            }
            earlier.insert(child.name.clone());
        }
        let made = self.children.iter().map(|child| &child.object);
        for object in made.chain(self.surroundings()) {
            let has = |field: &str| object[field].is_string();
            if !has("apiVersion") || !has("kind") || !object["metadata"].is_object() {
                return Err(format!("no object: {object}"));
            }
        }
        let variants = self.variants.iter().map(|it| &it.cluster);
        let updates = self.updates.iter().map(|it| &it.cluster);
        for more in variants.chain(updates) {
            let mut things = BTreeSet::new();
            for object in self.cluster.iter().chain(more) {
                let meta = &object["metadata"];
                let thing = format!("{} {} {}", object["kind"], meta["namespace"], meta["name"]);
                if !things.insert(thing.clone()) {
                    return Err(format!("twice in the cluster: {thing}"));
                }
            }
        }
        Ok(())
    }

    /// All that must exist first, of whatever step.
    pub fn surroundings(&self) -> impl Iterator<Item = &Value> {
        let variants = self.variants.iter().flat_map(|it| &it.cluster);
        let updates = self.updates.iter().flat_map(|it| &it.cluster);
        self.cluster.iter().chain(variants).chain(updates)
    }

    /// What it is a fixture of.
    pub fn kind(&self) -> Result<KnownKind, String> {
        let (group, _) = group_version(&self.object);
        let kind = self.object["kind"].as_str().unwrap_or_default();
        KnownKind::find(&group, kind).ok_or_else(|| format!("no known kind: {group}/{kind}"))
    }

    /// The finding on its data when that is paused.
    pub fn region_paused(&self) -> Vec<String> {
        vec![format!("RegionPaused {}", self.declared)]
    }
}

/// Whether a finding is written as one.
fn known(finding: &str) -> Result<(), String> {
    let reason = finding.split(' ').next().unwrap_or_default();
    if finding.split(' ').count() < 2 || !Reason::ALL.iter().any(|it| it.as_str() == reason) {
        return Err(format!("{finding:?} is no \"<Reason> <field>\""));
    }
    Ok(())
}

/// The object as a patch leaves it, which must change it.
pub fn patched(object: &Value, patch: &Patch) -> Result<Value, String> {
    let mut new = object.clone();
    json_patch::patch(&mut new, patch).map_err(|error| error.to_string())?;
    if new == *object {
        return Err("the patch changes nothing".to_owned());
    }
    Ok(new)
}

/// The same about people whose data is paused.
pub fn paused(object: &Value) -> Value {
    let text = object.to_string().replace("people-us", "people-de");
    serde_json::from_str(&text).unwrap()
}

/// With another key in its metadata.
pub fn with_meta(mut object: Value, key: &str, value: Value) -> Value {
    object["metadata"][key] = value;
    object
}

/// In that namespace, unless it lives in the cluster or in another one.
pub fn placed(object: &Value, namespace: &str) -> Value {
    if is_elsewhere(object) {
        return object.clone();
    }
    with_meta(object.clone(), "namespace", json!(namespace))
}

/// Whether it lives outside the namespaces of the runner.
pub fn is_elsewhere(object: &Value) -> bool {
    is_cluster_scoped(object) || object["metadata"]["namespace"].is_string()
}

/// Whether it lives in the cluster.
pub fn is_cluster_scoped(object: &Value) -> bool {
    let (group, _) = group_version(object);
    let kind = object["kind"].as_str().unwrap_or_default();
    let known = KnownKind::find(&group, kind).is_some_and(|it| it.info().scope == Scope::Cluster);
    known || kind == "Namespace"
}

/// API group and version.
pub fn group_version(object: &Value) -> (String, String) {
    let text = object["apiVersion"].as_str().unwrap_or_default();
    let (group, version) = text.split_once('/').unwrap_or(("", text));
    (group.to_owned(), version.to_owned())
}

/// The child of an owner that is stored.
pub fn child_of(child: &Value, owner: &Value) -> Value {
    let reference = json!([{
        "apiVersion": owner["apiVersion"],
        "kind": owner["kind"],
        "name": owner["metadata"]["name"],
        "uid": owner["metadata"]["uid"],
        "controller": true,
        "blockOwnerDeletion": true,
    }]);
    with_meta(child.clone(), "ownerReferences", reference)
}

/// Each once, in the order of the alphabet: fixtures name findings in any order.
pub fn sorted(findings: impl IntoIterator<Item = String>) -> Vec<String> {
    findings
        .into_iter()
        .collect::<BTreeSet<_>>()
        .into_iter()
        .collect()
}
