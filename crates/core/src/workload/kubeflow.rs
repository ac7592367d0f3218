//! `kubeflow.org` training jobs: a map of replica types, each with a count and a pod template.
//!
//! PyTorchJob, TFJob, XGBoostJob, PaddleJob and JAXJob belong to the training operator; MPIJob to it (v1) or to the MPI
//! operator (v2beta1). Nothing orders one type of replica after another, so each needs its own step.

use serde::Deserialize;
use serde_json::value::RawValue;

use super::leaf::{Count, Entries};
use super::meta::{Meta, null_is_default};
use super::pod::{Container, PodTemplate};
use super::{Class, Info, Kind};
use crate::draft::Draft;
use crate::submission::Order;
use crate::text::Text;

/// `RunPolicy`.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct RunPolicy<'a> {
    #[serde(default, deserialize_with = "null_is_default")]
    suspend: bool,
    /// If it is somebody else than the operator, that one runs it, or nobody until this changes; not every kind's
    /// webhook keeps it from changing.
    #[serde(borrow, default)]
    managed_by: Option<&'a RawValue>,
}

/// `ReplicaSpec`.
#[derive(Debug, Default, Deserialize)]
struct Replica<'a> {
    #[serde(default)]
    replicas: Count,
    #[serde(borrow, default, deserialize_with = "null_is_default")]
    template: PodTemplate<'a>,
}

/// The replica types; their names are of any letter case.
type Replicas<'a> = Entries<'a, Option<Replica<'a>>>;

fn draft<'a>(policy: &RunPolicy<'a>, replicas: Replicas<'a>, field: &'static str, d: &mut Draft<'a, '_>) {
    d.held(policy.suspend);
    d.raw(policy.managed_by);
    let spec = d.field(d.root(), "spec");
    let after = d.order(Order::Start);
    for (name, replica) in replicas.0 {
        let replica = replica.unwrap_or_default();
        d.held(replica.replicas == Count::Of(0));
        let at = d.entry(spec, field, &name);
        let template = d.field(at, "template");
        let frame = d.pod(replica.template, template);
        d.call(d.base(), name, frame, after, replica.replicas.runs(), at);
    }
}

/// Declares a kind with replica types.
macro_rules! replicated {
    ($($(#[$doc:meta])* $kind:ident, $object:ident, $spec:ident =
        $name:literal $plural:literal $versions:expr, $field:literal, limits $limits:expr $(, $prepare:expr)?;)+) => {$(
        $(#[$doc])*
        #[derive(Debug)]
        pub struct $kind;

        #[doc = concat!("A ", $name, ".")]
        #[derive(Debug, Deserialize)]
        #[serde(rename_all = "camelCase")]
        pub struct $object<'a> {
            #[serde(borrow, default)]
            #[allow(dead_code, reason = "only some operators differ by version")]
            api_version: Text<'a>,
            #[serde(borrow, default)]
            metadata: Meta<'a>,
            #[serde(borrow, default, deserialize_with = "null_is_default")]
            spec: $spec<'a>,
        }

        #[derive(Debug, Default, Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct $spec<'a> {
            #[serde(borrow, default, deserialize_with = "null_is_default")]
            run_policy: RunPolicy<'a>,
            #[serde(borrow, default, rename = $field)]
            replicas: Replicas<'a>,
        }

        impl Kind for $kind {
            const INFO: Info = Info {
                class: Class::Trains,
                proof: "an init container, without `restartPolicy: Always`, in the template of every replica type: none waits for another",
                limits: $limits,
                ..Info::new("kubeflow.org", $name, $plural, $versions)
            };
            type Object<'a> = $object<'a>;

            fn draft<'a>(object: $object<'a>, d: &mut Draft<'a, '_>) {
                d.object(object.metadata);
                #[allow(unused_mut, reason = "not every operator writes into the pods")]
                let mut replicas = object.spec.replicas;
                $($prepare(&mut replicas, &object.api_version);)?
                draft(&object.spec.run_policy, replicas, $field, d);
            }
        }
    )+};
}

replicated! {
    /// `kubeflow.org` PyTorchJob.
    PyTorchJobKind, PyTorchJob, PyTorchSpec = "PyTorchJob" "pytorchjobs" &["v1"], "pytorchReplicaSpecs",
        limits &["Where there is a master, the operator adds an init container `init-pytorch` to the workers. It is known with the image `alpine:3.10`; with another, a worker's pod is judged by itself unless the platform lists that image."],
        wait_for_master;
    /// `kubeflow.org` TFJob.
    TFJobKind, TFJob, TFSpec = "TFJob" "tfjobs" &["v1"], "tfReplicaSpecs", limits &[];
    /// `kubeflow.org` XGBoostJob.
    XGBoostJobKind, XGBoostJob, XGBoostSpec = "XGBoostJob" "xgboostjobs" &["v1"], "xgbReplicaSpecs", limits &[];
    /// `kubeflow.org` PaddleJob.
    PaddleJobKind, PaddleJob, PaddleSpec = "PaddleJob" "paddlejobs" &["v1"], "paddleReplicaSpecs", limits &[];
    /// `kubeflow.org` JAXJob.
    JAXJobKind, JAXJob, JAXSpec = "JAXJob" "jaxjobs" &["v1"], "jaxReplicaSpecs", limits &[];
    /// `kubeflow.org` MPIJob. The launcher is a Job in v2beta1 and a pod in v1; the workers are pods.
    MPIJobKind, MPIJob, MPISpec = "MPIJob" "mpijobs" &["v2beta1", "v1"], "mpiReplicaSpecs",
        limits &["The launcher needs the step too: it may start before the workers do, and `launcherCreationPolicy` waits for readiness only."],
        listen;
}

fn of_type<'r, 'a>(
    replicas: &'r mut Replicas<'a>,
    wanted: &str,
) -> impl Iterator<Item = &'r mut Replica<'a>> {
    let all = replicas.0.iter_mut();
    all.filter(|(name, _)| name.eq_ignore_ascii_case(wanted))
        .filter_map(|(_, replica)| replica.as_mut())
}

/// Where there is a master, the operator adds to each worker an init container that waits for its name to resolve; so
/// it is part of the workload, and a worker's pod is what the job says. The image is that of the default installation.
fn wait_for_master<'a>(replicas: &mut Replicas<'a>, _version: &Text<'a>) {
    if of_type(replicas, "Master").next().is_none() {
        return;
    }
    for worker in of_type(replicas, "Worker") {
        worker.template.spec.init_containers.0.push(Container {
            name: "init-pytorch".into(),
            image: "alpine:3.10".into(),
            rewritten: true,
            ..Container::default()
        });
    }
}

/// A worker without a command of its own is made to wait for the launcher: the operator writes the command.
fn listen<'a>(replicas: &mut Replicas<'a>, version: &Text<'a>) {
    let is_v1 = version.ends_with("/v1");
    for worker in of_type(replicas, "Worker") {
        if let Some(first) = worker.template.spec.containers.0.first_mut() {
            let unset = |list: &Option<super::leaf::List<Text<'a>>>| {
                list.as_ref().is_none_or(|list| list.0.is_empty())
            };
            first.rewritten = unset(&first.command) && (is_v1 || unset(&first.args));
        }
    }
}
