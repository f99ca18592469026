//! Plays one handover slowly and tells it: after each call, what was seen and by whom.
//!
//! Must never take a value of the person into the story: labels, digests, lengths and ids only.

use super::SandboxError;
use super::dossier::Fields;
use super::story::{Step, Story, View};
use super::year::{Handing, at, person_key, preparation, report_back, values};
use crate::cli::output::short;
use client::{Prepared, Receipt, Report};
use rules::id::{HandoverId, Label};
use rules::limits::FIELD_PADDING_BYTES;
use rules::pseudonym::Domain;

/// Octets before a value when it is sealed: its length.
const LENGTH_BYTES: usize = 4;
/// Octets after it: the tag of AES-256-GCM.
const TAG_BYTES: usize = 16;
/// A ciphertext of the key holders: two points.
const CIPHERTEXT_BYTES: usize = 64;

const NOT_BROKER: &str = "the BSN, anybody's pseudonym, any value";
const NOT_HOLDER: &str = "persons, contents, the handover, the other holder's factor";

/// Plays one handover and tells it.
///
/// # Errors
///
/// The first step that fails.
pub(crate) async fn tell(handing: &Handing) -> Result<(HandoverId, Story), SandboxError> {
    let Handing {
        case,
        sender,
        recipient,
        contact_date,
    } = handing;
    let person = person_key(case)?;
    let mut steps = vec![enrol_step(handing)?];
    let prepared = sender
        .prepare(&person, &preparation(case, recipient)?)
        .await
        .map_err(at("Prepare"))?;
    let id = prepared.receipt.handover;
    steps.push(prepare_step(&prepared));
    let offered = sender
        .offer(&id, &values(&case.summary)?)
        .await
        .map_err(at("Offer"))?;
    steps.push(offer_step(&offered, &case.summary));
    let summary = recipient.fetch_offer(&id).await.map_err(at("FetchOffer"))?;
    steps.push(fetch_offer_step(&summary.receipt, summary.fields.len()));
    let accepted = recipient.accept(&id).await.map_err(at("Accept"))?;
    sender.show(&id).await.map_err(at("GetHandover"))?;
    steps.push(accept_step(&accepted));
    let released = sender
        .release(&id, &values(&case.dossier)?)
        .await
        .map_err(at("Release"))?;
    steps.push(release_step(&released, &case.dossier));
    let fetched = recipient.fetch(&id).await.map_err(at("Fetch"))?;
    let differ = differing_octets(handing, fetched.person.as_ref())?;
    let opened: Vec<Label> = fetched
        .fields
        .iter()
        .map(|field| field.label.clone())
        .collect();
    steps.push(fetch_step(&fetched.receipt, &opened, fetched.known, differ));
    let completed = recipient
        .complete(&id, contact_date)
        .await
        .map_err(at("Complete"))?;
    steps.push(complete_step(&completed, contact_date));
    let (sent, report) = report_back(handing, &id).await?;
    steps.push(send_report_step(&sent));
    steps.push(fetch_report_step(&report));
    let story = Story {
        title: "One handover told: from UWV to the neutral desk of a centre municipality"
            .to_owned(),
        steps,
    };
    Ok((id, story))
}

fn enrol_step(handing: &Handing) -> Result<Step, SandboxError> {
    let domain = own_domain(&handing.sender);
    let kept = handing
        .sender
        .store()
        .pseudonym(&domain, &person_key(&handing.case)?)
        .map_err(client::ClientError::from)
        .map_err(at("reading the store"))?;
    let shown: String = handing.case.person.bsn.expose().chars().take(4).collect();
    let length = kept.map_or(0, |point| point.bytes().len());
    Ok(Step {
        call: "Enrol",
        what: "UWV makes the person known, once. The number is tested, hashed to a point and encrypted inside \
               UWV's own program; each key holder multiplies its factor in, without being able to look."
            .to_owned(),
        facts: vec![
            ("number", format!("{shown}••••• (a test number; only UWV has it)")),
            ("sent", format!("an order ENROL signed by UWV's desk, and {CIPHERTEXT_BYTES} encrypted bytes")),
            ("kept at UWV", format!("{length} bytes, UWV's own pseudonym, in domain {domain}")),
        ],
        views: vec![
            View::new("UWV", "the BSN and its own pseudonym", "anybody else's pseudonym"),
            View::new("broker", "that UWV enrols somebody; encrypted bytes passing by", NOT_BROKER),
            View::new("holder 1", "a signed order, one encrypted input, one output", NOT_HOLDER),
            View::new("holder 2", "the same, and holder 1's signed voucher", NOT_HOLDER),
            View::new("neutraal", "nothing", "that UWV knows this person"),
            View::new("portal", "nothing", ""),
        ],
    })
}

fn prepare_step(prepared: &Prepared) -> Step {
    let mut facts = receipt_facts(&prepared.receipt);
    facts.push(("summary may have", labels(&prepared.summary_labels)));
    facts.push(("dossier may have", labels(&prepared.dossier_labels)));
    facts.push((
        "dropped by policy",
        labels(&prepared.receipt.dropped_labels),
    ));
    facts.push((
        "recipient's key",
        format!(
            "SHA-256 {}, signed by the recipient",
            short(&prepared.sealing_key.sha256())
        ),
    ));
    Step {
        call: "Prepare",
        what: "UWV asks: may this person go to the neutral desk, for HANDOVER, on Wet SUWI 62(1), with these \
               labels? Its pseudonym is converted to two targets in one pass: a handle for this relation, \
               which only the broker can read, and the portal's pseudonym, which only the portal can read."
            .to_owned(),
        facts,
        views: vec![
            View::new("UWV", "what is permitted, and the recipient's sealing key", "the handle"),
            View::new(
                "broker",
                "sender, recipient, purpose, labels, and a handle that means something in this relation only",
                NOT_BROKER,
            ),
            View::new("holder 1", "a signed order PREPARE: from which domain to which two", NOT_HOLDER),
            View::new("holder 2", "the same, and holder 1's voucher", NOT_HOLDER),
            View::new("neutraal", "nothing yet", "that it was asked"),
            View::new(
                "portal",
                "one line: who asked, why, under which law; sealed to the person at once",
                "who the person is, until that person logs in",
            ),
        ],
    }
}

fn offer_step(offered: &Receipt, summary: &Fields) -> Step {
    let mut facts = receipt_facts(offered);
    facts.push(("sealed", sealed_text(summary, &[])));
    Step {
        call: "Offer",
        what: "UWV seals a summary to the neutral desk: nothing in it says who it is about. A signed manifest \
               names the labels with the digest of each sealed field."
            .to_owned(),
        facts,
        views: vec![
            View::new("UWV", "everything that it wrote", ""),
            View::new("broker", "labels, sealed sizes, digests, the time", NOT_BROKER),
            View::new("holder 1", "nothing: an offer converts nothing", ""),
            View::new("holder 2", "nothing", ""),
            View::new("neutraal", "in its inbox: a handover id, a purpose", "who it is about"),
            View::new("portal", "one line more of that exchange, sealed again", "who it is about"),
        ],
    }
}

fn fetch_offer_step(receipt: &Receipt, fields: usize) -> Step {
    let mut facts = receipt_facts(receipt);
    facts.push((
        "opened",
        format!("{fields} fields, each equal to its digest in UWV's manifest"),
    ));
    Step {
        call: "FetchOffer",
        what: "The neutral desk reads the summary. From now on it gets every notice about this handover.".to_owned(),
        facts,
        views: vec![
            View::new("neutraal", "the summary: route, question, age band, four digits of a postcode", "who it is"),
            View::new("broker", "that the summary was fetched", NOT_BROKER),
            View::new("UWV", "nothing new", ""),
        ],
    }
}

fn accept_step(receipt: &Receipt) -> Step {
    Step {
        call: "Accept",
        what: "The neutral desk takes it. UWV stays responsible; its inbox says ACCEPTED, and it looks at the handover (GetHandover) before it goes on."
            .to_owned(),
        facts: receipt_facts(receipt),
        views: vec![
            View::new("UWV", "that it was accepted, and until when to release", ""),
            View::new("broker", "a state, a revision, a deadline", NOT_BROKER),
            View::new("neutraal", "nothing new", "who it is"),
        ],
    }
}

fn release_step(receipt: &Receipt, dossier: &Fields) -> Step {
    let mut facts = receipt_facts(receipt);
    facts.push(("sealed", sealed_text(dossier, &receipt.unsealed_labels)));
    facts.push(("not even sealed", labels(&receipt.unsealed_labels)));
    Step {
        call: "Release",
        what: "Only now UWV's order HANDOVER turns its pseudonym into the neutral desk's own, and, in the same \
               pass, into the handle again: the broker refuses when that is another person than was prepared."
            .to_owned(),
        facts,
        views: vec![
            View::new("UWV", "its own dossier", "the neutral desk's pseudonym"),
            View::new(
                "broker",
                "that the handle is the same; labels, sizes, digests; it drops what the register does not allow",
                "the BSN, both pseudonyms, any value",
            ),
            View::new("holder 1", "a signed order HANDOVER with its own voucher of the PREPARE", NOT_HOLDER),
            View::new("holder 2", "the same, and holder 1's voucher", NOT_HOLDER),
            View::new("neutraal", "in its inbox: RELEASED", "the dossier, until it fetches"),
            View::new("portal", "one line more of that exchange, sealed again", "any value, ever"),
        ],
    }
}

fn fetch_step(receipt: &Receipt, opened: &[Label], known: bool, differ: usize) -> Step {
    let mut facts = receipt_facts(receipt);
    facts.push(("opened", labels(opened)));
    let whom = if known {
        "somebody known here"
    } else {
        "somebody new here"
    };
    facts.push((
        "its own pseudonym",
        format!("{whom}; {differ} of 32 bytes differ from UWV's pseudonym of the same person"),
    ));
    Step {
        call: "Fetch",
        what: "The neutral desk checks UWV's signatures and both holders' vouchers, decrypts its own pseudonym \
               and opens the fields. The broker decided anew before it let a byte go."
            .to_owned(),
        facts,
        views: vec![
            View::new("neutraal", "the dossier, and its own pseudonym", "UWV's pseudonym"),
            View::new("broker", "that the dossier was fetched", "the BSN, both pseudonyms, any value"),
            View::new("holder 1", "nothing", ""),
            View::new("holder 2", "nothing", ""),
            View::new("UWV", "nothing new", ""),
        ],
    }
}

fn complete_step(receipt: &Receipt, contact_date: &str) -> Step {
    let mut facts = receipt_facts(receipt);
    facts.push((
        "contact",
        format!("{contact_date}: the day on which the two of them really spoke"),
    ));
    Step {
        call: "Complete",
        what: "The neutral desk has had contact with the candidate. Only now responsibility moves: that is what \
               makes it warm. The broker destroys the key of the sealed fields."
            .to_owned(),
        facts,
        views: vec![
            View::new("UWV", "COMPLETED: no longer responsible", ""),
            View::new("broker", "a date and an end; nothing sealed is left that anybody could open", NOT_BROKER),
            View::new("neutraal", "its own record", ""),
            View::new("officer", "every step in the log, with purpose, article and policy", "any value"),
        ],
    }
}

fn send_report_step(receipt: &Receipt) -> Step {
    Step {
        call: "SendReport",
        what: "The neutral desk tells UWV what became of it, under the label that the register allows, sealed to \
               UWV. The broker asks the policies on the person's row as it is now: after a stop nothing goes back."
            .to_owned(),
        facts: receipt_facts(receipt),
        views: vec![
            View::new("neutraal", "what it wrote", ""),
            View::new("broker", "a label, a sealed size, the time", "what became of the person"),
            View::new("UWV", "in its inbox: REPORT_SENT", "the report, until it fetches"),
            View::new("portal", "one line more of that exchange, sealed again", "what it says"),
        ],
    }
}

fn fetch_report_step(report: &Report) -> Step {
    let opened: Vec<Label> = report
        .fields
        .iter()
        .map(|field| field.label.clone())
        .collect();
    let mut facts = receipt_facts(&report.receipt);
    facts.push(("opened", labels(&opened)));
    Step {
        call: "FetchReport",
        what: "UWV opens it and keeps it beside its own person. The broker destroys the report's key a day later, and \
               from now on a stop reaches UWV with a notice too."
            .to_owned(),
        facts,
        views: vec![
            View::new("UWV", "what became of its own person", ""),
            View::new("broker", "that the report was fetched", "what it says"),
            View::new("neutraal", "that the report was fetched", ""),
        ],
    }
}

fn receipt_facts(receipt: &Receipt) -> Vec<(&'static str, String)> {
    vec![
        (
            "handover",
            format!(
                "{} is {} (revision {})",
                receipt.handover,
                receipt.state.code(),
                receipt.revision
            ),
        ),
        (
            "log",
            format!(
                "entry {}, leaf {}, promise signed by the broker",
                receipt.promise.entry,
                short(&receipt.promise.leaf_sha256)
            ),
        ),
    ]
}

/// How many fields, and how large they are when sealed: padded, so that sizes tell little.
fn sealed_text(fields: &Fields, left: &[Label]) -> String {
    let sealed: Vec<_> = fields
        .iter()
        .filter(|(label, _)| !left.iter().any(|other| other.as_str() == *label))
        .collect();
    let bytes: usize = sealed
        .iter()
        .map(|(_, value)| {
            let padded = value
                .len()
                .saturating_add(LENGTH_BYTES)
                .next_multiple_of(FIELD_PADDING_BYTES);
            padded.saturating_add(TAG_BYTES)
        })
        .sum();
    format!(
        "{} fields, {bytes} bytes, each field under a key of its own",
        sealed.len()
    )
}

fn labels(labels: &[Label]) -> String {
    if labels.is_empty() {
        return "none".to_owned();
    }
    labels
        .iter()
        .map(Label::as_str)
        .collect::<Vec<_>>()
        .join(", ")
}

fn own_domain(client: &client::Client) -> Domain {
    Domain::Partner {
        party: client.party().clone(),
        epoch: 1,
    }
}

/// In how many octets sender's and recipient's pseudonyms of the same person differ.
fn differing_octets(
    handing: &Handing,
    person: Option<&client::PersonKey>,
) -> Result<usize, SandboxError> {
    let read = |client: &client::Client, key: &client::PersonKey| {
        client
            .store()
            .pseudonym(&own_domain(client), key)
            .map_err(client::ClientError::from)
            .map_err(at("reading the store"))
    };
    let sender = read(&handing.sender, &person_key(&handing.case)?)?;
    let recipient = person.map(|person| read(&handing.recipient, person));
    let recipient = recipient.transpose()?.flatten();
    match (sender, recipient) {
        (Some(one), Some(other)) => Ok(one
            .bytes()
            .iter()
            .zip(other.bytes())
            .filter(|(a, b)| a != b)
            .count()),
        _ => Err(SandboxError::Unexpected(
            "a pseudonym is not in its owner's store".to_owned(),
        )),
    }
}
