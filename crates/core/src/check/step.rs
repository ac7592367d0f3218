//! Was the step done, or does it provably come first?
//!
//! Missing, not first, insufficient and stale are one evaluation that keeps the best attempt. The catalogue is asked
//! first, dataset by dataset; what it leaves open is collected over all policies and proved in one pass over the workload.

use std::cell::{OnceCell, RefCell};
use std::collections::{HashMap, HashSet};

use jiff::Timestamp;

use super::{Case, Data, Findings};
use crate::dataset::{age, believed};
use crate::finding::{Coming, Detail, Found};
use crate::order::{Mask, Proof};
use crate::path::At;
use crate::policy::{Policy, Requirement, StepRule};
use crate::submission::{FrameId, Node, NodeId, Role, Run, Runs, Void, What};
use crate::vocabulary::{Evidence, StepType, WorkloadScope};

mod escape;

/// A day in nanoseconds.
const DAY: i128 = 24 * 60 * 60 * 1_000_000_000;

/// What the catalogue left open.
#[derive(Debug, Default)]
pub struct Asks<'a>(Vec<Ask<'a>>);

#[derive(Debug)]
struct Ask<'a> {
    policy: &'a Policy,
    requirement: &'a Requirement,
    rule: &'a StepRule,
    dataset: Option<&'a str>,
    at: At,
    /// The list in the catalogue is too old by this age in days, or of unknown age.
    stale: Option<Option<i64>>,
    catalogued: bool,
}

/// Asks the catalogue for each step of a requirement.
pub fn check<'a>(
    case: &Case<'a>,
    policy: &'a Policy,
    requirement: &'a Requirement,
    data: &Data<'a>,
    asks: &mut Asks<'a>,
    findings: &mut Findings<'_>,
) {
    if matches!(data.known, super::Known::Unknown | super::Known::Unreadable(_)) {
        return;
    }
    // It runs nothing itself, as a Workflow that only creates other objects, which are judged when it does. Or nothing of
    // it can be seen: then it is refused for that.
    if case.submission.runs().next().is_none() {
        return;
    }
    for rule in &requirement.steps {
        let recorded = data
            .dataset()
            .and_then(|dataset| dataset.record.step(rule.step, case.now));
        let mut ask = Ask {
            policy,
            requirement,
            rule,
            dataset: data.name(),
            at: data.at,
            stale: None,
            catalogued: recorded.is_some(),
        };
        if let Some(step) = recorded.filter(|_| rule.accepted.contains(Evidence::Catalogued)) {
            let Some(days) = rule.max_list_age_days else {
                findings.shown(rule.step, Evidence::Catalogued);
                continue;
            };
            let allowed = i128::from(days).saturating_mul(DAY);
            let as_of = step.list_as_of.filter(|at| believed(*at, case.now));
            match as_of.map(|at| (at, age(at, case.now))) {
                Some((as_of, age)) if age <= allowed => {
                    findings.shown(rule.step, Evidence::Catalogued);
                    if age > allowed / 10 * 9
                        && let Ok(from) =
                            Timestamp::from_nanosecond(as_of.as_nanosecond().saturating_add(allowed))
                    {
                        let what = Coming::ListAges { step: rule.step };
                        findings.notice(&requirement.entry, data.name(), from, what);
                    }
                    continue;
                }
                // The day that has begun counts: a list that is too old for 30 days is not 30 days old.
                Some((_, age)) => ask.stale = Some(i64::try_from(age.saturating_add(DAY - 1) / DAY).ok()),
                None => ask.stale = Some(None),
            }
        }
        asks.0.push(ask);
    }
}

impl<'a> Asks<'a> {
    /// Proves what is asked for on the workload itself; what cannot be proved is found.
    pub fn resolve(&self, case: &Case<'a>, found: &mut Found) {
        for chunk in self.0.chunks(32) {
            let workload = Workload::new(case, chunk);
            for (ask, index) in chunk.iter().zip(0..) {
                let mut findings = Findings::of(ask.policy, case.now, found);
                match workload.outcome(ask, index) {
                    Ok(evidence) => findings.shown(ask.rule.step, evidence),
                    Err((at, detail)) => findings.entry(&ask.requirement.entry, ask.dataset, at, detail),
                }
            }
        }
    }
}

/// The steps and trainers of the workload for up to 32 asks: bit `2i` says "is the step of ask i, in an accepted way",
/// bit `2i + 1` the same with a list that is current at the start.
struct Workload<'w, 'a> {
    case: &'w Case<'a>,
    named: Named<'w>,
    is: Vec<Mask>,
    proof: Option<Proof>,
    /// The proof as if adoption by name were none; made when a step lacks only that.
    trusting: OnceCell<Option<Proof>>,
    calls: OnceCell<escape::Calls>,
    /// Each is asked for once for every body of data.
    voids: RefCell<HashMap<(NodeId, NodeId), Void>>,
}

const fn bit(index: usize) -> Mask {
    1 << (2 * index)
}

const fn current_bit(index: usize) -> Mask {
    1 << (2 * index + 1)
}

impl<'w, 'a> Workload<'w, 'a> {
    fn new(case: &'w Case<'a>, asks: &[Ask<'a>]) -> Self {
        let nodes = &case.submission.nodes;
        let named = Named::of(case);
        let mut is: Vec<Mask> = vec![0; nodes.len()];
        for (ask, index) in asks.iter().zip(0..) {
            if (ask.rule.accepted - Evidence::Catalogued).is_empty() {
                continue;
            }
            for (slot, node) in is.iter_mut().zip(nodes) {
                let shown = named.shown_by(node, ask.policy, ask.rule.step);
                if shown
                    .iter()
                    .any(|(evidence, _)| ask.rule.accepted.contains(*evidence))
                {
                    *slot |= bit(index);
                }
                if shown
                    .iter()
                    .any(|(evidence, current)| *current && ask.rule.accepted.contains(*evidence))
                {
                    *slot |= current_bit(index);
                }
            }
        }
        let by_word = asks
            .iter()
            .zip(0..)
            .filter(|(ask, _)| ask.rule.accepted.contains(Evidence::Declared))
            .fold(0, |mask, (_, index)| mask | bit(index));
        let proof = is
            .iter()
            .any(|mask| *mask != 0)
            .then(|| Proof::new(case.submission, &is, by_word));
        Self {
            case,
            named,
            is,
            proof,
            trusting: OnceCell::new(),
            calls: OnceCell::new(),
            voids: RefCell::default(),
        }
    }

    /// Whether the step would come first if whatever has the name of a task were that task.
    fn holds_by_name(&self, trainer: NodeId, mask: Mask) -> bool {
        let by_name = |node: &Node<'_>| node.runs == Runs::ByName;
        let trusting = self.trusting.get_or_init(|| {
            let any = self.case.submission.nodes.iter().any(by_name);
            any.then(|| Proof::new(self.case.submission, &self.is, Mask::MAX))
        });
        trusting
            .as_ref()
            .is_some_and(|proof| proof.before(trainer) & mask != 0)
    }

    /// Whether another pod that has the name may stand in for what runs in the frame.
    fn is_by_name(&self, frame: FrameId) -> bool {
        let by_name = |id: &NodeId| {
            let node = self.case.submission.node(*id);
            node.is_some_and(|node| node.runs == Runs::ByName)
        };
        self.calls().of_frame(frame).iter().any(by_name)
    }

    fn calls(&self) -> &escape::Calls {
        self.calls.get_or_init(|| escape::Calls::of(self.case.submission))
    }

    fn void(&self, step: NodeId, trainer: NodeId) -> Void {
        let mut voids = self.voids.borrow_mut();
        *voids
            .entry((step, trainer))
            .or_insert_with(|| escape::void(self.case.submission, self.calls(), step, trainer))
    }

    fn way(&self, trainer: NodeId, mask: Mask) -> Box<[Box<str>]> {
        let way = |proof| escape::way(self.case.submission, self.calls(), proof, trainer, mask);
        self.proof.as_ref().map(way).unwrap_or_default().into()
    }

    fn is(&self, node: NodeId, mask: Mask) -> bool {
        self.is.get(node.0 as usize).is_some_and(|is| is & mask != 0)
    }

    /// The evidence that holds, or the best attempt and its field.
    fn outcome(&self, ask: &Ask<'a>, index: usize) -> Result<Evidence, (At, Detail)> {
        let rule = ask.rule;
        let (step, accepted) = (rule.step, rule.accepted);
        let mask = if rule.max_list_age_days.is_some() {
            current_bit(index)
        } else {
            bit(index)
        };
        let trainers = self.trainers(ask.policy, bit(index));
        let escapes = |mask: Mask| {
            let before = |node: NodeId| self.proof.as_ref().map_or(0, |proof| proof.before(node));
            trainers.iter().copied().find(|node| before(*node) & mask == 0)
        };
        if !trainers.is_empty() && escapes(mask).is_none() {
            let run = self.first(mask).and_then(|node| self.case.submission.node(node));
            let shown = run
                .map(|node| self.named.shown_by(node, ask.policy, step))
                .unwrap_or_default();
            let best = shown
                .iter()
                .map(|(evidence, _)| *evidence)
                .filter(|it| accepted.contains(*it))
                .max();
            let by_word = run.is_some_and(|node| self.is_by_name(node.frame));
            return Ok(best.filter(|_| !by_word).unwrap_or(Evidence::Declared));
        }
        if let Some(allowed_days) = rule.max_list_age_days {
            let in_workload = !trainers.is_empty() && escapes(bit(index)).is_none();
            if let Some(age_days) = ask.stale.or(in_workload.then_some(None)) {
                return Err((
                    ask.at,
                    Detail::OptOutListStale {
                        step,
                        age_days,
                        allowed_days,
                        accepted,
                    },
                ));
            }
        }
        let escape = escapes(bit(index));
        if let (Some(node), Some(trainer)) = (self.first(bit(index)), escape) {
            let name = |id: NodeId| self.case.submission.node(id).map_or("", |node| &node.name).into();
            let void = self.void(node, trainer);
            if self.holds_by_name(trainer, bit(index)) {
                let have = Evidence::Declared;
                let by_name = Some(name(node));
                return Err((
                    ask.at,
                    Detail::EvidenceInsufficient {
                        step,
                        have,
                        accepted,
                        by_name,
                    },
                ));
            }
            // Where the step itself is right, the pod that does not wait for it is the place to correct.
            let wrong = if matches!(void, Void::TrainsEphemeral | Void::Elsewhere) {
                trainer
            } else {
                node
            };
            let at = self.case.submission.node(wrong).map_or(ask.at, |node| node.at);
            return Err((
                at,
                Detail::StepNotFirst {
                    step,
                    node: name(node),
                    trainer: name(trainer),
                    void,
                    way: self.way(trainer, bit(index)),
                    place: self.case.submission.place,
                },
            ));
        }
        if let Some(have) = self.other_evidence(ask) {
            return Err((
                ask.at,
                Detail::EvidenceInsufficient {
                    step,
                    have,
                    accepted,
                    by_name: None,
                },
            ));
        }
        let nothing_trains = trainers.is_empty();
        let frames = trainers.iter().filter_map(|id| self.case.submission.node(*id));
        let pods = frames.map(|node| node.frame).collect::<HashSet<_>>().len();
        Err((
            self.pod(ask),
            Detail::StepMissing {
                step,
                accepted,
                nothing_trains,
                pods,
                place: self.case.submission.place,
            },
        ))
    }

    fn first(&self, mask: Mask) -> Option<NodeId> {
        self.nodes().find(|(id, _)| self.is(*id, mask)).map(|(id, _)| id)
    }

    fn nodes(&self) -> impl Iterator<Item = (NodeId, &'w Node<'a>)> {
        self.case
            .submission
            .nodes
            .iter()
            .zip(0..)
            .map(|(node, id)| (NodeId(id), node))
    }

    fn runs(&self) -> impl Iterator<Item = (NodeId, &'w Run<'a>)> {
        self.case.submission.runs()
    }

    /// What trains: the containers that ask for accelerators, or else every main container; under `All` both. And
    /// whatever has the image of one of those; never a step of this kind.
    fn trainers(&self, policy: &Policy, step: Mask) -> Vec<NodeId> {
        let accelerated = self.runs().any(|(_, run)| run.accelerated);
        let all = policy.reach.workloads == WorkloadScope::All;
        let main = |run: &Run<'_>| matches!(run.role, Role::Main | Role::Ephemeral);
        let trains = |run: &Run<'_>| run.accelerated || (main(run) && (all || !accelerated));
        let candidates: Vec<(NodeId, &Run<'_>)> = self.runs().filter(|(id, _)| !self.is(*id, step)).collect();
        let images: HashSet<&str> = candidates
            .iter()
            .filter(|(_, run)| trains(run))
            .map(|(_, run)| run.image.as_str())
            .collect();
        let same_image = |run: &Run<'_>| !run.image.is_empty() && images.contains(run.image.as_str());
        candidates
            .iter()
            .filter(|(_, run)| trains(run) || same_image(run))
            .map(|(id, _)| *id)
            .collect()
    }

    /// Evidence that is there and not accepted.
    fn other_evidence(&self, ask: &Ask<'a>) -> Option<Evidence> {
        if ask.catalogued && !ask.rule.accepted.contains(Evidence::Catalogued) {
            return Some(Evidence::Catalogued);
        }
        let shown = self
            .nodes()
            .flat_map(|(_, node)| self.named.shown_by(node, ask.policy, ask.rule.step));
        shown
            .map(|(evidence, _)| evidence)
            .find(|evidence| !ask.rule.accepted.contains(*evidence))
    }

    /// The pod spec or job list in which an init container could be added.
    fn pod(&self, ask: &Ask<'a>) -> At {
        let can_add = !(ask.rule.accepted - Evidence::Catalogued).is_empty();
        let run = self.nodes().find(|(_, node)| matches!(node.what, What::Run(_)));
        run.filter(|_| can_add)
            .and_then(|(_, node)| self.case.submission.parents.get(node.frame.0 as usize))
            .copied()
            .unwrap_or(ask.at)
    }
}

/// What the declaration names as steps: sets, because a workload may have as many names as bytes.
struct Named<'w> {
    names: HashSet<(StepType, &'w str)>,
    /// Frames that run because a named task or job calls them.
    frames: HashSet<(StepType, FrameId)>,
}

impl<'w> Named<'w> {
    fn of(case: &'w Case<'_>) -> Self {
        let names: HashSet<_> = case.declared.steps.iter().map(|it| (it.step, it.name)).collect();
        let mut frames = HashSet::new();
        for node in &case.submission.nodes {
            if let What::Call(frame) = node.what {
                let steps = StepType::ALL
                    .iter()
                    .filter(|step| names.contains(&(**step, node.name.as_str())));
                frames.extend(steps.map(|step| (*step, frame)));
            }
        }
        Self { names, frames }
    }

    /// How a node is shown to be a step, and whether it reads its list when it starts.
    fn shown_by(&self, node: &Node<'_>, policy: &Policy, step: StepType) -> Vec<(Evidence, bool)> {
        let mut shown = Vec::new();
        if self.names.contains(&(step, node.name.as_str())) || self.frames.contains(&(step, node.frame)) {
            shown.push((Evidence::Declared, false));
        }
        if let What::Run(run) = &node.what
            && run.role != Role::Ephemeral
            && let Some(digest) = run.digest()
        {
            let trusted = policy.trust.iter().filter(|image| {
                image.step == step
                    && *image.digest == *digest
                    && run.runs_as(image.command.as_deref(), image.args.as_deref())
            });
            if let Some(current) = trusted
                .map(|image| image.reads_list_at_start)
                .reduce(|a, b| a || b)
            {
                shown.push((Evidence::TrustedImage, current));
            }
        }
        shown
    }
}
