//! Objects that an operator would take for its own.
//!
//! Some operators know their children by labels, annotations or an owner reference, all of which anyone may write who
//! may create the object: a Job that carries the labels of a JobSet's filter job makes the JobSet believe that the filter
//! has run (reference: JobSet's and Argo's controllers, read in source). So an object that carries such a claim must
//! have been made by that operator.

use super::{Edge, KnownKind};
use crate::workload::meta::OwnerReference;

/// What an operator takes for its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Adoption {
    /// The operator, as people call it.
    pub operator: &'static str,
    /// Groups and kinds of the objects that it adopts.
    pub children: &'static [(&'static str, &'static str)],
    /// Prefixes of the label and annotation keys it knows them by.
    pub keys: &'static [&'static str],
    /// The API group of the owners it knows them by.
    pub owners: &'static str,
    /// The kinds of that group that are the operator's; empty: all. Several operators share `kubeflow.org`, and an account
    /// of one is not believed for what another takes for its own.
    pub owner_kinds: &'static [&'static str],
}

/// The operators that adopt.
pub const ADOPTIONS: &[Adoption] = &[
    Adoption {
        operator: "JobSet",
        children: &[("batch", "Job"), ("", "Pod")],
        keys: &["jobset.sigs.k8s.io/"],
        owners: "jobset.x-k8s.io",
        owner_kinds: &[],
    },
    Adoption {
        operator: "Argo Workflows",
        children: &[("", "Pod")],
        keys: &["workflows.argoproj.io/"],
        owners: "argoproj.io",
        owner_kinds: &[],
    },
    // Users set `volcano.sh/queue-name`, `volcano.sh/preemptable` and the like themselves.
    Adoption {
        operator: "Volcano",
        children: &[("", "Pod"), ("batch.volcano.sh", "Job")],
        keys: &[
            "volcano.sh/job-name",
            "volcano.sh/job-version",
            "volcano.sh/task-index",
            "volcano.sh/task-spec",
            "volcano.sh/createdByJob",
        ],
        owners: "volcano.sh",
        owner_kinds: &[],
    },
    Adoption {
        operator: "Kubeflow training operator",
        children: &[("", "Pod"), ("batch", "Job")],
        keys: &["training.kubeflow.org/"],
        owners: "kubeflow.org",
        owner_kinds: &[
            "JAXJob",
            "MPIJob",
            "PaddleJob",
            "PyTorchJob",
            "TFJob",
            "XGBoostJob",
        ],
    },
    Adoption {
        operator: "Kubeflow Trainer",
        children: &[("", "Pod"), ("batch", "Job"), ("jobset.x-k8s.io", "JobSet")],
        keys: &["trainer.kubeflow.org/"],
        owners: "trainer.kubeflow.org",
        owner_kinds: &[],
    },
    // Not RayClusters: people set `ray.io/` annotations on those.
    Adoption {
        operator: "KubeRay",
        children: &[("", "Pod"), ("batch", "Job")],
        keys: &["ray.io/"],
        owners: "ray.io",
        owner_kinds: &[],
    },
    Adoption {
        operator: "Tekton",
        children: &[
            ("", "Pod"),
            ("tekton.dev", "TaskRun"),
            ("tekton.dev", "PipelineRun"),
        ],
        keys: &[
            "tekton.dev/pipelineRun",
            "tekton.dev/pipelineTask",
            "tekton.dev/taskRun",
        ],
        owners: "tekton.dev",
        owner_kinds: &[],
    },
];

impl Adoption {
    /// Whether an object of that kind may be adopted.
    #[must_use]
    pub fn adopts(&self, kind: KnownKind) -> bool {
        let info = kind.info();
        self.children.contains(&(info.group, info.kind))
    }

    /// How the operator makes what it adopts: the kind of each child, and for which owner.
    pub fn makes(&self) -> impl Iterator<Item = (KnownKind, &'static Edge)> {
        let children = KnownKind::ALL.iter().copied().filter(|kind| self.adopts(*kind));
        let edges = children.flat_map(|child| child.info().creators.iter().map(move |edge| (child, edge)));
        edges.filter(|(_, edge)| self.is_of(edge.group, edge.kind))
    }

    /// Whether the operator would know an object by that key.
    #[must_use]
    pub fn knows_key(&self, key: &str) -> bool {
        self.keys.iter().any(|prefix| key.starts_with(prefix))
    }

    /// Whether the operator would know an object by that owner.
    #[must_use]
    pub fn knows_owner(&self, owner: &OwnerReference<'_>) -> bool {
        self.is_of(owner.group(), &owner.kind)
    }

    /// Whether a kind is the operator's; its groups may end alike, as Volcano's do.
    #[must_use]
    pub fn is_of(&self, group: &str, kind: &str) -> bool {
        let of_group = group == self.owners || self.owners == "volcano.sh" && group.ends_with(".volcano.sh");
        of_group && (self.owner_kinds.is_empty() || self.owner_kinds.contains(&kind))
    }
}

/// Whether a key is one by which some operator knows its objects.
#[must_use]
pub fn is_claim(key: &str) -> bool {
    ADOPTIONS.iter().any(|adoption| adoption.knows_key(key))
}
