//! `GET /debug` on the admin port: what this replica decides by, for whoever asks why it decides so.
//!
//! The page is bounded whatever the catalogue holds: policies come in pages, everything else is counted. It shows no
//! secret and nobody's name: of namespaces, workloads and users there are numbers at most.

use std::sync::Arc;

use axum::extract::State;
use axum::http::{StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use datagate_core::render;
use datagate_core::settings::Settings;
use datagate_core::world::{PolicySlot, RecordSlot, World};
use jiff::Timestamp;
use serde::Serialize;

use crate::admission::Mode;
use crate::index::{Lives, Worlds};
use crate::metrics::REVISION;
use crate::server::{Readiness, WallClock};

/// Policies on a page, and unreadable records, if nothing else is asked for.
const PAGE: usize = 50;

/// The most that can be asked for.
const MAX_PAGE: usize = 200;

/// What the page is made from.
#[derive(Clone)]
pub struct Debug {
    /// The snapshot.
    pub worlds: Worlds,
    /// The watches.
    pub lives: Lives,
    /// The checks.
    pub readiness: Readiness,
    /// What the platform team set.
    pub settings: Settings,
    /// Whether it refuses.
    pub mode: Mode,
    /// The time.
    pub clock: WallClock,
}

/// What may be asked for.
#[derive(Debug, Default, PartialEq, Eq)]
struct Asked {
    /// The policy of this name only.
    policy: Option<String>,
    /// The record of this name as well.
    record: Option<String>,
    /// Policies behind this name.
    after: Option<String>,
    limit: Option<usize>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Page {
    version: &'static str,
    revision: &'static str,
    time: Timestamp,
    mode: &'static str,
    ready: bool,
    checks: Vec<Check>,
    watches: Vec<Watch>,
    settings: Set,
    /// Absent until everything was read once.
    #[serde(skip_serializing_if = "Option::is_none")]
    index: Option<Known>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Check {
    name: &'static str,
    ok: bool,
    text: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    age_seconds: Option<f64>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Watch {
    name: &'static str,
    synced: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    age_seconds: Option<f64>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Set {
    ignored_resources: Vec<String>,
    runtime_classes: Vec<String>,
    injected_images: Vec<String>,
    /// Their names are those of accounts, so they are counted.
    controller_accounts: usize,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Known {
    namespaces: usize,
    records: usize,
    unreadable_records: Vec<Record>,
    #[serde(skip_serializing_if = "Option::is_none")]
    record: Option<Record>,
    policies: usize,
    /// Those that were asked for.
    items: Vec<Policy>,
    /// There are more: ask with `after=` this.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Policy {
    name: String,
    governed_namespaces: usize,
    /// Why the newest version cannot be read; what follows is then the last that could.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    in_force: Option<InForce>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct InForce {
    uid: String,
    generation: i64,
    actions: Vec<&'static str>,
    pauses: usize,
    requirements: usize,
    summary: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_change: Option<Timestamp>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Record {
    name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    generation: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

impl Debug {
    /// The page, for the admin port.
    pub fn router(self) -> Router {
        Router::new()
            .route("/debug", get(page))
            .with_state(Arc::new(self))
    }

    fn page(&self, asked: &Asked) -> Page {
        let now = (self.clock)();
        let checks = self.readiness.checks();
        let world = self.worlds.load_full();
        Page {
            version: env!("CARGO_PKG_VERSION"),
            revision: REVISION,
            time: now,
            mode: match self.mode {
                Mode::Enforce => "Enforce",
                Mode::Observe => "Observe",
            },
            ready: checks.iter().all(|(_, health)| health.ok),
            checks: checks
                .into_iter()
                .map(|(name, health)| Check {
                    name,
                    ok: health.ok,
                    text: health.text,
                    age_seconds: health.age.map(|age| age.as_secs_f64()),
                })
                .collect(),
            watches: self
                .lives
                .all()
                .map(|life| Watch {
                    name: life.name(),
                    synced: life.synced(),
                    age_seconds: life.age().map(|age| age.as_secs_f64()),
                })
                .into(),
            settings: set(&self.settings),
            index: world.map(|world| known(&world, asked, now)),
        }
    }
}

async fn page(State(debug): State<Arc<Debug>>, uri: Uri) -> Response {
    match Asked::read(uri.query().unwrap_or_default()) {
        Some(asked) => Json(debug.page(&asked)).into_response(),
        None => {
            let text = format!(
                "ask with policy=NAME, record=NAME, after=NAME or limit=1..{MAX_PAGE}, joined by &\n"
            );
            (StatusCode::BAD_REQUEST, text).into_response()
        }
    }
}

impl Asked {
    /// Names of objects need no escapes, so none are read.
    fn read(query: &str) -> Option<Self> {
        let mut asked = Self::default();
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (key, value) = pair.split_once('=')?;
            match key {
                "policy" => asked.policy = Some(value.to_owned()),
                "record" => asked.record = Some(value.to_owned()),
                "after" => asked.after = Some(value.to_owned()),
                "limit" => {
                    let limit = value.parse().ok().filter(|it| (1..=MAX_PAGE).contains(it));
                    asked.limit = Some(limit?);
                }
                _ => return None,
            }
        }
        Some(asked)
    }
}

fn set(settings: &Settings) -> Set {
    let texts = |globs: &[datagate_core::glob::Glob]| globs.iter().map(ToString::to_string).collect();
    Set {
        ignored_resources: texts(&settings.ignored_resources),
        runtime_classes: texts(&settings.runtime_classes),
        injected_images: texts(&settings.injected_images),
        controller_accounts: settings.controller_accounts.len(),
    }
}

fn known(world: &World, asked: &Asked, now: Timestamp) -> Known {
    let limit = asked.limit.unwrap_or(PAGE);
    let mut slots: Vec<_> = world.policies().collect();
    let policies = slots.len();
    slots.sort_unstable_by(|a, b| a.name.cmp(&b.name));
    slots.retain(|slot| {
        let wanted = asked.policy.as_ref().is_none_or(|name| *slot.name == **name);
        wanted && asked.after.as_ref().is_none_or(|name| *slot.name > **name)
    });
    let more = slots.len() > limit;
    slots.truncate(limit);
    let next = slots.last().filter(|_| more).map(|slot| slot.name.to_string());

    let mut unreadable: Vec<_> = world
        .records()
        .filter(|(_, slot)| matches!(slot, RecordSlot::Unreadable(_)))
        .collect();
    unreadable.sort_unstable_by_key(|(name, _)| *name);
    unreadable.truncate(limit);
    Known {
        namespaces: world.namespaces().count(),
        records: world.records().count(),
        unreadable_records: unreadable
            .into_iter()
            .map(|(name, slot)| record(name, slot))
            .collect(),
        record: asked
            .record
            .as_ref()
            .and_then(|name| Some(record(name, world.record(name)?))),
        policies,
        items: slots.into_iter().map(|slot| policy(world, slot, now)).collect(),
        next,
    }
}

fn policy(world: &World, slot: &PolicySlot, now: Timestamp) -> Policy {
    Policy {
        name: slot.name.to_string(),
        governed_namespaces: world.governed_namespaces(&slot.name),
        error: slot.error.as_ref().map(ToString::to_string),
        in_force: slot.policy.as_ref().map(|policy| InForce {
            uid: policy.uid.to_string(),
            generation: policy.generation,
            actions: policy.actions.iter().map(|action| action.as_str()).collect(),
            pauses: policy.pauses.len(),
            requirements: policy.requirements.len(),
            summary: render::summary(policy, now),
            next_change: policy.next_change(now),
        }),
    }
}

fn record(name: &str, slot: &RecordSlot) -> Record {
    match slot {
        RecordSlot::Ready(dataset) => Record {
            name: name.to_owned(),
            generation: Some(dataset.record.generation),
            error: None,
        },
        RecordSlot::Unreadable(error) => Record {
            name: name.to_owned(),
            generation: None,
            error: Some(error.to_string()),
        },
    }
}
