//! Pod and PodTemplate, and the pod templates inside every other kind.

use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::accounts::{ARGO, KUBERAY, MPI_OPERATORS, SPARK_OPERATOR, TEKTON, TRAINING_OPERATOR, VOLCANO};
use super::leaf::List;
use super::meta::{Meta, null_is_default};
use super::{Class, Edge, Info, Kind};
use crate::draft::Draft;
use crate::submission::Runs;
use crate::text::Text;

/// `PodTemplateSpec`.
#[derive(Debug, Default, Deserialize)]
pub struct PodTemplate<'a> {
    /// `metadata`.
    #[serde(borrow, default, deserialize_with = "null_is_default")]
    pub metadata: Meta<'a>,
    /// `spec`.
    #[serde(borrow, default, deserialize_with = "null_is_default")]
    pub spec: PodSpec<'a>,
}

/// `PodSpec`, of which only what is read or compared.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PodSpec<'a> {
    /// Run one after another, each to completion, before all others; except sidecars.
    #[serde(borrow, default)]
    pub init_containers: List<Container<'a>>,
    /// Start together.
    #[serde(borrow, default)]
    pub containers: List<Container<'a>>,
    /// Added to a running pod through the subresource.
    #[serde(borrow, default)]
    pub ephemeral_containers: List<Container<'a>>,
    /// May give access to devices without any resource.
    #[serde(borrow, default)]
    pub runtime_class_name: Option<Text<'a>>,
    /// Dynamic resource allocation.
    #[serde(default)]
    pub resource_claims: List<IgnoredAny>,
    /// While there is one the pod waits.
    #[serde(default)]
    pub scheduling_gates: List<IgnoredAny>,
    /// Compared, never read.
    #[serde(borrow, default)]
    pub volumes: Option<&'a RawValue>,
}

/// `Container` and `EphemeralContainer`.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Container<'a> {
    /// `name`.
    #[serde(borrow, default, deserialize_with = "null_is_default")]
    pub name: Text<'a>,
    /// `image`.
    #[serde(borrow, default, deserialize_with = "null_is_default")]
    pub image: Text<'a>,
    /// `command`.
    #[serde(borrow, default)]
    pub command: Option<List<Text<'a>>>,
    /// `args`.
    #[serde(borrow, default)]
    pub args: Option<List<Text<'a>>>,
    /// `env`.
    #[serde(borrow, default)]
    pub env: Env<'a>,
    /// `resources`.
    #[serde(borrow, default)]
    pub resources: Option<Resources<'a>>,
    /// Anything but unset, `Never` and `OnFailure` makes an init container a sidecar.
    #[serde(borrow, default)]
    pub restart_policy: Option<Text<'a>>,
    /// Compared, never read.
    #[serde(borrow, default)]
    pub env_from: Option<&'a RawValue>,
    /// Compared, never read.
    #[serde(borrow, default)]
    pub volume_mounts: Option<&'a RawValue>,
    /// Compared, never read: hooks run commands.
    #[serde(borrow, default)]
    pub lifecycle: Option<&'a RawValue>,
    /// Set by a kind whose operator writes the command of this one container (`Run::rewritten`).
    #[serde(skip)]
    pub rewritten: bool,
}

/// `env`: as it stands, for comparison, and read only where it may hold one of the variables that matter.
#[derive(Debug, Default)]
pub struct Env<'a> {
    /// The list as JSON.
    pub raw: Option<&'a str>,
    /// Its variables, if any of them may matter.
    pub variables: Vec<EnvVar<'a>>,
}

impl<'de: 'a, 'a> Deserialize<'de> for Env<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let Some(raw) = Option::<&'de RawValue>::deserialize(deserializer)? else {
            return Ok(Self::default());
        };
        let raw = raw.get();
        // An escape could hide a name; the API server writes none in names.
        let matters = raw.contains("DATAGATE_") || raw.contains(VISIBLE_DEVICES) || raw.contains('\\');
        let variables = if matters {
            serde_json::from_str::<List<EnvVar<'de>>>(raw)
                .map_err(super::read::within("env"))?
                .0
        } else {
            Vec::new()
        };
        Ok(Self {
            raw: Some(raw),
            variables,
        })
    }
}

/// The variable by which NVIDIA's container runtime gives access to devices without any resource.
pub const VISIBLE_DEVICES: &str = "NVIDIA_VISIBLE_DEVICES";

/// `EnvVar`. Without a `value` it comes from elsewhere.
#[derive(Clone, Debug, Deserialize)]
pub struct EnvVar<'a> {
    /// `name`.
    #[serde(borrow)]
    pub name: Text<'a>,
    /// `value`.
    #[serde(borrow, default)]
    pub value: Option<Text<'a>>,
}

/// `ResourceRequirements`.
#[derive(Debug, Default, Deserialize)]
pub struct Resources<'a> {
    /// `limits`.
    #[serde(borrow, default)]
    pub limits: Extended<'a>,
    /// `requests`.
    #[serde(borrow, default)]
    pub requests: Extended<'a>,
    /// `claims`.
    #[serde(default)]
    pub claims: List<IgnoredAny>,
}

impl Resources<'_> {
    /// Whether any extended resource or claim is asked for.
    #[must_use]
    pub fn is_extended(&self) -> bool {
        !(self.limits.0.is_empty() && self.requests.0.is_empty() && self.claims.0.is_empty())
    }
}

/// The names of the extended resources (those with a `/`) of which more than 0 is asked.
#[derive(Debug, Default)]
pub struct Extended<'a>(pub Vec<Text<'a>>);

impl<'de: 'a, 'a> Deserialize<'de> for Extended<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ExtendedVisitor;

        impl<'de> Visitor<'de> for ExtendedVisitor {
            type Value = Extended<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a map of quantities")
            }

            fn visit_unit<E>(self) -> Result<Self::Value, E> {
                Ok(Extended::default())
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut extended = Extended::default();
                while let Some(name) = map.next_key::<Text<'de>>()? {
                    if name.contains('/') {
                        let quantity: &RawValue = map.next_value()?;
                        // The API server writes quantities canonically, so nothing else is zero.
                        if !matches!(quantity.get(), "0" | "\"0\"") {
                            extended.0.push(name);
                        }
                    } else {
                        map.next_value::<IgnoredAny>()?;
                    }
                }
                Ok(extended)
            }
        }

        deserializer.deserialize_any(ExtendedVisitor)
    }
}

/// `v1` Pod.
#[derive(Debug)]
pub struct PodKind;

/// A Pod.
#[derive(Debug, Deserialize)]
pub struct Pod<'a> {
    #[serde(borrow, default)]
    metadata: Meta<'a>,
    #[serde(borrow, default)]
    spec: PodSpec<'a>,
}

impl Kind for PodKind {
    const INFO: Info = Info {
        subresources: &["ephemeralcontainers"],
        creators: &[
            Edge::of("batch", "Job", &["kube-system:job-controller"]),
            Edge::of("apps", "ReplicaSet", &["kube-system:replicaset-controller"]),
            Edge::of("apps", "StatefulSet", &["kube-system:statefulset-controller"]),
            Edge::of("apps", "DaemonSet", &["kube-system:daemon-set-controller"]),
            Edge::of(
                "",
                "ReplicationController",
                &["kube-system:replication-controller"],
            ),
            Edge::of("kubeflow.org", "PyTorchJob", TRAINING_OPERATOR),
            Edge::of("kubeflow.org", "TFJob", TRAINING_OPERATOR),
            Edge::of("kubeflow.org", "XGBoostJob", TRAINING_OPERATOR),
            Edge::of("kubeflow.org", "PaddleJob", TRAINING_OPERATOR),
            Edge::of("kubeflow.org", "JAXJob", TRAINING_OPERATOR),
            Edge::of("kubeflow.org", "MPIJob", MPI_OPERATORS),
            Edge::of("ray.io", "RayCluster", KUBERAY),
            Edge::of("batch.volcano.sh", "Job", VOLCANO),
            Edge::of("argoproj.io", "Workflow", ARGO),
            // Its init containers are added on the way to the API server, by labels that the application's author can
            // change: only the pod itself shows them. Each try is a start of the whole application.
            Edge::start_of("sparkoperator.k8s.io", "SparkApplication", SPARK_OPERATOR),
            Edge::of("sparkoperator.k8s.io", "SparkConnect", SPARK_OPERATOR),
            Edge::of("tekton.dev", "TaskRun", TEKTON),
            // The driver of a SparkApplication makes its executors.
            Edge::by_own_account("", "Pod"),
        ],
        ..Info::new("", "Pod", "pods", &["v1"])
    };
    type Object<'a> = Pod<'a>;

    fn draft<'a>(pod: Pod<'a>, d: &mut Draft<'a, '_>) {
        d.object(pod.metadata);
        d.held(!pod.spec.scheduling_gates.0.is_empty());
        let spec = d.field(d.root(), "spec");
        d.containers(pod.spec, d.base(), spec);
    }
}

/// `v1` PodTemplate: inert until a controller uses it, judged as if one did.
#[derive(Debug)]
pub struct PodTemplateKind;

/// A PodTemplate.
#[derive(Debug, Deserialize)]
pub struct PodTemplateObject<'a> {
    #[serde(borrow, default)]
    metadata: Meta<'a>,
    #[serde(borrow, default)]
    template: PodTemplate<'a>,
}

impl Kind for PodTemplateKind {
    const INFO: Info = Info {
        class: Class::Template,
        ..Info::new("", "PodTemplate", "podtemplates", &["v1"])
    };
    type Object<'a> = PodTemplateObject<'a>;

    fn draft<'a>(object: PodTemplateObject<'a>, d: &mut Draft<'a, '_>) {
        d.object(object.metadata);
        let at = d.field(d.root(), "template");
        d.only_pod(object.template, at, Runs::Once);
    }
}
