//! "This step completes before everything that trains", proved or not.
//!
//! One forward pass with bit masks over the frames. A bit stands for one step that somebody asks for. A node's done-set
//! is what held before it plus what it is; `All` is OR, `Any` is AND, weak and cyclic orders give nothing; what holds when
//! a frame starts is the AND over its calls. Nothing is recursive, so a chain of 10,000 tasks needs no stack, and frames
//! are never inlined, so templates that call each other stay linear.

use std::collections::HashMap;

use crate::submission::{FrameId, NodeId, Order, OrderId, Runs, Submission, What};

/// A set of up to 64 asked-for steps.
pub type Mask = u64;

/// What surely completed before each node starts.
#[derive(Debug)]
pub struct Proof {
    before: Vec<Mask>,
    after: Vec<Mask>,
}

impl Proof {
    /// Runs the pass. `is` says which steps each node is, in the order of the nodes; `by_word` which of the steps count
    /// where another object that has the name could stand in for what was seen.
    #[must_use]
    pub fn new(submission: &Submission<'_>, is: &[Mask], by_word: Mask) -> Self {
        let mut pass = Pass::new(submission, is, by_word);
        let frames = pass.callees_first();
        for frame in &frames {
            pass.inner(*frame);
        }
        for node in 0..submission.nodes.len() {
            pass.local(node);
        }
        pass.contexts(&frames);
        let context = |node: usize| {
            let frame = submission.nodes.get(node).map_or(0, |node| node.frame.0 as usize);
            pass.context.get(frame).copied().flatten().unwrap_or(0)
        };
        let before = (0..submission.nodes.len())
            .map(|node| pass.before(node) | context(node))
            .collect();
        let orders = 0..u32::try_from(submission.orders.len()).unwrap_or(u32::MAX);
        let after = orders.map(|order| pass.known(OrderId(order))).collect();
        Self { before, after }
    }

    /// What surely completed after an order, in its own frame.
    #[must_use]
    pub fn after(&self, order: OrderId) -> Mask {
        self.after.get(order.0 as usize).copied().unwrap_or(0)
    }

    /// What surely completed before a node starts.
    #[must_use]
    pub fn before(&self, node: NodeId) -> Mask {
        self.before.get(node.0 as usize).copied().unwrap_or(0)
    }
}

/// How far an order is worked out.
#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    New,
    Open,
    Known(Mask),
}

struct Pass<'s, 'a> {
    submission: &'s Submission<'a>,
    is: &'s [Mask],
    by_word: Mask,
    /// The nodes of each frame.
    members: Vec<Vec<usize>>,
    /// What completes when a frame does.
    inner: Vec<Mask>,
    /// What holds after each order, relative to the frame's start.
    states: Vec<State>,
    /// What holds when a frame starts; absent: nothing calls it.
    context: Vec<Option<Mask>>,
    /// The order after which a frame completes, if it is not simply all of it.
    completions: HashMap<usize, OrderId>,
}

impl<'s, 'a> Pass<'s, 'a> {
    fn new(submission: &'s Submission<'a>, is: &'s [Mask], by_word: Mask) -> Self {
        let frames = submission.frames as usize;
        let mut members = vec![Vec::new(); frames];
        for (node, at) in submission.nodes.iter().zip(0..) {
            if let Some(list) = members.get_mut(node.frame.0 as usize) {
                list.push(at);
            }
        }
        let mut context = vec![None; frames];
        if let Some(first) = context.first_mut() {
            *first = Some(0);
        }
        let states = vec![State::New; submission.orders.len()];
        let completions = submission
            .completions
            .iter()
            .map(|(frame, order)| (frame.0 as usize, *order))
            .collect();
        Self {
            submission,
            is,
            by_word,
            members,
            inner: vec![0; frames],
            states,
            context,
            completions,
        }
    }

    fn callees(&self, frame: usize) -> impl Iterator<Item = FrameId> {
        let members = self.members.get(frame).map(Vec::as_slice).unwrap_or_default();
        members
            .iter()
            .filter_map(|node| match self.submission.nodes.get(*node)?.what {
                What::Call(callee) => Some(callee),
                What::Run(_) => None,
            })
    }

    /// The frames, each after all that it calls; frames in a cycle are left out, so that nothing follows from them.
    fn callees_first(&self) -> Vec<usize> {
        let mut waiting: Vec<usize> = (0..self.members.len())
            .map(|frame| self.callees(frame).count())
            .collect();
        let mut callers: Vec<Vec<usize>> = vec![Vec::new(); self.members.len()];
        for frame in 0..self.members.len() {
            for callee in self.callees(frame) {
                if let Some(list) = callers.get_mut(callee.0 as usize) {
                    list.push(frame);
                }
            }
        }
        let mut ready: Vec<usize> = (0..waiting.len())
            .filter(|frame| waiting.get(*frame) == Some(&0))
            .collect();
        let mut sorted = Vec::with_capacity(waiting.len());
        while let Some(frame) = ready.pop() {
            sorted.push(frame);
            for caller in callers.get(frame).into_iter().flatten() {
                if let Some(count) = waiting.get_mut(*caller) {
                    *count = count.saturating_sub(1);
                    if *count == 0 {
                        ready.push(*caller);
                    }
                }
            }
        }
        sorted
    }

    /// What a node itself establishes when it completes, whatever came before.
    fn own(&self, node: usize) -> Mask {
        let Some(it) = self.submission.nodes.get(node) else {
            return 0;
        };
        let is = self.is.get(node).copied().unwrap_or(0);
        let all = match it.what {
            What::Run(_) => is,
            What::Call(frame) => is | self.inner.get(frame.0 as usize).copied().unwrap_or(0),
        };
        match it.runs {
            Runs::Once => all,
            Runs::ByName => all & self.by_word,
            Runs::Maybe(_) => 0,
        }
    }

    fn inner(&mut self, frame: usize) {
        let all = if let Some(order) = self.completions.get(&frame).copied() {
            // Frames that it calls are worked out already, so its orders can be.
            self.work_out(order);
            self.known(order)
        } else {
            let members = self.members.get(frame).map(Vec::as_slice).unwrap_or_default();
            members.iter().fold(0, |mask, node| mask | self.own(*node))
        };
        if let Some(inner) = self.inner.get_mut(frame) {
            *inner = all;
        }
    }

    fn before(&self, node: usize) -> Mask {
        self.submission
            .nodes
            .get(node)
            .map_or(0, |node| self.known(node.after))
    }

    /// Works out the order a node waits for, and all that it rests on.
    fn local(&mut self, node: usize) {
        if let Some(after) = self.submission.nodes.get(node).map(|node| node.after) {
            self.work_out(after);
        }
    }

    fn work_out(&mut self, start: OrderId) {
        let mut stack = vec![start];
        while let Some(order) = stack.last().copied() {
            let at = order.0 as usize;
            match self.states.get(at).copied() {
                Some(State::New) => {
                    self.set(at, State::Open);
                    let rests_on = self.rests_on(order);
                    stack.extend(
                        rests_on
                            .into_iter()
                            .filter(|it| self.states.get(it.0 as usize) == Some(&State::New)),
                    );
                }
                Some(State::Open) => {
                    // What is open still below here waits for itself: a cycle, which gives nothing.
                    let mask = self.mask(order);
                    self.set(at, State::Known(mask));
                    stack.pop();
                }
                _ => {
                    stack.pop();
                }
            }
        }
    }

    fn set(&mut self, order: usize, state: State) {
        if let Some(slot) = self.states.get_mut(order) {
            *slot = state;
        }
    }

    fn known(&self, order: OrderId) -> Mask {
        match self.states.get(order.0 as usize) {
            Some(State::Known(mask)) => *mask,
            _ => 0,
        }
    }

    fn rests_on(&self, order: OrderId) -> Vec<OrderId> {
        match self.submission.orders.get(order.0 as usize) {
            Some(Order::Done(node)) => self
                .submission
                .node(*node)
                .map(|node| node.after)
                .into_iter()
                .collect(),
            Some(Order::All(list) | Order::Any(list)) => list.to_vec(),
            _ => Vec::new(),
        }
    }

    fn mask(&self, order: OrderId) -> Mask {
        match self.submission.orders.get(order.0 as usize) {
            Some(Order::Done(id)) => match self.submission.node(*id) {
                Some(node) if !matches!(node.runs, Runs::Maybe(_)) && self.is_known(node.after) => {
                    self.known(node.after) | self.own(id.0 as usize)
                }
                _ => 0,
            },
            Some(Order::All(list)) => list.iter().fold(0, |mask, id| mask | self.known(*id)),
            Some(Order::Any(list)) => list
                .iter()
                .map(|id| self.known(*id))
                .reduce(|a, b| a & b)
                .unwrap_or(0),
            Some(Order::Start | Order::Weak(..)) | None => 0,
        }
    }

    fn is_known(&self, order: OrderId) -> bool {
        matches!(self.states.get(order.0 as usize), Some(State::Known(_)))
    }

    /// What holds when each frame starts: callers before callees.
    fn contexts(&mut self, callees_first: &[usize]) {
        for frame in callees_first.iter().rev() {
            let Some(context) = self.context.get(*frame).copied().flatten() else {
                continue;
            };
            let members = self.members.get(*frame).map(Vec::as_slice).unwrap_or_default();
            for node in members {
                let Some(What::Call(callee)) = self.submission.nodes.get(*node).map(|node| &node.what) else {
                    continue;
                };
                let here = context | self.before(*node);
                if let Some(slot) = self.context.get_mut(callee.0 as usize) {
                    *slot = Some(slot.map_or(here, |other| other & here));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;
