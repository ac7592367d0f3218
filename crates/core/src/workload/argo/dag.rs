//! Tasks that depend on one another: after what each starts, and what has surely run when all of them are over.
//!
//! A DAG succeeds when its targets did, which says less than one might think: a task whose failure another one handles
//! may have failed, and one that waited for a skipped task was omitted without a failure (reference: `assessDAGPhase` of
//! Argo's controller). So the frame completes only after the tasks that cannot have been left out.

use std::collections::HashMap;

use super::depends::{self, Token};
use super::graph::Call;
use crate::draft::Draft;
use crate::submission::{FrameId, NodeId, Order, OrderId, Runs, Void};
use crate::text::Text;

/// A task among the others.
struct Plan {
    /// All that its expression names, which come before it.
    before: Vec<usize>,
    /// If it starts after all of these: each, and whether it must have succeeded.
    all: Option<Vec<(usize, bool)>>,
    /// Whether what follows goes on after its failure.
    continues: bool,
    /// Whether its expression is none that is understood.
    unread: bool,
}

/// Writes the tasks of a DAG into its frame. `runs` says of each what is known besides its order.
pub fn draft<'a>(
    target: Option<&Text<'a>>,
    tasks: Vec<Call<'a>>,
    frame: FrameId,
    runs: impl Fn(&Call<'a>) -> Runs,
    to: impl Fn(&Call<'a>) -> FrameId,
    d: &mut Draft<'a, '_>,
) {
    let mut index: HashMap<Text<'a>, usize> = HashMap::new();
    let mut ambiguous = false;
    for (task, i) in tasks.iter().zip(0..) {
        // A name that is filled in later may be that of another task, and Argo takes the first.
        ambiguous |= task.task.name.contains("{{");
        ambiguous |= index.insert(task.task.name.clone(), i).is_some();
    }
    if ambiguous {
        index.clear();
    }
    let plans: Vec<Plan> = tasks.iter().map(|task| plan(task, &index)).collect();
    let wanted = wanted(target, &plans, &index);
    let unread = plans.iter().any(|plan| plan.unread);
    let mut runs: Vec<Runs> = tasks.iter().map(runs).collect();
    for (runs, i) in runs.iter_mut().zip(0..) {
        if ambiguous || !unread && !wanted.ancestors.get(i).copied().unwrap_or(false) {
            *runs = runs.and(Runs::Maybe(Void::Conditional));
        }
    }
    let first = d.next_node().0;
    let node = |task: usize| NodeId(first.saturating_add(u32::try_from(task).unwrap_or(u32::MAX)));
    // What cannot be read may handle the failure of any task.
    let certain = if unread {
        Vec::new()
    } else {
        certain(&plans, &runs, &wanted)
    };
    for ((task, runs), i) in tasks.into_iter().zip(&runs).zip(0..) {
        let after = order(&task, &index, &node, d);
        debug_assert_eq!(node(i), d.next_node());
        let to = to(&task);
        d.call(frame, task.task.name, to, after, *runs, task.at);
    }
    let done = (0..plans.len()).filter(|i| certain.get(*i) == Some(&true));
    let after = d.all(done.map(|i| Order::Done(node(i))));
    d.completes(frame, after);
}

fn plan<'a>(call: &Call<'a>, index: &HashMap<Text<'a>, usize>) -> Plan {
    let find = |name: &str| index.get(&Text::from(name)).copied();
    let continues = call.task.continue_on.is_some_and(|on| on.failed || on.error);
    let mut unread = false;
    let (before, all) = match expression(call) {
        None => {
            let names = call.task.dependencies.0.iter().map(|name| find(name));
            let all: Option<Vec<(usize, bool)>> = names.clone().map(|it| it.map(|i| (i, false))).collect();
            (names.flatten().collect(), all)
        }
        Some(text) => {
            let tokens = depends::parse(text);
            unread = tokens.is_none();
            let mut all = tokens.is_some().then(Vec::new);
            let mut before = Vec::new();
            for token in tokens.unwrap_or_default() {
                let term = match token {
                    Token::Task(name, result) => {
                        let task = find(name);
                        before.extend(task);
                        match result {
                            None => task.map(|task| (task, false)),
                            Some("Succeeded") => task.map(|task| (task, true)),
                            Some(_) => None,
                        }
                    }
                    Token::And => continue,
                    Token::Or | Token::Not => None,
                };
                match (&mut all, term) {
                    (Some(all), Some(term)) => all.push(term),
                    _ => all = None,
                }
            }
            (before, all)
        }
    };
    Plan {
        before,
        all,
        continues,
        unread,
    }
}

fn expression<'c>(call: &'c Call<'_>) -> Option<&'c str> {
    call.task.depends.as_deref().filter(|text| !text.is_empty())
}

/// The tasks that are wanted, and those before them.
struct Wanted {
    targets: Vec<bool>,
    ancestors: Vec<bool>,
}

fn wanted(target: Option<&Text<'_>>, plans: &[Plan], index: &HashMap<Text<'_>, usize>) -> Wanted {
    let none = || vec![false; plans.len()];
    let mut targets = none();
    match target.map(Text::as_str).filter(|text| !text.is_empty()) {
        Some(text) => {
            for task in text.split(' ').filter_map(|name| index.get(&Text::from(name))) {
                if let Some(slot) = targets.get_mut(*task) {
                    *slot = true;
                }
            }
        }
        None => {
            targets.fill(true);
            for before in plans.iter().flat_map(|plan| &plan.before) {
                if let Some(slot) = targets.get_mut(*before) {
                    *slot = false;
                }
            }
        }
    }
    let mut ancestors = none();
    let mut next: Vec<usize> = (0..plans.len())
        .filter(|i| targets.get(*i) == Some(&true))
        .collect();
    while let Some(task) = next.pop() {
        if let (Some(seen @ false), Some(plan)) = (ancestors.get_mut(task), plans.get(task)) {
            *seen = true;
            next.extend(&plan.before);
        }
    }
    Wanted { targets, ancestors }
}

/// Which tasks have surely succeeded when the DAG has: those that are never left out, and whose failure fails it.
fn certain(plans: &[Plan], runs: &[Runs], wanted: &Wanted) -> Vec<bool> {
    let sorted = sorted(plans);
    let sure = |task: usize| !matches!(runs.get(task), None | Some(Runs::Maybe(_)));
    // Never omitted while the DAG succeeds. Tasks in a cycle are not in the list, and stay uncertain.
    let mut starts = vec![false; plans.len()];
    for task in &sorted {
        let of = |before: usize| starts.get(before).copied().unwrap_or(false);
        let all = plans.get(*task).and_then(|plan| plan.all.as_ref());
        let starts_surely = all.is_some_and(|all| {
            all.iter()
                .all(|(before, succeeded)| of(*before) && (!succeeded || sure(*before)))
        });
        if let Some(slot) = starts.get_mut(*task) {
            *slot = starts_surely;
        }
    }
    // Its failure fails the DAG: it is a target, or one that cannot start after its failure passes that on.
    let mut fatal: Vec<bool> = plans
        .iter()
        .zip(&wanted.targets)
        .map(|(plan, target)| *target && !plan.continues)
        .collect();
    for task in sorted.iter().rev() {
        let Some(plan) = plans.get(*task).filter(|_| fatal.get(*task) == Some(&true)) else {
            continue;
        };
        for (before, succeeded) in plan.all.iter().flatten() {
            let continues = plans.get(*before).is_none_or(|plan| plan.continues);
            if let Some(slot) = fatal.get_mut(*before).filter(|_| *succeeded || !continues) {
                *slot = true;
            }
        }
    }
    (0..plans.len())
        .map(|task| sure(task) && starts.get(task) == Some(&true) && fatal.get(task) == Some(&true))
        .collect()
}

/// The tasks, each after those before it; tasks in a cycle are left out.
fn sorted(plans: &[Plan]) -> Vec<usize> {
    let mut waiting: Vec<usize> = plans.iter().map(|plan| plan.before.len()).collect();
    let mut after: Vec<Vec<usize>> = vec![Vec::new(); plans.len()];
    for (plan, task) in plans.iter().zip(0..) {
        for before in &plan.before {
            if let Some(list) = after.get_mut(*before) {
                list.push(task);
            }
        }
    }
    let mut ready: Vec<usize> = (0..plans.len())
        .filter(|task| waiting.get(*task) == Some(&0))
        .collect();
    let mut sorted = Vec::with_capacity(plans.len());
    while let Some(task) = ready.pop() {
        sorted.push(task);
        for next in after.get(task).into_iter().flatten() {
            if let Some(count) = waiting.get_mut(*next) {
                *count = count.saturating_sub(1);
                if *count == 0 {
                    ready.push(*next);
                }
            }
        }
    }
    sorted
}

/// After what a task starts.
fn order<'a>(
    call: &Call<'a>,
    index: &HashMap<Text<'a>, usize>,
    node: &impl Fn(usize) -> NodeId,
    d: &mut Draft<'a, '_>,
) -> OrderId {
    let find = |name: &str| index.get(&Text::from(name)).map(|task| node(*task));
    let Some(text) = expression(call) else {
        // `dependencies: [a]` is satisfied by a task that was skipped too.
        let tasks = call.task.dependencies.0.iter().filter_map(|name| find(name));
        let weak: Vec<Order> = tasks.map(|id| Order::Weak(id, Void::SkippedCounts)).collect();
        return d.all(weak);
    };
    let Some(tokens) = depends::parse(text) else {
        return OrderId(0);
    };
    let mut operands: Vec<OrderId> = Vec::new();
    for token in tokens {
        let order = match token {
            Token::Task(name, result) => find(name).map_or(Order::Start, |id| after(id, result)),
            Token::Not => {
                operands.pop();
                Order::Start
            }
            Token::And | Token::Or => {
                let both: Box<[OrderId]> = [operands.pop(), operands.pop()].into_iter().flatten().collect();
                if token == Token::And {
                    Order::All(both)
                } else {
                    Order::Any(both)
                }
            }
        };
        operands.push(d.order(order));
    }
    operands.pop().unwrap_or(OrderId(0))
}

/// What a task with that result shows.
fn after(task: NodeId, result: Option<&str>) -> Order {
    match result {
        Some("Succeeded") => Order::Done(task),
        None | Some("Skipped" | "Omitted") => Order::Weak(task, Void::SkippedCounts),
        Some("Daemoned") => Order::Weak(task, Void::Daemon),
        Some("AnySucceeded") => Order::Weak(task, Void::CompletesEarly),
        Some(_) => Order::Weak(task, Void::ContinuesOnFailure),
    }
}
