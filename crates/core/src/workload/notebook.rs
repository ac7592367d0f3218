//! `kubeflow.org` Notebook: one pod, kept running by a StatefulSet.

use serde::Deserialize;

use super::meta::{Meta, null_is_default};
use super::pod::PodTemplate;
use super::{Info, Kind};
use crate::draft::Draft;
use crate::submission::{Runs, Void};

/// While the annotation is there, whatever its value, the notebook is stopped (reference: its controller).
pub const STOPPED: &str = "kubeflow-resource-stopped";

/// `kubeflow.org` Notebook.
#[derive(Debug)]
pub struct NotebookKind;

/// A Notebook.
#[derive(Debug, Deserialize)]
pub struct Notebook<'a> {
    #[serde(borrow, default)]
    metadata: Meta<'a>,
    #[serde(borrow, default, deserialize_with = "null_is_default")]
    spec: NotebookSpec<'a>,
}

/// `NotebookSpec`.
#[derive(Debug, Default, Deserialize)]
pub struct NotebookSpec<'a> {
    #[serde(borrow, default, deserialize_with = "null_is_default")]
    template: PodTemplate<'a>,
}

impl Kind for NotebookKind {
    const INFO: Info = Info {
        limits: &["What is typed into a notebook is not seen."],
        ..Info::new(
            "kubeflow.org",
            "Notebook",
            "notebooks",
            &["v1", "v1beta1", "v1alpha1"],
        )
    };
    type Object<'a> = Notebook<'a>;

    fn draft<'a>(notebook: Notebook<'a>, d: &mut Draft<'a, '_>) {
        let stopped = notebook.metadata.annotations.get(STOPPED).is_some();
        d.object(notebook.metadata);
        d.held(stopped);
        let at = d.field(d.root(), "spec.template");
        let runs = Runs::unless(stopped.then_some(Void::ZeroReplicas));
        d.only_pod(notebook.spec.template, at, runs);
    }
}
