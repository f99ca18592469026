//! Doing: enrol, offer, accept, release, fetch, complete, and what else changes a handover.
//!
//! Must never print a field to anybody but the desk that it was sealed to.

use super::arguments::Verb;
use super::assist::assist_consent;
use super::codes::{Choice as _, read};
use super::day::{day, moment};
use super::error::CliError;
use super::look::facts_of;
use super::offer_file::OfferFile;
use super::outcome::OutcomeCode;
use super::output::{Answer, facts, table};
use super::people::{ask_consent, enrol, person_key, redeem_link};
use super::resume::{resume, typed_before};
use super::session::Session;
use crate::clock::{SystemClock, today};
use client::{Draft, NoticeReceipt, PersonKey, Preparation, Proof, Receipt, Values};
use rules::handover::{CancelCode, DeclineCode, QuestionCode, ReturnCode};
use rules::hex;
use rules::id::{GroupId, Label, NoticeId};
use rules::notice::{AnswerCode, NoticeKind};
use rules::secret::Secret;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::Path;
use vault::chance::SystemChance;
use vault::sealing::OpenedField;
use wire::handover::v1::ObjectionDecision;

/// Every verb that changes something.
pub(crate) async fn run(session: &Session, verb: &Verb) -> Result<Answer, CliError> {
    match verb {
        Verb::Enrol {
            person,
            bsn,
            replace,
            ..
        } => enrol(session, person, bsn.as_deref(), *replace).await,
        Verb::Resume => resume(session).await,
        Verb::AskConsent {
            person,
            to,
            purpose,
            categories,
        } => ask_consent(session, person, to, (purpose, categories)).await,
        Verb::AssistConsent { person, choice } => assist_consent(session, person, choice).await,
        Verb::RedeemLink {
            person,
            replace,
            code,
        } => redeem_link(session, person, code, *replace).await,
        Verb::Offer {
            person,
            to,
            file,
            group,
            again,
        } => offer(session, (person, to, *again), (file, group.as_deref())).await,
        Verb::FetchOffer(which) => fetch_offer(session, &which.handover).await,
        Verb::Release(which) => release(session, &which.handover).await,
        Verb::Fetch(which) => fetch(session, &which.handover).await,
        Verb::FetchReport(which) => fetch_report(session, &which.handover).await,
        Verb::Notify { which, kind } => {
            let id = session.present(&which.handover).await?;
            let sent = session
                .client
                .send_notice(&id, read::<NoticeKind>(kind)?)
                .await?;
            Ok(noticed("the notice is in the recipient's inbox", &sent))
        }
        Verb::Ack { id } => ack(session, id).await,
        Verb::Answer {
            notice: id,
            answer,
            ground,
        } => self::answer(session, id, answer, ground.as_deref()).await,
        other => recipient_step(session, other).await,
    }
}

/// The recipient's steps that need nothing but a handover and a code.
async fn recipient_step(session: &Session, verb: &Verb) -> Result<Answer, CliError> {
    let client = &session.client;
    let (done, receipt) = match verb {
        Verb::Accept(which) => {
            let id = session.present(&which.handover).await?;
            // The release makes this desk's pseudonym of the person: its context must be open by then.
            client.open_context().await?;
            let receipt = client.accept(&id).await?;
            ("accepted; the sender can release the dossier now", receipt)
        }
        Verb::Decline { which, code, other } => {
            let code = read::<DeclineCode>(code)?;
            let other = other.as_deref().map(|other| session.party(other));
            let other = other.transpose()?;
            let id = session.present(&which.handover).await?;
            ("declined", client.decline(&id, code, other.as_ref()).await?)
        }
        Verb::ProposeChange {
            which,
            question,
            date,
        } => {
            let question = read::<QuestionCode>(question)?;
            if let Some(date) = date {
                day(date)?;
            }
            let id = session.present(&which.handover).await?;
            let asked = client.propose_change(&id, question, date.as_deref());
            ("asked; the sender decides", asked.await?)
        }
        Verb::Complete {
            which,
            contact_date,
        } => {
            let contact_date = contact(contact_date)?;
            let id = session.present(&which.handover).await?;
            let receipt = client.complete(&id, &contact_date).await?;
            ("completed: responsibility has moved to you", receipt)
        }
        Verb::SendReport {
            which,
            outcome,
            label,
        } => {
            let code = read::<OutcomeCode>(outcome)?;
            let value = Secret::new(code.name().as_bytes().to_vec());
            let label = label.parse().map_err(|error: rules::id::NameError| {
                CliError::usage(error.to_string(), "name a label of the register")
            })?;
            let id = session.present(&which.handover).await?;
            let receipt = client.send_report(&id, &[(label, value)]).await?;
            (
                "sent, sealed to the sender: nobody else can read it",
                receipt,
            )
        }
        Verb::Return { which, code } => {
            let code = read::<ReturnCode>(code)?;
            let id = session.present(&which.handover).await?;
            let receipt = client.return_handover(&id, code).await?;
            ("returned; the sender stays responsible", receipt)
        }
        other => return sender_step(session, other).await,
    };
    Ok(changed(done, &receipt))
}

/// The day of a contact as typed, where `today` is today in Amsterdam.
fn contact(typed: &str) -> Result<String, CliError> {
    match typed {
        "today" => today().ok_or_else(|| CliError::Usage {
            what: "today's date cannot be found".to_owned(),
            remedy: "give it as YYYY-MM-DD".to_owned(),
        }),
        typed => day(typed).map(|day| day.to_string()),
    }
}

/// The steps of the sender, of the candidate's channel and of the officer.
async fn sender_step(session: &Session, verb: &Verb) -> Result<Answer, CliError> {
    let client = &session.client;
    let (done, receipt) = match verb {
        Verb::AcceptChange(which) => {
            let id = session.present(&which.handover).await?;
            let receipt = client.accept_change(&id).await?;
            (
                "the change is accepted; the recipient decides again",
                receipt,
            )
        }
        Verb::RejectChange(which) => {
            let id = session.present(&which.handover).await?;
            let receipt = client.reject_change(&id).await?;
            ("the change is rejected and the handover has ended", receipt)
        }
        Verb::Cancel { which, code } => {
            let code = read::<CancelCode>(code)?;
            let id = session.present(&which.handover).await?;
            ("called off", client.cancel(&id, code).await?)
        }
        Verb::Decide { which, decision } => {
            let decision = read::<ObjectionDecision>(decision)?;
            let id = session.handover(&which.handover).await?;
            ("decided", client.decide_objection(&id, decision).await?)
        }
        _ => {
            return Err(CliError::usage(
                "this verb changes nothing",
                "see sluis help",
            ));
        }
    };
    Ok(changed(done, &receipt))
}

async fn offer(
    session: &Session,
    (person, to, again): (&str, &str, bool),
    (file, group): (&Path, Option<&str>),
) -> Result<Answer, CliError> {
    let file = OfferFile::read(file)?;
    let group = group.map(self::group).transpose()?;
    let key = person_key(person)?;
    let recipient = session.party(to)?;
    let preparation = Preparation {
        recipient,
        purpose: file.purpose,
        basis: file.basis,
        summary_labels: file.summary.keys().cloned().collect(),
        dossier_labels: file.dossier.keys().cloned().collect(),
        group,
    };
    let draft = Draft {
        summary: values(file.summary),
        dossier: values(file.dossier),
    };
    let waiting = session.client.waiting_draft(&key, &preparation, &draft)?;
    if let (Some(place), false) = (waiting, again) {
        return Err(typed_before(place));
    }
    session.client.open_context().await?;
    let offered = session.client.offer_draft(&key, &preparation, &draft);
    let (prepared, receipt) = offered.await?;
    let id = prepared.receipt.handover;
    let dropped = prepared.receipt.dropped_labels;
    let text = format!(
        "{}{}",
        changed(
            "offered; the dossier stays here, sealed, until you release it",
            &receipt
        )
        .text,
        facts(&[
            ("summary", labels(&prepared.summary_labels)),
            ("dossier may have", labels(&prepared.dossier_labels)),
            ("not allowed, dropped", labels(&dropped)),
            ("a number stands in", labels(&receipt.number_labels)),
            (
                "group",
                group.map_or_else(String::new, |group| group.to_string())
            ),
        ])
    );
    // On lines of its own, so that it can be copied as it stands.
    let text = format!("{text}next:\n  sluis --as {to} fetch-offer {id}\n");
    let mut json = changed("", &receipt).json;
    for (name, labels) in [
        ("summary_labels", &prepared.summary_labels),
        ("dossier_labels", &prepared.dossier_labels),
        ("dropped_labels", &dropped),
        ("number_labels", &receipt.number_labels),
    ] {
        add(&mut json, name, json!(texts(labels)));
    }
    let group = group.map(|group| group.to_string());
    add(&mut json, "group", json!(group));
    Ok(Answer::new(text, json))
}

/// Texts as values to be sealed.
fn values(texts: BTreeMap<Label, String>) -> Values {
    let values = texts.into_iter();
    values
        .map(|(label, value)| (label, Secret::new(value.into_bytes())))
        .collect()
}

/// A group's id, or a new one.
fn group(text: &str) -> Result<GroupId, CliError> {
    if text == "new" {
        return Ok(GroupId::draw(&SystemClock, &SystemChance::new()));
    }
    text.parse().map_err(|_| {
        CliError::usage(
            "that is no group's id",
            "give `grp_` and 32 digits, as the first `offer` of the group printed it, or `new`",
        )
    })
}

async fn fetch_offer(session: &Session, which: &str) -> Result<Answer, CliError> {
    let id = session.handover(which).await?;
    let summary = session.client.fetch_offer(&id).await?;
    let text = format!(
        "{}{}\nthe summary, opened with your own key:\n\n{}",
        changed("somebody, not yet anybody known", &summary.receipt).text,
        facts(&[
            ("sender", session.called(&summary.sender.to_string())),
            ("purpose", summary.purpose.to_string()),
            ("dossier would have", labels(&summary.dossier_labels)),
            ("does not open", labels(&summary.mismatched_labels)),
        ]),
        field_table(&summary.fields),
    );
    let mut json = changed("", &summary.receipt).json;
    add(&mut json, "sender", json!(summary.sender.to_string()));
    add(&mut json, "purpose", json!(summary.purpose.to_string()));
    add(&mut json, "summary", fields_json(&summary.fields));
    add(
        &mut json,
        "dossier_labels",
        json!(texts(&summary.dossier_labels)),
    );
    add(
        &mut json,
        "dropped_labels",
        json!(texts(&summary.dropped_labels)),
    );
    add(
        &mut json,
        "mismatched_labels",
        json!(texts(&summary.mismatched_labels)),
    );
    Ok(Answer::new(text, json))
}

async fn release(session: &Session, which: &str) -> Result<Answer, CliError> {
    let id = session.present(which).await?;
    let receipt = session.client.release_draft(&id).await?;
    let mut answer = changed(
        "released: sealed field by field, with the recipient's own pseudonym of the person",
        &receipt,
    );
    answer.text.push_str(&facts(&[
        ("not allowed, not sealed", labels(&receipt.unsealed_labels)),
        ("a number stands in", labels(&receipt.number_labels)),
    ]));
    add(
        &mut answer.json,
        "number_labels",
        json!(texts(&receipt.number_labels)),
    );
    add(
        &mut answer.json,
        "unsealed_labels",
        json!(texts(&receipt.unsealed_labels)),
    );
    Ok(answer)
}

async fn fetch(session: &Session, which: &str) -> Result<Answer, CliError> {
    let id = session.handover(which).await?;
    let fetched = session.client.fetch(&id).await?;
    let person = fetched.person.as_ref().map(|key| key.expose().to_owned());
    let known = match (&person, fetched.known) {
        (None, _) => "",
        (Some(_), true) => "yes, this pseudonym was here already",
        (Some(_), false) => "no, the key is new",
    };
    let text = format!(
        "{}{}\nthe dossier, opened with your own key:\n\n{}",
        changed("fetched", &fetched.receipt).text,
        facts(&[
            ("sender", session.called(&fetched.sender.to_string())),
            ("the number in it", proof_text(fetched.proof).to_owned()),
            ("your person key", person.clone().unwrap_or_default()),
            ("known here", known.to_owned()),
            ("dropped on the way", labels(&fetched.dropped_labels)),
            ("does not open", labels(&fetched.mismatched_labels)),
        ]),
        field_table(&fetched.fields),
    );
    let mut json = changed("", &fetched.receipt).json;
    add(&mut json, "sender", json!(fetched.sender.to_string()));
    add(&mut json, "person", json!(person));
    add(&mut json, "proof", json!(proof_code(fetched.proof)));
    add(&mut json, "known", json!(fetched.known));
    add(&mut json, "dossier", fields_json(&fetched.fields));
    add(
        &mut json,
        "dropped_labels",
        json!(texts(&fetched.dropped_labels)),
    );
    add(
        &mut json,
        "mismatched_labels",
        json!(texts(&fetched.mismatched_labels)),
    );
    Ok(Answer::new(text, json))
}

/// What the comparison of the dossier's number with the person gave, for people.
const fn proof_text(proof: Proof) -> &'static str {
    match proof {
        Proof::NoNumber => "none: there was nothing to compare",
        Proof::Proven => "proven: of the person handed over",
        Proof::NotYet(_) => "not yet proven; nothing is kept; `complete` tries again",
        Proof::Unreadable => "can't be read, so nothing is proven or kept; `return` it",
        Proof::Unequal => "UNEQUAL: of another person; reported; `return` it",
    }
}

const fn proof_code(proof: Proof) -> &'static str {
    match proof {
        Proof::NoNumber => "NO_NUMBER",
        Proof::Proven => "PROVEN",
        Proof::NotYet(_) => "NOT_YET",
        Proof::Unreadable => "UNREADABLE",
        Proof::Unequal => "UNEQUAL",
    }
}

async fn fetch_report(session: &Session, which: &str) -> Result<Answer, CliError> {
    let id = session.handover(which).await?;
    let report = session.client.fetch_report(&id).await?;
    let person = report.person.as_ref().map(PersonKey::expose);
    let text = format!(
        "{}{}\nthe report, opened with your own key:\n\n{}",
        changed("fetched", &report.receipt).text,
        facts(&[
            ("recipient", session.called(&report.recipient.to_string())),
            ("your person key", person.unwrap_or_default().to_owned()),
            ("dropped on the way", labels(&report.dropped_labels)),
        ]),
        field_table(&report.fields),
    );
    let mut json = changed("", &report.receipt).json;
    add(&mut json, "recipient", json!(report.recipient.to_string()));
    add(&mut json, "person", json!(person));
    add(&mut json, "report", fields_json(&report.fields));
    let dropped = json!(texts(&report.dropped_labels));
    add(&mut json, "dropped_labels", dropped);
    Ok(Answer::new(text, json))
}

async fn ack(session: &Session, id: &str) -> Result<Answer, CliError> {
    if id.starts_with(NoticeId::PREFIX) {
        let receipt = session
            .client
            .ack_notice(&session.notice(id).await?)
            .await?;
        return Ok(noticed("received", &receipt));
    }
    let handover = session.handover(id).await?;
    Ok(changed(
        "taken notice",
        &session.client.ack(&handover).await?,
    ))
}

async fn answer(
    session: &Session,
    id: &str,
    answer: &str,
    ground: Option<&str>,
) -> Result<Answer, CliError> {
    let ground = ground
        .map(str::parse)
        .transpose()
        .map_err(|error: rules::id::NameError| {
            CliError::usage(
                error.to_string(),
                "name the ground as a code, for example ARCHIEFWET",
            )
        })?;
    let code = read::<AnswerCode>(answer)?;
    let id = session.notice(id).await?;
    let receipt = session.client.answer_notice(&id, code, ground).await?;
    Ok(noticed("answered, signed by this desk", &receipt))
}

/// The answer to a call that changed a handover.
fn changed(done: &str, receipt: &Receipt) -> Answer {
    let deadline = receipt.deadline.map_or(0, rules::clock::Timestamp::millis);
    let text = format!(
        "{done}\n{}",
        facts(&[
            ("handover", receipt.handover.to_string()),
            (
                "state",
                format!("{} (revision {})", receipt.state.code(), receipt.revision)
            ),
            ("until", moment(deadline)),
            ("log entry", receipt.promise.entry.to_string()),
        ])
    );
    let json = json!({
        "handover_id": receipt.handover.to_string(),
        "state": receipt.state.code(),
        "revision": receipt.revision,
        "deadline_millis": receipt.deadline.map(rules::clock::Timestamp::millis),
        "entry_id": receipt.promise.entry.to_string(),
        "leaf_sha256": hex::encode(&receipt.promise.leaf_sha256),
    });
    Answer::new(text, json)
}

/// The answer to a call that changed a notice.
fn noticed(done: &str, receipt: &NoticeReceipt) -> Answer {
    let mut rows = vec![("notice", receipt.notice.to_string())];
    let mut json = json!({
        "notice_id": receipt.notice.to_string(),
        "entry_id": receipt.promise.entry.to_string(),
    });
    if let Some(view) = &receipt.view {
        rows.extend(facts_of(view));
        add(&mut json, "notice", super::look::notice_json(view));
    }
    rows.push(("log entry", receipt.promise.entry.to_string()));
    Answer::new(format!("{done}\n{}", facts(&rows)), json)
}

fn field_table(fields: &[OpenedField]) -> String {
    let rows: Vec<_> = fields
        .iter()
        .map(|field| vec![field.label.to_string(), field_text(field)])
        .collect();
    table(&["label", "value"], &rows)
}

fn fields_json(fields: &[OpenedField]) -> Value {
    fields
        .iter()
        .map(|field| (field.label.to_string(), json!(field_text(field))))
        .collect::<serde_json::Map<_, _>>()
        .into()
}

fn field_text(field: &OpenedField) -> String {
    String::from_utf8_lossy(field.value.expose()).into_owned()
}

fn labels(labels: &[Label]) -> String {
    texts(labels).join(", ")
}

fn texts(labels: &[Label]) -> Vec<String> {
    labels.iter().map(ToString::to_string).collect()
}

fn add(object: &mut Value, name: &str, value: Value) {
    if let Some(object) = object.as_object_mut() {
        object.insert(name.to_owned(), value);
    }
}
