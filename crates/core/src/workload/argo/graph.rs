//! Which templates run: from the entrypoint along all calls, each template once, however often it is called.
//!
//! Templates may call one another in any number and in circles, and the size of what they unfold to is exponential; here
//! a template is one entry. A reference inside a template of a WorkflowTemplate is to a template of that WorkflowTemplate.

use std::collections::HashMap;

use serde_json::value::RawValue;

use super::types::{Dag, Hook, Referred, ResourceRef, Spec, Task, Template, TemplateRef};
use crate::draft::Draft;
use crate::path::At;
use crate::render::shown;
use crate::submission::{FrameId, Runs, Unseen};
use crate::text::Text;
use crate::workload::KnownKind;
use crate::workload::leaf::List;

/// A template.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct EntryId(usize);

/// Templates that refer to one another by name: those of one object.
#[derive(Clone, Copy, Debug)]
pub struct ScopeId(usize);

/// A template that may run.
#[derive(Debug)]
pub struct Entry<'a> {
    scope: ScopeId,
    /// The template, without what is in `body`.
    pub template: Template<'a>,
    /// Its calls of others.
    pub body: Body<'a>,
    /// Its field.
    pub at: At,
    /// Its name, or that of the task in which it stands.
    pub name: Text<'a>,
    /// Whether it runs a pod.
    pub pod: bool,
    /// Where it stands in the submission, once it is known to run.
    pub frame: Option<FrameId>,
    /// Whether it surely runs once it is called.
    pub runs: Runs,
    reached: bool,
    /// How often it is called.
    calls: usize,
    /// The only call, if there is just one.
    by: Option<Caller<'a>>,
}

/// Who calls a template.
#[derive(Clone, Copy, Debug)]
pub enum Caller<'a> {
    /// The workflow, with its own arguments.
    Workflow,
    /// A task, with the arguments it passes.
    Task(Option<EntryId>, Option<&'a RawValue>),
}

/// What a template calls.
#[derive(Debug)]
pub enum Body<'a> {
    /// Nothing: it runs a pod, or no container at all.
    Leaf,
    /// Groups of calls.
    Steps(Vec<Vec<Call<'a>>>),
    /// Calls that depend on one another.
    Dag(Option<Text<'a>>, Vec<Call<'a>>),
}

/// A call of a template.
#[derive(Debug)]
pub struct Call<'a> {
    /// The step or task, or the hook.
    pub task: Task<'a>,
    /// The template; absent if it cannot be seen.
    pub target: Option<EntryId>,
    /// The field of the call.
    pub at: At,
}

/// The templates of an object.
#[derive(Debug)]
struct Scope<'a> {
    index: HashMap<Text<'a>, EntryId>,
    /// "WorkflowTemplate nightly"; empty for the object itself.
    named: Text<'a>,
    /// How many objects away it is.
    distance: usize,
}

/// All templates, those that run, and what calls them from outside of any.
#[derive(Debug, Default)]
pub struct Graph<'a> {
    entries: Vec<Entry<'a>>,
    scopes: Vec<Scope<'a>>,
    resources: HashMap<(bool, Text<'a>), Option<ScopeId>>,
    /// The templates that run, each after the one that first calls it.
    pub reached: Vec<EntryId>,
    /// Hooks: they run beside the order of the tasks.
    pub hooks: Vec<Call<'a>>,
}

impl<'a> Graph<'a> {
    /// A template.
    #[must_use]
    pub fn entry(&self, id: EntryId) -> Option<&Entry<'a>> {
        self.entries.get(id.0)
    }

    /// A template, to take it apart.
    pub fn entry_mut(&mut self, id: EntryId) -> Option<&mut Entry<'a>> {
        self.entries.get_mut(id.0)
    }

    /// How a template is called, if only once.
    #[must_use]
    pub fn only_caller(&self, id: EntryId) -> Option<Caller<'a>> {
        let entry = self.entry(id).filter(|entry| entry.calls == 1)?;
        entry.by
    }

    /// Adds the templates of an object.
    pub fn scope(
        &mut self,
        templates: List<Template<'a>>,
        at: At,
        named: Text<'a>,
        distance: usize,
        d: &mut Draft<'a, '_>,
    ) -> ScopeId {
        let scope = ScopeId(self.scopes.len());
        self.scopes.push(Scope {
            index: HashMap::new(),
            named,
            distance,
        });
        for (template, i) in templates.0.into_iter().zip(0..) {
            let at = d.item(at, "templates", i);
            let name = template.name.clone();
            let entry = self.add(scope, template, name.clone(), at);
            if let Some(scope) = self.scopes.get_mut(scope.0) {
                // Argo takes the first of a name.
                scope.index.entry(name).or_insert(entry);
            }
        }
        scope
    }

    fn add(&mut self, scope: ScopeId, template: Template<'a>, name: Text<'a>, at: At) -> EntryId {
        let pod = template.container.is_some() || template.container_set.is_some() || {
            let calls = template.steps.is_some() || template.dag.is_some();
            !calls && (template.script.is_some() || template.resource.is_some() || template.data.is_some())
        };
        self.entries.push(Entry {
            scope,
            template,
            body: Body::Leaf,
            at,
            name,
            pod,
            frame: None,
            runs: Runs::Once,
            reached: false,
            calls: 0,
            by: None,
        });
        EntryId(self.entries.len().saturating_sub(1))
    }

    /// The spec of a WorkflowTemplate, and its templates as a scope.
    pub fn base(&mut self, of: &ResourceRef<'a>, at: At, d: &mut Draft<'a, '_>) -> Option<(Spec<'a>, At)> {
        let (kind, _) = named(of.cluster_scope, &of.name);
        if is_late(&of.name, at, d) {
            return None;
        }
        let (referred, inside) = d.fetch_as::<Referred<'a>>(kind, &of.name, at)?;
        Some((referred.spec, d.field(inside, "spec")))
    }

    /// The templates of a WorkflowTemplate; each is fetched once.
    fn resource(
        &mut self,
        of: &TemplateRef<'a>,
        distance: usize,
        at: At,
        d: &mut Draft<'a, '_>,
    ) -> Option<ScopeId> {
        let key = (of.cluster_scope, of.name.clone());
        if let Some(known) = self.resources.get(&key) {
            return *known;
        }
        let (kind, named) = named(of.cluster_scope, &of.name);
        let scope = if d.is_too_far(distance) {
            d.opaque(named, Unseen::TooFar, at);
            None
        } else {
            let read = d.fetch_as::<Referred<'a>>(kind, &of.name, at);
            read.map(|(referred, inside)| {
                let at = d.field(inside, "spec");
                self.scope(referred.spec.templates, at, named, distance, d)
            })
        };
        self.resources.insert(key, scope);
        scope
    }

    /// The template of a call, which then runs.
    pub fn call(
        &mut self,
        scope: ScopeId,
        template: Option<&Text<'a>>,
        elsewhere: Option<&TemplateRef<'a>>,
        by: Caller<'a>,
        at: At,
        d: &mut Draft<'a, '_>,
    ) -> Option<EntryId> {
        let (scope, name) = match elsewhere {
            Some(other) => {
                if is_late(&other.name, at, d) || is_late(&other.template, at, d) {
                    return None;
                }
                let distance = self.scopes.get(scope.0).map_or(0, |scope| scope.distance);
                let scope = self.resource(other, distance.saturating_add(1), at, d)?;
                (scope, &other.template)
            }
            None => {
                let name = template?;
                if is_late(name, at, d) {
                    return None;
                }
                (scope, name)
            }
        };
        let found = self.scopes.get(scope.0)?;
        let Some(entry) = found.index.get(name).copied() else {
            let of = if found.named.is_empty() { "" } else { " of " };
            let reference = format!("template {}{of}{}", shown(name), found.named);
            d.opaque(reference, Unseen::NotFound, at);
            return None;
        };
        self.reach(entry, Some(by));
        Some(entry)
    }

    /// Every template of the scope may run, whether or not another calls it.
    pub fn reach_all(&mut self, scope: ScopeId) {
        for id in 0..self.entries.len() {
            if self.entries.get(id).is_some_and(|entry| entry.scope.0 == scope.0) {
                self.reach(EntryId(id), None);
            }
        }
    }

    /// The templates that run and that nobody calls.
    pub fn roots(&self) -> impl Iterator<Item = EntryId> {
        let root = |id: &EntryId| self.entry(*id).is_some_and(|entry| entry.calls == 0);
        self.reached.iter().copied().filter(root)
    }

    fn reach(&mut self, id: EntryId, by: Option<Caller<'a>>) {
        let Some(entry) = self.entries.get_mut(id.0) else {
            return;
        };
        if !entry.reached {
            entry.reached = true;
            self.reached.push(id);
        }
        if by.is_some() {
            entry.calls = entry.calls.saturating_add(1);
            entry.by = by;
        }
    }

    /// Follows all calls from the templates that are known to run.
    pub fn walk(&mut self, d: &mut Draft<'a, '_>) {
        let mut next = 0;
        while let Some(id) = self.reached.get(next).copied() {
            self.expand(id, d);
            next = next.saturating_add(1);
        }
    }

    fn expand(&mut self, id: EntryId, d: &mut Draft<'a, '_>) {
        let Some(entry) = self.entries.get_mut(id.0) else {
            return;
        };
        let (scope, at) = (entry.scope, entry.at);
        if entry.pod {
            return;
        }
        let body = if let Some(groups) = entry.template.steps.take() {
            let groups = groups.0.into_iter().zip(0..).map(|(group, i)| {
                let at = d.item(at, "steps", i);
                let tasks = group.0.into_iter().zip(0..);
                let tasks = tasks.map(|(task, i)| {
                    let at = d.item(at, "", i);
                    self.task(id, scope, task, at, d)
                });
                tasks.collect()
            });
            Body::Steps(groups.collect())
        } else if let Some(Dag { target, tasks }) = entry.template.dag.take() {
            let at = d.field(at, "dag");
            let tasks = tasks.0.into_iter().zip(0..).map(|(task, i)| {
                let at = d.item(at, "tasks", i);
                self.task(id, scope, task, at, d)
            });
            Body::Dag(target, tasks.collect())
        } else {
            return;
        };
        if let Some(entry) = self.entries.get_mut(id.0) {
            entry.body = body;
        }
    }

    fn task(
        &mut self,
        caller: EntryId,
        scope: ScopeId,
        mut task: Task<'a>,
        at: At,
        d: &mut Draft<'a, '_>,
    ) -> Call<'a> {
        d.raw(task.arguments);
        let by = Caller::Task(Some(caller), task.arguments);
        let target = match task.inline.take() {
            Some(template) => {
                let at = d.field(at, "inline");
                let entry = self.add(scope, *template, task.name.clone(), at);
                self.reach(entry, Some(by));
                Some(entry)
            }
            None => self.call(
                scope,
                task.template.as_ref(),
                task.template_ref.as_ref(),
                by,
                at,
                d,
            ),
        };
        for (name, hook) in std::mem::take(&mut task.hooks).0 {
            let at = d.entry(at, "hooks", &name);
            self.hook(scope, hook, Some(caller), at, d);
        }
        if let Some(template) = task.on_exit.take().filter(|name| !name.is_empty()) {
            let at = d.field(at, "onExit");
            let by = Caller::Task(Some(caller), None);
            self.beside(scope, template, by, at, d);
        }
        Call { task, target, at }
    }

    /// A hook, which runs beside the order of all tasks.
    pub fn hook(
        &mut self,
        scope: ScopeId,
        hook: Hook<'a>,
        caller: Option<EntryId>,
        at: At,
        d: &mut Draft<'a, '_>,
    ) {
        d.raw(hook.arguments);
        let by = Caller::Task(caller, hook.arguments);
        let target = self.call(
            scope,
            hook.template.as_ref(),
            hook.template_ref.as_ref(),
            by,
            at,
            d,
        );
        let name = hook.template_ref.map(|it| it.template).or(hook.template);
        let task = Task {
            name: name.unwrap_or_default(),
            ..Task::default()
        };
        self.hooks.push(Call { task, target, at });
    }

    /// A template that runs when something is over.
    pub fn beside(
        &mut self,
        scope: ScopeId,
        template: Text<'a>,
        by: Caller<'a>,
        at: At,
        d: &mut Draft<'a, '_>,
    ) {
        let target = self.call(scope, Some(&template), None, by, at, d);
        let task = Task {
            name: template,
            ..Task::default()
        };
        self.hooks.push(Call { task, target, at });
    }
}

/// The type of object that is meant, and how to tell of it.
fn named<'a>(cluster_scope: bool, name: &Text<'_>) -> (KnownKind, Text<'a>) {
    let kind = if cluster_scope {
        KnownKind::ClusterWorkflowTemplate
    } else {
        KnownKind::WorkflowTemplate
    };
    let named = format!("{} {}", kind.info().kind, shown(name));
    (kind, named.into())
}

/// Whether a name is filled in only when it runs, so that nobody can say what will.
fn is_late<'a>(name: &Text<'a>, at: At, d: &mut Draft<'a, '_>) -> bool {
    let late = name.contains("{{");
    if late {
        d.opaque(format!("template {}", shown(name)), Unseen::Late, at);
    }
    late
}
