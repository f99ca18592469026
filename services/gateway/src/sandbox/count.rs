//! Counts what recipients opened and what the neutral desk recorded itself.
//!
//! Must never take a count from what was sent.

use super::SandboxError;
use super::dossier::{BENEFIT_REFUSED, PROJECT_PREFIX};
use super::ground::Ground;
use super::report::Outcome;
use super::site;
use super::year::{Clients, Done, at, client_of};
use client::ClientError;
use std::collections::{BTreeMap, BTreeSet};

/// The label from which the groups are counted.
const GROUP: &str = "doelgroep.code";
/// The label from which the kinds of intervention are counted.
const INTERVENTION: &str = "interventie.code";
/// The label that says how somebody came to the desk.
const TRIAGE: &str = "triage.besluit";
/// The purpose of records that count what became of requests.
const MONITOR: &str = "MONITOR";
/// Who takes the year's interventions.
const NEUTRAL: &str = "neutraal";
/// The label of a person's name.
const NAME: &str = "identiteit.naam";

/// Counts what lies opened in the recipients' own stores, and the neutral desk's own records.
///
/// # Errors
///
/// When a store or the records cannot be read.
pub(crate) async fn count(
    ground: &Ground,
    clients: &Clients,
    done: &[Done],
) -> Result<Outcome, SandboxError> {
    let mut outcome = Outcome::default();
    let mut via_partner = BTreeSet::new();
    for one in done {
        let record = client_of(clients, &one.recipient)?
            .store()
            .opened(&one.handover)
            .map_err(ClientError::from)
            .map_err(at("reading the store"))?;
        let Some(record) = record else { continue };
        if one.recipient != NEUTRAL {
            add(&mut outcome.opened_outside);
            continue;
        }
        if record.purpose.as_str() == MONITOR {
            add(&mut outcome.choices.monitoring_opened);
            continue;
        }
        let field = |wanted: &str| {
            record.fields.iter().find_map(|(label, value)| {
                let text = String::from_utf8_lossy(value.expose()).into_owned();
                (label.as_str() == wanted).then_some(text)
            })
        };
        let kind = field(INTERVENTION).unwrap_or_default();
        if let Some(project) = kind.strip_prefix(PROJECT_PREFIX) {
            add_to(&mut outcome.projects, project.to_owned());
            continue;
        }
        let Some(group) = field(GROUP) else { continue };
        if field(TRIAGE).is_some_and(|text| text.ends_with(BENEFIT_REFUSED)) {
            add(&mut outcome.after_refused_benefit);
        }
        add_to(&mut outcome.via_partner, group.clone());
        add_to(&mut outcome.interventions, (group.clone(), kind.clone()));
        if let Some(name) = field(NAME) {
            via_partner.insert((name, group, kind));
        }
    }
    for one in site::read(&ground.identity(NEUTRAL)?)? {
        add_to(&mut outcome.via_site, one.group.clone());
        let seen = (one.name, one.group, one.intervention);
        // The desk gets no numbers: it knows the same person again by the name in the dossier.
        if via_partner.contains(&seen) {
            add(&mut outcome.by_both);
        } else {
            add_to(&mut outcome.interventions, (seen.1, seen.2));
        }
    }
    let status = client_of(clients, NEUTRAL)?
        .status()
        .await
        .map_err(at("GetStatus"))?;
    outcome.trust_level = status.trust_level;
    Ok(outcome)
}

fn add(count: &mut u32) {
    *count = count.saturating_add(1);
}

fn add_to<K: Ord>(counts: &mut BTreeMap<K, u32>, key: K) {
    add(counts.entry(key).or_default());
}
