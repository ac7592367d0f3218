//! May the data be used for what the workload does?

use super::{Case, Data, Findings};
use crate::finding::Detail;

/// `PurposeNotPermitted` by the record.
pub fn check(case: &Case<'_>, data: &Data<'_>, findings: &mut Findings<'_>) {
    let Some(dataset) = data.dataset() else { return };
    if let Some(permitted) = dataset
        .record
        .permitted
        .filter(|permitted| !case.purposes.within(*permitted))
    {
        let purposes = case.purposes.beyond(permitted);
        let contact = dataset.record.contact.clone();
        findings.policy(
            data.name(),
            data.at,
            Detail::PurposeNotPermitted {
                purposes,
                permitted,
                contact,
            },
        );
    }
}
