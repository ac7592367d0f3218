//! `sparkoperator.k8s.io` SparkConnect: a server that takes its work from clients, and its executors.

use serde::Deserialize;
use serde_json::value::RawValue;

use super::{Count, DynamicAllocation, Meta, Part, PodTemplate, Spec, Text, Texts, null_is_default};
use crate::draft::Draft;
use crate::workload::{Info, Kind};

/// `sparkoperator.k8s.io` SparkConnect.
#[derive(Debug)]
pub struct SparkConnectKind;

/// A SparkConnect: a driver that is called a server and takes its work from clients.
#[derive(Debug, Deserialize)]
pub struct SparkConnect<'a> {
    #[serde(borrow, default)]
    metadata: Meta<'a>,
    #[serde(borrow, default, deserialize_with = "null_is_default")]
    spec: ConnectSpec<'a>,
}

/// `SparkConnectSpec`.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct ConnectSpec<'a> {
    #[serde(borrow, default)]
    image: Option<Text<'a>>,
    #[serde(borrow, default, deserialize_with = "null_is_default")]
    server: ConnectPart<'a>,
    #[serde(borrow, default, deserialize_with = "null_is_default")]
    executor: ConnectPart<'a>,
    #[serde(default)]
    dynamic_allocation: Option<DynamicAllocation>,
    #[serde(borrow, default)]
    spark_conf: Texts<'a>,
    #[serde(borrow, default)]
    hadoop_conf: Option<&'a RawValue>,
}

/// Its server and executors, which have no fragments.
#[derive(Debug, Default, Deserialize)]
struct ConnectPart<'a> {
    #[serde(borrow, default)]
    template: Option<PodTemplate<'a>>,
    #[serde(default)]
    instances: Count,
}

impl<'a> From<ConnectPart<'a>> for Part<'a> {
    fn from(part: ConnectPart<'a>) -> Self {
        Self {
            template: part.template,
            instances: part.instances,
            ..Self::default()
        }
    }
}

impl Kind for SparkConnectKind {
    const INFO: Info = Info {
        rewrites: true,
        proof: "an init container in the server's template and in the executors'",
        limits: &[
            "What clients ask of a running server makes no request to Kubernetes: what it may train on is judged when the server is made.",
        ],
        ..Info::new(
            "sparkoperator.k8s.io",
            "SparkConnect",
            "sparkconnects",
            &["v1alpha1"],
        )
    };
    type Object<'a> = SparkConnect<'a>;

    fn draft<'a>(connect: SparkConnect<'a>, d: &mut Draft<'a, '_>) {
        d.object(connect.metadata);
        let at = d.field(d.root(), "spec");
        let it = connect.spec;
        let spec = Spec {
            image: it.image,
            driver: it.server.into(),
            executor: it.executor.into(),
            dynamic_allocation: it.dynamic_allocation,
            spark_conf: it.spark_conf,
            hadoop_conf: it.hadoop_conf,
            ..Spec::default()
        };
        spec.draft(at, "server", d);
    }
}
