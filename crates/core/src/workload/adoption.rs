//! Objects that an operator would take for its own.
//!
//! Some operators know their children by labels, annotations or an owner reference, all of which anyone may write who
//! may create the object: a Job that carries the labels of a JobSet's filter job makes the JobSet believe that the filter
//! has run (reference: JobSet's and Argo's controllers, read in source). So an object that carries such a claim must
//! have been made by that operator.

use super::KnownKind;
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
}

/// The operators that adopt.
pub const ADOPTIONS: &[Adoption] = &[
    Adoption {
        operator: "JobSet",
        children: &[("batch", "Job"), ("", "Pod")],
        keys: &["jobset.sigs.k8s.io/"],
        owners: "jobset.x-k8s.io",
    },
    Adoption {
        operator: "Argo Workflows",
        children: &[("", "Pod")],
        keys: &["workflows.argoproj.io/"],
        owners: "argoproj.io",
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
    },
    Adoption {
        operator: "Kubeflow training operator",
        children: &[("", "Pod"), ("batch", "Job")],
        keys: &["training.kubeflow.org/"],
        owners: "kubeflow.org",
    },
    Adoption {
        operator: "Kubeflow Trainer",
        children: &[("", "Pod"), ("batch", "Job"), ("jobset.x-k8s.io", "JobSet")],
        keys: &["trainer.kubeflow.org/"],
        owners: "trainer.kubeflow.org",
    },
    // Not RayClusters: people set `ray.io/` annotations on those.
    Adoption {
        operator: "KubeRay",
        children: &[("", "Pod"), ("batch", "Job")],
        keys: &["ray.io/"],
        owners: "ray.io",
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
    },
];

impl Adoption {
    /// Whether an object of that kind may be adopted.
    #[must_use]
    pub fn adopts(&self, kind: KnownKind) -> bool {
        let info = kind.info();
        self.children.contains(&(info.group, info.kind))
    }

    /// Whether the operator would know an object by that key.
    #[must_use]
    pub fn knows_key(&self, key: &str) -> bool {
        self.keys.iter().any(|prefix| key.starts_with(prefix))
    }

    /// Whether the operator would know an object by that owner; its groups may end alike, as Volcano's do.
    #[must_use]
    pub fn knows_owner(&self, owner: &OwnerReference<'_>) -> bool {
        self.is_of(owner.group())
    }

    /// Whether an API group is the operator's.
    #[must_use]
    pub fn is_of(&self, group: &str) -> bool {
        group == self.owners || self.owners == "volcano.sh" && group.ends_with(".volcano.sh")
    }
}

/// Whether a key is one by which some operator knows its objects.
#[must_use]
pub fn is_claim(key: &str) -> bool {
    ADOPTIONS.iter().any(|adoption| adoption.knows_key(key))
}
