//! An API server of a few lines: objects by path, lists, watches, and whatever a test wants to go wrong.

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::sync::{Arc, Mutex};

use axum::body::Body as AxumBody;
use axum::http::{Method, Request, Response, StatusCode};
use bytes::Bytes;
use futures::channel::mpsc::{UnboundedSender, unbounded};
use kube::Client;
use kube::client::Body;
use serde_json::{Value, json};
use tower::service_fn;

pub const POLICIES: &str = "/apis/datagate.dev/v1alpha1/datasetpolicies";
pub const RECORDS: &str = "/apis/datagate.dev/v1alpha1/datasetrecords";
pub const NAMESPACES: &str = "/api/v1/namespaces";
pub const LEASES: &str = "/apis/coordination.k8s.io/v1/namespaces/datagate-system/leases";
pub const WEBHOOKS: &str = "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations";
pub const CRDS: &str = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";

/// Clones share everything.
#[derive(Clone, Default)]
pub struct Api(Arc<Mutex<Inner>>);

#[derive(Default)]
struct Inner {
    revision: u64,
    objects: BTreeMap<String, Value>,
    watches: Vec<Watch>,
    /// Open, and never to say anything again.
    dead: Vec<Watch>,
    /// Revision, collection and line of every event, for watches that begin later.
    history: Vec<(u64, String, String)>,
    rules: Vec<Rule>,
    log: VecDeque<String>,
}

type Watch = (String, UnboundedSender<io::Result<Bytes>>);

struct Rule {
    prefix: String,
    what: Instead,
}

/// What a path answers instead.
#[derive(Clone, Copy, Debug)]
pub enum Instead {
    Status(u16),
    Silence,
}

impl Api {
    /// Both CRDs, and nothing else.
    pub fn new() -> Self {
        let api = Self::default();
        for crd in ["datasetpolicies.datagate.dev", "datasetrecords.datagate.dev"] {
            api.put(CRDS, json!({"metadata": {"name": crd}}));
        }
        api
    }

    pub fn client(&self) -> Client {
        let api = self.clone();
        let service = service_fn(move |request: Request<Body>| {
            let api = api.clone();
            async move { api.serve(request).await }
        });
        Client::new(service, "default")
    }

    /// Makes or changes an object, and tells the watches. Its status stays, as if it were a subresource.
    pub fn put(&self, collection: &str, mut object: Value) {
        let mut inner = self.0.lock().unwrap();
        let path = format!("{collection}/{}", object["metadata"]["name"].as_str().unwrap());
        let old = inner.objects.get(&path);
        let status = old.filter(|old| old["metadata"]["uid"] == object["metadata"]["uid"]);
        if let Some(status) = status.and_then(|old| old.get("status"))
            && object.get("status").is_none()
        {
            object["status"] = status.clone();
        }
        let (object, new) = inner.store(&path, object);
        inner.tell(collection, if new { "ADDED" } else { "MODIFIED" }, &object);
    }

    /// Deletes an object, and tells the watches.
    pub fn delete(&self, collection: &str, name: &str) {
        let mut inner = self.0.lock().unwrap();
        let mut gone = inner.objects.remove(&format!("{collection}/{name}")).unwrap();
        inner.revision += 1;
        gone["metadata"]["resourceVersion"] = json!(inner.revision.to_string());
        inner.tell(collection, "DELETED", &gone);
    }

    /// Ends the watches of a collection, telling them to list again.
    pub fn expire(&self, collection: &str) {
        let mut inner = self.0.lock().unwrap();
        let status = json!({"kind": "Status", "code": 410, "reason": "Expired", "message": "too old"});
        inner.tell(collection, "ERROR", &status);
        inner.watches.retain(|(of, _)| of != collection);
    }

    /// Changes objects while nobody watches, and has the watches list again.
    pub fn behind_its_back(&self, collection: &str, change: impl FnOnce(&Self)) {
        let of = |(of, _): &mut Watch| of == collection;
        let aside: Vec<Watch> = self.0.lock().unwrap().watches.extract_if(.., of).collect();
        change(self);
        self.0.lock().unwrap().watches.extend(aside);
        self.expire(collection);
    }

    /// Lets the connections of the watches die: they say nothing any more and do not end.
    pub fn cut(&self, collection: &str) {
        let mut inner = self.0.lock().unwrap();
        let dead: Vec<Watch> = inner.watches.extract_if(.., |(of, _)| of == collection).collect();
        inner.dead.extend(dead);
    }

    /// Has paths that begin so answer something else.
    pub fn instead(&self, prefix: &str, what: Instead) {
        let prefix = prefix.to_owned();
        self.0.lock().unwrap().rules.push(Rule { prefix, what });
    }

    /// Has everything answer again as it should.
    pub fn mend(&self) {
        self.0.lock().unwrap().rules.clear();
    }

    pub fn watches(&self, collection: &str) -> usize {
        let inner = self.0.lock().unwrap();
        let open = |(of, to): &&Watch| of == collection && !to.is_closed();
        inner.watches.iter().filter(open).count()
    }

    pub fn object(&self, path: &str) -> Option<Value> {
        self.0.lock().unwrap().objects.get(path).cloned()
    }

    /// How many requests so far were `METHOD path`, up to the query.
    pub fn asked(&self, what: &str) -> usize {
        let inner = self.0.lock().unwrap();
        inner.log.iter().filter(|line| *line == what).count()
    }

    pub fn log(&self) -> Vec<String> {
        self.0.lock().unwrap().log.iter().cloned().collect()
    }

    async fn serve(self, request: Request<Body>) -> io::Result<Response<AxumBody>> {
        let (head, body) = request.into_parts();
        let path = head.uri.path().to_owned();
        let instead = {
            let mut inner = self.0.lock().unwrap();
            inner.log.push_back(format!("{} {path}", head.method));
            let rule = inner.rules.iter().find(|rule| path.starts_with(&rule.prefix));
            rule.map(|rule| rule.what)
        };
        match instead {
            Some(Instead::Silence) => std::future::pending().await,
            Some(Instead::Status(code)) => return Ok(failure(code)),
            None => {}
        }
        let body = body.collect_bytes().await.unwrap();
        let sent = || serde_json::from_slice::<Value>(&body).unwrap();
        let query = head.uri.query().unwrap_or_default();
        let mut inner = self.0.lock().unwrap();
        let answer = match head.method {
            Method::GET if query.contains("watch=true") => return Ok(inner.watch(&path, query)),
            Method::GET => inner.get(&path),
            Method::POST => {
                let path = format!("{path}/{}", sent()["metadata"]["name"].as_str().unwrap());
                match inner.objects.contains_key(&path) {
                    true => Err(409),
                    false => Ok(inner.store(&path, sent()).0),
                }
            }
            Method::PUT => inner.replace(&path, sent()),
            Method::PATCH => match path.strip_suffix("/status") {
                Some(path) => inner.patch_status(path, sent()),
                None => Ok(inner.apply(&path, sent())),
            },
            _ => Err(405),
        };
        Ok(match answer {
            Ok(value) => Response::new(AxumBody::from(value.to_string())),
            Err(code) => failure(code),
        })
    }
}

impl Inner {
    fn store(&mut self, path: &str, mut object: Value) -> (Value, bool) {
        self.revision += 1;
        object["metadata"]["resourceVersion"] = json!(self.revision.to_string());
        let new = self.objects.insert(path.to_owned(), object.clone()).is_none();
        (object, new)
    }

    fn tell(&mut self, collection: &str, what: &str, object: &Value) {
        let line = format!("{}\n", json!({"type": what, "object": object}));
        if what != "ERROR" {
            self.history
                .push((self.revision, collection.to_owned(), line.clone()));
        }
        for (of, to) in &self.watches {
            if of == collection {
                let _ = to.unbounded_send(Ok(line.clone().into()));
            }
        }
    }

    fn watch(&mut self, path: &str, query: &str) -> Response<AxumBody> {
        let (to, from) = unbounded();
        let since = query
            .split('&')
            .find_map(|it| it.strip_prefix("resourceVersion="));
        let since: u64 = since.unwrap().parse().unwrap();
        let missed = self
            .history
            .iter()
            .filter(|(at, of, _)| *at > since && of == path);
        for (_, _, line) in missed {
            to.unbounded_send(Ok(line.clone().into())).unwrap();
        }
        self.watches.push((path.to_owned(), to));
        Response::new(AxumBody::from_stream(from))
    }

    fn get(&self, path: &str) -> Result<Value, u16> {
        if let Some(object) = self.objects.get(path) {
            return Ok(object.clone());
        }
        if ![POLICIES, RECORDS, NAMESPACES, LEASES, WEBHOOKS].contains(&path) {
            return Err(404);
        }
        let of = |(at, _): &(&String, &Value)| {
            at.strip_prefix(path)
                .and_then(|rest| rest.strip_prefix('/'))
                .is_some_and(|name| !name.contains('/'))
        };
        let items: Vec<&Value> = self.objects.iter().filter(of).map(|(_, object)| object).collect();
        let metadata = json!({"resourceVersion": self.revision.to_string()});
        Ok(json!({"kind": "List", "apiVersion": "v1", "metadata": metadata, "items": items}))
    }

    fn replace(&mut self, path: &str, object: Value) -> Result<Value, u16> {
        let old = self.objects.get(path).ok_or(404_u16)?;
        if old["metadata"]["resourceVersion"] != object["metadata"]["resourceVersion"] {
            return Err(409);
        }
        Ok(self.store(path, object).0)
    }

    fn apply(&mut self, path: &str, object: Value) -> Value {
        let (object, new) = self.store(path, object);
        let (collection, _) = path.rsplit_once('/').unwrap();
        self.tell(collection, if new { "ADDED" } else { "MODIFIED" }, &object);
        object
    }

    fn patch_status(&mut self, path: &str, patch: Value) -> Result<Value, u16> {
        let mut object = self.objects.get(path).cloned().ok_or(404_u16)?;
        if object["metadata"]["uid"] != patch["metadata"]["uid"] {
            return Err(409);
        }
        object["status"] = patch["status"].clone();
        let (object, _) = self.store(path, object);
        let (collection, _) = path.rsplit_once('/').unwrap();
        self.tell(collection, "MODIFIED", &object);
        Ok(object)
    }
}

fn failure(code: u16) -> Response<AxumBody> {
    let status = StatusCode::from_u16(code).unwrap();
    let reason = match code {
        404 => "NotFound",
        409 => "Conflict",
        _ => "Other",
    };
    let body =
        json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code, "reason": reason});
    let mut response = Response::new(AxumBody::from(body.to_string()));
    *response.status_mut() = status;
    response
}

/// The webhook configuration that the chart installs, as far as it matters to statuses.
pub fn webhook() -> Value {
    let rules = json!([
        {"apiGroups": ["*"], "apiVersions": ["*"], "resources": ["*/*"], "operations": ["*"]},
    ]);
    let hook = |name: &str| {
        json!({
            "name": name,
            "rules": rules,
            "clientConfig": {"url": "https://localhost/validate"},
            "sideEffects": "None",
            "admissionReviewVersions": ["v1"],
        })
    };
    let names = [
        "training.datagate.dev",
        "core.datagate.dev",
        "core-all.datagate.dev",
    ];
    json!({
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "ValidatingWebhookConfiguration",
        "metadata": {"name": "datagate", "uid": "w"},
        "webhooks": names.map(hook),
    })
}

/// A policy that pauses data of people in some regions.
pub fn policy(name: &str, uid: &str, generation: i64, regions: &[&str]) -> Value {
    json!({
        "apiVersion": "datagate.dev/v1alpha1",
        "kind": "DatasetPolicy",
        "metadata": {"name": name, "uid": uid, "generation": generation},
        "spec": {
            "validationActions": ["Deny"],
            "undeclared": "Deny",
            "workloads": "Accelerated",
            "pauses": [{"name": "p", "match": {"regions": regions}}],
        },
    })
}

/// A record of data of people in some regions.
pub fn record(name: &str, uid: &str, generation: i64, regions: &[&str]) -> Value {
    json!({
        "apiVersion": "datagate.dev/v1alpha1",
        "kind": "DatasetRecord",
        "metadata": {"name": name, "uid": uid, "generation": generation},
        "spec": {
            "sourceCategory": "UserData",
            "personalData": "Present",
            "dataSubjects": {"regions": regions},
        },
    })
}

/// A namespace with labels.
pub fn namespace(name: &str, labels: &[(&str, &str)]) -> Value {
    let labels: BTreeMap<&str, &str> = labels.iter().copied().collect();
    json!({
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": {"name": name, "uid": name, "labels": labels},
    })
}
