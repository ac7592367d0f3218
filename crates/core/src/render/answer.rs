//! The answer to a request: what kubectl, GitOps tools and the audit log show of a decision.

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use super::{cut, instant, shown, text};

use crate::decision::{Decision, Outcome};
use crate::finding::{Coming, Detail, Finding, Notice};
use crate::reason::Reason;
use crate::review::Operation;
use crate::vocabulary::Action;

/// How many characters of the uid name a decision.
pub const DECISION_ID: usize = 8;

/// At most this many problems in one answer.
const MAX_LINES: usize = 16;

/// The API server silently drops longer warnings once there are many.
const MAX_WARNING: usize = 256;

/// An answer, before it is an `AdmissionReview`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// Whether the request is admitted.
    pub allowed: bool,
    /// HTTP code of the refusal: 422 on CREATE, 403 on UPDATE, because `kubectl apply --force` and Flux delete and
    /// recreate on Invalid, and a refused edit must never cost a running job.
    pub code: u16,
    /// Kubernetes' reason for that code.
    pub reason: &'static str,
    /// The whole refusal for those who do not show causes.
    pub message: String,
    /// One for each problem, and one with help.
    pub causes: Vec<Cause>,
    /// Shown by kubectl after the request.
    pub warnings: Vec<String>,
    /// Kept in the audit log, by key.
    pub audit: Vec<(&'static str, String)>,
}

/// `metav1.StatusCause`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cause {
    /// Our stable reason.
    pub reason: String,
    /// The text, as kubectl prints it behind the field.
    pub message: String,
    /// The field.
    pub field: String,
}

/// The start of the uid that names a decision.
#[must_use]
pub fn decision_id(uid: &str) -> String {
    uid.chars()
        .filter(char::is_ascii_alphanumeric)
        .take(DECISION_ID)
        .collect()
}

/// The answer to a request with that uid.
#[must_use]
pub fn answer(decision: &Decision, uid: &str, operation: Operation) -> Answer {
    let denied: Vec<&Finding> = with_action(decision, Action::Deny);
    let warned: Vec<&Finding> = with_action(decision, Action::Warn);
    let mut warnings: Vec<String> = merged(&warned).into_iter().map(|cause| warning(&cause)).collect();
    warnings.extend(decision.notices.iter().map(|notice| fit(&notice_text(notice))));
    let more = warnings.len().saturating_sub(MAX_LINES);
    if more > 0 {
        warnings.truncate(MAX_LINES);
        warnings.push(format!("datagate: and {more} more"));
    }
    let (code, reason) = if operation == Operation::Update {
        (403, "Forbidden")
    } else {
        (422, "Invalid")
    };
    let allowed = decision.outcome != Outcome::Denied;
    let causes = if allowed {
        Vec::new()
    } else {
        causes(decision, &denied, uid)
    };
    let line = |cause: &Cause| format!("{}: {}", cause.field, cause.message);
    let lines: Vec<String> = causes.iter().map(line).collect();
    let separator = if operation == Operation::Update {
        "\n* "
    } else {
        "; "
    };
    let message = if operation == Operation::Update && !lines.is_empty() {
        format!(
            "datagate keeps the object as it was:{separator}{}",
            lines.join(separator)
        )
    } else {
        lines.join(separator)
    };
    Answer {
        allowed,
        code,
        reason,
        message,
        causes,
        warnings,
        audit: audit(decision, uid),
    }
}

/// The answer to a request that could not be handled: a refusal that says why.
#[must_use]
pub fn refusal(uid: &str, code: u16, reason: &'static str, why: &str) -> Answer {
    let id = decision_id(uid);
    Answer {
        allowed: false,
        code,
        reason,
        message: format!("datagate could not check this and refuses it: {why}; decision {id}"),
        causes: Vec::new(),
        warnings: Vec::new(),
        audit: vec![("decision", uid.to_owned())],
    }
}

/// Why a request is refused that would be admitted if policies were still what they were so long ago.
#[must_use]
pub fn stale(age: Duration) -> String {
    format!(
        "it has heard nothing from the API server for {} s, so policies may have changed. Try again; if it lasts, tell \
         your platform team",
        age.as_secs()
    )
}

fn with_action(decision: &Decision, action: Action) -> Vec<&Finding> {
    decision
        .findings
        .iter()
        .filter(|finding| finding.action() == Some(action))
        .collect()
}

fn causes(decision: &Decision, denied: &[&Finding], uid: &str) -> Vec<Cause> {
    let mut causes = merged(denied);
    let more = causes.len().saturating_sub(MAX_LINES);
    causes.truncate(MAX_LINES);
    let contacts: BTreeSet<String> = decision
        .policies
        .iter()
        .filter(|it| denied.iter().any(|finding| finding.policy == it.name))
        .filter_map(|it| Some(shown(it.policy.as_ref()?.contact.as_ref()?)))
        .collect();
    let mut help: Vec<String> = Vec::new();
    if more > 0 {
        help.push(format!("and {more} more"));
    }
    if !contacts.is_empty() {
        help.push(cut(contacts, 2));
    }
    help.push("kubectl get dsr".to_owned());
    help.push(format!("decision {}", decision_id(uid)));
    causes.push(Cause {
        reason: "Help".to_owned(),
        message: help.join("; "),
        field: "help".to_owned(),
    });
    causes
}

/// Several rules as the subject of one sentence: "member-data/eea (and others/all)".
fn joined(rules: Vec<String>) -> String {
    let mut rules = rules.into_iter();
    let first = rules.next().unwrap_or_default();
    let others = cut(rules, 1);
    if others.is_empty() {
        first
    } else {
        format!("{first} (and {others})")
    }
}

/// One cause for all policies that say the same.
fn merged(findings: &[&Finding]) -> Vec<Cause> {
    let mut groups: Vec<(&Finding, Vec<String>)> = Vec::new();
    let mut known = HashMap::new();
    for finding in findings {
        let says = (
            &finding.detail,
            &finding.dataset,
            &finding.field,
            finding.deny_from,
        );
        let group = *known.entry(says).or_insert_with(|| {
            groups.push((finding, Vec::new()));
            groups.len().saturating_sub(1)
        });
        if let Some((_, rules)) = groups.get_mut(group) {
            rules.push(finding.rule());
        }
    }
    let cause = |(finding, rules): (&Finding, Vec<String>)| {
        let rule = joined(rules);
        let text = text::text(
            &finding.detail,
            finding.dataset.as_deref(),
            &rule,
            finding.deny_from,
        );
        let reason = finding.reason();
        Cause {
            reason: reason.to_string(),
            message: format!("{}: {text} [{reason}]", reason.page().error.as_str()),
            field: field(finding),
        }
    };
    groups.into_iter().map(cause).collect()
}

/// The field of a finding as it is told, with the annotation to add where nothing is there yet.
#[must_use]
pub fn field(finding: &Finding) -> String {
    // What cannot be read has no paths, only a place where reading stopped.
    if let Detail::WorkloadUnreadable { field, .. } = &finding.detail
        && !field.is_empty()
    {
        return field.to_string();
    }
    let prefix = |key: &str| match finding.field.as_str() {
        "" => format!("metadata.annotations[{key}]"),
        field => field.to_owned(),
    };
    match finding.reason() {
        Reason::DataUndeclared => prefix(crate::declaration::DATASETS),
        Reason::PurposeUndeclared | Reason::PurposeNotPermitted => prefix(crate::declaration::PURPOSE),
        // A claim is told where it stands.
        Reason::OwnerUnverified if !matches!(finding.detail, Detail::ClaimForged { .. }) => {
            "metadata.ownerReferences".to_owned()
        }
        _ if finding.field.is_empty() => "metadata.name".to_owned(),
        _ => finding.field.clone(),
    }
}

/// A cause as a warning: without its field if both do not fit.
fn warning(cause: &Cause) -> String {
    let text = cause
        .message
        .split_once(": ")
        .map_or(cause.message.as_str(), |(_, text)| text);
    let full = format!("{}: {text}", cause.field);
    if full.chars().count() <= MAX_WARNING {
        full
    } else {
        fit(text)
    }
}

fn notice_text(notice: &Notice) -> String {
    let data = notice
        .dataset
        .as_deref()
        .map_or_else(|| "the declared data".to_owned(), shown);
    let (from, rule) = (instant(notice.from), shown(&notice.rule));
    match &notice.what {
        Coming::Pause { people, purposes } => {
            let reason = if people.is_empty() {
                Reason::DataPaused
            } else {
                Reason::RegionPaused
            };
            let regions = if people.is_empty() {
                String::new()
            } else {
                format!(" (people in {})", cut(people, 6))
            };
            let purposes = if purposes.is_empty() {
                String::new()
            } else {
                format!(" for {}", cut(purposes.words(), 2))
            };
            format!("from {from} this is refused: {rule} pauses {data}{regions}{purposes} [{reason}]")
        }
        Coming::ListAges { step } => {
            format!(
                "from {from} this is refused: {data}'s list for {step} is then older than {rule} allows [OptOutListStale]"
            )
        }
    }
}

/// A warning that the API server keeps. What is too long loses its middle, never its reason.
fn fit(text: &str) -> String {
    if text.chars().count() <= MAX_WARNING {
        return text.to_owned();
    }
    let (text, reason) = text.rsplit_once(" [").unwrap_or((text, ""));
    let kept = MAX_WARNING
        .saturating_sub(reason.chars().count())
        .saturating_sub("... [".len());
    let start: String = text.chars().take(kept).collect();
    format!("{start}... [{reason}")
}

fn audit(decision: &Decision, uid: &str) -> Vec<(&'static str, String)> {
    if decision.outcome == Outcome::NotGoverned {
        return Vec::new();
    }
    let reasons: BTreeSet<&str> = decision
        .findings
        .iter()
        .map(|finding| finding.reason().as_str())
        .collect();
    let evidence = decision
        .evidence
        .iter()
        .map(|(step, evidence)| format!("{step}={evidence}"));
    let mut audit = vec![
        ("decision", uid.to_owned()),
        ("policies", cut(decision.policies.iter().map(|it| &it.name), 16)),
    ];
    let lists = [
        ("reasons", cut(reasons, 32)),
        ("evidence", cut(evidence, 32)),
        ("purpose", decision.purposes.to_string()),
    ];
    audit.extend(lists.into_iter().filter(|(_, text)| !text.is_empty()));
    audit
}
