//! `sparkoperator.k8s.io` SparkApplication, ScheduledSparkApplication and SparkConnect: a driver and its executors.
//!
//! Their pods are put together from fragments, a template and Spark's own configuration. Each must have its own step: the
//! driver tells executors what to do and they wait for nothing else.

use serde::Deserialize;
use serde::de::Deserializer;
use serde_json::value::RawValue;

use super::accounts::SPARK_OPERATOR;
use super::leaf::{Count, Entries, List};
use super::meta::{Keys, Meta, null_is_default};
use super::pod::{Container, Env, EnvVar, Extended, PodTemplate, Resources, VISIBLE_DEVICES};
use super::{Edge, Info, Kind};
use crate::draft::Draft;
use crate::path::{At, Seg};
use crate::submission::{Carrier, OrderId, Role, Runs, Unseen, Void};
use crate::text::Text;

mod conf;
pub mod connect;

use self::conf::Conf;

/// For `docs/workloads.md`.
const PROOF: &str = "an init container in `driver` and in `executor`, or in their `template` where there is one: the operator then leaves out what stands beside it";

/// For `docs/workloads.md`.
const LIMITS: &[&str] = &[
    "Init containers are added to the pods by the operator's own webhook, and executors are made by the driver with an account of the namespace: each pod is judged by what it is when it is made, with what its application declares.",
    "The pod of a driver that asks for no accelerator is looked at only where a policy governs `All`, like every such pod.",
    "`sparkConf` may name pod template files and feature steps; what they add cannot be seen and is refused.",
];

/// A map of texts: compared as it stands, and read.
#[derive(Debug, Default)]
struct Texts<'a> {
    raw: Option<&'a RawValue>,
    entries: Vec<(Text<'a>, Text<'a>)>,
}

impl<'de: 'a, 'a> Deserialize<'de> for Texts<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = Option::<&'de RawValue>::deserialize(deserializer)?;
        let entries = match raw {
            Some(raw) => {
                serde_json::from_str::<Entries<'de, Text<'de>>>(raw.get())
                    .map_err(super::read::within("a map of texts"))?
                    .0
            }
            None => Vec::new(),
        };
        Ok(Self { raw, entries })
    }
}

/// `SparkApplicationSpec`, wherever it stands.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Spec<'a> {
    #[serde(default, deserialize_with = "null_is_default")]
    suspend: bool,
    #[serde(borrow, default)]
    image: Option<Text<'a>>,
    #[serde(borrow, default, deserialize_with = "null_is_default")]
    driver: Part<'a>,
    #[serde(borrow, default, deserialize_with = "null_is_default")]
    executor: Part<'a>,
    #[serde(default)]
    dynamic_allocation: Option<DynamicAllocation>,
    #[serde(borrow, default)]
    spark_conf: Texts<'a>,
    // What follows is compared, never read.
    #[serde(borrow, default)]
    main_class: Option<&'a RawValue>,
    #[serde(borrow, default)]
    main_application_file: Option<&'a RawValue>,
    #[serde(borrow, default)]
    arguments: Option<&'a RawValue>,
    #[serde(borrow, default)]
    deps: Option<&'a RawValue>,
    #[serde(borrow, default)]
    hadoop_conf: Option<&'a RawValue>,
    #[serde(borrow, default)]
    spark_config_map: Option<&'a RawValue>,
    #[serde(borrow, default)]
    hadoop_config_map: Option<&'a RawValue>,
    #[serde(borrow, default)]
    volumes: Option<&'a RawValue>,
}

/// `DynamicAllocation`.
#[derive(Debug, Deserialize)]
struct DynamicAllocation {
    #[serde(default, deserialize_with = "null_is_default")]
    enabled: bool,
}

/// `DriverSpec` and `ExecutorSpec`, and those of a SparkConnect, which have no fragments.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Part<'a> {
    #[serde(borrow, default)]
    template: Option<PodTemplate<'a>>,
    #[serde(borrow, default)]
    image: Option<Text<'a>>,
    #[serde(borrow, default)]
    gpu: Option<Gpu<'a>>,
    #[serde(default)]
    instances: Count,
    #[serde(borrow, default)]
    env: Env<'a>,
    #[serde(borrow, default)]
    env_vars: Texts<'a>,
    #[serde(borrow, default)]
    labels: Keys<'a>,
    #[serde(borrow, default)]
    annotations: Keys<'a>,
    #[serde(borrow, default)]
    init_containers: List<Container<'a>>,
    #[serde(borrow, default)]
    sidecars: List<Container<'a>>,
    // What follows is compared, never read.
    #[serde(borrow, default)]
    env_from: Option<&'a RawValue>,
    #[serde(borrow, default)]
    env_secret_key_refs: Option<&'a RawValue>,
    #[serde(borrow, default)]
    volume_mounts: Option<&'a RawValue>,
    #[serde(borrow, default)]
    lifecycle: Option<&'a RawValue>,
    #[serde(borrow, default)]
    java_options: Option<&'a RawValue>,
    #[serde(borrow, default)]
    config_maps: Option<&'a RawValue>,
    #[serde(borrow, default)]
    secrets: Option<&'a RawValue>,
}

/// `GPUSpec`.
#[derive(Debug, Deserialize)]
struct Gpu<'a> {
    #[serde(borrow, default, deserialize_with = "null_is_default")]
    name: Text<'a>,
    #[serde(default)]
    quantity: Count,
}

/// The parts of an application: what Spark calls them, its container, and their field.
struct Place {
    word: &'static str,
    container: &'static str,
    at: At,
}

impl<'a> Part<'a> {
    /// The extended resources that its pod asks for.
    fn asks(&self, word: &str, conf: &Conf<'_, 'a>) -> Vec<Text<'a>> {
        let gpu = self.gpu.iter().filter(|gpu| gpu.quantity != Count::Of(0));
        let template = self.template.iter().flat_map(|it| &it.spec.containers.0);
        let template = template.filter_map(|container| container.resources.as_ref());
        let template = template.flat_map(|it| it.limits.0.iter().chain(&it.requests.0).cloned());
        gpu.map(|gpu| gpu.name.clone())
            .chain(template)
            .chain(conf.resources(word))
            .collect()
    }

    /// The pod of a part. With a template the operator leaves the fragments out, those of containers included, from
    /// Spark 3 on (reference: Spark operator, submission and pod webhook); they are drafted all the same, and prove nothing.
    fn draft(self, place: &Place, main: Main<'a>, runs: Runs, d: &mut Draft<'a, '_>) {
        let at = place.at;
        d.keys(self.labels, Carrier::Label, "labels", at);
        d.keys(self.annotations, Carrier::Annotation, "annotations", at);
        for raw in [
            self.env_secret_key_refs,
            self.java_options,
            self.config_maps,
            self.secrets,
        ] {
            d.raw(raw);
        }
        let mut env = self.env;
        d.raw(self.env_vars.raw);
        for (name, value) in self.env_vars.entries {
            let seg = Seg::Key("envVars", name.clone());
            let value = Some(value);
            if d.variable(EnvVar { name, value }, at, seg) {
                env.variables.push(visible_devices());
            }
        }
        if main.sees_devices {
            env.variables.push(visible_devices());
        }
        let (frame, after) = if let Some(template) = self.template {
            let at = d.field(at, "template");
            d.template_meta(template.metadata, at);
            let spec = d.field(at, "spec");
            let frame = d.frame(spec);
            let after = d.containers(template.spec, frame, spec);
            for (container, i) in self.init_containers.0.into_iter().zip(0..) {
                let at = d.item(place.at, "initContainers", i);
                let runs = Runs::Maybe(Void::Conditional);
                d.container(container, Role::Init, frame, after, runs, at);
            }
            (frame, after)
        } else {
            let frame = d.frame(at);
            (frame, d.init_containers(self.init_containers, frame, at))
        };
        let limits = Extended(main.asks);
        let resources = Resources {
            limits,
            ..Resources::default()
        };
        let container = Container {
            name: place.container.into(),
            image: self.image.filter(|it| !it.is_empty()).unwrap_or(main.image),
            command: None,
            args: None,
            env,
            resources: Some(resources),
            restart_policy: None,
            env_from: self.env_from,
            volume_mounts: self.volume_mounts,
            lifecycle: self.lifecycle,
            rewritten: false,
        };
        d.container(container, Role::Main, frame, after, Runs::Once, at);
        for (container, i) in self.sidecars.0.into_iter().zip(0..) {
            let at = d.item(at, "sidecars", i);
            d.container(container, Role::Main, frame, after, Runs::Once, at);
        }
        d.call(d.base(), place.word.into(), frame, OrderId(0), runs, at);
    }
}

/// What a main container has from elsewhere.
struct Main<'a> {
    image: Text<'a>,
    asks: Vec<Text<'a>>,
    sees_devices: bool,
}

fn visible_devices<'a>() -> EnvVar<'a> {
    EnvVar {
        name: VISIBLE_DEVICES.into(),
        value: None,
    }
}

impl<'a> Spec<'a> {
    /// An application whose driver's part is called `driver`, or `server`.
    fn draft(self, at: At, driver: &'static str, d: &mut Draft<'a, '_>) {
        d.held(self.suspend);
        for raw in [
            self.main_class,
            self.main_application_file,
            self.arguments,
            self.deps,
            self.hadoop_conf,
            self.spark_config_map,
            self.hadoop_config_map,
            self.volumes,
            self.spark_conf.raw,
        ] {
            d.raw(raw);
        }
        let conf = Conf(&self.spark_conf.entries);
        for key in conf.unseen() {
            let at = d.entry(at, "sparkConf", key);
            d.opaque(key.clone(), Unseen::NotRead, at);
        }
        // Whatever the one asks for is the other's too: both train, whichever has the accelerators.
        let mut asks = self.driver.asks("driver", &conf);
        asks.extend(self.executor.asks("executor", &conf));
        let image = self.image.filter(|it| !it.is_empty());
        let main = |word: &str| Main {
            image: image.clone().or_else(|| conf.image(word)).unwrap_or_default(),
            asks: asks.clone(),
            sees_devices: conf.sees_devices(word),
        };
        let place = Place {
            word: driver,
            container: "spark-kubernetes-driver",
            at: d.field(at, driver),
        };
        self.driver.draft(&place, main("driver"), Runs::Once, d);
        let dynamic = self.dynamic_allocation.is_some_and(|it| it.enabled);
        let none = self.executor.instances == Count::Of(0) && !dynamic;
        d.held(none);
        let runs = Runs::unless(none.then_some(Void::ZeroReplicas));
        let place = Place {
            word: "executor",
            container: "spark-kubernetes-executor",
            at: d.field(at, "executor"),
        };
        self.executor.draft(&place, main("executor"), runs, d);
    }
}

/// `sparkoperator.k8s.io` SparkApplication.
#[derive(Debug)]
pub struct SparkApplicationKind;

/// A SparkApplication.
#[derive(Debug, Deserialize)]
pub struct SparkApplication<'a> {
    #[serde(borrow, default)]
    metadata: Meta<'a>,
    #[serde(borrow, default, deserialize_with = "null_is_default")]
    spec: Spec<'a>,
}

impl Kind for SparkApplicationKind {
    const INFO: Info = Info {
        rewrites: true,
        creators: &[Edge::start_of(
            "sparkoperator.k8s.io",
            "ScheduledSparkApplication",
            SPARK_OPERATOR,
        )],
        proof: PROOF,
        limits: LIMITS,
        ..Info::new(
            "sparkoperator.k8s.io",
            "SparkApplication",
            "sparkapplications",
            &["v1beta2"],
        )
    };
    type Object<'a> = SparkApplication<'a>;

    fn draft<'a>(application: SparkApplication<'a>, d: &mut Draft<'a, '_>) {
        d.object(application.metadata);
        let spec = d.field(d.root(), "spec");
        application.spec.draft(spec, "driver", d);
    }
}

/// `sparkoperator.k8s.io` ScheduledSparkApplication.
#[derive(Debug)]
pub struct ScheduledSparkApplicationKind;

/// A ScheduledSparkApplication.
#[derive(Debug, Deserialize)]
pub struct ScheduledSparkApplication<'a> {
    #[serde(borrow, default)]
    metadata: Meta<'a>,
    #[serde(borrow, default, deserialize_with = "null_is_default")]
    spec: ScheduledSpec<'a>,
}

/// `ScheduledSparkApplicationSpec`. Its template has no metadata of its own.
#[derive(Debug, Default, Deserialize)]
struct ScheduledSpec<'a> {
    #[serde(default, deserialize_with = "null_is_default")]
    suspend: bool,
    #[serde(borrow, default, deserialize_with = "null_is_default")]
    template: Spec<'a>,
}

impl Kind for ScheduledSparkApplicationKind {
    const INFO: Info = Info {
        rewrites: true,
        proof: PROOF,
        limits: LIMITS,
        ..Info::new(
            "sparkoperator.k8s.io",
            "ScheduledSparkApplication",
            "scheduledsparkapplications",
            &["v1beta2"],
        )
    };
    type Object<'a> = ScheduledSparkApplication<'a>;

    fn draft<'a>(application: ScheduledSparkApplication<'a>, d: &mut Draft<'a, '_>) {
        d.object(application.metadata);
        d.held(application.spec.suspend);
        let template = d.field(d.root(), "spec.template");
        application.spec.template.draft(template, "driver", d);
    }
}
