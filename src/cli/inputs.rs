//! What the command line is given, sorted: policies, records and namespaces make a world, the rest are workloads, and
//! whatever a workload may refer to can be looked up.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use datagate_api::v1alpha1::{DatasetPolicy, DatasetRecord, GROUP, VERSION};
use datagate_core::dataset::Record;
use datagate_core::fetched::{Absence, Fetched, Need};
use datagate_core::policy::Policy;
use datagate_core::selector::Labels;
use datagate_core::settings::Settings;
use datagate_core::workload::{KnownKind, Scope};
use datagate_core::world::{Catalogue, Namespace, World};
use serde::Deserialize;

use super::bounds::Bounds;
use super::document::{Bad, Document, Node, Place, Value, bytes, documents};

/// Everything that was read.
#[derive(Debug)]
pub struct Inputs {
    /// Policies, records and namespaces.
    pub world: World,
    /// What is to be judged, in the order it was given.
    pub workloads: Vec<Document>,
    /// How many policies there are.
    pub policies: usize,
    objects: HashMap<Key, Arc<str>>,
    /// Labels of namespaces that are not given as objects.
    labels: Labels,
}

/// How a path was given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// With `--policy`: at least one policy is in it, and nothing in it is judged.
    Policy,
    /// With `--record`: as above, of records and what else workloads refer to.
    Record,
    /// As an argument: what is a workload in it is judged.
    Judged,
}

/// Kind, namespace and name of an object that may be referred to.
type Key = (KnownKind, Box<str>, Box<str>);

/// Reads and sorts; goes on after a problem, so that all are told at once.
#[derive(Default)]
pub struct Reader {
    catalogue: Catalogue,
    workloads: Vec<Document>,
    policies: usize,
    objects: HashMap<Key, Arc<str>>,
    seen: HashMap<(String, String), Document>,
    bad: Vec<Bad>,
    bounds: Option<Bounds>,
}

impl Reader {
    /// With these settings.
    #[must_use]
    pub fn new(settings: Settings) -> Self {
        Self {
            catalogue: Catalogue::new(settings),
            ..Self::default()
        }
    }

    /// Reads a file, a directory with all below it, or standard input (`-`).
    pub fn path(&mut self, path: &Path, role: Role) {
        let mut files = Vec::new();
        if path.as_os_str() != "-" && path.is_dir() {
            self.walk(path, &mut files);
        } else {
            files.push(path.to_owned());
        }
        let found = files
            .iter()
            .map(|file| self.file(file, role, files.len() > 1))
            .sum::<usize>();
        if found == 0 && self.bad.is_empty() {
            let what = match role {
                Role::Policy => "there is no DatasetPolicy in it",
                Role::Record => "there is no DatasetRecord in it, and no object that a workload may refer to",
                Role::Judged => "there is no object in it",
            };
            self.bad.push(Bad::file(&path.display().to_string(), what));
        }
    }

    /// All YAML and JSON files below a directory, by name. Hidden ones are left out, and directories behind links,
    /// which could lead back.
    fn walk(&mut self, directory: &Path, files: &mut Vec<PathBuf>) {
        let mut open = vec![directory.to_owned()];
        while let Some(directory) = open.pop() {
            let entries = match fs::read_dir(&directory).and_then(Iterator::collect::<Result<Vec<_>, _>>) {
                Ok(entries) => entries,
                Err(error) => {
                    self.bad
                        .push(Bad::file(&directory.display().to_string(), error.to_string()));
                    continue;
                }
            };
            for entry in entries {
                let path = entry.path();
                let wanted = path
                    .extension()
                    .is_some_and(|it| it == "yaml" || it == "yml" || it == "json");
                if entry.file_name().as_encoded_bytes().starts_with(b".") {
                    continue;
                }
                if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                    open.push(path);
                } else if wanted && path.is_file() {
                    files.push(path);
                }
            }
        }
        files.sort();
    }

    /// How much of what is looked for was found.
    fn file(&mut self, path: &Path, role: Role, one_of_many: bool) -> usize {
        let file: Arc<str> = path.display().to_string().into();
        let read = bytes(path, &file).and_then(|bytes| documents(&bytes, &file));
        match read {
            Err(bad) => {
                self.bad.push(bad);
                0
            }
            Ok(documents) if documents.is_empty() && role == Role::Judged && !one_of_many => {
                self.bad
                    .push(Bad::file(&file, "it is empty: there is no object in it"));
                0
            }
            Ok(documents) => documents
                .into_iter()
                .map(|document| self.object(document, role))
                .sum(),
        }
    }

    /// Takes an object, or the items of a list, and says how many of them are what the role is about.
    fn object(&mut self, document: Document, role: Role) -> usize {
        match self.sort(document, role) {
            Ok(found) => found,
            Err(bad) => {
                self.bad.push(bad);
                0
            }
        }
    }

    fn sort(&mut self, document: Document, role: Role) -> Result<usize, Bad> {
        let root = &document.root;
        if !matches!(root.value, Value::Map(_)) {
            return Err(document.bad(
                root.at,
                "this is no Kubernetes object: expected apiVersion, kind, metadata",
            ));
        }
        let (api_version, kind) = (
            field(&document, "apiVersion")?.to_owned(),
            field(&document, "kind")?.to_owned(),
        );
        if let (
            true,
            Some(Node {
                value: Value::List(items),
                ..
            }),
        ) = (kind.ends_with("List"), root.get("items"))
        {
            let items = items.clone().into_iter().map(|root| Document {
                root,
                ..document.clone()
            });
            return Ok(items.map(|item| self.object(item, role)).sum());
        }
        let group = api_version.split_once('/').map_or("", |(group, _)| group);
        if group == GROUP {
            return self.ours(&document, &api_version, &kind, role);
        }
        match (group, kind.as_str()) {
            ("", "Namespace") => self.namespace(&document)?,
            _ => {
                if let Some(kind) = KnownKind::find(group, &kind) {
                    self.referable(&document, kind)?;
                }
                if role == Role::Judged {
                    self.workloads.push(document);
                }
            }
        }
        Ok(usize::from(role != Role::Policy))
    }

    /// A policy or a record.
    fn ours(&mut self, document: &Document, api_version: &str, kind: &str, role: Role) -> Result<usize, Bad> {
        let at = |name: &str| document.root.get(name).map_or(document.root.at, |node| node.at);
        if !matches!(kind, "DatasetPolicy" | "DatasetRecord") {
            let what = format!("{api_version} has DatasetPolicy and DatasetRecord, no {kind}");
            return Err(document.bad(at("kind"), what));
        }
        if api_version != format!("{GROUP}/{VERSION}") {
            let what = format!("{api_version} is not known; write {GROUP}/{VERSION}");
            return Err(document.bad(at("apiVersion"), what));
        }
        let name = name(document)?.to_owned();
        if !self.first(document, kind, &name)? {
            return Ok(1);
        }
        if let Some((at, what)) = self.bounds(document)?.first_breach(kind, &document.root) {
            return Err(document.bad(at, what));
        }
        if kind == "DatasetPolicy" {
            let policy: DatasetPolicy = document.read()?;
            self.catalogue
                .put_policy(Policy::try_from(&policy).map_err(|error| invalid(document, &error))?);
            self.policies = self.policies.saturating_add(1);
        } else {
            let record: DatasetRecord = document.read()?;
            self.catalogue
                .put_record(Record::try_from(&record).map_err(|error| invalid(document, &error))?);
        }
        Ok(usize::from(
            (role == Role::Policy) == (kind == "DatasetPolicy") || role == Role::Judged,
        ))
    }

    /// The bounds of our kinds, made when the first one is read.
    fn bounds(&mut self, document: &Document) -> Result<&Bounds, Bad> {
        let bounds = match self.bounds.take() {
            Some(bounds) => bounds,
            None => Bounds::new().map_err(|error| document.bad(document.root.at, error.to_string()))?,
        };
        Ok(self.bounds.insert(bounds))
    }

    /// Whether the object is new; a file that is given twice is no harm, two objects with one name are.
    fn first(&mut self, document: &Document, kind: &str, name: &str) -> Result<bool, Bad> {
        let key = (kind.to_owned(), name.to_owned());
        match self.seen.get(&key) {
            None => {
                self.seen.insert(key, document.clone());
                Ok(true)
            }
            Some(known) if known.root == document.root => Ok(false),
            Some(known) => {
                let other = known.bad(known.root.at, "");
                let other = other.to_string();
                let other = other.trim_end_matches(": ");
                Err(document.bad(
                    document.root.at,
                    format!("another {kind} {name} stands in {other}"),
                ))
            }
        }
    }

    fn namespace(&mut self, document: &Document) -> Result<(), Bad> {
        let object: NamespaceObject = document.read()?;
        let name = name(document)?;
        if self.first(document, "Namespace", name)? {
            let namespace = namespace(name, object.metadata.labels, object.metadata.annotations);
            self.catalogue.put_namespace(name, namespace);
        }
        Ok(())
    }

    /// Keeps an object that others may refer to: as their owner, or as their template.
    fn referable(&mut self, document: &Document, kind: KnownKind) -> Result<(), Bad> {
        let text = |key| document.root.get("metadata").and_then(|meta| meta.text(key));
        let Some(name) = text("name") else { return Ok(()) };
        let json = document
            .root
            .json()
            .map_err(|error| document.bad(document.root.at, error.to_string()))?;
        let namespace = match kind.info().scope {
            Scope::Namespaced => text("namespace").unwrap_or(DEFAULT_NAMESPACE),
            Scope::Cluster => "",
        };
        let key = (kind, namespace.into(), name.into());
        self.objects.insert(key, json.into());
        Ok(())
    }

    /// Everything that was read, or all that is wrong with it.
    ///
    /// # Errors
    ///
    /// Every problem of every file.
    pub fn finish(mut self, labels: Vec<(Box<str>, Box<str>)>) -> Result<Inputs, Vec<Bad>> {
        if !self.bad.is_empty() {
            return Err(self.bad);
        }
        Ok(Inputs {
            world: self.catalogue.publish(),
            workloads: self.workloads,
            policies: self.policies,
            objects: self.objects,
            labels: labels.into_iter().collect(),
        })
    }
}

/// Where an object lives that does not say so.
pub const DEFAULT_NAMESPACE: &str = "default";

impl Inputs {
    /// Brings what a decision asks for.
    pub fn bring(&self, need: Need, fetched: &mut Fetched) {
        match need {
            Need::Namespace(name) => {
                let labels = self
                    .labels
                    .iter()
                    .map(|(key, value)| (key.to_string(), value.to_string()));
                let known = namespace(&name, labels.collect(), HashMap::new());
                fetched.put_namespace(&name, Ok(Arc::new(known)));
            }
            Need::Object {
                kind,
                ref namespace,
                ref name,
                ..
            } => {
                let key = (kind, namespace.clone(), name.clone());
                let object = self.objects.get(&key).cloned().ok_or(Absence::NotFound);
                fetched.put_object(need, object);
            }
        }
    }
}

#[derive(Deserialize)]
struct NamespaceObject {
    metadata: NamespaceMeta,
}

#[derive(Deserialize)]
struct NamespaceMeta {
    #[serde(default)]
    labels: HashMap<String, String>,
    #[serde(default)]
    annotations: HashMap<String, String>,
}

/// A namespace with the label that the API server sees to.
fn namespace(
    name: &str,
    mut labels: HashMap<String, String>,
    annotations: HashMap<String, String>,
) -> Namespace {
    labels.insert("kubernetes.io/metadata.name".to_owned(), name.to_owned());
    let boxed = |(key, value): (String, String)| (Box::from(key), Box::from(value));
    Namespace::new(
        labels.into_iter().map(boxed).collect(),
        annotations.into_iter().map(boxed),
    )
}

fn field<'d>(document: &'d Document, name: &str) -> Result<&'d str, Bad> {
    let root = &document.root;
    root.text(name).ok_or_else(|| match root.get(name) {
        Some(node) => document.bad(node.at, format!("{name}: expected text")),
        None => document.bad(root.at, format!("this is no Kubernetes object: it has no {name}")),
    })
}

fn name(document: &Document) -> Result<&str, Bad> {
    let meta = document.root.get("metadata");
    let name = meta
        .and_then(|meta| meta.text("name"))
        .filter(|name| !name.is_empty());
    let at = meta.map_or(document.root.at, |meta| meta.at);
    name.ok_or_else(|| document.bad(at, "metadata.name: it has no name"))
}

/// All problems of a policy or a record, at the place of the first.
fn invalid(document: &Document, error: &datagate_api::convert::Invalid) -> Bad {
    let first = error.problems().first();
    let at = first.map_or_else(Place::default, |problem| document.root.place_of(&problem.field));
    document.bad(at, error.to_string())
}
