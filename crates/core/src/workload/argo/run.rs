//! What a workflow runs: from its spec and what that refers to, each template that runs becomes a frame.

use std::collections::{HashMap, HashSet};

use super::dag;
use super::defaults::Defaults;
use super::graph::{Body, Call, Caller, EntryId, Graph, ScopeId};
use super::params::{self, Values};
use super::pod::patched;
use super::types::{Spec, Template};
use crate::draft::Draft;
use crate::path::At;
use crate::submission::{FrameId, Order, OrderId, Role, Runs, Unseen, Void};
use crate::text::Text;
use crate::workload::leaf::Count;
use crate::workload::pod::PodSpec;

/// A workflow that is being drafted.
pub struct Run<'a> {
    graph: Graph<'a>,
    /// `workflow.parameters`.
    pub globals: Values<'a>,
    /// `inputs.parameters` of the templates that are called once.
    pub inputs: HashMap<EntryId, Values<'a>>,
    pub defaults: Option<Defaults<'a>>,
    /// What a call runs whose template cannot be seen.
    nothing: FrameId,
}

impl<'a> Spec<'a> {
    /// A workflow, wherever its spec stands. `given` are values in the place of those of its own parameters.
    pub fn draft(mut self, at: At, given: Values<'a>, d: &mut Draft<'a, '_>) {
        d.held(self.suspend);
        d.held(matches!(self.parallelism, Count::Of(count) if count <= 0));
        let mut graph = Graph::default();
        let base = self.workflow_template_ref.take().and_then(|of| {
            let at = d.field(at, "workflowTemplateRef");
            graph.base(&of, at, d)
        });
        if base.is_some() && !self.templates.0.is_empty() {
            // Argo's own validation refuses it.
            let at = d.field(at, "templates");
            d.opaque("templates beside workflowTemplateRef", Unseen::Unreadable, at);
        }
        let mut run = Run {
            graph,
            globals: params::given(params::arguments(self.arguments), &given),
            inputs: HashMap::new(),
            defaults: None,
            nothing: d.frame(at),
        };
        // The workflow's own fields come before those of the template that it refers to.
        let mut layers: Vec<(Self, At)> = std::iter::once((self, at)).chain(base).collect();
        let distance = layers.len().saturating_sub(1);
        let scope = layers.last_mut().map(|(last, at)| {
            let templates = std::mem::take(&mut last.templates);
            run.graph.scope(templates, *at, Text::default(), distance, d)
        });
        let Some(scope) = scope else { return };
        for (layer, at) in &mut layers {
            run.layer(layer, *at, d);
        }
        run.starts(layers, scope, d);
        run.templates(d);
    }
}

/// Whether a text is there and not empty.
pub fn is_set(text: Option<&Text<'_>>) -> bool {
    text.is_some_and(|text| !text.is_empty())
}

impl<'a> Run<'a> {
    /// What a spec says of all pods.
    fn layer(&mut self, spec: &mut Spec<'a>, at: At, d: &mut Draft<'a, '_>) {
        for raw in [
            spec.arguments,
            spec.template_defaults,
            spec.volumes,
            spec.volume_claim_templates,
            spec.artifact_repository_ref,
        ] {
            d.raw(raw);
        }
        for (name, value) in params::arguments(spec.arguments) {
            self.globals.entry(name).or_insert(value);
        }
        let metadata = d.field(at, "podMetadata");
        d.bare_meta(std::mem::take(&mut spec.pod_metadata), metadata);
        let metadata = d.field(at, "workflowMetadata");
        d.bare_meta(std::mem::take(&mut spec.workflow_metadata), metadata);
        patched(spec.pod_spec_patch.as_ref(), at, d);
        if let Some(gc) = &spec.artifact_gc {
            let at = d.field(at, "artifactGC");
            patched(gc.pod_spec_patch.as_ref(), at, d);
        }
        if !spec.resource_claims.0.is_empty() {
            let claims = std::mem::take(&mut spec.resource_claims);
            let pod = PodSpec {
                resource_claims: claims,
                ..PodSpec::default()
            };
            d.containers(pod, self.nothing, at);
        }
        let plugins = std::mem::take(&mut spec.executor_plugins);
        for (plugin, i) in plugins.0.into_iter().zip(0..) {
            let at = d.item(at, "executorPlugins", i);
            let at = d.field(at, "spec.sidecar.container");
            let Some(container) = plugin.spec.sidecar.container else {
                continue;
            };
            // In the agent's pod, which is made for the first `http` or `plugin` template.
            let agent = d.frame(at);
            d.container(container, Role::Main, agent, OrderId(0), Runs::Once, at);
            let runs = Runs::Maybe(Void::Conditional);
            d.call(d.base(), Text::default(), agent, OrderId(0), runs, at);
        }
        if let Some(json) = spec.template_defaults {
            let at = d.field(at, "templateDefaults");
            if self.defaults.is_some() {
                d.opaque("templateDefaults", Unseen::Late, at);
            } else {
                self.defaults = Defaults::draft(json, at, d);
            }
        }
    }

    /// What starts by itself: the entrypoint, and what runs when all is over. Without an entrypoint, as in a collection
    /// of templates, all that no other template calls.
    fn starts(&mut self, layers: Vec<(Spec<'a>, At)>, scope: ScopeId, d: &mut Draft<'a, '_>) {
        let (mut entrypoint, mut on_exit) = (None, None);
        let mut hooks: HashSet<Text<'a>> = HashSet::new();
        for (spec, at) in layers {
            if entrypoint.is_none() && is_set(spec.entrypoint.as_ref()) {
                entrypoint = spec.entrypoint.map(|name| (name, d.field(at, "entrypoint")));
            }
            if on_exit.is_none() && is_set(spec.on_exit.as_ref()) {
                on_exit = spec.on_exit.map(|name| (name, d.field(at, "onExit")));
            }
            for (name, hook) in spec.hooks.0 {
                let at = d.entry(at, "hooks", &name);
                if hooks.insert(name) {
                    self.graph.hook(scope, hook, None, at, d);
                }
            }
        }
        if let Some((name, at)) = on_exit {
            self.graph.beside(scope, name, Caller::Workflow, at, d);
        }
        let entry = entrypoint.map(|(name, at)| {
            let target = self.graph.call(scope, Some(&name), None, Caller::Workflow, at, d);
            (target, at)
        });
        if entry.is_none() {
            self.graph.reach_all(scope);
        }
        self.graph.walk(d);
        let roots: Vec<(Option<EntryId>, At)> = match entry {
            Some(entry) => vec![entry],
            None => self
                .graph
                .roots()
                .filter_map(|id| Some((Some(id), self.graph.entry(id)?.at)))
                .collect(),
        };
        self.frames(d);
        for (target, at) in roots {
            let to = self.frame(target);
            let runs = self.called(target);
            d.call(d.base(), Text::default(), to, OrderId(0), runs, at);
        }
        // Hooks run outside the order of the tasks, so what trains in them needs a proof of its own.
        for hook in std::mem::take(&mut self.graph.hooks) {
            let to = self.frame(hook.target);
            let runs = Runs::Maybe(Void::Conditional);
            d.call(d.base(), hook.task.name, to, OrderId(0), runs, hook.at);
        }
    }

    /// A frame for each template that runs, so that calls can point ahead.
    fn frames(&mut self, d: &mut Draft<'a, '_>) {
        let daemon = self.defaults.as_ref().is_some_and(Defaults::daemon);
        let memoize = self.defaults.as_ref().is_some_and(Defaults::memoize);
        for i in 0..self.graph.reached.len() {
            let id = self.graph.reached.get(i).copied();
            let Some(entry) = id.and_then(|id| self.graph.entry_mut(id)) else {
                continue;
            };
            entry.frame = Some(d.frame(entry.at));
            entry.runs = if daemon || entry.template.daemon {
                Runs::Maybe(Void::Daemon)
            } else if memoize || entry.template.memoize.is_some() {
                Runs::Maybe(Void::Memoized)
            } else if entry.pod {
                Runs::ByName
            } else {
                Runs::Once
            };
        }
    }

    fn frame(&self, target: Option<EntryId>) -> FrameId {
        let entry = target.and_then(|id| self.graph.entry(id));
        entry.and_then(|entry| entry.frame).unwrap_or(self.nothing)
    }

    /// Whether a template surely runs once it is called.
    fn called(&self, target: Option<EntryId>) -> Runs {
        let entry = target.and_then(|id| self.graph.entry(id));
        entry.map_or(Runs::Once, |entry| entry.runs)
    }

    /// Whether a step or task surely runs, once it is its turn.
    fn runs(&self, call: &Call<'a>) -> Runs {
        let task = &call.task;
        let on = task.continue_on.unwrap_or_default();
        let void = if is_set(task.when.as_ref()) {
            Some(Void::Conditional)
        } else if on.error || on.failed {
            Some(Void::ContinuesOnFailure)
        } else if task.with_items.as_ref().is_some_and(Vec::is_empty)
            || is_set(task.with_param.as_ref())
            || task.with_sequence.is_some()
        {
            Some(Void::MayBeEmpty)
        } else {
            None
        };
        Runs::unless(void).and(self.called(call.target))
    }

    fn templates(&mut self, d: &mut Draft<'a, '_>) {
        for i in 0..self.graph.reached.len() {
            let Some(id) = self.graph.reached.get(i).copied() else {
                continue;
            };
            let Some(entry) = self.graph.entry_mut(id) else {
                continue;
            };
            let template = std::mem::take(&mut entry.template);
            let body = std::mem::replace(&mut entry.body, Body::Leaf);
            let (at, name, pod) = (entry.at, entry.name.clone(), entry.pod);
            let frame = self.frame(Some(id));
            self.values(id, &template);
            for raw in [
                template.inputs,
                template.resource,
                template.data,
                template.http,
                template.plugin,
            ] {
                d.raw(raw);
            }
            if let Some(defaults) = &self.defaults {
                let dag = matches!(body, Body::Dag(..));
                defaults.check(&template, dag, at, d);
            }
            match body {
                Body::Leaf if pod => self.pod(id, template, name, (frame, at), d),
                Body::Leaf => {}
                Body::Steps(groups) => self.steps(groups, frame, d),
                Body::Dag(target, tasks) => {
                    let runs = |call: &Call<'a>| self.runs(call);
                    let to = |call: &Call<'a>| self.frame(call.target);
                    dag::draft(target.as_ref(), tasks, frame, runs, to, d);
                }
            }
        }
    }

    /// The values of its inputs, if only one call gives them.
    fn values(&mut self, id: EntryId, template: &Template<'a>) {
        // Defaults are merged into the inputs as well, which is not followed.
        let merged = self.defaults.as_ref().is_some_and(Defaults::inputs);
        let Some(caller) = self.graph.only_caller(id) else {
            return;
        };
        if template.inputs.is_none() || merged {
            return;
        }
        let values = match caller {
            Caller::Workflow => params::inputs(template.inputs, &self.globals),
            Caller::Task(caller, arguments) => {
                let none = Values::new();
                let of_caller = caller.and_then(|id| self.inputs.get(&id)).unwrap_or(&none);
                let given = params::filled(params::arguments(arguments), &self.globals, of_caller);
                params::inputs(template.inputs, &given)
            }
        };
        self.inputs.insert(id, values);
    }

    /// Groups one after another; a group starts when all before it are over, and only if none of them failed.
    fn steps(&self, groups: Vec<Vec<Call<'a>>>, frame: FrameId, d: &mut Draft<'a, '_>) {
        let mut after = OrderId(0);
        for group in groups {
            // Of two with the same name only one runs, and what is filled in later may become the same.
            let mut names = HashSet::new();
            let ambiguous = group.iter().any(|call| {
                group.len() > 1 && call.task.name.contains("{{") || !names.insert(&call.task.name)
            });
            let runs: Vec<Runs> = group.iter().map(|call| self.runs(call)).collect();
            let mut done = vec![after];
            for (call, runs) in group.into_iter().zip(runs) {
                let void = ambiguous.then_some(Void::Conditional);
                let runs = runs.and(Runs::unless(void));
                let to = self.frame(call.target);
                let node = d.call(frame, call.task.name, to, after, runs, call.at);
                done.push(d.order(Order::Done(node)));
            }
            after = d.order(Order::All(done.into()));
        }
    }
}
