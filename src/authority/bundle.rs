//! The authorities in our webhook configuration: which ones the API server trusts, since when, and what to write there.
//! Nothing here asks or writes.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use k8s_openapi::ByteString;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::ca::Root;
use crate::registration::{Registration, Seen};

/// A write that is undone is repeated at once, then after this time, then after twice of it, and so on.
const PAUSE: Duration = Duration::from_secs(2);

/// The longest pause between two writes that are undone.
const LONGEST: Duration = Duration::from_secs(300);

/// What has held for so long is no longer fought about.
const PEACE: Duration = Duration::from_secs(900);

/// Which authorities every entry has named, and since when. Seen by our own clock that knows no jumps.
#[derive(Debug, Default)]
pub struct Held(HashMap<Root, Instant>);

/// Keeps the configuration as it should be, without fighting over it.
#[derive(Debug, Default)]
pub struct Keeper {
    wanted: Vec<u8>,
    uid: String,
    /// Since when everything is as it should be.
    right: Option<Instant>,
    undone: u32,
    not_before: Option<Instant>,
}

/// What the keeper makes of the configuration.
#[derive(Clone, Debug, PartialEq)]
pub enum Due {
    /// Nothing is to be done.
    Nothing,
    /// To be written: a strategic merge patch, by which entries are found by their name.
    Write(Value),
    /// Somebody has undone it just now, so often; it is written again later.
    Undone(u32),
}

impl Held {
    /// Notes the configuration as it is. Losing sight of it changes nothing.
    pub fn note(&mut self, seen: &Seen, at: Instant) {
        let roots = match seen {
            Seen::Unknown => return,
            Seen::Missing => HashSet::new(),
            Seen::Present(registration) => trusted(registration).into_iter().collect(),
        };
        self.0.retain(|root, _| roots.contains(root));
        for root in roots {
            self.0.entry(root).or_insert(at);
        }
    }

    /// Whether every entry names this authority.
    #[must_use]
    pub fn holds(&self, root: &Root) -> bool {
        self.0.contains_key(root)
    }

    /// Whether every entry has named it for so long.
    #[must_use]
    pub fn settled(&self, root: &Root, settle: Duration, at: Instant) -> bool {
        let since = self.0.get(root);
        since.is_some_and(|since| at.saturating_duration_since(*since) >= settle)
    }
}

/// The authorities that every entry of a configuration names, in the order of the first.
#[must_use]
pub fn trusted(registration: &Registration) -> Vec<Root> {
    let mut texts: Vec<&[u8]> = registration.entries.iter().map(bundle).collect();
    texts.dedup();
    let mut bundles = texts.into_iter().map(Root::find);
    let Some(mut common) = bundles.next() else {
        return Vec::new();
    };
    for other in bundles {
        common.retain(|root| other.contains(root));
    }
    common
}

impl Keeper {
    /// What is due.
    pub fn due(&mut self, registration: &Registration, wanted: &[u8], at: Instant) -> Due {
        if self.wanted != wanted || self.uid != registration.uid {
            // Another text or another object: what was done to the last one says nothing.
            *self = Self {
                wanted: wanted.to_owned(),
                uid: registration.uid.clone(),
                ..Self::default()
            };
        }
        let Some(patch) = patch(registration, wanted) else {
            let since = *self.right.get_or_insert(at);
            if at.saturating_duration_since(since) >= PEACE {
                (self.undone, self.not_before) = (0, None);
            }
            return Due::Nothing;
        };
        if self.right.take().is_some() {
            self.undone = self.undone.saturating_add(1);
            let doublings = self.undone.checked_sub(2);
            self.not_before = doublings.map(|it| at + PAUSE.saturating_mul(1 << it.min(16)).min(LONGEST));
            if self.undone > 1 {
                return Due::Undone(self.undone);
            }
        }
        match self.not_before {
            Some(then) if at < then => Due::Nothing,
            _ => Due::Write(patch),
        }
    }
}

/// What makes the configuration as wanted, if it is not. It fails if the configuration is not the one that was seen.
fn patch(registration: &Registration, wanted: &[u8]) -> Option<Value> {
    let text = serde_json::to_value(ByteString(wanted.to_owned())).ok()?;
    let differing = registration
        .entries
        .iter()
        .filter(|entry| bundle(entry) != wanted);
    let writes: Vec<Value> = differing
        .map(|entry| json!({"name": entry.name, "clientConfig": {"caBundle": text}}))
        .collect();
    if writes.is_empty() {
        return None;
    }
    Some(json!({"metadata": {"resourceVersion": registration.resource_version}, "webhooks": writes}))
}

fn bundle(entry: &k8s_openapi::api::admissionregistration::v1::ValidatingWebhook) -> &[u8] {
    let bundle = entry.client_config.ca_bundle.as_ref();
    bundle.map(|it| it.0.as_slice()).unwrap_or_default()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::sync::Arc;

    use jiff::Timestamp;

    use super::super::ca::Authority;
    use super::*;

    fn root() -> Root {
        let now = Timestamp::UNIX_EPOCH;
        Authority::make(Duration::from_secs(86_400), now).unwrap().root
    }

    fn registration(uid: &str, version: &str, bundles: &[&str]) -> Registration {
        let entry = |(i, bundle): (usize, &&str)| {
            let bundle = serde_json::to_value(ByteString(bundle.as_bytes().to_vec())).unwrap();
            let client = json!({"url": "https://a", "caBundle": bundle});
            json!({"name": format!("{i}.svc"), "clientConfig": client, "sideEffects": "None", "admissionReviewVersions": []})
        };
        let entries = bundles
            .iter()
            .enumerate()
            .map(|it| serde_json::from_value(entry(it)).unwrap())
            .collect();
        Registration {
            uid: uid.to_owned(),
            resource_version: version.to_owned(),
            entries,
            ..Registration::default()
        }
    }

    fn present(bundles: &[&str]) -> Seen {
        Seen::Present(Arc::new(registration("u", "1", bundles)))
    }

    fn after(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn only_what_all_entries_have_named_for_long_enough_is_settled() {
        let (a, b) = (root(), root());
        let (one, both) = (a.pem(), a.pem() + &b.pem());
        let (mut held, begun, settle) = (Held::default(), Instant::now(), after(30));
        let settled = |held: &Held, root: &Root, at| held.settled(root, settle, begun + after(at));
        held.note(&present(&[&one, &both]), begun);
        assert!(settled(&held, &a, 30) && !settled(&held, &a, 29));
        assert!(!held.holds(&b));
        held.note(&present(&[&both, &both]), begun + after(40));
        assert!(settled(&held, &a, 41), "it held all the time");
        assert!(held.holds(&b) && !settled(&held, &b, 69) && settled(&held, &b, 70));
        held.note(&Seen::Unknown, begun + after(50));
        assert!(held.holds(&b));
        held.note(&present(&[&both, ""]), begun + after(60));
        held.note(&present(&[&both, &both]), begun + after(61));
        assert!(
            !settled(&held, &b, 90) && settled(&held, &b, 91),
            "it begins anew"
        );
        held.note(&Seen::Missing, begun + after(100));
        assert!(!held.holds(&a) && !held.holds(&b));
        held.note(&present(&[]), begun + after(100));
        assert!(!held.holds(&a));
    }

    #[test]
    fn only_entries_that_differ_are_written_and_only_this_version() {
        let mut keeper = Keeper::default();
        let at = Instant::now();
        let wrong = registration("u", "7", &["new", "", "old"]);
        let expected = json!({"metadata": {"resourceVersion": "7"}, "webhooks": [
            {"name": "1.svc", "clientConfig": {"caBundle": "bmV3"}},
            {"name": "2.svc", "clientConfig": {"caBundle": "bmV3"}},
        ]});
        assert_eq!(keeper.due(&wrong, b"new", at), Due::Write(expected));
        let right = registration("u", "8", &["new", "new", "new"]);
        assert_eq!(keeper.due(&right, b"new", at), Due::Nothing);
    }

    #[test]
    fn a_write_that_is_undone_again_and_again_is_repeated_ever_later() {
        let mut keeper = Keeper::default();
        let (right, wrong) = (registration("u", "1", &["new"]), registration("u", "1", &[""]));
        let begun = Instant::now();
        let mut waits = Vec::new();
        let mut now = Duration::ZERO;
        for _ in 0..12 {
            assert_eq!(keeper.due(&right, b"new", begun + now), Due::Nothing);
            let undone = now;
            while !matches!(keeper.due(&wrong, b"new", begun + now), Due::Write(_)) {
                now += after(1);
            }
            waits.push((now - undone).as_secs());
        }
        assert_eq!(waits, [0, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300, 300]);
        // A new text is written at once, and so is everything in a new object.
        assert!(matches!(keeper.due(&wrong, b"newer", begun + now), Due::Write(_)));
        let anew = registration("v", "1", &[""]);
        assert!(matches!(keeper.due(&anew, b"newer", begun + now), Due::Write(_)));
    }

    #[test]
    fn peace_is_remembered() {
        let mut keeper = Keeper::default();
        let (right, wrong) = (registration("u", "1", &["new"]), registration("u", "1", &[""]));
        let begun = Instant::now();
        for _ in 0..5 {
            keeper.due(&right, b"new", begun);
            keeper.due(&wrong, b"new", begun);
        }
        assert_eq!(keeper.due(&wrong, b"new", begun), Due::Nothing);
        keeper.due(&right, b"new", begun);
        keeper.due(&right, b"new", begun + PEACE);
        let again = keeper.due(&wrong, b"new", begun + PEACE);
        assert!(matches!(again, Due::Write(_)), "{again:?}");
    }
}
