//! What tasks, pipelines and steps refer to, each fetched and drafted once.

use std::collections::HashMap;
use std::rc::Rc;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::Of;
use super::pipeline::PipelineSpec;
use super::task::{ActionSpec, Asked, Shared, TaskSpec};
use crate::draft::Draft;
use crate::path::At;
use crate::render::shown;
use crate::submission::{FrameId, Unseen};
use crate::text::Text;
use crate::workload::KnownKind;
use crate::workload::leaf::List;
use crate::workload::meta::null_is_default;

/// `TaskRef`, `PipelineRef` and a step's `ref`.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Reference<'a> {
    #[serde(borrow, default, deserialize_with = "null_is_default")]
    pub api_version: Text<'a>,
    #[serde(borrow, default, deserialize_with = "null_is_default")]
    pub kind: Text<'a>,
    #[serde(borrow, default, deserialize_with = "null_is_default")]
    pub name: Text<'a>,
    /// In v1beta1.
    #[serde(borrow, default, deserialize_with = "null_is_default")]
    bundle: Text<'a>,
    #[serde(borrow, default, deserialize_with = "null_is_default")]
    resolver: Text<'a>,
    #[serde(borrow, default)]
    params: List<Param<'a>>,
}

#[derive(Debug, Deserialize)]
struct Param<'a> {
    #[serde(borrow, default, deserialize_with = "null_is_default")]
    name: Text<'a>,
    #[serde(borrow, default)]
    value: Option<&'a RawValue>,
}

/// Where an object of the cluster is: its namespace, if another is named, and its name.
type Place<'a> = (Option<Text<'a>>, Text<'a>);

impl<'a> Reference<'a> {
    /// Reads a reference; one that cannot be read is opaque. Absent: nothing runs.
    pub(super) fn read(json: Option<&'a RawValue>, at: At, d: &mut Draft<'a, '_>) -> Option<Self> {
        d.raw(json);
        let read = serde_json::from_str::<Option<Self>>(json?.get());
        read.unwrap_or_else(|_| {
            d.opaque("the reference", Unseen::Unreadable, at);
            None
        })
    }

    /// Where it leads in the cluster. `kind` is what the cluster resolver calls it.
    fn place(&self, kind: &str) -> Result<Place<'a>, Unseen> {
        let late = |text: &Text<'a>| {
            if text.contains("$(") {
                Err(Unseen::Late)
            } else {
                Ok(text.clone())
            }
        };
        // Without a resolver a URL is one for the http resolver.
        if !self.bundle.is_empty() || self.resolver.is_empty() && self.name.contains("://") {
            return Err(Unseen::Elsewhere);
        }
        if self.resolver.is_empty() {
            return Ok((None, late(&self.name)?));
        }
        if &*self.resolver != "cluster" {
            return Err(Unseen::Elsewhere);
        }
        // Tekton takes the last of those with the same name.
        let param = |name: &str| {
            let found = self.params.0.iter().rev().find(|param| &*param.name == name);
            let json = found.and_then(|param| param.value)?;
            serde_json::from_str::<Text<'a>>(json.get())
                .ok()
                .filter(|text| !text.is_empty())
        };
        // Without one the resolver takes those of its own configuration.
        let of_kind = late(&param("kind").unwrap_or_else(|| "task".into()))?;
        if &*of_kind != kind {
            return Err(Unseen::UnknownKind);
        }
        let (Some(name), Some(namespace)) = (param("name"), param("namespace")) else {
            return Err(Unseen::Elsewhere);
        };
        Ok((Some(late(&namespace)?), late(&name)?))
    }

    /// How to tell of what it leads to.
    pub(super) fn told(&self, kind: &str) -> String {
        let name = shown(&self.name);
        match (&*self.bundle, &*self.resolver) {
            // A custom task may have no name.
            ("", "") if name.is_empty() => kind.to_owned(),
            ("", "") => format!("{kind} {name}"),
            ("", resolver) => format!("{kind} from the {} resolver", shown(resolver)),
            (bundle, _) => format!("{kind} {name} of the bundle {}", shown(bundle)),
        }
    }
}

/// Bytes of what steps have in common, so that a small task cannot make a large submission.
const MAX_SHARED: usize = 4 * 1024 * 1024;

/// What was referred to so far, and what holds for all tasks.
#[derive(Debug, Default)]
pub(super) struct Library<'a> {
    /// All steps of all tasks have accelerators.
    pub all_accelerated: bool,
    /// What the PipelineRun sets for tasks of its own pipeline.
    pub asked: HashMap<Text<'a>, Asked<'a>>,
    /// That steps have too much in common was told.
    pub told: bool,
    tasks: HashMap<Place<'a>, Option<FrameId>>,
    pipelines: HashMap<Place<'a>, Option<FrameId>>,
    actions: HashMap<Place<'a>, Option<Rc<Shared<'a>>>>,
    shared: usize,
}

impl<'a> Library<'a> {
    /// Texts that several steps have, as long as they are not too many.
    pub(super) fn share(&mut self, list: &[Text<'a>]) -> Option<Vec<Text<'a>>> {
        let bytes = list.iter().map(|text| text.len().saturating_add(32)).sum();
        self.spend(bytes).then(|| list.to_vec())
    }

    /// A text that several steps have.
    pub(super) fn share_one(&mut self, text: &Text<'a>) -> Option<Text<'a>> {
        self.spend(text.len()).then(|| text.clone())
    }

    fn spend(&mut self, bytes: usize) -> bool {
        self.shared = self.shared.saturating_add(bytes);
        self.shared <= MAX_SHARED
    }

    /// The frame of a Task. With `asked` it is one of its own, because accelerators are asked for from outside.
    pub(super) fn task(
        &mut self,
        reference: &Reference<'a>,
        asked: Option<&Asked<'a>>,
        at: At,
        d: &mut Draft<'a, '_>,
    ) -> Option<FrameId> {
        // Tekton looks up a Task whatever the kind says, as "task"; only its older versions know one more (reference:
        // LocalTaskRefResolver).
        if &*reference.kind == "ClusterTask" && reference.resolver.is_empty() {
            let kind = shown(&reference.kind);
            d.opaque(reference.told(&kind), Unseen::UnknownKind, at);
            return None;
        }
        let place = self.place(reference, "task", at, d)?;
        if let Some(known) = self.tasks.get(&place).filter(|_| asked.is_none()) {
            return *known;
        }
        let task: Option<(Of<'a, TaskSpec<'a>>, At)> = get(KnownKind::TektonTask, &place, at, d);
        let frame = task.and_then(|(task, inside)| {
            // Tekton copies the labels and annotations to the run and its pod.
            d.template_meta(task.metadata, inside);
            let at = d.field(inside, "spec");
            let frame = d.frame(at);
            let none = Asked::default();
            d.deeper(|d| task.spec.draft(frame, at, asked.unwrap_or(&none), self, d))
                .map(|()| frame)
        });
        if asked.is_none() {
            self.tasks.insert(place, frame);
        }
        frame
    }

    /// The frame of a Pipeline.
    pub(super) fn pipeline(
        &mut self,
        reference: &Reference<'a>,
        at: At,
        d: &mut Draft<'a, '_>,
    ) -> Option<FrameId> {
        let place = self.place(reference, "pipeline", at, d)?;
        if let Some(known) = self.pipelines.get(&place) {
            return *known;
        }
        let pipeline: Option<(Of<'a, PipelineSpec<'a>>, At)> = get(KnownKind::TektonPipeline, &place, at, d);
        let Some((pipeline, inside)) = pipeline else {
            self.pipelines.insert(place, None);
            return None;
        };
        d.template_meta(pipeline.metadata, inside);
        let at = d.field(inside, "spec");
        let frame = d.frame(at);
        // Known before it is read: a pipeline may lead back to itself.
        self.pipelines.insert(place, Some(frame));
        d.deeper(|d| pipeline.spec.draft(frame, at, self, d));
        Some(frame)
    }

    /// A StepAction.
    pub(super) fn action(
        &mut self,
        reference: &Reference<'a>,
        at: At,
        d: &mut Draft<'a, '_>,
    ) -> Option<Rc<Shared<'a>>> {
        let place = self.place(reference, "stepaction", at, d)?;
        if let Some(known) = self.actions.get(&place) {
            return known.clone();
        }
        let action: Option<(Of<'a, ActionSpec<'a>>, At)> = get(KnownKind::StepAction, &place, at, d);
        let action = action.map(|(action, inside)| {
            let at = d.field(inside, "spec");
            action.spec.share(at, d)
        });
        self.actions.insert(place, action.clone());
        action
    }

    fn place(
        &self,
        reference: &Reference<'a>,
        kind: &str,
        at: At,
        d: &mut Draft<'a, '_>,
    ) -> Option<Place<'a>> {
        let title = match kind {
            "task" => "Task",
            "pipeline" => "Pipeline",
            _ => "StepAction",
        };
        reference
            .place(kind)
            .map_err(|why| d.opaque(reference.told(title), why, at))
            .ok()
    }
}

/// An object of the cluster.
fn get<'a, T: Deserialize<'a>>(
    kind: KnownKind,
    (namespace, name): &Place<'a>,
    at: At,
    d: &mut Draft<'a, '_>,
) -> Option<(T, At)> {
    let (json, inside) = d.fetch(kind, namespace.as_deref(), name, at)?;
    match serde_json::from_str(json) {
        Ok(object) => Some((object, inside)),
        Err(_) => {
            let reference = format!("{} {}", kind.info().kind, shown(name));
            d.opaque(reference, Unseen::Unreadable, at);
            None
        }
    }
}
