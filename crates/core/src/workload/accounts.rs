//! The service accounts by which operators work where their own manifests install them, as `namespace:name`.
//!
//! Other installations are told with `--controller-account` (the chart's `controllerAccounts`). An account listed here is
//! never trusted in its own namespace.

/// Kubeflow's training operator (v1).
pub const TRAINING_OPERATOR: &[&str] = &["kubeflow:training-operator"];

/// MPIJob belongs to the training operator (v1) or to the MPI operator (v2beta1).
pub const MPI_OPERATORS: &[&str] = &[
    "kubeflow:training-operator",
    "kubeflow:mpi-operator",
    "mpi-operator:mpi-operator",
];

/// Kubeflow Trainer (v2).
pub const TRAINER: &[&str] = &[
    "kubeflow-system:kubeflow-trainer-controller-manager",
    "kubeflow:kubeflow-trainer-controller-manager",
];

/// Kubeflow's notebook controller.
pub const NOTEBOOKS: &[&str] = &["kubeflow:notebook-controller-service-account"];

/// Katib.
pub const KATIB: &[&str] = &["kubeflow:katib-controller"];

/// Kubeflow Pipelines: recurring runs.
pub const PIPELINES: &[&str] = &["kubeflow:ml-pipeline", "kubeflow:ml-pipeline-scheduledworkflow"];

/// JobSet.
pub const JOBSET: &[&str] = &["jobset-system:jobset-controller-manager"];

/// KubeRay. Its documentation installs it into the namespace of whoever installs it, which cannot be listed here.
pub const KUBERAY: &[&str] = &["ray-system:kuberay-operator", "kuberay-operator:kuberay-operator"];

/// Volcano.
pub const VOLCANO: &[&str] = &["volcano-system:volcano-controllers"];

/// Argo Workflows, on its own and within Kubeflow Pipelines.
pub const ARGO: &[&str] = &["argo:argo", "kubeflow:argo"];

/// AppWrapper.
pub const APPWRAPPER: &[&str] = &["appwrapper-system:appwrapper-controller-manager"];

/// LeaderWorkerSet.
pub const LWS: &[&str] = &["lws-system:lws-controller-manager"];

/// The Spark operator.
pub const SPARK_OPERATOR: &[&str] = &["spark-operator:spark-operator-controller"];

/// Tekton.
pub const TEKTON: &[&str] = &["tekton-pipelines:tekton-pipelines-controller"];

/// Flyte.
pub const FLYTE: &[&str] = &["flyte:flytepropeller"];

/// Kueue.
pub const KUEUE: &[&str] = &["kueue-system:kueue-controller-manager"];
