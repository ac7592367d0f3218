//! Why a step does not come before a trainer, and by which way the trainer gets past it.

use std::collections::HashSet;

use crate::order::{Mask, Proof};
use crate::submission::{FrameId, NodeId, Order, OrderId, Role, Run, Runs, Submission, Void, What};

/// What a node waits for, directly or not, in its own frame and in those that call it.
#[derive(Debug, Default)]
struct Ways {
    done: HashSet<NodeId>,
    weak: Vec<(NodeId, Void)>,
}

/// The calls of each frame.
#[derive(Debug)]
pub(super) struct Calls(Vec<Vec<NodeId>>);

impl Calls {
    pub(super) fn of(submission: &Submission<'_>) -> Self {
        let mut calls = vec![Vec::new(); submission.frames as usize];
        for (node, id) in submission.nodes.iter().zip(0..) {
            if let What::Call(frame) = node.what
                && let Some(list) = calls.get_mut(frame.0 as usize)
            {
                list.push(NodeId(id));
            }
        }
        Self(calls)
    }

    pub(super) fn of_frame(&self, frame: FrameId) -> &[NodeId] {
        self.0
            .get(frame.0 as usize)
            .map(Vec::as_slice)
            .unwrap_or_default()
    }

    /// The calls of a frame, and those of the frames in which they stand.
    fn above(&self, submission: &Submission<'_>, frame: FrameId) -> HashSet<NodeId> {
        let mut found = HashSet::new();
        let mut frames = vec![frame];
        while let Some(frame) = frames.pop() {
            for id in self.of_frame(frame) {
                if found.insert(*id) {
                    frames.extend(submission.node(*id).map(|node| node.frame));
                }
            }
        }
        found
    }
}

fn ways(submission: &Submission<'_>, calls: &Calls, node: NodeId) -> Ways {
    let mut ways = Ways::default();
    let frame = submission.node(node).map_or(FrameId(0), |node| node.frame);
    let start = std::iter::once(node).chain(calls.above(submission, frame));
    let mut orders: Vec<OrderId> = start
        .filter_map(|id| submission.node(id).map(|node| node.after))
        .collect();
    let mut seen: HashSet<OrderId> = HashSet::new();
    while let Some(order) = orders.pop() {
        if !seen.insert(order) {
            continue;
        }
        match submission.orders.get(order.0 as usize) {
            Some(Order::Done(id)) => {
                ways.done.insert(*id);
                orders.extend(submission.node(*id).map(|node| node.after));
            }
            Some(Order::Weak(id, void)) => {
                ways.weak.push((*id, *void));
                orders.extend(submission.node(*id).map(|node| node.after));
            }
            Some(Order::All(list) | Order::Any(list)) => orders.extend(list.iter().copied()),
            Some(Order::Start) | None => {}
        }
    }
    ways
}

/// Why the step does not come before the trainer.
pub(super) fn void(submission: &Submission<'_>, calls: &Calls, step_id: NodeId, trainer_id: NodeId) -> Void {
    let (Some(step), Some(trainer)) = (submission.node(step_id), submission.node(trainer_id)) else {
        return Void::Elsewhere;
    };
    if let Runs::Maybe(void) = step.runs {
        return void;
    }
    if matches!(&trainer.what, What::Run(run) if run.role == Role::Ephemeral) {
        return Void::TrainsEphemeral;
    }
    let above = calls.above(submission, step.frame);
    let maybe = above.iter().find_map(|id| match submission.node(*id)?.runs {
        Runs::Maybe(void) => Some(void),
        Runs::Once | Runs::ByName => None,
    });
    if let Some(void) = maybe {
        return void;
    }
    let is_step = |id: &NodeId| *id == step_id || above.contains(id);
    let of_trainer = ways(submission, calls, trainer_id);
    if let Some((_, void)) = of_trainer.weak.iter().find(|(id, _)| is_step(id)) {
        return *void;
    }
    let of_step = ways(submission, calls, step_id).done;
    let trains_before = of_step.contains(&trainer_id)
        || calls
            .above(submission, trainer.frame)
            .iter()
            .any(|id| of_step.contains(id));
    if trains_before {
        return Void::After;
    }
    if step.frame != trainer.frame {
        return Void::Elsewhere;
    }
    let main = |what: &What<'_>| matches!(what, What::Run(Run { role: Role::Main, .. }));
    if main(&step.what) && main(&trainer.what) {
        Void::Beside
    } else {
        Void::After
    }
}

/// The way by which a trainer starts although nothing on it is in the mask: the names of the tasks, the trainer last. Empty
/// if it waits for nothing, where a way would only say in which pod it is.
pub(super) fn way(
    submission: &Submission<'_>,
    calls: &Calls,
    proof: &Proof,
    trainer: NodeId,
    mask: Mask,
) -> Vec<Box<str>> {
    let mut names: Vec<Box<str>> = Vec::new();
    let mut seen = HashSet::new();
    let mut next = Some(trainer);
    let mut waits = false;
    while let Some(node) = next
        .filter(|node| seen.insert(*node))
        .and_then(|id| submission.node(id))
    {
        // A task and the template that it runs often have the same name.
        if !node.name.is_empty() && names.last().is_none_or(|last| **last != *node.name) {
            names.push((*node.name).into());
        }
        let without = |id: &&NodeId| proof.before(**id) & mask == 0;
        let waited = waited_for(submission, proof, node.after, mask);
        waits |= waited.is_some();
        next = waited.or_else(|| calls.of_frame(node.frame).iter().find(without).copied());
    }
    if !waits {
        return Vec::new();
    }
    names.reverse();
    names
}

/// A task for which an order waits, and which starts without the mask too.
fn waited_for(submission: &Submission<'_>, proof: &Proof, order: OrderId, mask: Mask) -> Option<NodeId> {
    let mut orders = vec![order];
    let mut seen = HashSet::new();
    while let Some(order) = orders.pop().filter(|order| seen.insert(*order)) {
        match submission.orders.get(order.0 as usize)? {
            Order::Done(id) | Order::Weak(id, _) => return Some(*id),
            // Of those it waits for all are without, of alternatives at least one.
            Order::All(list) => orders.extend(list.iter().rev().copied()),
            Order::Any(list) => orders.extend(list.iter().find(|order| proof.after(**order) & mask == 0)),
            Order::Start => {}
        }
    }
    None
}
