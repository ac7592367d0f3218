//! Pipelines: tasks in the order that `runAfter` and references to results give them.
//!
//! A task that is skipped by its `when` does not stop what only runs after it; one that is skipped for any other reason
//! takes all that follows with it, and the pipeline still counts as completed (reference: Tekton's
//! `ResolvedPipelineTask.skip`). A task is skipped only after its own predecessors are done.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};

use serde::Deserialize;
use serde_json::value::RawValue;

use super::reference::{Library, Reference};
use super::task::{Asked, TaskSpec};
use crate::draft::Draft;
use crate::path::At;
use crate::render::shown;
use crate::submission::{FrameId, NodeId, Order, OrderId, Runs, Unseen, Void};
use crate::text::Text;
use crate::workload::leaf::{Entries, List};
use crate::workload::meta::null_is_default;
use crate::workload::pod::EnvVar;

/// `PipelineSpec`.
#[derive(Debug, Default, Deserialize)]
pub struct PipelineSpec<'a> {
    #[serde(borrow, default)]
    tasks: List<PipelineTask<'a>>,
    #[serde(borrow, default)]
    finally: List<PipelineTask<'a>>,
    #[serde(borrow, default)]
    params: Option<&'a RawValue>,
}

/// `PipelineTask`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct PipelineTask<'a> {
    #[serde(borrow, default, deserialize_with = "null_is_default")]
    name: Text<'a>,
    #[serde(borrow, default)]
    task_ref: Option<&'a RawValue>,
    #[serde(borrow, default)]
    task_spec: Option<Box<TaskSpec<'a>>>,
    #[serde(borrow, default)]
    pipeline_ref: Option<&'a RawValue>,
    #[serde(borrow, default)]
    pipeline_spec: Option<Box<PipelineSpec<'a>>>,
    #[serde(borrow, default)]
    when: Option<&'a RawValue>,
    #[serde(borrow, default)]
    run_after: List<Text<'a>>,
    #[serde(borrow, default)]
    params: Option<&'a RawValue>,
    #[serde(borrow, default)]
    matrix: Option<&'a RawValue>,
    #[serde(borrow, default)]
    workspaces: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "null_is_default")]
    on_error: Text<'a>,
}

/// `Matrix`.
#[derive(Debug, Default, Deserialize)]
struct Matrix<'a> {
    #[serde(borrow, default)]
    params: List<Param<'a>>,
    #[serde(borrow, default)]
    include: List<Include<'a>>,
}

/// `IncludeParams`.
#[derive(Debug, Deserialize)]
struct Include<'a> {
    #[serde(borrow, default)]
    params: List<Param<'a>>,
}

/// `Param`, of which only the value may use results.
#[derive(Debug, Deserialize)]
struct Param<'a> {
    #[serde(borrow, default)]
    value: Option<&'a RawValue>,
}

/// `WhenExpression`.
#[derive(Debug, Deserialize)]
struct When<'a> {
    #[serde(borrow, default, deserialize_with = "null_is_default")]
    input: Text<'a>,
    #[serde(borrow, default)]
    values: List<Text<'a>>,
    #[serde(borrow, default, deserialize_with = "null_is_default")]
    cel: Text<'a>,
}

/// A task that is drafted.
#[derive(Clone, Copy)]
struct Drafted {
    node: NodeId,
    after: OrderId,
    void: Option<Void>,
    /// It may be skipped together with all that follows.
    takes_along: bool,
}

/// A predecessor of a task.
struct Before {
    task: usize,
    by_result: bool,
}

impl<'a> PipelineSpec<'a> {
    /// The tasks of a pipeline, in a frame.
    pub(super) fn draft(self, frame: FrameId, at: At, library: &mut Library<'a>, d: &mut Draft<'a, '_>) {
        d.raw(self.params);
        // Only a run's own pipeline has tasks of which it sets something.
        let mut asked = std::mem::take(&mut library.asked);
        let mut tasks: Vec<_> = self.tasks.0.into_iter().map(Some).collect();
        let before = befores(&tasks);
        let mut done: Vec<Option<Drafted>> = vec![None; tasks.len()];
        for i in sorted(&before) {
            let Some(task) = tasks.get_mut(i).and_then(Option::take) else {
                continue;
            };
            let before = before.get(i).map(Vec::as_slice).unwrap_or_default();
            let known = |it: &Before| Some((done.get(it.task).copied().flatten()?, it.by_result));
            let previous: Vec<(Drafted, bool)> = before.iter().filter_map(known).collect();
            // In a cycle, which Tekton refuses, nothing comes before anything.
            let cyclic = previous.len() < before.len();
            let at = d.item(at, "tasks", i);
            let after = if cyclic {
                d.order(Order::Any(Box::new([])))
            } else {
                after(&previous, d)
            };
            let lacks_result = previous
                .iter()
                .any(|(it, by_result)| *by_result && it.void.is_some());
            let taken_along = previous.iter().any(|(it, _)| it.takes_along);
            let may_be_empty = task.may_be_empty();
            let void = task.void().or(match (may_be_empty, lacks_result || taken_along) {
                (true, _) => Some(Void::MayBeEmpty),
                (false, true) => Some(Void::Conditional),
                (false, false) => None,
            });
            let asked = asked.remove(&task.name);
            let node = task.draft(frame, after, void, asked.as_ref(), at, library, d);
            if let Some(slot) = done.get_mut(i) {
                *slot = Some(Drafted {
                    node,
                    after,
                    void,
                    takes_along: may_be_empty || lacks_result || taken_along,
                });
            }
        }
        // They run whatever became of the tasks.
        let weak = done.iter().flatten().map(|it| it.node);
        let all: Vec<_> = weak
            .map(|node| Order::Weak(node, Void::ContinuesOnFailure))
            .collect();
        let after = if self.finally.0.is_empty() {
            OrderId(0)
        } else {
            d.all(all)
        };
        for (task, i) in self.finally.0.into_iter().zip(0..) {
            let at = d.item(at, "finally", i);
            let mut uses_results = false;
            task.results(|_| uses_results = true);
            let empty = task.may_be_empty().then_some(Void::MayBeEmpty);
            let void = task
                .void()
                .or(empty)
                .or(uses_results.then_some(Void::Conditional));
            let asked = asked.remove(&task.name);
            task.draft(frame, after, void, asked.as_ref(), at, library, d);
        }
    }
}

/// What each task waits for.
fn befores(tasks: &[Option<PipelineTask<'_>>]) -> Vec<Vec<Before>> {
    let names: HashMap<&str, usize> = tasks
        .iter()
        .flatten()
        .map(|task| task.name.as_str())
        .zip(0..)
        .collect();
    let of = |task: &PipelineTask<'_>| {
        let mut before = Vec::new();
        let mut add = |name: &str, by_result| {
            let task = names.get(name).copied();
            before.extend(task.map(|task| Before { task, by_result }));
        };
        for name in &task.run_after.0 {
            add(name, false);
        }
        task.results(|name| add(name, true));
        before
    };
    tasks.iter().flatten().map(of).collect()
}

/// The tasks, each after all that it waits for, else in their order; those of a cycle last.
fn sorted(before: &[Vec<Before>]) -> Vec<usize> {
    let mut waiting: Vec<usize> = before.iter().map(Vec::len).collect();
    let mut next: Vec<Vec<usize>> = before.iter().map(|_| Vec::new()).collect();
    for (list, task) in before.iter().zip(0..) {
        for it in list {
            if let Some(followers) = next.get_mut(it.task) {
                followers.push(task);
            }
        }
    }
    let ready = waiting.iter().zip(0..).filter(|(count, _)| **count == 0);
    let mut ready: BinaryHeap<Reverse<usize>> = ready.map(|(_, task)| Reverse(task)).collect();
    let mut sorted = Vec::with_capacity(before.len());
    while let Some(Reverse(task)) = ready.pop() {
        sorted.push(task);
        for follower in next.get(task).into_iter().flatten() {
            if let Some(count) = waiting.get_mut(*follower) {
                *count = count.saturating_sub(1);
                if *count == 0 {
                    ready.push(Reverse(*follower));
                }
            }
        }
    }
    let stuck = waiting.iter().zip(0..).filter(|(count, _)| **count > 0);
    sorted.extend(stuck.map(|(_, task)| task));
    sorted
}

/// After all of these: each completed or, if that is not sure, at least all that came before it.
fn after(previous: &[(Drafted, bool)], d: &mut Draft<'_, '_>) -> OrderId {
    let mut orders = Vec::new();
    for (it, _) in previous {
        match it.void {
            None => orders.push(d.order(Order::Done(it.node))),
            Some(void) => {
                orders.push(d.order(Order::Weak(it.node, void)));
                orders.push(it.after);
            }
        }
    }
    match orders.as_slice() {
        [] => OrderId(0),
        [one] => *one,
        _ => d.order(Order::All(orders.into())),
    }
}

impl<'a> PipelineTask<'a> {
    /// Why it proves nothing, of what stands on the task itself.
    fn void(&self) -> Option<Void> {
        let guarded = self.when.is_some_and(|when| !matches!(when.get(), "null" | "[]"));
        if guarded {
            Some(Void::Conditional)
        } else if !matches!(self.on_error.as_str(), "" | "stopAndFail") {
            Some(Void::ContinuesOnFailure)
        } else {
            None
        }
    }

    /// Whether its matrix may have no combination.
    fn may_be_empty(&self) -> bool {
        let Some(matrix) = self.matrix else { return false };
        let Ok(matrix) = serde_json::from_str::<Option<Matrix<'_>>>(matrix.get()) else {
            return true;
        };
        // An array is surely not empty if one of its items is written out.
        let has_item = |param: &Param<'_>| {
            let items = param
                .value
                .and_then(|value| serde_json::from_str::<Vec<Text<'_>>>(value.get()).ok());
            items.is_some_and(|items| items.iter().any(|item| !item.contains("$(")))
        };
        !matrix.unwrap_or_default().params.0.iter().all(has_item)
    }

    /// The tasks whose results it uses. A task without the result never starts what uses it.
    fn results(&self, mut used: impl FnMut(&str)) {
        fn read<'a, T: Deserialize<'a>>(json: Option<&'a RawValue>) -> Option<T> {
            let json = json.filter(|json| json.get().contains("$(tasks."))?;
            serde_json::from_str(json.get()).ok()
        }
        let mut params: Vec<&RawValue> = Vec::new();
        let own: Option<List<Param<'_>>> = read(self.params);
        params.extend(own.into_iter().flat_map(|list| list.0).filter_map(|it| it.value));
        let matrix: Option<Matrix<'_>> = read(self.matrix);
        if let Some(matrix) = matrix {
            let included = matrix.include.0.into_iter().flat_map(|it| it.params.0);
            params.extend(
                matrix
                    .params
                    .0
                    .into_iter()
                    .chain(included)
                    .filter_map(|it| it.value),
            );
        }
        for value in params {
            texts_of(value, |text| results_in(text, &mut used));
        }
        let guards: Option<List<When<'_>>> = read(self.when);
        for guard in guards.into_iter().flat_map(|list| list.0) {
            for text in guard.values.0.iter().chain([&guard.input, &guard.cel]) {
                results_in(text, &mut used);
            }
        }
        let Some(spec) = &self.task_spec else { return };
        for step in spec.steps.0.iter().chain(&spec.sidecars.0) {
            let texts = step.command.0.iter().chain(&step.args.0);
            for text in texts.chain([&step.image, &step.script]) {
                results_in(text, &mut used);
            }
            let env = step.env.raw.filter(|env| env.contains("$(tasks."));
            let variables = env.and_then(|env| serde_json::from_str::<List<EnvVar<'_>>>(env).ok());
            for value in variables
                .iter()
                .flat_map(|list| &list.0)
                .filter_map(|it| it.value.as_ref())
            {
                results_in(value, &mut used);
            }
        }
    }

    #[allow(
        clippy::too_many_arguments,
        reason = "where the task stands, and what it is drafted into"
    )]
    fn draft(
        self,
        frame: FrameId,
        after: OrderId,
        void: Option<Void>,
        asked: Option<&Asked<'a>>,
        at: At,
        library: &mut Library<'a>,
        d: &mut Draft<'a, '_>,
    ) -> NodeId {
        for json in [self.params, self.matrix, self.when, self.workspaces] {
            d.raw(json);
        }
        let called = if let Some(spec) = self.pipeline_spec {
            let at = d.field(at, "pipelineSpec");
            let inner = d.frame(at);
            let drafted = d.deeper(|d| spec.draft(inner, at, library, d));
            if drafted.is_none() {
                d.opaque(format!("task {}", shown(&self.name)), Unseen::TooFar, at);
            }
            drafted.map(|()| inner)
        } else if self.pipeline_ref.is_some() {
            let at = d.field(at, "pipelineRef");
            Reference::read(self.pipeline_ref, at, d).and_then(|it| library.pipeline(&it, at, d))
        } else if let Some(spec) = self.task_spec {
            let at = d.field(at, "taskSpec");
            if spec.is_custom() {
                d.raw(spec.spec);
                let reference = format!("{} {}", shown(&spec.kind), shown(&self.name));
                d.opaque(reference, Unseen::UnknownKind, at);
                None
            } else {
                let inner = d.frame(at);
                let none = Asked::default();
                spec.draft(inner, at, asked.unwrap_or(&none), library, d);
                Some(inner)
            }
        } else {
            let at = d.field(at, "taskRef");
            Reference::read(self.task_ref, at, d).and_then(|it| {
                // In a pipeline whatever names an API version is left to another controller, even `tekton.dev`.
                if it.api_version.is_empty() {
                    library.task(&it, asked, at, d)
                } else {
                    let kind = shown(&it.kind);
                    d.opaque(it.told(&kind), Unseen::UnknownKind, at);
                    None
                }
            })
        };
        let runs = void.map_or(Runs::ByName, Runs::Maybe);
        // What is not seen, or not fetched yet, stands in the order all the same: two objects that differ in it differ.
        let inner = called.unwrap_or_else(|| d.frame(at));
        d.call(frame, self.name, inner, after, runs, at)
    }
}

/// The texts of a parameter's value: a string, an array, or an object, of which the keys are none.
fn texts_of(value: &RawValue, mut each: impl FnMut(&str)) {
    let json = value.get();
    if json.starts_with('"') {
        serde_json::from_str::<Text<'_>>(json)
            .iter()
            .for_each(|text| each(text));
    } else if json.starts_with('[') {
        let list = serde_json::from_str::<Vec<Text<'_>>>(json);
        list.iter().flatten().for_each(|text| each(text));
    } else if json.starts_with('{') {
        let map = serde_json::from_str::<Entries<'_, Text<'_>>>(json);
        map.iter().flat_map(|map| &map.0).for_each(|(_, text)| each(text));
    }
}

/// The tasks whose results a text uses, as Tekton finds them: `$(tasks.NAME.results.RESULT)`, with an index or a key.
fn results_in(text: &str, used: &mut impl FnMut(&str)) {
    let mut rest = text;
    while let Some((_, from)) = rest.split_once("$(tasks.") {
        rest = from;
        let Some((inside, _)) = from.split_once(')') else {
            return;
        };
        let (path, index) = match inside.split_once('[') {
            Some((path, index)) => (path, Some(index)),
            None => (inside, None),
        };
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.');
        let is_index = |index: &str| {
            let index = index.strip_suffix(']').unwrap_or_default();
            index == "*" || !index.is_empty() && index.bytes().all(|byte| byte.is_ascii_digit())
        };
        let parts: Vec<&str> = path.splitn(5, '.').collect();
        if path.bytes().all(plain)
            && index.is_none_or(is_index)
            && let [name, "results", _, ..] = parts.as_slice()
            && parts.len() <= 4
        {
            used(name);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::results_in;

    #[test]
    fn results_are_found_as_tekton_finds_them() {
        for (text, expected) in [
            ("$(tasks.filter.results.digest)", vec!["filter"]),
            (
                r#"[{"value":"a $(tasks.a.results.x) $(tasks.b.results.y[0])"}]"#,
                vec!["a", "b"],
            ),
            ("$(tasks.a.results.list[*])", vec!["a"]),
            ("$(tasks.a.results.object.key)", vec!["a"]),
            ("$(tasks.a.results.object.key.deeper)", vec![]),
            ("$(tasks.a.results['x'])", vec![]),
            ("$(tasks.a.results.x[])", vec![]),
            ("$(tasks.a.status)", vec![]),
            ("$(tasks.a.results)", vec![]),
            ("$(tasks.a.results.x", vec![]),
            ("$(params.a)", vec![]),
        ] {
            let mut found = Vec::new();
            results_in(text, &mut |name| found.push(name.to_owned()));
            assert_eq!(found, expected, "{text}");
        }
    }
}
