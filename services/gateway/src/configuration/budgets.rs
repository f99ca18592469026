//! What an organisation, and all together, may hold of the process.
//!
//! Must never take a budget in which nothing fits.

use super::fields::Fields;
use crate::door::budgets::{Budgets, Part};
use rules::limits::MESSAGE_BYTES_MAX;

/// Budgets that are not in the file are the door's own.
pub(super) fn read(fields: &mut Fields<'_>) -> Budgets {
    let usual = Budgets::default();
    let mut count = |field: &str, usual: u64| fields.optional_count(field).map_or(usual, u64::from);
    let mut part = |end: &str, usual: Part| Part {
        connections: count(&format!("connections_{end}"), usual.connections),
        calls: count(&format!("calls_{end}"), usual.calls),
        unfinished: count(&format!("unfinished_bytes_{end}"), usual.unfinished),
        unread: count(&format!("unread_bytes_{end}"), usual.unread),
        watches: count(&format!("watches_{end}"), usual.watches),
        searches: count(&format!("searches_{end}"), usual.searches),
    };
    let organisation = part("per_organisation", usual.organisation);
    let process = part("max", usual.process);
    note_unusable(fields, &organisation, &process);
    let mut rate = |field, usual| fields.optional_count(field).unwrap_or(usual);
    Budgets {
        organisation,
        process,
        calls_per_second: rate("calls_per_second", usual.calls_per_second),
        calls_burst: rate("calls_burst", usual.calls_burst),
    }
}

/// A budget in which not even one message fits would refuse everything, and a part beyond the whole is none.
fn note_unusable(fields: &mut Fields<'_>, organisation: &Part, process: &Part) {
    let message = MESSAGE_BYTES_MAX as u64;
    for (name, part, whole, least) in [
        (
            "connections",
            organisation.connections,
            process.connections,
            1,
        ),
        ("calls", organisation.calls, process.calls, 1),
        (
            "unfinished_bytes",
            organisation.unfinished,
            process.unfinished,
            message,
        ),
        ("unread_bytes", organisation.unread, process.unread, message),
        ("watches", organisation.watches, process.watches, 1),
        ("searches", organisation.searches, process.searches, 1),
    ] {
        let field = format!("{name}_per_organisation");
        if part < least {
            fields.mistake(&field, format!("is less than {least}, the largest message"));
        } else if part > whole {
            fields.mistake(&field, format!("is more than {name}_max, which is {whole}"));
        }
    }
}
