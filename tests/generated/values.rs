//! The values of the chart: their types here, their descriptions and defaults in values.yaml, and from both of them
//! values.schema.json and VALUES.md.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, Schema};
use serde::Deserialize;
use serde_json::{Map, Value, json};

/// Whatever the API server understands there.
type Object = Map<String, Value>;

type Strings = BTreeMap<String, String>;

/// All values. Helm refuses what does not fit, so every text that looks like a code (`NO`, `1e3`) must be a string.
#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(title = "Values of the datagate chart")]
#[allow(dead_code, reason = "only their form matters")]
pub struct Values {
    /// Written by Helm when this chart is a dependency; not read.
    #[serde(default)]
    global: Object,
    mode: Mode,
    #[schemars(extend("uniqueItems" = true), inner(length(max = 63), regex(pattern = NAMESPACE)))]
    excluded_namespaces: Vec<String>,
    accelerators: Accelerators,
    #[schemars(extend("uniqueItems" = true), inner(regex(pattern = r"^[A-Za-z0-9.]+/[A-Za-z0-9.]+=[^=,'\\\s]+$")))]
    controller_accounts: Vec<String>,
    #[schemars(extend("uniqueItems" = true), inner(regex(pattern = r"^[A-Za-z0-9._/*:@-]*[A-Za-z0-9][A-Za-z0-9._/*:@-]*$")))]
    injected_images: Vec<String>,
    #[schemars(regex(pattern = REFUSE_WHEN_STALE))]
    refuse_when_stale_for: String,
    webhook: Webhook,
    certificate: Certificate,
    client_authentication: ClientAuthentication,
    crds: Crds,
    rbac: Rbac,
    service_account: ServiceAccount,
    guard: Guard,
    second_layer: SecondLayer,
    logs: Logs,
    tracing: Tracing,
    network_policy: NetworkPolicy,
    ports: Ports,
    host_network: bool,
    metrics: Metrics,
    image: Image,
    image_pull_secrets: Vec<Named>,
    #[schemars(range(min = 1))]
    replicas: u32,
    #[schemars(range(max = 300))]
    drain_delay_seconds: u32,
    resources: Resources,
    #[schemars(regex(pattern = OPTIONAL_NAME))]
    priority_class_name: String,
    node_selector: Strings,
    tolerations: Vec<Object>,
    affinity: Object,
    common_labels: Strings,
    common_annotations: Strings,
    pod_labels: Strings,
    pod_annotations: Strings,
    service_annotations: Strings,
    selftest: Selftest,
}

const NAMESPACE: &str = "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$";
const OPTIONAL_NAMESPACE: &str = "^([a-z0-9]([-a-z0-9]*[a-z0-9])?)?$";
const NAME: &str = "^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$";
const OPTIONAL_NAME: &str = "^([a-z0-9]([-a-z0-9.]*[a-z0-9])?)?$";
const GLOB: &str = r"^[A-Za-z0-9._/*-]*[A-Za-z0-9][A-Za-z0-9._/*-]*$";
/// At least 90 s, as the server wants it.
const REFUSE_WHEN_STALE: &str = "^((9[0-9]|[1-9][0-9]{2,})s|([2-9]|[1-9][0-9]+)m|[1-9][0-9]*h)?$";
/// What a string in CEL and in YAML cannot be broken out of.
const IDENTITY: &str = r"^[^'\\\s]+$";
const CIDR: &str = r"^[0-9a-fA-F.:]+/[0-9]{1,3}$";

#[derive(Deserialize, JsonSchema)]
enum Mode {
    Enforce,
    Observe,
}

#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[allow(dead_code, reason = "only their form matters")]
struct Accelerators {
    #[schemars(extend("uniqueItems" = true), length(max = 32), inner(length(max = 100), regex(pattern = GLOB)))]
    ignored_resources: Vec<String>,
    #[schemars(extend("uniqueItems" = true), length(max = 32), inner(length(max = 100), regex(pattern = GLOB)))]
    runtime_classes: Vec<String>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[allow(dead_code, reason = "only their form matters")]
struct Webhook {
    #[schemars(regex(pattern = r"^(https://[^/?#@\s]+/[^?#\s]*)?$"))]
    url: String,
    #[schemars(regex(
        pattern = r"^(\s*|[\s\S]*-----BEGIN CERTIFICATE-----[\s\S]+-----END CERTIFICATE-----\s*)$"
    ))]
    ca_bundle: String,
}

#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[allow(dead_code, reason = "only their form matters")]
struct Certificate {
    mode: CertificateMode,
    #[schemars(length(max = 253), regex(pattern = OPTIONAL_NAME))]
    existing_secret: String,
    cert_manager: CertManager,
}

#[derive(Deserialize, JsonSchema)]
enum CertificateMode {
    SelfManaged,
    CertManager,
    Secret,
}

#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[allow(dead_code, reason = "only their form matters")]
struct CertManager {
    issuer_ref: IssuerRef,
    #[schemars(regex(pattern = IDENTITY))]
    injector: String,
}

/// Empty or with a name.
#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(extend("dependencies" = {"kind": ["name"], "group": ["name"]}))]
#[allow(dead_code, reason = "only their form matters")]
struct IssuerRef {
    #[serde(default)]
    #[schemars(with = "String", regex(pattern = NAME))]
    name: Option<String>,
    #[serde(default)]
    #[schemars(with = "String", length(min = 1))]
    kind: Option<String>,
    #[serde(default)]
    #[schemars(with = "String", length(min = 1))]
    group: Option<String>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[allow(dead_code, reason = "only their form matters")]
struct ClientAuthentication {
    #[schemars(length(max = 253), regex(pattern = OPTIONAL_NAME))]
    ca_config_map: String,
    #[schemars(extend("uniqueItems" = true), inner(length(min = 1)))]
    names: Vec<String>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[allow(dead_code, reason = "only their form matters")]
struct Crds {
    install: bool,
}

#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[allow(dead_code, reason = "only their form matters")]
struct Rbac {
    readers: Vec<Subject>,
    policy_owners: Vec<Subject>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(extend(
    "if" = {"properties": {"kind": {"const": "ServiceAccount"}}},
    "then" = {"required": ["namespace"]},
    "else" = {"not": {"required": ["namespace"]}},
))]
#[allow(dead_code, reason = "only their form matters")]
struct Subject {
    kind: SubjectKind,
    #[schemars(length(min = 1))]
    name: String,
    #[serde(default)]
    #[schemars(with = "String", length(max = 63), regex(pattern = NAMESPACE))]
    namespace: Option<String>,
}

#[derive(Deserialize, JsonSchema)]
enum SubjectKind {
    Group,
    User,
    ServiceAccount,
}

#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[allow(dead_code, reason = "only their form matters")]
struct ServiceAccount {
    create: bool,
    #[schemars(length(max = 253), regex(pattern = OPTIONAL_NAME))]
    name: String,
    annotations: Strings,
}

#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[allow(dead_code, reason = "only their form matters")]
struct Guard {
    enabled: bool,
    #[schemars(extend("uniqueItems" = true), inner(regex(pattern = IDENTITY)))]
    users: Vec<String>,
    #[schemars(extend("uniqueItems" = true), inner(regex(pattern = IDENTITY)))]
    groups: Vec<String>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[allow(dead_code, reason = "only their form matters")]
struct SecondLayer {
    enabled: bool,
    // The API server refuses Deny beside Warn: the same would be said twice.
    #[schemars(extend("uniqueItems" = true, "not" = {"allOf": [{"contains": {"const": "Deny"}}, {"contains": {"const": "Warn"}}]}), length(min = 1))]
    validation_actions: Vec<Action>,
    namespace_selector: Object,
}

#[derive(Deserialize, JsonSchema)]
enum Action {
    Deny,
    Warn,
    Audit,
}

#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[allow(dead_code, reason = "only their form matters")]
struct Logs {
    format: LogFormat,
    #[schemars(length(max = 253), regex(pattern = OPTIONAL_NAME))]
    pseudonymise_key_secret: String,
}

#[derive(Deserialize, JsonSchema)]
enum LogFormat {
    Json,
    Text,
}

#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[allow(dead_code, reason = "only their form matters")]
struct Tracing {
    #[schemars(regex(pattern = r"^(https?://[^/?#@\s]+(/[^?#\s]*)?)?$"))]
    otlp_endpoint: String,
    #[schemars(range(min = 0, max = 1))]
    ratio: f64,
}

#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[allow(dead_code, reason = "only their form matters")]
struct NetworkPolicy {
    enabled: bool,
    #[schemars(extend("uniqueItems" = true), inner(regex(pattern = CIDR)))]
    webhook_cidrs: Vec<String>,
    admin_from: Vec<Object>,
    #[schemars(extend("uniqueItems" = true), inner(regex(pattern = CIDR)))]
    api_server_cidrs: Vec<String>,
    #[schemars(extend("uniqueItems" = true), length(min = 1), inner(range(min = 1, max = 65535)))]
    api_server_ports: Vec<u16>,
    extra_egress: Vec<Object>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[allow(dead_code, reason = "only their form matters")]
struct Ports {
    // Lower ones need a capability that the container does not have.
    #[schemars(range(min = 1024, max = 65535))]
    webhook: u16,
    #[schemars(range(min = 1024, max = 65535))]
    admin: u16,
}

#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[allow(dead_code, reason = "only their form matters")]
struct Image {
    #[schemars(length(min = 1))]
    repository: String,
    #[schemars(regex(pattern = r"^([A-Za-z0-9_][A-Za-z0-9._-]{0,127})?$"))]
    tag: String,
    #[schemars(regex(pattern = "^(sha256:[0-9a-f]{64})?$"))]
    digest: String,
    pull_policy: PullPolicy,
}

#[derive(Deserialize, JsonSchema)]
enum PullPolicy {
    Always,
    IfNotPresent,
    Never,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[allow(dead_code, reason = "only their form matters")]
struct Named {
    #[schemars(regex(pattern = NAME))]
    name: String,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[allow(dead_code, reason = "only their form matters")]
struct Resources {
    #[serde(default)]
    requests: Object,
    #[serde(default)]
    limits: Object,
    #[serde(default)]
    claims: Vec<Object>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[allow(dead_code, reason = "only their form matters")]
struct Metrics {
    service_monitor: ServiceMonitor,
    prometheus_rule: PrometheusRule,
    dashboard: Dashboard,
}

#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[allow(dead_code, reason = "only their form matters")]
struct ServiceMonitor {
    enabled: bool,
    #[schemars(regex(pattern = "^[1-9][0-9]*(s|m)$"))]
    interval: String,
    labels: Strings,
}

#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[allow(dead_code, reason = "only their form matters")]
struct PrometheusRule {
    enabled: bool,
    labels: Strings,
    alert_labels: Strings,
    #[schemars(extend("uniqueItems" = true), inner(regex(pattern = "^Datagate[A-Za-z]+$")))]
    disabled: Vec<String>,
    #[schemars(regex(pattern = r"^[^#\s]+$"))]
    runbook_url: String,
}

#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[allow(dead_code, reason = "only their form matters")]
struct Dashboard {
    enabled: bool,
    #[schemars(length(max = 63), regex(pattern = OPTIONAL_NAMESPACE))]
    namespace: String,
    labels: Strings,
    annotations: Strings,
}

#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[allow(dead_code, reason = "only their form matters")]
struct Selftest {
    #[schemars(range(min = 10, max = 3600))]
    timeout_seconds: u32,
}

/// One key of values.yaml.
pub struct Key {
    path: Vec<String>,
    comment: String,
}

/// The keys of values.yaml in their order, each with the comment right above it.
pub fn keys(text: &str) -> Vec<Key> {
    let mut keys: Vec<Key> = Vec::new();
    let mut comment: Vec<&str> = Vec::new();
    for line in text.lines() {
        let body = line.trim_start();
        let depth = (line.len() - body.len()) / 2;
        if let Some(words) = body.strip_prefix('#') {
            comment.push(words.trim());
        } else if let Some((key, _)) = body.split_once(':').filter(|_| !body.starts_with('-')) {
            let parent = keys.last().map(|it| it.path.clone()).unwrap_or_default();
            let mut path: Vec<String> = parent.into_iter().take(depth).collect();
            path.push(key.to_owned());
            keys.push(Key {
                path,
                comment: comment.join(" "),
            });
            comment.clear();
        } else {
            comment.clear();
        }
    }
    keys
}

/// Whether a schema says what keys there are, or leaves that to the API server.
fn has_keys(schema: &Value) -> bool {
    schema["properties"].as_object().is_some_and(|it| !it.is_empty())
}

/// `values.schema.json`, of values.yaml.
pub fn schema(text: &str) -> String {
    // Keeps each type where it is used: a description of its own beside a `$ref` is not read.
    let settings = SchemaSettings::draft07().with(|it| it.inline_subschemas = true);
    let mut schema: Schema = settings.into_generator().into_root_schema_for::<Values>();
    let mut root = schema.as_value().clone();
    let defaults: Value = serde_saphyr::from_str(text).unwrap();
    tidy(&mut root);
    for key in keys(text) {
        let (mut at, mut default) = (&mut root, &defaults);
        for name in &key.path {
            if !has_keys(at) {
                break;
            }
            at = &mut at["properties"][name];
            assert!(
                !at.is_null(),
                "values.yaml has {} and values.rs has not",
                key.path.join(".")
            );
            default = &default[name];
            if key.path.last() == Some(name) {
                assert!(
                    !key.comment.is_empty(),
                    "{} has no comment in values.yaml",
                    key.path.join(".")
                );
                at["description"] = json!(key.comment);
                if !has_keys(at) {
                    at["default"] = default.clone();
                }
            }
        }
    }
    schema = root.clone().try_into().unwrap();
    every_key_is_described(schema.as_value(), "");
    serde_json::to_string_pretty(&schema).unwrap() + "\n"
}

/// Takes away what only Rust cares about, its notes on the types among it.
fn tidy(schema: &mut Value) {
    if let Some(fields) = schema.as_object_mut() {
        fields.remove("format");
        if fields.get("default").is_some_and(Value::is_null) {
            fields.remove("default");
        }
        if fields.get("title").is_none() {
            fields.remove("description");
        }
        if let Some(properties) = fields.get_mut("properties").and_then(Value::as_object_mut) {
            let ours = properties.iter_mut().filter(|(name, _)| *name != "global");
            ours.for_each(|(_, property)| tidy(property));
        }
        if let Some(items) = fields.get_mut("items") {
            tidy(items);
        }
    }
}

fn every_key_is_described(schema: &Value, path: &str) {
    for (name, property) in schema["properties"].as_object().into_iter().flatten() {
        let path = format!("{path}.{name}");
        // Written by Helm; and a choice of the API server's or ours that has no default.
        if [".global", ".resources.claims"].contains(&&*path)
            || path.starts_with(".certificate.certManager.issuerRef.")
        {
            continue;
        }
        assert!(
            property["description"].is_string(),
            "values.rs has {path} and values.yaml has not"
        );
        every_key_is_described(property, &path);
    }
}

/// `VALUES.md`, of values.yaml.
pub fn page(text: &str) -> String {
    let schema: Value = serde_json::from_str(&schema(text)).unwrap();
    let mut page = String::from(
        "<!-- Made from values.yaml and tests/generated/values.rs by `make generate`; do not edit. -->\n\n# Values\n\n`values.schema.json` refuses every other key and every other type.\n\n| value | default | |\n|---|---|---|\n",
    );
    for key in keys(text) {
        let mut at = &schema;
        for name in &key.path {
            at = &at["properties"][name];
        }
        if at.is_null() {
            continue;
        }
        let default = match &at["default"] {
            Value::Null => String::new(),
            Value::Array(items) if items.len() > 1 => "see values.yaml".to_owned(),
            default => format!("`{default}`"),
        };
        let about = key.comment.replace('|', "\\|");
        let about = about.replace('<', "&lt;").replace('>', "&gt;");
        writeln!(page, "| `{}` | {default} | {about} |", key.path.join(".")).unwrap();
    }
    page
}
