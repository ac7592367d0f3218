//! Which kinds of a cluster carry pods, and whether datagate judges each of them.
//!
//! A kind that nobody judges is a way around every policy, so it must not go unnoticed: `datagate coverage` tells, and so
//! do metrics of the running server. What carries pods is read from the schemas of the cluster's CRDs (`schema`), and
//! from a list for the built-in kinds. This module decides; `look` asks the API server.

mod crd;
mod discovery;
pub mod look;
pub(crate) mod rules;
mod schema;
mod watch;

use std::collections::BTreeMap;

use datagate_core::workload::KnownKind;

pub use self::rules::{Configurations, Rules};
pub use self::schema::Seen;
pub use self::watch::{Config, run};

use self::rules::Resource;

/// A kind that a cluster serves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kind {
    /// API group; empty for core.
    pub group: String,
    /// Kind.
    pub kind: String,
    /// Its name in paths and rules.
    pub plural: String,
    /// Whether it lives in a namespace.
    pub namespaced: bool,
    /// Served versions.
    pub versions: Vec<String>,
    /// What its schemas show.
    pub seen: Seen,
}

/// What is known of a cluster.
#[derive(Clone, Debug, Default)]
pub struct Cluster {
    /// Custom kinds, and the built-in ones with pods.
    pub kinds: Vec<Kind>,
    /// What the API server asks datagate about.
    pub asked: Asked,
    /// CustomResourceDefinitions that could not be read, each with what is wrong.
    pub unread: Vec<String>,
    /// Groups that cannot be looked into, and why.
    pub unseen: Vec<String>,
}

/// What the API server asks datagate about.
#[derive(Clone, Debug, Default)]
pub enum Asked {
    /// By these rules.
    Rules(Rules),
    /// They could not be read.
    Unknown(String),
    /// Nobody looked; they count as there.
    #[default]
    NotLookedFor,
}

/// Whether a kind is judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Judged {
    /// datagate has no adapter for it.
    NotCovered,
    /// A version is served that the adapter does not read.
    VersionNotRead,
    /// The API server does not ask datagate about it.
    NoRule,
    /// It cannot be told.
    CannotTell,
    /// It is.
    Yes,
}

/// A kind and whether it is judged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The kind.
    pub kind: Kind,
    /// Whether it is judged.
    pub judged: Judged,
    /// Why not, and what to do; empty if it is.
    pub why: String,
}

/// What there is to tell of a cluster.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Coverage {
    /// Kinds that carry pods, or may: first those that are not judged.
    pub entries: Vec<Entry>,
    /// The webhook configurations; none: they were not looked for, or could not be read.
    pub configurations: Option<Vec<String>>,
    /// Why it is known in part only.
    pub unread: Vec<String>,
    /// Groups that cannot be looked into, and why.
    pub unseen: Vec<String>,
}

impl Judged {
    /// Every verdict, in the order in which they are told.
    pub const ALL: [Self; 5] = [
        Self::NotCovered,
        Self::VersionNotRead,
        Self::NoRule,
        Self::CannotTell,
        Self::Yes,
    ];

    /// As in reports.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NotCovered => "NotCovered",
            Self::VersionNotRead => "VersionNotRead",
            Self::NoRule => "NoRule",
            Self::CannotTell => "CannotTell",
            Self::Yes => "Yes",
        }
    }

    /// Whether it is certain that the kind is not judged.
    #[must_use]
    pub const fn is_not(self) -> bool {
        matches!(self, Self::NotCovered | Self::VersionNotRead | Self::NoRule)
    }
}

impl Coverage {
    /// Of a cluster.
    #[must_use]
    pub fn of(cluster: Cluster) -> Self {
        let Cluster {
            kinds,
            asked,
            mut unread,
            unseen,
        } = cluster;
        let mut entries: Vec<Entry> = kinds.into_iter().filter_map(|kind| entry(kind, &asked)).collect();
        entries.sort_by(|a, b| {
            let key = |it: &Entry| (it.judged, it.kind.group.clone(), it.kind.kind.clone());
            key(a).cmp(&key(b))
        });
        let configurations = match asked {
            Asked::Rules(rules) => Some(rules.configurations),
            Asked::Unknown(why) => {
                unread.push(why);
                None
            }
            Asked::NotLookedFor => None,
        };
        Self {
            entries,
            configurations,
            unread,
            unseen,
        }
    }

    /// The kinds that carry pods and are not judged.
    pub fn not_judged(&self) -> impl Iterator<Item = &Entry> {
        self.entries.iter().filter(|entry| entry.judged.is_not())
    }

    /// How often each verdict was given; all of them are listed.
    #[must_use]
    pub fn summary(&self) -> BTreeMap<&'static str, usize> {
        let count = |judged| self.entries.iter().filter(|it| it.judged == judged).count();
        Judged::ALL.iter().map(|it| (it.as_str(), count(*it))).collect()
    }
}

/// Nothing, if the kind carries no pods.
fn entry(kind: Kind, asked: &Asked) -> Option<Entry> {
    let (judged, why) = match KnownKind::find(&kind.group, &kind.kind) {
        Some(known) => judged(known, &kind, asked),
        None if !kind.seen.places.is_empty() => {
            let why =
                "datagate does not know this kind: its pods are judged, each by itself, but not the object";
            (Judged::NotCovered, why.to_owned())
        }
        None => (Judged::CannotTell, hidden(&kind.seen)?),
    };
    Some(Entry { kind, judged, why })
}

/// Why no pods are seen, if there may be some.
fn hidden(seen: &Seen) -> Option<String> {
    if seen.cut {
        return Some("its schema is too deep or too large to be looked at to the end".to_owned());
    }
    let at = match seen.open.first()?.as_str() {
        "." => "everywhere",
        first => &format!("at {first}"),
    };
    Some(format!("its schema allows anything {at}, pods too"))
}

fn judged(known: KnownKind, kind: &Kind, asked: &Asked) -> (Judged, String) {
    let info = known.info();
    match asked {
        Asked::Rules(rules) if rules.configurations.is_empty() => {
            let why = "no webhook configuration of datagate exists: install the chart";
            return (Judged::NoRule, why.to_owned());
        }
        Asked::Rules(rules) => {
            if let Some(missing) = missing(rules, kind, info.subresources) {
                let of = rules.configurations.join(", ");
                let why =
                    format!("the webhook configuration {of} has no rule for {missing}: upgrade the chart");
                return (Judged::NoRule, why);
            }
        }
        Asked::Unknown(_) | Asked::NotLookedFor => {}
    }
    let read = |version: &&String| info.versions.contains(&version.as_str());
    let not_read: Vec<&str> = kind
        .versions
        .iter()
        .filter(|it| !read(it))
        .map(String::as_str)
        .collect();
    if !not_read.is_empty() {
        let (read, not_read) = (info.versions.join(", "), not_read.join(", "));
        return (
            Judged::VersionNotRead,
            format!("datagate reads {read}, not {not_read}"),
        );
    }
    if matches!(asked, Asked::Unknown(_)) {
        return (
            Judged::CannotTell,
            "the rules of the webhook could not be read".to_owned(),
        );
    }
    (Judged::Yes, String::new())
}

/// The first resource that no rule names.
fn missing(rules: &Rules, kind: &Kind, subresources: &[&str]) -> Option<String> {
    let resource = |subresource| Resource {
        group: &kind.group,
        plural: &kind.plural,
        subresource,
        versions: &kind.versions,
        namespaced: kind.namespaced,
    };
    if !rules.cover(resource(None)) {
        return Some(kind.plural.clone());
    }
    let mut subresources = subresources.iter();
    let missing = subresources.find(|it| !rules.cover(resource(Some(**it))))?;
    Some(format!("{}/{missing}", kind.plural))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn kind(group: &str, kind: &str, plural: &str, versions: &[&str], seen: Seen) -> Kind {
        Kind {
            group: group.to_owned(),
            kind: kind.to_owned(),
            plural: plural.to_owned(),
            namespaced: true,
            versions: versions.iter().map(|it| (*it).to_owned()).collect(),
            seen,
        }
    }

    fn pods() -> Seen {
        Seen {
            places: vec!["spec.containers".to_owned()],
            ..Seen::default()
        }
    }

    fn rules(core: &[&str]) -> Asked {
        let rule = |groups: &[&str], resources: &[&str]| -> Value {
            json!({"apiGroups": groups, "apiVersions": ["*"], "resources": resources, "operations": ["CREATE", "UPDATE"]})
        };
        let hooks =
            json!([{"name": "core.datagate.dev", "rules": [rule(&[""], core), rule(&["batch"], &["jobs"])]}]);
        let list = json!({"items": [{"metadata": {"name": "datagate"}, "webhooks": hooks}]});
        Asked::Rules(serde_json::from_value::<Configurations>(list).unwrap().into())
    }

    #[track_caller]
    fn verdict(kind: Kind, asked: Asked) -> Option<(Judged, String)> {
        let mut coverage = Coverage::of(Cluster {
            kinds: vec![kind],
            asked,
            ..Cluster::default()
        });
        coverage.entries.pop().map(|it| (it.judged, it.why))
    }

    #[test]
    fn a_known_kind_is_judged_if_it_is_read_and_asked_about() {
        let job = |versions| kind("batch", "Job", "jobs", versions, pods());
        let both = || rules(&["pods", "pods/ephemeralcontainers"]);
        assert_eq!(
            verdict(job(&["v1"]), both()).unwrap(),
            (Judged::Yes, String::new())
        );
        let (judged, why) = verdict(job(&["v1", "v2"]), both()).unwrap();
        assert_eq!(
            (judged, &*why),
            (Judged::VersionNotRead, "datagate reads v1, not v2")
        );

        let pod = || kind("", "Pod", "pods", &["v1"], pods());
        assert_eq!(verdict(pod(), both()).unwrap().0, Judged::Yes);
        let (judged, why) = verdict(pod(), rules(&["pods"])).unwrap();
        assert_eq!(judged, Judged::NoRule);
        assert_eq!(
            why,
            "the webhook configuration datagate has no rule for pods/ephemeralcontainers: upgrade the chart"
        );
        assert_eq!(verdict(pod(), rules(&[])).unwrap().0, Judged::NoRule);
        let (judged, why) = verdict(pod(), Asked::Rules(Rules::default())).unwrap();
        assert_eq!(judged, Judged::NoRule);
        assert_eq!(
            why,
            "no webhook configuration of datagate exists: install the chart"
        );
        assert_eq!(verdict(pod(), Asked::NotLookedFor).unwrap().0, Judged::Yes);
        assert_eq!(
            verdict(pod(), Asked::Unknown("403".to_owned())).unwrap().0,
            Judged::CannotTell
        );
    }

    #[test]
    fn an_unknown_kind_is_told_if_it_carries_pods_or_may() {
        let own = |seen| kind("example.com", "Job", "jobs", &["v1"], seen);
        assert_eq!(verdict(own(pods()), rules(&[])).unwrap().0, Judged::NotCovered);
        assert_eq!(verdict(own(Seen::default()), rules(&[])), None);
        let (judged, why) = verdict(own(Seen::nothing()), rules(&[])).unwrap();
        assert_eq!(
            (judged, &*why),
            (
                Judged::CannotTell,
                "its schema allows anything everywhere, pods too"
            )
        );
        let cut = Seen {
            cut: true,
            ..Seen::default()
        };
        assert_eq!(verdict(own(cut), rules(&[])).unwrap().0, Judged::CannotTell);
    }

    #[test]
    fn what_is_not_judged_stands_first() {
        let coverage = Coverage::of(Cluster {
            kinds: vec![
                kind("batch", "Job", "jobs", &["v1"], pods()),
                kind("b.example.com", "B", "bs", &["v1"], Seen::nothing()),
                kind("a.example.com", "Z", "zs", &["v1"], pods()),
                kind("a.example.com", "A", "as", &["v1"], pods()),
            ],
            asked: Asked::Unknown("no rights".to_owned()),
            ..Cluster::default()
        });
        let told: Vec<_> = coverage
            .entries
            .iter()
            .map(|it| (&*it.kind.kind, it.judged))
            .collect();
        let expected = [
            ("A", Judged::NotCovered),
            ("Z", Judged::NotCovered),
            ("B", Judged::CannotTell),
            ("Job", Judged::CannotTell),
        ];
        assert_eq!(told, expected);
        assert_eq!(coverage.not_judged().count(), 2);
        assert_eq!(coverage.unread, ["no rights"]);
        assert_eq!(coverage.summary()["CannotTell"], 2);
    }
}
