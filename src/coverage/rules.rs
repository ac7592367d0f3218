//! Which resources the API server asks datagate about: the rules of its webhook configuration.

use serde::Deserialize;

/// By this a webhook is known to be datagate's, whatever its configuration is called.
const SUFFIX: &str = ".datagate.dev";

/// A list of webhook configurations, or one of them, as far as it matters here.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct Configurations {
    #[serde(default)]
    items: Vec<Configuration>,
}

/// A ValidatingWebhookConfiguration.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct Configuration {
    #[serde(default)]
    metadata: Named,
    #[serde(default)]
    webhooks: Vec<Webhook>,
}

#[derive(Clone, Debug, Default, Deserialize)]
struct Named {
    #[serde(default)]
    name: String,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Webhook {
    name: String,
    #[serde(default)]
    match_policy: Option<String>,
    #[serde(default)]
    rules: Vec<Rule>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Rule {
    #[serde(default)]
    api_groups: Vec<String>,
    #[serde(default)]
    api_versions: Vec<String>,
    #[serde(default)]
    resources: Vec<String>,
    #[serde(default)]
    operations: Vec<String>,
    #[serde(default)]
    scope: Option<String>,
}

/// The rules of all of datagate's webhooks.
#[derive(Clone, Debug, Default)]
pub struct Rules {
    /// The names of the configurations; empty: there is none.
    pub configurations: Vec<String>,
    webhooks: Vec<Webhook>,
}

/// What may be sent.
#[derive(Clone, Copy, Debug)]
pub struct Resource<'a> {
    /// API group; empty for core.
    pub group: &'a str,
    /// Its name in paths, without subresource.
    pub plural: &'a str,
    /// Subresource, if it is one.
    pub subresource: Option<&'a str>,
    /// Served versions.
    pub versions: &'a [String],
    /// Whether it lives in a namespace.
    pub namespaced: bool,
}

impl Rules {
    /// Of the configurations that have a webhook of datagate.
    pub fn of(all: impl IntoIterator<Item = Configuration>) -> Self {
        let mut rules = Self::default();
        for mut configuration in all {
            configuration.webhooks.retain(|hook| hook.name.ends_with(SUFFIX));
            if !configuration.webhooks.is_empty() {
                rules.configurations.push(configuration.metadata.name);
                rules.webhooks.append(&mut configuration.webhooks);
            }
        }
        rules
    }

    /// Whether each version of the resource is sent when it is made and when it is changed. Namespaces that are left
    /// out and conditions are not looked at: they are about objects, not about kinds.
    #[must_use]
    pub fn cover(&self, resource: Resource<'_>) -> bool {
        // A subresource is never created.
        let operations: &[&str] = match resource.subresource {
            None => &["CREATE", "UPDATE"],
            Some(_) => &["UPDATE"],
        };
        operations.iter().all(|operation| {
            let sent = |version: &String| {
                self.webhooks
                    .iter()
                    .any(|hook| hook.sends(resource, version, operation))
            };
            resource.versions.iter().all(sent)
        })
    }
}

impl From<Configurations> for Rules {
    fn from(all: Configurations) -> Self {
        Self::of(all.items)
    }
}

impl Webhook {
    fn sends(&self, resource: Resource<'_>, version: &str, operation: &str) -> bool {
        // Unless told otherwise the API server converts to a version that a rule names, if it is served.
        let exact = self.match_policy.as_deref() == Some("Exact");
        let named = |rule: &Rule| {
            let has = |version: &str| has(&rule.api_versions, version);
            has(version) || (!exact && resource.versions.iter().any(|other| has(other)))
        };
        let mut rules = self.rules.iter();
        rules.any(|rule| named(rule) && rule.names(resource) && has(&rule.operations, operation))
    }
}

impl Rule {
    fn names(&self, resource: Resource<'_>) -> bool {
        let scope = match self.scope.as_deref() {
            Some("Namespaced") => resource.namespaced,
            Some("Cluster") => !resource.namespaced,
            _ => true,
        };
        scope && has(&self.api_groups, resource.group) && self.resources.iter().any(|it| is(it, resource))
    }
}

fn has(list: &[String], wanted: &str) -> bool {
    list.iter().any(|it| it == "*" || it == wanted)
}

/// `*` is every resource but no subresource, `*/*` is everything.
fn is(pattern: &str, resource: Resource<'_>) -> bool {
    let (plural, subresource) = match pattern.split_once('/') {
        None => (pattern, None),
        Some((plural, subresource)) => (plural, Some(subresource)),
    };
    let subresource = match (subresource, resource.subresource) {
        (None, None) => true,
        (Some("*"), None) => plural == "*",
        (Some(pattern), Some(wanted)) => pattern == "*" || pattern == wanted,
        _ => false,
    };
    subresource && (plural == "*" || plural == resource.plural)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn rule(resources: &[&str]) -> Value {
        json!({"apiGroups": ["g"], "apiVersions": ["*"], "resources": resources, "operations": ["CREATE", "UPDATE"]})
    }

    fn rules(hook: Value) -> Rules {
        let all = json!({"items": [
            {"metadata": {"name": "ours"}, "webhooks": [hook]},
            {"metadata": {"name": "theirs"}, "webhooks": [
                {"name": "all.example.com", "rules": [
                    {"apiGroups": ["*"], "apiVersions": ["*"], "resources": ["*/*"], "operations": ["*"]},
                ]},
            ]},
            {"metadata": {"name": "empty"}},
        ]});
        serde_json::from_value::<Configurations>(all).unwrap().into()
    }

    #[track_caller]
    fn check(
        rule: Value,
        policy: Option<&str>,
        subresource: Option<&str>,
        versions: &[&str],
        expected: bool,
    ) {
        let hook = json!({"name": "training.datagate.dev", "matchPolicy": policy, "rules": [rule]});
        let versions: Vec<String> = versions.iter().map(|it| (*it).to_owned()).collect();
        let resource = Resource {
            group: "g",
            plural: "jobs",
            subresource,
            versions: &versions,
            namespaced: true,
        };
        assert_eq!(
            rules(hook).cover(resource),
            expected,
            "{rule} {policy:?} {subresource:?}"
        );
    }

    #[test]
    fn resources_are_named_as_the_api_server_reads_them() {
        for (resources, whole, part) in [
            (&["jobs"][..], true, false),
            (&["*"], true, false),
            (&["*/*"], true, true),
            (&["jobs/*"], false, true),
            (&["*/scale"], false, true),
            (&["jobs/scale"], false, true),
            (&["pods", "jobs/status"], false, false),
            (&[], false, false),
        ] {
            check(rule(resources), None, None, &["v1"], whole);
            check(rule(resources), None, Some("scale"), &["v1"], part);
        }
    }

    #[test]
    fn a_version_must_be_named_or_be_the_same_as_one_that_is() {
        let mut named = rule(&["jobs"]);
        named["apiVersions"] = json!(["v1"]);
        check(named.clone(), None, None, &["v1", "v2"], true);
        check(named.clone(), Some("Equivalent"), None, &["v1", "v2"], true);
        check(named.clone(), Some("Exact"), None, &["v1", "v2"], false);
        check(named, None, None, &["v2"], false);
    }

    #[test]
    fn both_operations_the_group_and_the_scope_count() {
        for (field, value, expected) in [
            ("operations", json!(["CREATE"]), false),
            ("operations", json!(["*"]), true),
            ("apiGroups", json!(["other"]), false),
            ("apiGroups", json!(["*"]), true),
            ("scope", json!("Cluster"), false),
            ("scope", json!("Namespaced"), true),
            ("scope", json!("*"), true),
        ] {
            let mut rule = rule(&["jobs"]);
            rule[field] = value;
            check(rule, None, None, &["v1"], expected);
        }
    }

    #[test]
    fn only_our_webhooks_count() {
        let rules = rules(json!({"name": "core.datagate.dev"}));
        assert_eq!(rules.configurations, ["ours"]);
        let none = Rules::default();
        assert!(none.configurations.is_empty());
    }
}
