//! `templateDefaults`: merged under every template that runs (reference: `mergedTemplateDefaultsInto`, a strategic merge).
//!
//! Init containers and sidecars of the defaults come behind the template's own, so they are one frame that each pod calls.

use std::collections::HashSet;

use serde_json::value::RawValue;

use super::types::Template;
use crate::draft::Draft;
use crate::path::At;
use crate::submission::{FrameId, Order, OrderId, Role, Runs, Unseen};
use crate::text::Text;
use crate::workload::leaf::List;
use crate::workload::pod::{Container, EnvVar, PodSpec, Resources};

/// Bytes that may be copied into templates in all, so that a small object of many templates stays a small submission.
const MAX_COPIED: usize = 4 * 1024 * 1024;

/// The defaults of all templates.
#[derive(Debug)]
pub struct Defaults<'a> {
    template: Template<'a>,
    script: Option<Container<'a>>,
    at: At,
    names: HashSet<Text<'a>>,
    init: FrameId,
    beside: FrameId,
    length: usize,
    copied: usize,
}

impl<'a> Defaults<'a> {
    /// Reads them, and writes what they add to every pod.
    pub fn draft(json: &'a RawValue, at: At, d: &mut Draft<'a, '_>) -> Option<Self> {
        let Ok(mut template) = serde_json::from_str::<Template<'a>>(json.get()) else {
            d.opaque("templateDefaults", Unseen::Unreadable, at);
            return None;
        };
        let script = match template.script.map(|json| serde_json::from_str(json.get())) {
            Some(Ok(script)) => Some(script),
            Some(Err(_)) => {
                d.opaque("templateDefaults", Unseen::Unreadable, at);
                None
            }
            None => None,
        };
        d.template_meta(std::mem::take(&mut template.metadata), at);
        if template
            .pod_spec_patch
            .as_ref()
            .is_some_and(|patch| !patch.is_empty())
        {
            let at = d.field(at, "podSpecPatch");
            d.opaque("podSpecPatch", Unseen::Late, at);
        }
        let init = std::mem::take(&mut template.init_containers);
        let sidecars = std::mem::take(&mut template.sidecars);
        let names = init.0.iter().chain(&sidecars.0).map(|it| it.name.clone());
        let names = names.collect();
        let (before, beside) = (d.frame(at), d.frame(at));
        let spec = PodSpec {
            init_containers: init,
            resource_claims: std::mem::take(&mut template.resource_claims),
            ..PodSpec::default()
        };
        d.containers(spec, before, at);
        for (sidecar, i) in sidecars.0.into_iter().zip(0..) {
            let at = d.item(at, "sidecars", i);
            d.container(sidecar, Role::Main, beside, OrderId(0), Runs::Once, at);
        }
        Some(Self {
            template,
            script,
            at,
            names,
            init: before,
            beside,
            length: json.get().len(),
            copied: 0,
        })
    }

    /// Whether they make each template a daemon.
    #[must_use]
    pub fn daemon(&self) -> bool {
        self.template.daemon
    }

    /// Whether they give each template a cache.
    #[must_use]
    pub fn memoize(&self) -> bool {
        self.template.memoize.is_some()
    }

    /// Whether they give a template inputs that it does not have itself.
    #[must_use]
    pub fn inputs(&self) -> bool {
        self.template.inputs.is_some()
    }

    /// What the defaults change in a template in a way that is not followed is opaque.
    pub fn check(&self, template: &Template<'a>, dag: bool, at: At, d: &mut Draft<'a, '_>) {
        let mut own = template.init_containers.0.iter().chain(&template.sidecars.0);
        let merged = own.any(|it| self.names.contains(&it.name))
            || dag && self.template.dag.is_some()
            || template.container_set.is_some() && self.template.container_set.is_some();
        if merged {
            d.opaque("templateDefaults", Unseen::Late, at);
        }
    }

    /// The default init containers, after a pod's own. Returns the order after them.
    pub fn before(&self, pod: FrameId, after: OrderId, d: &mut Draft<'a, '_>) -> OrderId {
        let call = d.call(pod, Text::default(), self.init, after, Runs::Once, self.at);
        d.order(Order::Done(call))
    }

    /// The default sidecars.
    pub fn beside(&self, pod: FrameId, after: OrderId, d: &mut Draft<'a, '_>) {
        d.call(pod, Text::default(), self.beside, after, Runs::Once, self.at);
    }

    /// What the main container of a template does not say itself.
    pub fn merge(&mut self, own: &mut Container<'a>, script: bool, d: &mut Draft<'a, '_>) {
        let default = if script {
            &self.script
        } else {
            &self.template.container
        };
        let Some(default) = default else { return };
        self.copied = self.copied.saturating_add(self.length);
        if self.copied > MAX_COPIED {
            d.opaque("templateDefaults", Unseen::TooFar, self.at);
            return;
        }
        if own.image.is_empty() {
            own.image = default.image.clone();
        }
        let merge = |own: &mut Option<List<Text<'a>>>, default: &Option<List<Text<'a>>>| {
            if own.as_ref().is_none_or(|own| own.0.is_empty()) {
                *own = default.as_ref().map(|list| List(list.0.clone()));
            }
        };
        merge(&mut own.command, &default.command);
        merge(&mut own.args, &default.args);
        let variables = default.env.variables.iter().map(|it| EnvVar {
            name: it.name.clone(),
            value: it.value.clone(),
        });
        own.env.variables.extend(variables);
        if let Some(default) = &default.resources {
            let own = own.resources.get_or_insert_with(Resources::default);
            own.limits.0.extend(default.limits.0.iter().cloned());
            own.requests.0.extend(default.requests.0.iter().cloned());
            own.claims.0.extend(default.claims.0.iter().copied());
        }
    }
}
