//! `kubeflow.org` Experiment and Trial of Katib: a whole object of another kind, run many times with other parameters.

use serde::Deserialize;
use serde_json::value::RawValue;

use super::accounts::KATIB;
use super::head::Head;
use super::leaf::Count;
use super::meta::{Meta, null_is_default};
use super::pod::Container;
use super::{Class, Edge, Info, Kind};
use crate::draft::{Draft, Embedded};
use crate::path::At;
use crate::render::shown;
use crate::submission::{OrderId, Role, Runs, Unseen};
use crate::text::Text;

/// Trials are not ordered among one another.
const PROOF: &str = "what proves it in the kind that the trial runs";

/// `MetricsCollectorSpec`.
#[derive(Debug, Default, Deserialize)]
struct MetricsCollectorSpec<'a> {
    #[serde(borrow, default, deserialize_with = "null_is_default")]
    collector: Collector<'a>,
    #[serde(borrow, default)]
    source: Option<&'a RawValue>,
}

/// `CollectorSpec`.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Collector<'a> {
    #[serde(borrow, default)]
    custom_collector: Option<Container<'a>>,
}

impl<'a> MetricsCollectorSpec<'a> {
    /// A collector of the user's own, which Katib adds to the pod of the trial: a pod to itself here, because in which
    /// of the trial's pods it will be is not known. It trains only if it asks for accelerators.
    fn draft(self, at: At, d: &mut Draft<'a, '_>) {
        d.raw(self.source);
        let Some(collector) = self.collector.custom_collector else {
            return;
        };
        let at = d.field(at, "collector.customCollector");
        let frame = d.frame(at);
        let name = collector.name.clone();
        d.container(collector, Role::Sidecar, frame, OrderId(0), Runs::Once, at);
        d.call(d.base(), name, frame, OrderId(0), Runs::Once, at);
    }
}

/// The object that a trial runs. Every kind that datagate does not read may run anything.
fn embed<'a>(json: &'a str, at: At, d: &mut Draft<'a, '_>) {
    let head = Head::of(json);
    let base = d.base();
    let told: Text<'a> = shown(head.as_ref().map_or("", |head| &head.kind)).into();
    match d.embed(json, head.as_ref(), at, &told) {
        Embedded::Frame(frame) => {
            d.call(base, Text::default(), frame, OrderId(0), Runs::Once, at);
        }
        Embedded::Unknown => {
            d.raw_text(Some(json));
            d.opaque(told, Unseen::UnknownKind, at);
        }
        Embedded::Unreadable => d.raw_text(Some(json)),
    }
}

/// `kubeflow.org` Experiment.
#[derive(Debug)]
pub struct ExperimentKind;

/// An Experiment.
#[derive(Debug, Deserialize)]
pub struct Experiment<'a> {
    #[serde(borrow, default)]
    metadata: Meta<'a>,
    #[serde(borrow, default, deserialize_with = "null_is_default")]
    spec: ExperimentSpec<'a>,
}

/// `ExperimentSpec`.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct ExperimentSpec<'a> {
    #[serde(default)]
    parallel_trial_count: Count,
    /// What may be put for the placeholders.
    #[serde(borrow, default)]
    parameters: Option<&'a RawValue>,
    #[serde(borrow, default)]
    nas_config: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "null_is_default")]
    metrics_collector_spec: MetricsCollectorSpec<'a>,
    #[serde(borrow, default, deserialize_with = "null_is_default")]
    trial_template: TrialTemplate<'a>,
}

/// `TrialTemplate`.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct TrialTemplate<'a> {
    #[serde(borrow, default)]
    trial_parameters: Option<&'a RawValue>,
    #[serde(borrow, default)]
    trial_spec: Option<&'a RawValue>,
    #[serde(borrow, default)]
    config_map: Option<ConfigMapSource<'a>>,
}

/// `ConfigMapSource`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct ConfigMapSource<'a> {
    #[serde(borrow, default, deserialize_with = "null_is_default")]
    config_map_name: Text<'a>,
    #[serde(borrow, default, deserialize_with = "null_is_default")]
    config_map_namespace: Text<'a>,
    #[serde(borrow, default, deserialize_with = "null_is_default")]
    template_path: Text<'a>,
}

impl ConfigMapSource<'_> {
    /// The template is YAML text in a ConfigMap, which is not asked for: datagate parses no YAML out of what tenants write,
    /// because Katib may read another thing in it, and a text that is changed later is judged by nobody.
    fn draft(&self, at: At, d: &mut Draft<'_, '_>) {
        let (path, name) = (shown(&self.template_path), shown(&self.config_map_name));
        let namespace = shown(&self.config_map_namespace);
        d.opaque(
            format!("{path} of ConfigMap {namespace}/{name}"),
            Unseen::NotRead,
            at,
        );
    }
}

impl Kind for ExperimentKind {
    const INFO: Info = Info {
        class: Class::Trains,
        rewrites: true,
        proof: PROOF,
        limits: &[
            "A `trialTemplate.configMap` is YAML text, which is not read, and is refused: write the template out in `trialSpec`.",
            "A kind of trial that is not read is refused.",
            "An image in which a parameter stands is nobody's trusted image.",
        ],
        ..Info::new("kubeflow.org", "Experiment", "experiments", &["v1beta1"])
    };
    type Object<'a> = Experiment<'a>;

    fn draft<'a>(experiment: Experiment<'a>, d: &mut Draft<'a, '_>) {
        d.object(experiment.metadata);
        let spec = experiment.spec;
        d.held(spec.parallel_trial_count == Count::Of(0));
        for json in [
            spec.parameters,
            spec.nas_config,
            spec.trial_template.trial_parameters,
        ] {
            d.raw(json);
        }
        let at = d.field(d.root(), "spec");
        let template = d.field(at, "trialTemplate");
        if let Some(trial) = spec.trial_template.trial_spec {
            let at = d.field(template, "trialSpec");
            embed(trial.get(), at, d);
        }
        if let Some(source) = spec.trial_template.config_map {
            let at = d.field(template, "configMap");
            source.draft(at, d);
        }
        let collector = d.field(at, "metricsCollectorSpec");
        spec.metrics_collector_spec.draft(collector, d);
    }
}

/// `kubeflow.org` Trial.
#[derive(Debug)]
pub struct TrialKind;

/// A Trial.
#[derive(Debug, Deserialize)]
pub struct Trial<'a> {
    #[serde(borrow, default)]
    metadata: Meta<'a>,
    #[serde(borrow, default, deserialize_with = "null_is_default")]
    spec: TrialSpec<'a>,
}

/// `TrialSpec`.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct TrialSpec<'a> {
    #[serde(borrow, default)]
    run_spec: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "null_is_default")]
    metrics_collector: MetricsCollectorSpec<'a>,
}

impl Kind for TrialKind {
    const INFO: Info = Info {
        class: Class::Trains,
        rewrites: true,
        // Katib fills in parameters in the text of the whole object, so that a value can change more than a value.
        creators: &[Edge::start_of("kubeflow.org", "Experiment", KATIB)],
        proof: PROOF,
        limits: &["A kind of run that is not read is refused."],
        ..Info::new("kubeflow.org", "Trial", "trials", &["v1beta1"])
    };
    type Object<'a> = Trial<'a>;

    fn draft<'a>(trial: Trial<'a>, d: &mut Draft<'a, '_>) {
        d.object(trial.metadata);
        let at = d.field(d.root(), "spec");
        if let Some(run) = trial.spec.run_spec {
            let at = d.field(at, "runSpec");
            embed(run.get(), at, d);
        }
        let collector = d.field(at, "metricsCollector");
        trial.spec.metrics_collector.draft(collector, d);
    }
}
