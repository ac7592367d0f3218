//! Is each record there, readable, current, and the one that was meant?

use super::{Data, Findings, Known};
use crate::dataset::Ancestry;
use crate::declaration::Source;
use crate::finding::Detail;

/// `DatasetUnknown`, `DatasetUnreadable`, `DatasetWithdrawn`, `DigestMismatch`.
pub fn check(data: &Data<'_>, findings: &mut Findings<'_>) {
    let name = data.name();
    let now = findings.now;
    match data.known {
        Known::Unknown => findings.policy(name, data.at, Detail::DatasetUnknown { parent_of: None }),
        Known::Unreadable(error) => {
            findings.policy(name, data.at, Detail::DatasetUnreadable { error: error.into() });
        }
        Known::Regions(_) => {}
        Known::Dataset(dataset) => {
            match &dataset.broken {
                Some((parent, Ancestry::Missing)) => {
                    let parent_of = name.map(Into::into);
                    findings.policy(Some(parent), data.at, Detail::DatasetUnknown { parent_of });
                }
                Some((parent, how)) => {
                    let what = if *how == Ancestry::Cycle {
                        "is derived from itself through"
                    } else {
                        "is derived from the unreadable"
                    };
                    let error = if name == Some(&**parent) {
                        "is derived from itself".into()
                    } else {
                        format!("{what} {parent}").into()
                    };
                    findings.policy(name, data.at, Detail::DatasetUnreadable { error });
                }
                None => {}
            }
            if let Some(withdrawn) = dataset.record.withdrawn(now) {
                let detail = Detail::DatasetWithdrawn {
                    since: withdrawn.since,
                    reason: withdrawn.reason.clone(),
                    superseded_by: withdrawn.superseded_by.clone(),
                };
                findings.policy(name, data.at, detail);
            }
            if let Source::Record { pin: Some(pin), .. } = data.source
                && dataset.record.sha256.as_deref() != Some(pin)
            {
                let detail = Detail::DigestMismatch {
                    pinned: (*pin).into(),
                    recorded: dataset.record.sha256.clone(),
                };
                findings.policy(name, data.at, detail);
            }
        }
    }
}
