//! `docs/metrics.md`, from a registry in which everything has happened once, and what the alerts and the dashboard ask for.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::sync::Arc;
use std::time::Duration;

use datagate::authority::ca::Authority;
use datagate::index::Index;
use datagate::metrics::{DecisionLabels, FindingLabels, KindLabels, Metrics};
use datagate::registration::{self, Registration, Seen};
use datagate::server::{Certs, Given, Readiness};
use datagate::status::Standing;
use datagate::trust::Trust;
use datagate_core::settings::Settings;
use jiff::Timestamp;
use k8s_openapi::ByteString;
use k8s_openapi::api::admissionregistration::v1::ValidatingWebhook;
use serde_json::Value;

use super::{expect, root, yaml};

/// What the API server tells.
const OTHERS: &[(&str, &[&str])] = &[
    (
        "apiserver_admission_webhook_rejection_count",
        &["name", "type", "operation", "error_type", "rejection_code"],
    ),
    ("apiserver_admission_webhook_fail_open_count", &["name", "type"]),
];

/// What whoever scrapes adds to each series.
const SCRAPED: &[&str] = &["pod", "namespace", "job", "instance"];

/// One metric family.
#[derive(Debug, Default)]
struct Family {
    kind: String,
    help: String,
    labels: BTreeSet<String>,
    /// The names of its series.
    series: BTreeSet<String>,
}

/// A registry as the server makes it, with a series in each family; and the names that it has registered.
fn registry() -> (String, Vec<String>) {
    let mut metrics = Metrics::new();
    let readiness = Readiness::new();
    let index = Index::new(Settings::default(), &mut metrics, &readiness);
    metrics.registry_mut().register_collector(Box::new(readiness));
    for life in index.lives().all() {
        life.beat();
    }
    let decision = DecisionLabels {
        kind: "Job",
        operation: "CREATE",
        decision: "Allowed",
    };
    metrics.decisions.get_or_create(&decision).inc();
    let finding = FindingLabels {
        reason: "DataUndeclared",
        action: "Deny",
    };
    metrics.findings.get_or_create(&finding).inc();
    metrics.index.watch_error("policies");
    let kind = KindLabels {
        group: "example.com".to_owned(),
        kind: "Training".to_owned(),
    };
    metrics.coverage.uncovered.get_or_create(&kind).set(1);
    metrics.authority.signer_until(1);
    metrics.registry_mut().register_collector(Box::new(trusted()));
    let platform = &metrics.status.platform;
    platform.drifted(Some(false));
    platform.standing(&Standing::Known {
        counting: 1,
        behind: BTreeMap::new(),
    });
    platform.not_ready([("ObserveMode".to_owned(), 1)].into());
    // The only way to see a family without series.
    let shown = format!("{:?}", metrics.registry_mut());
    let names = shown.split("Descriptor { name: \"").skip(1);
    let names = names.map(|rest| rest.split('"').next().unwrap().to_owned());
    (metrics.encode().unwrap(), names.collect())
}

/// A certificate that is served and registered.
fn trusted() -> Trust {
    let (day, now) = (Duration::from_secs(86_400), Timestamp::now());
    let authority = Authority::make(day, now).unwrap();
    let leaf = authority.sign(&["datagate.svc".to_owned()], day, now).unwrap();
    let certs = Certs::given(Arc::new(Timestamp::now), Arc::new(Metrics::new()));
    let given = Given {
        chain: vec![leaf.cert],
        key: leaf.key,
    };
    certs.give(given).unwrap();
    let mut entry = ValidatingWebhook::default();
    entry.client_config.url = Some("https://datagate.svc/validate".to_owned());
    entry.client_config.ca_bundle = Some(ByteString(authority.root.pem().into_bytes()));
    let (tell, hear) = registration::channel();
    tell.send_replace(Seen::Present(Arc::new(Registration {
        entries: vec![entry],
        ..Registration::default()
    })));
    let trust = Trust::new(hear, true);
    trust.serve(certs);
    trust
}

fn families(text: &str) -> BTreeMap<String, Family> {
    let mut families = BTreeMap::<String, Family>::new();
    let mut current = String::new();
    for line in text.lines() {
        let mut words = line.splitn(4, ' ');
        match (words.next(), words.next(), words.next(), words.next()) {
            (Some("#"), Some("HELP"), Some(name), Some(help)) => {
                name.clone_into(&mut current);
                families.entry(current.clone()).or_default().help = help.to_owned();
            }
            (Some("#"), Some("TYPE"), Some(_), Some(kind)) => {
                families.entry(current.clone()).or_default().kind = kind.to_owned();
            }
            (Some("#"), ..) => {}
            _ => {
                let family = families.entry(current.clone()).or_default();
                let series = line.rsplit_once(' ').unwrap().0;
                let (name, labels) = series.split_once('{').unwrap_or((series, ""));
                family.series.insert(name.to_owned());
                let labels = labels.split(',').filter_map(|label| label.split_once('='));
                family.labels.extend(labels.map(|(label, _)| label.to_owned()));
            }
        }
    }
    families
}

// Elsewhere there is no `/proc`.
#[cfg(target_os = "linux")]
#[test]
fn the_page_of_metrics() {
    let (text, registered) = registry();
    let families = families(&text);
    for name in registered {
        let full = format!("datagate_{name}");
        assert!(
            families.contains_key(&full),
            "{full} has no series: let it happen once in tests/generated/metrics.rs, so that its labels are seen"
        );
    }
    let mut page = fs::read_to_string(root().join("tests/generated/metrics-head.md")).unwrap();
    for (name, family) in &families {
        let shown = match &*family.kind {
            "counter" => format!("{name}_total"),
            "info" => format!("{name}_info"),
            _ => name.clone(),
        };
        let labels: Vec<_> = family.labels.iter().filter(|it| *it != "le").collect();
        let labels: Vec<_> = labels.iter().map(|it| format!("`{it}`")).collect();
        let help = family.help.trim_end_matches('.');
        assert!(help.len() > 5, "{name} says nothing of itself");
        writeln!(
            page,
            "| `{shown}` | {} | {} | {help} |",
            family.kind,
            labels.join(", ")
        )
        .unwrap();
    }
    expect("docs/metrics.md", &page);
}

/// The series that may be asked for, with their labels.
fn known() -> BTreeMap<String, BTreeSet<String>> {
    let mut known = BTreeMap::new();
    for family in families(&registry().0).into_values() {
        for series in family.series {
            known.insert(series, family.labels.clone());
        }
    }
    for (name, labels) in OTHERS {
        let labels = labels.iter().map(|it| (*it).to_owned()).collect();
        known.insert((*name).to_owned(), labels);
    }
    known
}

/// The names, with the labels that are asked for beside them, and the labels of `by` and `on`.
fn asked(expr: &str) -> (Vec<(String, Vec<String>)>, Vec<String>) {
    let word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let (mut names, mut grouped) = (Vec::new(), Vec::new());
    let mut rest = expr;
    while let Some(start) = rest.find(|c: char| c.is_ascii_alphabetic()) {
        let from = &rest[start..];
        let end = from.find(|c| !word(c)).unwrap_or(from.len());
        let (name, behind) = from.split_at(end);
        rest = behind;
        let inner = |open: char, close: char| {
            let inner = behind.trim_start().strip_prefix(open)?;
            inner.split_once(close)
        };
        if ["by", "on", "without", "ignoring", "group_left", "group_right"].contains(&name) {
            let (labels, after) = inner('(', ')').unwrap();
            let labels = labels.split(',').map(|it| it.trim().to_owned());
            grouped.extend(labels.filter(|it| !it.is_empty()));
            rest = after;
        } else if name.contains('_') && !behind.starts_with('(') {
            let mut labels = Vec::new();
            if behind.starts_with('{') {
                let (matchers, after) = inner('{', '}').unwrap();
                // No value of ours holds a comma.
                let matchers = matchers.split(',');
                labels.extend(matchers.map(|it| it.split(['=', '!']).next().unwrap().to_owned()));
                rest = after;
            }
            names.push((name.to_owned(), labels));
            // A range is no name.
            if rest.starts_with('[') {
                rest = rest.split_once(']').unwrap().1;
            }
        }
    }
    (names, grouped)
}

fn check(place: &str, expr: &str, known: &BTreeMap<String, BTreeSet<String>>) {
    for (open, close) in [('(', ')'), ('{', '}'), ('[', ']')] {
        let count = |c| expr.matches(c).count();
        assert_eq!(count(open), count(close), "{place}: {expr}");
    }
    let (names, grouped) = asked(expr);
    assert!(!names.is_empty(), "{place} asks for nothing: {expr}");
    let mut there: BTreeSet<&str> = SCRAPED.iter().copied().collect();
    for (name, labels) in &names {
        let has = known
            .get(name)
            .unwrap_or_else(|| panic!("{place}: there is no {name}"));
        for label in labels {
            let scraped = SCRAPED.contains(&label.as_str());
            assert!(
                scraped || has.contains(label),
                "{place}: {name} has no label {label}"
            );
        }
        there.extend(has.iter().map(String::as_str));
    }
    for label in grouped {
        assert!(
            there.contains(&*label),
            "{place}: nothing there has a label {label}: {expr}"
        );
    }
}

#[test]
fn alerts_ask_for_what_there_is_and_each_has_a_runbook() {
    let known = known();
    let rules = yaml("charts/datagate/files/rules.yaml");
    let runbooks = fs::read_to_string(root().join("docs/runbooks.md")).unwrap();
    let mut sections: Vec<_> = runbooks
        .lines()
        .filter_map(|line| line.strip_prefix("## Datagate"))
        .map(|name| format!("Datagate{name}"))
        .collect();
    let mut names = Vec::new();
    for rule in rules.as_array().unwrap() {
        let text = |key: &str| {
            let text = rule[key].as_str();
            text.unwrap_or_else(|| panic!("{rule} has no {key}")).to_owned()
        };
        let name = text("alert");
        assert_eq!(rule.as_object().unwrap().len(), 6, "{name}");
        check(&name, &text("expr"), &known);
        assert!(
            ["critical", "warning", "info"].contains(&&*text("severity")),
            "{name}"
        );
        for words in [text("summary"), text("description")] {
            // The labels that the text names must survive the expression.
            for label in words.split("$labels.").skip(1) {
                let end = label
                    .find(|c: char| !c.is_ascii_alphanumeric() && c != '_')
                    .unwrap();
                let (_, grouped) = asked(&text("expr"));
                let whole = name == "DatagateReplicaNotReady";
                assert!(
                    whole || grouped.iter().any(|it| it == &label[..end]),
                    "{name}: {label}"
                );
            }
        }
        names.push(name);
    }
    assert!(names.len() > 20);
    names.sort();
    sections.sort();
    assert_eq!(
        names, sections,
        "docs/runbooks.md has one section for each alert, and no other"
    );
}

#[test]
fn the_dashboard_asks_for_what_there_is() {
    let known = known();
    let text = fs::read_to_string(root().join("charts/datagate/files/dashboard.json")).unwrap();
    let dashboard: Value = serde_json::from_str(&text).unwrap();
    let panels = dashboard["panels"].as_array().unwrap();
    let mut ids = BTreeSet::new();
    for panel in panels {
        let title = panel["title"].as_str().unwrap();
        assert!(ids.insert(panel["id"].as_u64().unwrap()), "{title}");
        for target in panel["targets"].as_array().unwrap() {
            check(title, target["expr"].as_str().unwrap(), &known);
        }
    }
    assert!(panels.len() > 10);
}

#[test]
#[should_panic(expected = "there is no datagate_policys")]
fn a_name_that_is_not_there_is_found() {
    check("here", "max(datagate_policys) == 0", &known());
}

#[test]
#[should_panic(expected = "datagate_requests_total has no label kind")]
fn a_label_that_is_not_there_is_found() {
    check(
        "here",
        r#"sum(rate(datagate_requests_total{kind="Job"}[5m]))"#,
        &known(),
    );
}
