//! A namespace and the policies for it.

use std::sync::atomic::{AtomicU32, Ordering};

use datagate_env::wait_until;
use serde_json::{Value, json};

use super::{Answer, Rig, SOON, objects, rig};

/// The record that markers are about, and the beginning of their names: people in Antarctica, whose data nothing else
/// uses.
pub const MARKER: &str = "marker";

/// A namespace of its own for a test.
pub struct Team {
    pub rig: &'static Rig,
    pub name: String,
}

impl Team {
    /// Makes the namespace in the shared cluster; nothing governs it yet.
    pub fn new(name: &str) -> Self {
        Self::on(rig(), name)
    }

    /// Makes the namespace.
    pub fn on(rig: &'static Rig, name: &str) -> Self {
        rig.cluster.create_namespace(name).unwrap();
        let name = name.to_owned();
        Self { rig, name }
    }

    /// Makes the namespace, and the usual policy for it.
    pub fn governed(name: &str) -> Self {
        let team = Self::new(name);
        team.enforce(team.policy());
        team
    }

    /// The usual policy for this namespace, named like it.
    pub fn policy(&self) -> Value {
        objects::policy(&self.name, &self.name)
    }

    /// Stores a policy and waits until it is in force.
    pub fn enforce(&self, policy: Value) -> Value {
        enforce(self.rig, policy, &self.name)
    }

    /// Looks until the API server's answer is as wanted.
    #[track_caller]
    pub fn until(
        &self,
        what: &str,
        mut ask: impl FnMut() -> Answer,
        wanted: impl Fn(&Answer) -> bool,
    ) -> Answer {
        let mut last = None;
        let found = wait_until(what, SOON, || {
            let answer = last.insert(ask());
            if wanted(answer) {
                Ok(())
            } else {
                Err(answer.text())
            }
        });
        found.unwrap_or_else(|error| panic!("{error}\n{}", self.rig.server.log()));
        last.unwrap()
    }

    /// The objects of a resource (`pods`, `jobs`) of this namespace that an owner of that name controls.
    pub fn children(&self, resource: &str, owner: &str) -> Vec<Value> {
        let root = match resource {
            "pods" => "/api/v1",
            "replicasets" => "/apis/apps/v1",
            _ => "/apis/batch/v1",
        };
        let list = self
            .rig
            .api
            .get_path(&format!("{root}/namespaces/{}/{resource}", self.name))
            .admitted();
        let kind = match resource {
            "pods" => "Pod",
            "replicasets" => "ReplicaSet",
            _ => "Job",
        };
        let owned = |item: &&Value| item["metadata"]["ownerReferences"][0]["name"] == owner;
        let all = list["items"].as_array().unwrap().iter().filter(owned).cloned();
        all.map(|mut item| {
            item["kind"] = json!(kind);
            item["apiVersion"] = json!(
                root.rsplit_once("/api")
                    .unwrap()
                    .1
                    .trim_start_matches("s/")
                    .trim_start_matches('/')
            );
            item
        })
        .collect()
    }

    /// Waits for a child.
    #[track_caller]
    pub fn child(&self, resource: &str, owner: &str) -> Value {
        let what = format!("one of the {resource} of {owner}");
        self.rig
            .wait(&what, || self.children(resource, owner).into_iter().next())
    }

    /// Waits for an event on an object of that name whose text has these words.
    #[track_caller]
    pub fn event(&self, name: &str, words: &[&str]) -> String {
        let path = format!(
            "/api/v1/namespaces/{}/events?fieldSelector=involvedObject.name={name}",
            self.name
        );
        let what = format!("an event of {name} with {words:?}");
        self.rig.wait(&what, || {
            let list = self.rig.api.get_path(&path).admitted();
            let texts = list["items"].as_array()?.iter().map(|event| {
                let text = |field: &str| event[field].as_str().unwrap_or_default().to_owned();
                format!("{}: {}", text("reason"), text("message"))
            });
            texts
                .into_iter()
                .find(|text| words.iter().all(|word| text.contains(word)))
        })
    }

    /// What the server wrote into its log about an object made by that user, oldest first.
    pub fn decisions(&self, kind: &str) -> Vec<Value> {
        let all = self.rig.server.decisions().into_iter();
        all.filter(|line| line["object"]["namespace"] == *self.name && line["object"]["kind"] == kind)
            .collect()
    }
}

/// A pod that every policy with a marker has something to say about.
pub fn probe(namespace: &str) -> Value {
    objects::declare(objects::pod(namespace, "probe"), MARKER)
}

/// Stores a policy with a new marker in it, and waits until a request meets that marker: there is no other way to know
/// that an API server honours a webhook configuration, and that the server has seen the policy.
pub fn enforce(rig: &Rig, mut policy: Value, namespace: &str) -> Value {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let marker = format!("{MARKER}-{}", NEXT.fetch_add(1, Ordering::Relaxed));
    let pause = json!({"name": marker, "match": {"regions": ["AQ"]}});
    match policy["spec"]["pauses"].as_array_mut() {
        Some(pauses) => pauses.push(pause),
        None => policy["spec"]["pauses"] = json!([pause]),
    }
    let stored = rig.api.apply(&policy).admitted();
    let name = policy["metadata"]["name"].as_str().unwrap();
    let (rule, probe) = (format!("{name}/{marker}"), probe(namespace));
    let audit_only = policy["spec"]["validationActions"] == json!(["Audit"]);
    let in_force = || {
        if audit_only {
            let now = rig.api.get(&policy).admitted();
            let seen = &now["status"]["observedGeneration"];
            return if *seen == stored["metadata"]["generation"] {
                Ok(())
            } else {
                Err(seen.to_string())
            };
        }
        let text = rig.api.dry_run(&probe).text();
        if text.contains(&rule) { Ok(()) } else { Err(text) }
    };
    let seen = wait_until(&format!("{rule} is in force"), SOON, in_force);
    seen.unwrap_or_else(|error| panic!("{error}\n{}", rig.server.log()));
    stored
}
