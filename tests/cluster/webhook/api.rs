//! The API server, asked directly: its answers with every cause, code and warning.

use std::sync::OnceLock;

use axum::http::{HeaderValue, Method, Request};
use datagate_core::workload::KnownKind;
use datagate_env::ControlPlane;
use http_body_util::BodyExt as _;
use kube::Client;
use kube::client::Body;
use kube::config::{KubeConfigOptions, Kubeconfig};
use serde_json::{Value, json};
use tokio::runtime::Runtime;

const JSON: &str = "application/json";
const MERGE: &str = "application/merge-patch+json";
const STRATEGIC: &str = "application/strategic-merge-patch+json";
const JSON_PATCH: &str = "application/json-patch+json";
const APPLY: &str = "application/apply-patch+yaml";

/// Asks as one user.
#[derive(Clone)]
pub struct Api {
    client: Client,
    headers: Vec<(&'static str, String)>,
}

/// What the API server said.
#[derive(Clone, Debug)]
pub struct Answer {
    pub code: u16,
    pub body: Value,
    pub warnings: Vec<String>,
}

fn runtime() -> &'static Runtime {
    static RUNTIME: OnceLock<Runtime> = OnceLock::new();
    RUNTIME.get_or_init(|| Runtime::new().unwrap())
}

impl Api {
    /// As administrator.
    pub fn new(cluster: &ControlPlane) -> Self {
        Self::of(Kubeconfig::read_from(cluster.kubeconfig()).unwrap())
    }

    /// With a token and nothing else.
    pub fn with_token(cluster: &ControlPlane, token: &str) -> Self {
        let mut config = Kubeconfig::read_from(cluster.kubeconfig()).unwrap();
        config.auth_infos[0].auth_info = serde_json::from_value(json!({"token": token})).unwrap();
        Self::of(config)
    }

    fn of(kubeconfig: Kubeconfig) -> Self {
        let client = runtime().block_on(async {
            let options = KubeConfigOptions::default();
            let mut config = kube::Config::from_custom_kubeconfig(kubeconfig, &options)
                .await
                .unwrap();
            config.default_retry = false;
            Client::try_from(config).unwrap()
        });
        Self {
            client,
            headers: Vec::new(),
        }
    }

    /// The same as another user, whom the API server lets the administrator be.
    pub fn impersonate(&self, user: &str) -> Self {
        let mut api = self.clone();
        api.headers.push(("impersonate-user", user.to_owned()));
        api
    }

    /// The same as another user who may do everything.
    pub fn almighty(&self, user: &str) -> Self {
        let mut api = self.impersonate(user);
        api.headers
            .push(("impersonate-group", "system:masters".to_owned()));
        api
    }

    /// The same as another user in these groups.
    pub fn impersonate_in(&self, user: &str, groups: &[&str]) -> Self {
        let mut api = self.impersonate(user);
        let groups = groups
            .iter()
            .map(|group| ("impersonate-group", (*group).to_owned()));
        api.headers.extend(groups);
        api
    }

    pub fn create(&self, object: &Value) -> Answer {
        self.ask(Method::POST, &collection(object), JSON, object)
    }

    /// Asks all webhooks and stores nothing.
    pub fn dry_run(&self, object: &Value) -> Answer {
        self.ask(
            Method::POST,
            &format!("{}?dryRun=All", collection(object)),
            JSON,
            object,
        )
    }

    pub fn get(&self, object: &Value) -> Answer {
        self.send(Method::GET, &path(object), JSON, Body::empty())
    }

    pub fn get_path(&self, path: &str) -> Answer {
        self.send(Method::GET, path, JSON, Body::empty())
    }

    pub fn replace(&self, object: &Value) -> Answer {
        self.ask(Method::PUT, &path(object), JSON, object)
    }

    pub fn merge(&self, object: &Value, patch: &Value) -> Answer {
        self.ask(Method::PATCH, &path(object), MERGE, patch)
    }

    pub fn strategic(&self, object: &Value, patch: &Value) -> Answer {
        self.ask(Method::PATCH, &path(object), STRATEGIC, patch)
    }

    pub fn json_patch(&self, object: &Value, patch: &Value) -> Answer {
        self.ask(Method::PATCH, &path(object), JSON_PATCH, patch)
    }

    /// A JSON patch that is not stored.
    pub fn dry_json_patch(&self, object: &Value, patch: &Value) -> Answer {
        let path = format!("{}?dryRun=All", path(object));
        self.ask(Method::PATCH, &path, JSON_PATCH, patch)
    }

    /// Server-side apply.
    pub fn apply(&self, object: &Value) -> Answer {
        let path = format!("{}?fieldManager=test&force=true", path(object));
        self.ask(Method::PATCH, &path, APPLY, object)
    }

    /// A strategic merge patch of a subresource.
    pub fn patch_sub(&self, object: &Value, subresource: &str, patch: &Value) -> Answer {
        self.ask(
            Method::PATCH,
            &format!("{}/{subresource}", path(object)),
            STRATEGIC,
            patch,
        )
    }

    /// A merge patch of a subresource.
    pub fn merge_sub(&self, object: &Value, subresource: &str, patch: &Value) -> Answer {
        self.ask(
            Method::PATCH,
            &format!("{}/{subresource}", path(object)),
            MERGE,
            patch,
        )
    }

    /// Replaces an object through a subresource.
    pub fn put_sub(&self, object: &Value, subresource: &str) -> Answer {
        self.ask(
            Method::PUT,
            &format!("{}/{subresource}", path(object)),
            JSON,
            object,
        )
    }

    /// Deletes everything in a collection.
    pub fn delete_all(&self, collection: &str) -> Answer {
        self.send(Method::DELETE, collection, JSON, Body::empty())
    }

    pub fn delete(&self, object: &Value, propagation: &str) -> Answer {
        let options = json!({"kind": "DeleteOptions", "apiVersion": "v1", "propagationPolicy": propagation});
        self.ask(Method::DELETE, &path(object), JSON, &options)
    }

    /// Deletes a pod without the grace that only a node could end.
    pub fn delete_now(&self, path: &str) -> Answer {
        let options = json!({"kind": "DeleteOptions", "apiVersion": "v1", "gracePeriodSeconds": 0});
        self.ask(Method::DELETE, path, JSON, &options)
    }

    pub fn post(&self, path: &str, object: &Value) -> Answer {
        self.ask(Method::POST, path, JSON, object)
    }

    fn ask(&self, method: Method, path: &str, content: &'static str, body: &Value) -> Answer {
        self.send(method, path, content, Body::from(body.to_string().into_bytes()))
    }

    fn send(&self, method: Method, path: &str, content: &'static str, body: Body) -> Answer {
        let mut request = Request::builder().method(method).uri(path);
        request = request.header("content-type", content).header("accept", JSON);
        for (name, value) in &self.headers {
            request = request.header(*name, value);
        }
        let request = request.body(body).unwrap();
        runtime().block_on(async {
            let response = self.client.send(request).await.unwrap();
            let headers = response.headers();
            let text = |value: &HeaderValue| value.to_str().unwrap_or_default().to_owned();
            let warnings = headers
                .get_all("warning")
                .iter()
                .map(|value| warning(&text(value)))
                .collect();
            let code = response.status().as_u16();
            let bytes = response.into_body().collect().await.unwrap().to_bytes();
            let body = serde_json::from_slice(&bytes)
                .unwrap_or_else(|_| json!({"message": String::from_utf8_lossy(&bytes)}));
            Answer { code, body, warnings }
        })
    }
}

impl Answer {
    /// It was stored, or would have been; gives the object.
    #[track_caller]
    pub fn admitted(self) -> Value {
        assert!(
            (200..300).contains(&self.code),
            "should have been admitted: {self:#?}"
        );
        self.body
    }

    /// It was refused by datagate with that code, and these are all findings, each as `Reason field`.
    #[track_caller]
    pub fn refused(&self, code: u16, findings: &[&str]) {
        assert_eq!(self.findings(), findings, "{self:#?}");
        let reason = if code == 422 { "Invalid" } else { "Forbidden" };
        assert_eq!(
            (self.code, &self.body["reason"]),
            (code, &json!(reason)),
            "{self:#?}"
        );
        let details = &self.body["details"];
        let causes = details["causes"].as_array().unwrap();
        assert_eq!(causes.last().unwrap()["field"], "help", "{self:#?}");
        // Who shows no causes shows the message.
        let message = self.body["message"].as_str().unwrap();
        for cause in causes {
            let text = cause["message"].as_str().unwrap();
            assert!(message.contains(text), "{self:#?}");
            assert!(!text.contains(['\n', '"']), "{self:#?}");
        }
        assert!(
            !details["name"].as_str().unwrap_or_default().is_empty(),
            "{self:#?}"
        );
    }

    /// The findings, each as `Reason field`, in their order.
    pub fn findings(&self) -> Vec<String> {
        let causes = self.body["details"]["causes"].as_array();
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let all = causes
            .into_iter()
            .flatten()
            .filter(|cause| cause["field"] != "help");
        all.map(|cause| format!("{} {}", text(&cause["reason"]), text(&cause["field"])))
            .collect()
    }

    /// Everything it says, to look for a word in.
    pub fn text(&self) -> String {
        format!(
            "{} {} {}",
            self.code,
            self.body["message"].as_str().unwrap_or_default(),
            self.warnings.join("\n")
        )
    }
}

/// `299 - "text"`.
fn warning(header: &str) -> String {
    let text = header.splitn(3, ' ').nth(2).unwrap_or_default();
    text.trim_matches('"').replace("\\\"", "\"").replace("\\\\", "\\")
}

/// Where objects like this one are.
pub fn collection(object: &Value) -> String {
    collection_in(object, object["metadata"]["namespace"].as_str())
}

/// Where objects like this one are in a namespace, or in the cluster.
pub fn collection_in(object: &Value, namespace: Option<&str>) -> String {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let (version, kind) = (text(&object["apiVersion"]), text(&object["kind"]));
    let root = if version.contains('/') { "/apis" } else { "/api" };
    let group = version.split_once('/').map_or("", |(group, _)| group);
    let plural = match (KnownKind::find(group, &kind), kind.as_str()) {
        (Some(known), _) => known.info().plural.to_owned(),
        (None, kind) if kind.ends_with("Policy") => {
            format!("{}ies", kind.to_lowercase().trim_end_matches('y'))
        }
        (None, _) => format!("{}s", kind.to_lowercase()),
    };
    match namespace {
        Some(namespace) => format!("{root}/{version}/namespaces/{namespace}/{plural}"),
        None => format!("{root}/{version}/{plural}"),
    }
}

/// Where this object is.
pub fn path(object: &Value) -> String {
    let name = object["metadata"]["name"].as_str().unwrap();
    format!("{}/{name}", collection(object))
}
