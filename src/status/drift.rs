//! How a webhook configuration lets pass what datagate should be asked about.
//!
//! What asks more often than it must is no drift: it costs calls and opens nothing.

use aws_lc_rs::digest::{SHA256, digest};
use datagate_core::render::{Alteration, Altered};
use datagate_core::workload::{Info, KnownKind, Scope};
use k8s_openapi::api::admissionregistration::v1::ValidatingWebhook;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, LabelSelectorRequirement};
use serde_json::json;

use crate::coverage::rules::{Configuration, Resource, Rules};
use crate::registration::Registration;

/// The label that the API server itself writes on a namespace.
const NAME: &str = "kubernetes.io/metadata.name";

/// The label by which a namespace has all of its workloads sent.
const WORKLOADS: &str = "datagate.dev/workloads";

const ALL: &str = "All";

/// The entries that there must be.
const ENTRIES: [Entry; 3] = [
    Entry {
        name: "training.datagate.dev",
        core: false,
        labelled: None,
        conditions: &["changed"],
    },
    Entry {
        name: "core.datagate.dev",
        core: true,
        labelled: Some("NotIn"),
        conditions: &["changed", "concerned"],
    },
    Entry {
        name: "core-all.datagate.dev",
        core: true,
        labelled: Some("In"),
        conditions: &["changed"],
    },
];

/// What the server was told about its configuration.
#[derive(Clone, Copy, Debug)]
pub struct Expected<'a> {
    /// The namespaces about which it is never asked.
    pub excluded: &'a [String],
    /// Whether it only observes: then whoever cannot reach it may pass.
    pub observe: bool,
    /// The namespace it runs in.
    pub namespace: &'a str,
}

/// An entry as it must be.
#[derive(Debug)]
struct Entry {
    name: &'static str,
    /// For the kinds that everything in a cluster uses, or for all others.
    core: bool,
    /// How it may ask about the label for all workloads.
    labelled: Option<&'static str>,
    conditions: &'static [&'static str],
}

/// All ways in which the entries let something pass.
#[must_use]
pub fn alterations(registration: &Registration, expected: &Expected<'_>) -> Vec<Alteration> {
    let mut found = Vec::new();
    for entry in &ENTRIES {
        let mut tell = |what| {
            found.push(Alteration {
                entry: entry.name.into(),
                what,
            });
        };
        match registration.entries.iter().find(|hook| hook.name == entry.name) {
            Some(hook) => {
                entry.compare(hook, expected, &mut tell);
                let noted = registration.conditions.as_deref().unwrap_or_default();
                edited(hook, noted).for_each(tell);
            }
            None => tell(Altered::Gone),
        }
    }
    found
}

impl Entry {
    fn compare(&self, hook: &ValidatingWebhook, expected: &Expected<'_>, tell: &mut impl FnMut(Altered)) {
        if !expected.observe && hook.failure_policy.as_deref().is_some_and(|it| it != "Fail") {
            tell(Altered::Ignores);
        }
        if let Some(service) = &hook.client_config.service
            && service.namespace != expected.namespace
        {
            tell(Altered::Elsewhere(service.namespace.as_str().into()));
        }
        let left_out = self.left_out(hook);
        if let Some(first) = left_out.first() {
            tell(Altered::Rules(first.as_str().into(), left_out.len()));
        }
        if hook.object_selector.as_ref().is_some_and(selects) {
            tell(Altered::Objects);
        }
        for requirement in hook.namespace_selector.iter().flat_map(requirements) {
            if let Some(what) = self.narrows(&requirement, expected) {
                tell(what);
            }
        }
        let conditions = hook.match_conditions.iter().flatten();
        for condition in conditions.filter(|it| !self.conditions.contains(&it.name.as_str())) {
            tell(Altered::Condition(condition.name.as_str().into()));
        }
    }

    /// The resources that its rules leave out.
    fn left_out(&self, hook: &ValidatingWebhook) -> Vec<String> {
        // Each version by its own name: whether another one is served, so that the API server could convert to it, is
        // not known here.
        let only = json!({
            "webhooks": [{"name": hook.name, "matchPolicy": "Exact", "rules": hook.rules}],
        });
        let rules = serde_json::from_value::<Configuration>(only).ok();
        let rules = Rules::of(rules);
        let kinds = KnownKind::ALL.iter().map(|kind| kind.info());
        let doors = kinds.filter(|info| info.is_core() == self.core).flat_map(doors);
        doors
            .filter(|(info, subresource)| {
                let versions: Vec<String> = info.versions.iter().map(|it| (*it).to_owned()).collect();
                !rules.cover(Resource {
                    group: info.group,
                    plural: info.plural,
                    subresource: *subresource,
                    versions: &versions,
                    namespaced: info.scope == Scope::Namespaced,
                })
            })
            .map(|(info, subresource)| {
                let group = match info.group {
                    "" => String::new(),
                    group => format!(".{group}"),
                };
                let part = subresource.map(|it| format!("/{it}")).unwrap_or_default();
                format!("{}{group}{part}", info.plural)
            })
            .collect()
    }

    /// Whether a requirement leaves out namespaces that it should not.
    fn narrows(&self, requirement: &LabelSelectorRequirement, expected: &Expected<'_>) -> Option<Altered> {
        let values = requirement.values.as_deref().unwrap_or_default();
        match (requirement.key.as_str(), requirement.operator.as_str()) {
            (NAME, "NotIn") => {
                let wrong = values.iter().find(|it| !expected.excluded.contains(it))?;
                Some(Altered::Namespace(wrong.as_str().into()))
            }
            // Every namespace has it.
            (NAME, "Exists") => None,
            (WORKLOADS, operator) if Some(operator) == self.labelled => {
                let fits = match operator {
                    "In" => values.iter().any(|it| it == ALL),
                    _ => values.iter().all(|it| it == ALL),
                };
                (!fits).then(|| Altered::Label(WORKLOADS.into()))
            }
            (key, _) => Some(Altered::Label(key.into())),
        }
    }
}

/// The match conditions whose expression is another than the one that was noted. It is noted in the same object, so that an
/// upgrade changes both at once; whoever edits both on purpose is for the chart's guard to stop.
fn edited<'a>(hook: &'a ValidatingWebhook, noted: &'a str) -> impl Iterator<Item = Altered> + 'a {
    let noted = move |name: &str| {
        let mut all = noted.split(',').filter_map(|it| it.split_once('='));
        all.find(|(of, _)| *of == name).map(|(_, hash)| hash)
    };
    let conditions = hook.match_conditions.iter().flatten();
    conditions
        .filter(move |it| noted(&it.name).is_some_and(|hash| hash != sha256(&it.expression)))
        .map(|it| Altered::Edited(it.name.as_str().into()))
}

fn sha256(text: &str) -> String {
    let hash = digest(&SHA256, text.as_bytes());
    hash.as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A kind and its subresources.
fn doors(info: &'static Info) -> impl Iterator<Item = (&'static Info, Option<&'static str>)> {
    let parts = info.subresources.iter().map(move |it| (info, Some(*it)));
    std::iter::once((info, None)).chain(parts)
}

fn selects(selector: &LabelSelector) -> bool {
    requirements(selector).next().is_some()
}

/// All requirements of a selector, `matchLabels` among them.
fn requirements(selector: &LabelSelector) -> impl Iterator<Item = LabelSelectorRequirement> {
    let labels = selector.match_labels.iter().flatten();
    let labels = labels.map(|(key, value)| LabelSelectorRequirement {
        key: key.clone(),
        operator: "In".to_owned(),
        values: Some(vec![value.clone()]),
    });
    labels.chain(selector.match_expressions.iter().flatten().cloned())
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use datagate_core::render::{Ready, ready};
    use serde_json::Value;

    use super::*;

    const TRUE: &str = "b5bea41b6c623f7c09f1bf24dcae58ebab3c0cdd90ad966bc43a45b44867e12b";

    /// What the chart installs, in short.
    fn hooks() -> Value {
        let rules = json!([
            {"apiGroups": ["*"], "apiVersions": ["*"], "resources": ["*/*"], "operations": ["CREATE", "UPDATE"], "scope": "*"},
        ]);
        let hook = |name: &str, label: Option<&str>, conditions: &[&str]| {
            let mut namespaces =
                vec![json!({"key": NAME, "operator": "NotIn", "values": ["kube-system", "gpu"]})];
            namespaces.extend(label.map(|it| json!({"key": WORKLOADS, "operator": it, "values": [ALL]})));
            let conditions: Vec<Value> = conditions
                .iter()
                .map(|it| json!({"name": it, "expression": "true"}))
                .collect();
            json!({
                "name": name,
                "admissionReviewVersions": ["v1"],
                "sideEffects": "None",
                "clientConfig": {"service": {"name": "datagate", "namespace": "datagate-system"}},
                "failurePolicy": "Fail",
                "matchPolicy": "Equivalent",
                "timeoutSeconds": 5,
                "rules": rules,
                "objectSelector": {},
                "namespaceSelector": {"matchExpressions": namespaces},
                "matchConditions": conditions,
            })
        };
        json!([
            hook("training.datagate.dev", None, &["changed"]),
            hook("core.datagate.dev", Some("NotIn"), &["changed", "concerned"]),
            hook("core-all.datagate.dev", Some("In"), &["changed"]),
        ])
    }

    #[track_caller]
    fn told(change: impl FnOnce(&mut Value), observe: bool) -> Vec<String> {
        let mut hooks = hooks();
        change(&mut hooks);
        let registration = Registration {
            // Of the expressions in `hooks`, by another implementation: printf true | sha256sum
            conditions: Some(format!("changed={TRUE},concerned={TRUE}")),
            entries: serde_json::from_value(hooks).unwrap(),
            ..Registration::default()
        };
        let excluded = ["kube-system", "datagate-system", "gpu"].map(str::to_owned);
        let expected = Expected {
            excluded: &excluded,
            observe,
            namespace: "datagate-system",
        };
        let all = alterations(&registration, &expected);
        all.iter()
            .map(|it| {
                let text = ready(Ready::WebhookAltered {
                    name: "datagate",
                    alterations: std::slice::from_ref(it),
                });
                let (_, text) = text.split_once("unseen: ").unwrap();
                text.replace(". Install the chart again.", "")
            })
            .collect()
    }

    #[test]
    fn what_is_as_it_must_be_or_asks_more_is_no_drift() {
        for change in [
            (|_| ()) as fn(&mut Value),
            |hooks| hooks[1]["namespaceSelector"] = json!({}),
            |hooks| hooks[2]["namespaceSelector"] = json!({"matchLabels": {WORKLOADS: ALL}}),
            |hooks| hooks[0]["namespaceSelector"]["matchExpressions"][0]["operator"] = json!("Exists"),
            |hooks| hooks[0]["matchConditions"] = Value::Null,
            |hooks| hooks[0]["failurePolicy"] = Value::Null,
            |hooks| hooks[0]["matchPolicy"] = json!("Exact"),
            |hooks| hooks[0]["clientConfig"] = json!({"url": "https://datagate.example.com/validate"}),
            |hooks| {
                let more = hooks[0].clone();
                hooks.as_array_mut().unwrap().push(more);
            },
        ] {
            assert_eq!(told(change, false), Vec::<String>::new());
        }
        let ignores = |hooks: &mut Value| hooks[0]["failurePolicy"] = json!("Ignore");
        assert_eq!(told(ignores, true), Vec::<String>::new());
    }

    #[test]
    fn every_way_to_let_something_pass_is_told() {
        let change = |key: &'static str, value: Value| move |hooks: &mut Value| hooks[1][key] = value;
        let names = |values: &[&str]| json!({"matchExpressions": [{"key": NAME, "operator": "NotIn", "values": values}]});
        let labels = |key: &str, operator: &str, values: &[&str]| json!({"matchExpressions": [{"key": key, "operator": operator, "values": values}]});
        let rule = |key: &str, value: Value| {
            let mut rule = hooks()[0]["rules"][0].clone();
            rule[key] = value;
            change("rules", json!([rule]))
        };
        let expect = |told: Vec<String>, text: &str| assert_eq!(told, [text]);
        expect(
            told(change("failurePolicy", json!("Ignore")), false),
            "failurePolicy of core.datagate.dev is not Fail",
        );
        expect(
            told(
                change("objectSelector", json!({"matchLabels": {"a": "b"}})),
                false,
            ),
            "core.datagate.dev has an objectSelector",
        );
        expect(
            told(change("namespaceSelector", names(&["kube-system", "ml"])), false),
            "namespaceSelector of core.datagate.dev leaves out ml",
        );
        for (key, operator, values) in [
            ("team", "NotIn", &["a"][..]),
            ("team", "DoesNotExist", &[]),
            (NAME, "In", &["a"]),
            (WORKLOADS, "NotIn", &[ALL, "none"]),
            (WORKLOADS, "Exists", &[]),
            (WORKLOADS, "In", &[ALL]),
        ] {
            expect(
                told(change("namespaceSelector", labels(key, operator, values)), false),
                &format!("namespaceSelector of core.datagate.dev selects by {key}"),
            );
        }
        expect(
            told(
                change(
                    "matchConditions",
                    json!([{"name": "never", "expression": "false"}]),
                ),
                false,
            ),
            "core.datagate.dev has a match condition never",
        );
        expect(
            told(
                rule(
                    "resources",
                    json!(["pods", "pods/ephemeralcontainers", "jobs", "cronjobs"]),
                ),
                false,
            ),
            "the rules of core.datagate.dev leave out podtemplates and 5 more",
        );
        expect(
            told(rule("resources", json!(["*"])), false),
            "the rules of core.datagate.dev leave out pods/ephemeralcontainers",
        );
        for (key, value) in [
            ("operations", json!(["CREATE"])),
            ("scope", json!("Cluster")),
            ("apiGroups", json!(["apps"])),
            ("apiVersions", json!(["v2"])),
        ] {
            let told = told(rule(key, value), false);
            assert!(
                told[0].starts_with("the rules of core.datagate.dev leave out "),
                "{key}: {told:?}"
            );
        }
        let expression = |hooks: &mut Value| hooks[1]["matchConditions"][0]["expression"] = json!("false");
        expect(
            told(expression, false),
            "match condition changed of core.datagate.dev was edited",
        );
        let elsewhere = json!({"service": {"name": "datagate", "namespace": "other"}});
        expect(
            told(change("clientConfig", elsewhere), false),
            "core.datagate.dev asks a Service in namespace other",
        );
        let gone = |hooks: &mut Value| {
            hooks.as_array_mut().unwrap().remove(1);
        };
        expect(told(gone, false), "core.datagate.dev is gone");
    }
}
