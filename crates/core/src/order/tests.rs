//! Graphs that are proved, and the ways round that are not.

use proptest::prelude::*;

use super::*;
use crate::path::Paths;
use crate::submission::{Node, Void};

/// A graph under construction; node 0 is the step unless said otherwise.
struct Graph(Submission<'static>);

impl Graph {
    fn new(frames: u32) -> Self {
        Self(Submission {
            orders: vec![Order::Start],
            frames,
            ..Submission::default()
        })
    }

    fn order(&mut self, order: Order) -> OrderId {
        self.0.orders.push(order);
        OrderId(u32::try_from(self.0.orders.len() - 1).unwrap())
    }

    fn node(&mut self, frame: u32, after: OrderId, runs: Runs, calls: Option<u32>) -> NodeId {
        let what = match calls {
            Some(frame) => What::Call(FrameId(frame)),
            None => What::Run(crate::submission::Run {
                rewritten: false,
                role: crate::submission::Role::Main,
                image: "i".into(),
                command: None,
                args: None,
                accelerated: false,
                raw: Vec::new(),
            }),
        };
        self.0.nodes.push(Node {
            frame: FrameId(frame),
            name: "n".into(),
            what,
            after,
            runs,
            at: Paths::ROOT,
        });
        NodeId(u32::try_from(self.0.nodes.len() - 1).unwrap())
    }

    /// Whether what node 0 is surely completed before `node` starts.
    fn proves(&self, node: NodeId) -> bool {
        let is: Vec<Mask> = (0..self.0.nodes.len()).map(|i| u64::from(i == 0)).collect();
        Proof::new(&self.0, &is, Mask::MAX).before(node) == 1
    }
}

const START: OrderId = OrderId(0);

#[test]
fn after_a_step_is_proved_and_beside_it_is_not() {
    let mut g = Graph::new(1);
    let step = g.node(0, START, Runs::Once, None);
    let done = g.order(Order::Done(step));
    let after = g.node(0, done, Runs::Once, None);
    let beside = g.node(0, START, Runs::Once, None);
    assert!(g.proves(after));
    assert!(!g.proves(beside));
}

#[test]
fn a_step_that_may_not_run_proves_nothing() {
    let mut g = Graph::new(1);
    let step = g.node(0, START, Runs::Maybe(Void::ZeroReplicas), None);
    let done = g.order(Order::Done(step));
    let after = g.node(0, done, Runs::Once, None);
    assert!(!g.proves(after));
}

#[test]
fn all_needs_one_side_and_any_needs_every_side() {
    let mut g = Graph::new(1);
    let step = g.node(0, START, Runs::Once, None);
    let other = g.node(0, START, Runs::Once, None);
    let (a, b) = (g.order(Order::Done(step)), g.order(Order::Done(other)));
    let all = g.order(Order::All([a, b].into()));
    let any = g.order(Order::Any([a, b].into()));
    let any_proved = g.order(Order::Any([a, all].into()));
    let (all, any, any_proved) = (
        g.node(0, all, Runs::Once, None),
        g.node(0, any, Runs::Once, None),
        g.node(0, any_proved, Runs::Once, None),
    );
    assert!(g.proves(all));
    assert!(!g.proves(any));
    assert!(g.proves(any_proved));
}

#[test]
fn an_empty_any_and_a_weak_order_prove_nothing() {
    let mut g = Graph::new(1);
    let step = g.node(0, START, Runs::Once, None);
    let empty = g.order(Order::Any(Box::default()));
    let weak = g.order(Order::Weak(step, Void::Elsewhere));
    let (empty, weak) = (
        g.node(0, empty, Runs::Once, None),
        g.node(0, weak, Runs::Once, None),
    );
    assert!(!g.proves(empty));
    assert!(!g.proves(weak));
}

#[test]
fn a_cycle_ends_and_proves_nothing() {
    let mut g = Graph::new(1);
    g.node(0, START, Runs::Once, None);
    // Nodes 1 and 2 wait for each other.
    let (to_two, to_one) = (g.order(Order::Done(NodeId(2))), g.order(Order::Done(NodeId(1))));
    let one = g.node(0, to_two, Runs::Once, None);
    let two = g.node(0, to_one, Runs::Once, None);
    assert!(!g.proves(one) && !g.proves(two));
}

#[test]
fn a_frame_starts_with_what_all_its_callers_share() {
    let mut g = Graph::new(3);
    let step = g.node(0, START, Runs::Once, None);
    let done = g.order(Order::Done(step));
    g.node(0, done, Runs::Once, Some(1));
    g.node(0, done, Runs::Once, Some(2));
    g.node(0, START, Runs::Once, Some(2));
    let called_after = g.node(1, START, Runs::Once, None);
    let called_also_before = g.node(2, START, Runs::Once, None);
    assert!(g.proves(called_after));
    assert!(
        !g.proves(called_also_before),
        "the second call does not wait for the step"
    );
}

#[test]
fn a_step_inside_a_called_frame_counts_after_the_call() {
    let mut g = Graph::new(2);
    g.node(1, START, Runs::Once, None);
    let call = g.node(0, START, Runs::Once, Some(1));
    let done = g.order(Order::Done(call));
    let after = g.node(0, done, Runs::Once, None);
    assert!(g.proves(after));
}

#[test]
fn a_frame_that_calls_itself_ends_and_proves_nothing() {
    let mut g = Graph::new(2);
    g.node(1, START, Runs::Once, None);
    g.node(1, START, Runs::Once, Some(1));
    let call = g.node(0, START, Runs::Once, Some(1));
    let done = g.order(Order::Done(call));
    let after = g.node(0, done, Runs::Once, None);
    assert!(!g.proves(after));
}

#[test]
fn templates_that_would_inline_to_2_to_the_30_are_linear() {
    let mut g = Graph::new(31);
    let step = g.node(0, START, Runs::Once, None);
    let mut done = g.order(Order::Done(step));
    for frame in 0..30 {
        g.node(frame, done, Runs::Once, Some(frame + 1));
        g.node(frame, done, Runs::Once, Some(frame + 1));
        done = START;
    }
    let trainer = g.node(30, START, Runs::Once, None);
    assert!(g.proves(trainer));
}

#[test]
fn a_chain_of_100_000_tasks_needs_no_stack() {
    let mut g = Graph::new(1);
    let mut last = g.node(0, START, Runs::Once, None);
    for _ in 0..100_000 {
        let done = g.order(Order::Done(last));
        last = g.node(0, done, Runs::Once, None);
    }
    assert!(g.proves(last));
}

/// The same question by brute force: is there a schedule in which the node starts and the step has not completed? In a
/// graph of one frame with `All` orders only, a node may start once all that it waits for completed, so the nodes that
/// can start without the step are those that do not reach it.
fn reaches(waits: &[Vec<usize>], node: usize) -> bool {
    waits[node]
        .iter()
        .any(|before| *before == 0 || reaches(waits, *before))
}

proptest! {
    #[test]
    fn agrees_with_brute_force_on_random_graphs(edges in prop::collection::vec((1..12_usize, 0..12_usize), 0..30)) {
        let mut waits = vec![Vec::new(); 12];
        for (node, before) in edges {
            if before < node {
                waits[node].push(before);
            }
        }
        let mut g = Graph::new(1);
        for list in &waits {
            let ids: Box<[OrderId]> =
                list.iter().map(|it| g.order(Order::Done(NodeId(u32::try_from(*it).unwrap())))).collect();
            let after = g.order(Order::All(ids));
            g.node(0, after, Runs::Once, None);
        }
        for node in 1..12 {
            prop_assert_eq!(g.proves(NodeId(u32::try_from(node).unwrap())), reaches(&waits, node), "node {}", node);
        }
    }
}
