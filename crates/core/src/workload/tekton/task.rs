//! Tasks: steps in strict order in one pod, with sidecars beside them.

use std::collections::HashSet;
use std::rc::Rc;

use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::value::RawValue;

use super::reference::{Library, Reference};
use crate::draft::Draft;
use crate::path::At;
use crate::submission::{FrameId, Order, OrderId, Role, Run, Runs, Unseen, Void};
use crate::text::Text;
use crate::workload::leaf::List;
use crate::workload::meta::{Meta, null_is_default};
use crate::workload::pod::{Env, Resources};

/// What a run asks for besides what its task does.
#[derive(Debug, Default)]
pub(super) struct Asked<'a> {
    /// Every step has accelerators.
    pub all: bool,
    /// What follows a step may run even if it failed.
    pub debugged: bool,
    /// Steps that have accelerators.
    pub steps: HashSet<Text<'a>>,
    /// Sidecars that have accelerators.
    pub sidecars: HashSet<Text<'a>>,
}

/// `TaskSpec`, and `EmbeddedTask`.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TaskSpec<'a> {
    /// Of a custom task.
    #[serde(borrow, default, deserialize_with = "null_is_default")]
    pub(super) api_version: Text<'a>,
    #[serde(borrow, default, deserialize_with = "null_is_default")]
    pub(super) kind: Text<'a>,
    /// Of a custom task, compared and never read.
    #[serde(borrow, default)]
    pub(super) spec: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "null_is_default")]
    metadata: Meta<'a>,
    #[serde(borrow, default)]
    pub(super) steps: List<Step<'a>>,
    #[serde(borrow, default)]
    step_template: Option<Box<Step<'a>>>,
    #[serde(borrow, default)]
    pub(super) sidecars: List<Step<'a>>,
    #[serde(borrow, default)]
    volumes: Option<&'a RawValue>,
    #[serde(borrow, default)]
    params: Option<&'a RawValue>,
}

/// `Step`, `StepTemplate` and `Sidecar`.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Step<'a> {
    #[serde(borrow, default, deserialize_with = "null_is_default")]
    pub(super) name: Text<'a>,
    #[serde(borrow, default, deserialize_with = "null_is_default")]
    pub(super) image: Text<'a>,
    #[serde(borrow, default)]
    pub(super) command: List<Text<'a>>,
    #[serde(borrow, default)]
    pub(super) args: List<Text<'a>>,
    #[serde(borrow, default, deserialize_with = "null_is_default")]
    pub(super) script: Text<'a>,
    #[serde(borrow, default)]
    pub(super) env: Env<'a>,
    #[serde(borrow, default)]
    compute_resources: Option<Resources<'a>>,
    /// In v1beta1.
    #[serde(borrow, default)]
    resources: Option<Resources<'a>>,
    #[serde(borrow, default, deserialize_with = "null_is_default")]
    on_error: Text<'a>,
    #[serde(default)]
    when: List<IgnoredAny>,
    #[serde(rename = "ref", borrow, default)]
    action: Option<&'a RawValue>,
    #[serde(borrow, default)]
    params: Option<&'a RawValue>,
    #[serde(borrow, default)]
    env_from: Option<&'a RawValue>,
    #[serde(borrow, default)]
    volume_mounts: Option<&'a RawValue>,
    #[serde(borrow, default)]
    lifecycle: Option<&'a RawValue>,
}

/// `StepActionSpec`.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ActionSpec<'a> {
    #[serde(borrow, default, deserialize_with = "null_is_default")]
    image: Text<'a>,
    #[serde(borrow, default)]
    command: List<Text<'a>>,
    #[serde(borrow, default)]
    args: List<Text<'a>>,
    #[serde(borrow, default, deserialize_with = "null_is_default")]
    script: Text<'a>,
    #[serde(borrow, default)]
    env: Env<'a>,
    #[serde(borrow, default)]
    params: Option<&'a RawValue>,
    #[serde(borrow, default)]
    volume_mounts: Option<&'a RawValue>,
}

/// What several steps have in common: of a StepAction, or of the template of a task's steps. Its raw parts stand once in
/// the submission, not once for every step.
#[derive(Debug, Default)]
pub(super) struct Shared<'a> {
    image: Text<'a>,
    command: Vec<Text<'a>>,
    args: Vec<Text<'a>>,
    script: Text<'a>,
    accelerated: bool,
}

/// What a script stands behind, so that it is never taken for a command of the image.
const SCRIPTS: &str = "/tekton/scripts";

impl<'a> ActionSpec<'a> {
    /// The action as several steps may have it.
    pub(super) fn share(self, at: At, d: &mut Draft<'a, '_>) -> Rc<Shared<'a>> {
        for json in [self.params, self.volume_mounts] {
            d.raw(json);
        }
        d.raw_text(self.env.raw);
        Rc::new(Shared {
            image: self.image,
            command: self.command.0,
            args: self.args.0,
            script: self.script,
            accelerated: d.env(self.env, at),
        })
    }

    /// The action on its own, as if one step ran it.
    pub(super) fn draft_alone(self, at: At, d: &mut Draft<'a, '_>) {
        let action = self.share(at, d);
        let run = Run {
            role: Role::Main,
            image: action.image.clone(),
            command: command(action.command.clone(), action.script.clone()),
            args: some(action.args.clone()),
            rewritten: false,
            accelerated: action.accelerated,
            raw: Vec::new(),
        };
        let frame = d.frame(at);
        d.run(frame, Text::default(), run, OrderId(0), Runs::Once, at);
        d.call(d.base(), Text::default(), frame, OrderId(0), Runs::Once, at);
    }
}

fn some(list: Vec<Text<'_>>) -> Option<Vec<Text<'_>>> {
    (!list.is_empty()).then_some(list)
}

/// The command of a step. A script is placed in a file that is run instead of any command.
fn command<'a>(command: Vec<Text<'a>>, script: Text<'a>) -> Option<Vec<Text<'a>>> {
    if script.is_empty() {
        some(command)
    } else {
        Some(vec![SCRIPTS.into(), script])
    }
}

impl<'a> TaskSpec<'a> {
    /// Whether another controller runs it (reference: Tekton's `EmbeddedTask.IsCustomTask`).
    pub(super) fn is_custom(&self) -> bool {
        !self.api_version.is_empty() && !self.kind.is_empty()
    }

    /// The pod of a task, in a frame of its own.
    pub(super) fn draft(
        self,
        frame: FrameId,
        at: At,
        asked: &Asked<'a>,
        library: &mut Library<'a>,
        d: &mut Draft<'a, '_>,
    ) {
        d.has_steps();
        d.template_meta(self.metadata, at);
        for json in [self.volumes, self.params, self.spec] {
            d.raw(json);
        }
        let mut template = Shared::default();
        if let Some(step) = self.step_template {
            let at = d.field(at, "stepTemplate");
            template = step.share(at, d);
        }
        template.accelerated |= asked.all || library.all_accelerated;
        let mut after = OrderId(0);
        for (step, i) in self.steps.0.into_iter().zip(0..) {
            let at = d.item(at, "steps", i);
            let void = if !step.when.0.is_empty() {
                Some(Void::Conditional)
            } else if asked.debugged || !matches!(step.on_error.as_str(), "" | "stopAndFail") {
                Some(Void::ContinuesOnFailure)
            } else {
                None
            };
            d.raw(step.params);
            let name = step.name.clone();
            let runs = Runs::unless(void);
            let action = step.action.and_then(|reference| {
                Reference::read(Some(reference), at, d)
                    .and_then(|reference| library.action(&reference, at, d))
            });
            let node = if step.action.is_some() && action.is_none() {
                // It is not seen, or not fetched yet, and stands in the order all the same.
                let unseen = d.frame(at);
                d.call(frame, name, unseen, after, runs, at)
            } else {
                let accelerated = asked.steps.contains(&name);
                let mut run = step.run(&template, action.as_deref(), at, library, d);
                run.accelerated |= accelerated;
                d.run(frame, name, run, after, runs, at)
            };
            after = match void {
                None => d.order(Order::Done(node)),
                // It may be skipped or fail, but what came before it did come before.
                Some(void) => {
                    let weak = d.order(Order::Weak(node, void));
                    d.order(Order::All(Box::new([weak, after])))
                }
            };
        }
        for (sidecar, i) in self.sidecars.0.into_iter().zip(0..) {
            let at = d.item(at, "sidecars", i);
            let accelerated = asked.all || library.all_accelerated || asked.sidecars.contains(&sidecar.name);
            let name = sidecar.name.clone();
            let mut run = sidecar.run(&Shared::default(), None, at, library, d);
            run.accelerated |= accelerated;
            d.run(frame, name, run, OrderId(0), Runs::Once, at);
        }
    }
}

/// The first list that is not empty: the action's, the step's own, the template's.
fn pick<'a>(
    own: Vec<Text<'a>>,
    template: &Shared<'a>,
    action: Option<&Shared<'a>>,
    of: impl for<'s> Fn(&'s Shared<'a>) -> &'s [Text<'a>],
    library: &mut Library<'a>,
) -> Option<Vec<Text<'a>>> {
    match action.map(&of).filter(|list| !list.is_empty()) {
        Some(list) => library.share(list),
        None if !own.is_empty() => Some(own),
        None => library.share(of(template)),
    }
}

impl<'a> Step<'a> {
    /// The template of a task's steps.
    fn share(self, at: At, d: &mut Draft<'a, '_>) -> Shared<'a> {
        for json in [self.env_from, self.volume_mounts] {
            d.raw(json);
        }
        d.raw_text(self.env.raw);
        let asks = d.asks(self.compute_resources.as_ref()) || d.asks(self.resources.as_ref());
        let visible = d.env(self.env, at);
        Shared {
            image: self.image,
            command: self.command.0,
            args: self.args.0,
            script: Text::default(),
            accelerated: asks || visible,
        }
    }

    /// The container of a step: its action's fields before its own, its own before the template's (reference: Tekton's
    /// `resolveStepRef` and `MergeStepsWithStepTemplate`).
    fn run(
        self,
        template: &Shared<'a>,
        action: Option<&Shared<'a>>,
        at: At,
        library: &mut Library<'a>,
        d: &mut Draft<'a, '_>,
    ) -> Run<'a> {
        let list = pick(
            self.command.0,
            template,
            action,
            |shared| &shared.command,
            library,
        );
        let args = pick(self.args.0, template, action, |shared| &shared.args, library);
        let own = match action {
            Some(action) => library.share_one(&action.image),
            None => Some(self.image),
        };
        let image = match own {
            Some(image) if image.is_empty() => library.share_one(&template.image),
            image => image,
        };
        let script = match action.filter(|action| !action.script.is_empty()) {
            Some(action) => library.share_one(&action.script),
            None => Some(self.script),
        };
        let over = list.is_none() || args.is_none() || image.is_none() || script.is_none();
        if over && !std::mem::replace(&mut library.told, true) {
            d.opaque("what its steps have in common", Unseen::TooFar, at);
        }
        let asks = d.asks(self.compute_resources.as_ref()) || d.asks(self.resources.as_ref());
        let raw_env = self.env.raw;
        let visible = d.env(self.env, at);
        let of_action = action.is_some_and(|action| action.accelerated);
        Run {
            role: Role::Main,
            image: image.unwrap_or_default(),
            command: command(list.unwrap_or_default(), script.unwrap_or_default()),
            args: some(args.unwrap_or_default()),
            rewritten: false,
            accelerated: asks || visible || of_action || template.accelerated,
            raw: [self.env_from, self.volume_mounts, self.lifecycle]
                .into_iter()
                .flatten()
                .map(RawValue::get)
                .chain(raw_env)
                .collect(),
        }
    }
}
