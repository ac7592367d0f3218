//! Does an update change what would run?
//!
//! Compared are containers, images, commands, environment, volumes, accelerators, order and declaration; not labels,
//! finalizers, status, CPU and memory, nor a count above zero. What differs is judged in full; what does not is never
//! blocked, so that finalizers, scaling, suspending and re-applying always pass.

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::submission::{Key, Node, Order, Runs, Submission, Void, What};

/// What an update does to a workload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// What would run is the same.
    Nothing,
    /// What would run is the same, and it may run now.
    Release,
    /// What would run is something else.
    Content,
}

/// Compares what was with what is to be.
#[must_use]
pub fn change<'a>(old: &Submission<'a>, new: &Submission<'a>) -> Change {
    if !same(old, new) {
        return Change::Content;
    }
    // What is the same has the same fields that may hold it back.
    if old.holds.released_by(&new.holds) {
        Change::Release
    } else {
        Change::Nothing
    }
}

fn same<'a>(old: &Submission<'a>, new: &Submission<'a>) -> bool {
    old.frames == new.frames
        && old.completions == new.completions
        && old.holds.len() == new.holds.len()
        && old.accelerator.is_some() == new.accelerator.is_some()
        && old.raw == new.raw
        && old.references == new.references
        && all(&old.keys, &new.keys, same_key)
        && all(&old.nodes, &new.nodes, same_node)
        && all(&old.orders, &new.orders, Order::eq)
        && all(&old.opaque, &new.opaque, |a, b| a.reference == b.reference)
}

fn all<T>(old: &[T], new: &[T], same: impl Fn(&T, &T) -> bool) -> bool {
    old.len() == new.len() && old.iter().zip(new).all(|(a, b)| same(a, b))
}

fn same_key<'a>(old: &Key<'a>, new: &Key<'a>) -> bool {
    (&old.name, &old.value, old.carrier) == (&new.name, &new.value, new.carrier)
}

fn same_node<'a>(old: &Node<'a>, new: &Node<'a>) -> bool {
    // A count that falls to zero or rises from it is a hold, not another workload.
    let runs = |node: &Node<'_>| {
        if node.runs == Runs::Maybe(Void::ZeroReplicas) {
            Runs::Once
        } else {
            node.runs
        }
    };
    let what = match (&old.what, &new.what) {
        (What::Run(a), What::Run(b)) => a == b,
        (What::Call(a), What::Call(b)) => a == b,
        _ => false,
    };
    what && old.frame == new.frame && old.name == new.name && old.after == new.after && runs(old) == runs(new)
}

/// What can be compared of an object that cannot be read.
#[derive(Deserialize)]
struct Shallow<'a> {
    #[serde(borrow, default)]
    spec: Option<&'a RawValue>,
    #[serde(borrow, default)]
    template: Option<&'a RawValue>,
}

/// Whether two objects that cannot be read have the same spec, byte for byte.
#[must_use]
pub fn identical_spec(old: &str, new: &str) -> bool {
    let read = |text| serde_json::from_str::<Shallow<'_>>(text).ok();
    let (Some(old), Some(new)) = (read(old), read(new)) else {
        return false;
    };
    let text = |raw: Option<&RawValue>| raw.map(|raw| raw.get().to_owned());
    (old.spec.is_some() || old.template.is_some())
        && text(old.spec) == text(new.spec)
        && text(old.template) == text(new.template)
}
