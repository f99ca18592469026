//! Plays the year: enrols the people, hands each over from sender to recipient, many at a time, and counts
//! from what the recipients opened.
//!
//! Must never count what was sent, and never skip a step because a person is invented.

use super::SandboxError;
use super::choices::{self, Choices};
use super::count::count;
use super::dossier::{Case, Fields, Rests, parts};
use super::ground::Ground;
use super::people::{Person, person};
use super::progress::Progress;
use super::report::Outcome;
use super::site::{self, Recorded};
use super::source::Year;
use super::story::Story;
use super::tell::tell;
use client::{Client, ClientError, PersonKey, Preparation, Receipt, Report, Values};
use rules::id::{HandoverId, Label};
use rules::secret::Secret;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use vault::pseudonym::Bsn;

/// Handovers that are under way at the same time.
const AT_A_TIME: usize = 8;
/// Where everybody signs up, and who takes the year's interventions.
const CENTRE: &str = "centrum";
const NEUTRAL: &str = "neutraal";

/// The label under which it is told what became of somebody, and what it may be.
const OUTCOME: &str = "uitstroom.code";
const OUTCOMES: [&str; 4] = [
    "DUURZAME_BAAN",
    "VAST_CONTRACT",
    "VOLGT_OPLEIDING",
    "VERVOLGOPLEIDING",
];

/// What was played.
pub(crate) struct Played {
    /// The counts and times.
    pub(crate) outcome: Outcome,
    /// The one handover that is told.
    pub(crate) story: Story,
}

/// The clients of everybody who plays, by identity.
pub(crate) type Clients = BTreeMap<&'static str, Client>;

/// The identities that hand over or take over.
const PLAYERS: &[&str] = &["uwv", "centrum", "neutraal", "regio", "elders", "vakbond"];

/// One handover with both its clients, on its way.
pub(crate) struct Handing {
    /// What is handed over.
    pub(crate) case: Case,
    /// The sender's client.
    pub(crate) sender: Client,
    /// The recipient's client.
    pub(crate) recipient: Client,
    /// The date of contact.
    pub(crate) contact_date: Arc<str>,
}

/// A handover that went to its end.
pub(crate) struct Done {
    /// Identity of the recipient.
    pub(crate) recipient: String,
    /// The handover.
    pub(crate) handover: HandoverId,
}

/// Plays everything.
///
/// # Errors
///
/// The first step that fails.
pub(crate) async fn play(
    ground: &Ground,
    year: &Year,
    progress: &Progress,
) -> Result<Played, SandboxError> {
    let parts = parts(year, person);
    let first_free = usize::try_from(year.sign_ups.total).unwrap_or(usize::MAX);
    let everybody = first_free.saturating_add(choices::WITHDRAW);
    ground.write_people(&parts.cases, (0..everybody).map(person))?;
    let clients = open_clients(ground, progress).await?;
    let begun = Instant::now();
    let enrolled = enrol_all(&clients, year, &parts.cases, progress).await?;
    record_at_site(ground, &parts.site, progress)?;
    progress.say("people choose at the portal: consent given, refused, narrowed, withdrawn");
    let mut choices = choices::members(ground, &clients, &parts.cases, first_free).await?;
    let enrolling = begun.elapsed();

    let contact_date: Arc<str> = crate::clock::today()
        .ok_or_else(|| SandboxError::Unexpected("today's date cannot be found".to_owned()))?
        .into();
    let begun = Instant::now();
    let (mut done, story) = hand_over_all(&clients, &parts.cases, &contact_date, progress).await?;
    let playing = begun.elapsed();
    progress.say("monitoring is a question of its own: asked apart, answered apart");
    let monitored =
        choices::monitoring(ground, &clients, &parts.cases, &contact_date, &mut choices).await?;
    done.extend(monitored);
    let counted = count(ground, &clients, &done).await?;
    let choices = Choices {
        monitoring_opened: counted.choices.monitoring_opened,
        ..choices
    };
    let outcome = Outcome {
        enrolled,
        choices,
        enrolling,
        playing,
        ..counted
    };
    Ok(Played { outcome, story })
}

/// Opens the context of everybody who plays.
///
/// # Errors
///
/// The first that cannot be opened.
pub(crate) async fn open_clients(
    ground: &Ground,
    progress: &Progress,
) -> Result<Clients, SandboxError> {
    progress.say("opening each realm's pseudonym key: two shares, one from each key holder, put together by its owner only");
    let mut clients = Clients::new();
    for name in PLAYERS {
        let client = ground.identity(name)?.client()?;
        client.open_context().await.map_err(at("OpenContext"))?;
        clients.insert(name, client);
    }
    Ok(clients)
}

/// Everybody signs up at the centre; each partner makes its own people known to itself. Answers how many
/// signed up.
async fn enrol_all(
    clients: &Clients,
    year: &Year,
    cases: &[Case],
    progress: &Progress,
) -> Result<u32, SandboxError> {
    let mut enrolled = 0_u32;
    for (name, client) in clients {
        let people: Vec<Person> = match *name {
            CENTRE => (0..usize::try_from(year.sign_ups.total).unwrap_or(0))
                .map(person)
                .collect(),
            _ => cases
                .iter()
                .filter(|case| case.sender == *name && case.rests == Rests::OnLaw)
                .map(|case| case.person.again())
                .collect(),
        };
        if people.is_empty() {
            continue;
        }
        progress.say(&format!("enrolling {} people of {name}", people.len()));
        let keyed: Result<Vec<_>, SandboxError> = people
            .iter()
            .map(|one| Ok((key(&one.key)?, number(one)?)))
            .collect();
        let count = enrol(client, name, &keyed?).await?;
        if *name == CENTRE {
            enrolled = count;
        }
    }
    Ok(enrolled)
}

async fn enrol(
    client: &Client,
    name: &str,
    people: &[(PersonKey, Bsn)],
) -> Result<u32, SandboxError> {
    let enrolled = client.enrol(people).await.map_err(at("Enrol"))?;
    match enrolled.iter().find_map(|one| one.refused) {
        None => Ok(u32::try_from(enrolled.len()).unwrap_or(u32::MAX)),
        Some(reason) => Err(SandboxError::Unexpected(format!(
            "a person of {name} was not enrolled: {}",
            reason.code()
        ))),
    }
}

/// Those who came to the site: no handover, a record at the neutral desk itself.
fn record_at_site(
    ground: &Ground,
    records: &[Recorded],
    progress: &Progress,
) -> Result<(), SandboxError> {
    progress.say(&format!(
        "recording {} people at the neutral desk, who came via its site",
        records.len()
    ));
    site::keep(&ground.identity(NEUTRAL)?, records)
}

/// All handovers, many at a time; the first of UWV is told step by step.
async fn hand_over_all(
    clients: &Clients,
    cases: &[Case],
    contact_date: &Arc<str>,
    progress: &Progress,
) -> Result<(Vec<Done>, Story), SandboxError> {
    let count = cases.len();
    let mut handings = Vec::new();
    for case in cases {
        handings.push(Handing {
            sender: client_of(clients, &case.sender)?,
            recipient: client_of(clients, &case.recipient)?,
            contact_date: Arc::clone(contact_date),
            case: case.again(),
        });
    }
    progress.say(&format!(
        "handing over {count} people, {AT_A_TIME} at a time"
    ));
    let told = handings
        .iter()
        .position(|handing| handing.case.sender == "uwv")
        .unwrap_or(0);
    let first = handings.swap_remove(told);
    let (handover, story) = tell(&first).await?;
    progress.step("handed over", count);
    let mut done = vec![Done {
        recipient: first.case.recipient,
        handover,
    }];
    let places = Arc::new(Semaphore::new(AT_A_TIME));
    let mut tasks = JoinSet::new();
    for handing in handings {
        let places = Arc::clone(&places);
        tasks.spawn(async move {
            // The semaphore is never closed; if it were, nothing would be held back.
            let _place = places.acquire_owned().await;
            hand_over(&handing).await
        });
    }
    while let Some(finished) = tasks.join_next().await {
        done.push(finished.map_err(|error| SandboxError::Task(error.to_string()))??);
        progress.step("handed over", count);
    }
    Ok((done, story))
}

/// One handover from beginning to end.
///
/// # Errors
///
/// The first step that fails.
pub(crate) async fn hand_over(handing: &Handing) -> Result<Done, SandboxError> {
    let Handing {
        case,
        sender,
        recipient,
        contact_date,
    } = handing;
    let person = person_key(case)?;
    let prepared = sender
        .prepare(&person, &preparation(case, recipient)?)
        .await
        .map_err(at("Prepare"))?;
    let id = prepared.receipt.handover;
    sender
        .offer(&id, &values(&case.summary)?)
        .await
        .map_err(at("Offer"))?;
    recipient.fetch_offer(&id).await.map_err(at("FetchOffer"))?;
    recipient.accept(&id).await.map_err(at("Accept"))?;
    sender.show(&id).await.map_err(at("GetHandover"))?;
    sender
        .release(&id, &values(&case.dossier)?)
        .await
        .map_err(at("Release"))?;
    recipient.fetch(&id).await.map_err(at("Fetch"))?;
    recipient
        .complete(&id, contact_date)
        .await
        .map_err(at("Complete"))?;
    // Of those on the law one tells: the one that is told step by step.
    if case.rests == Rests::OnConsent && case.purpose == super::dossier::HANDOVER {
        report_back(handing, &id).await?;
    }
    Ok(Done {
        recipient: case.recipient.clone(),
        handover: id,
    })
}

/// Tells the sender what became of the person, who reads it.
///
/// # Errors
///
/// The first step that fails, or when something else was read than was told.
pub(crate) async fn report_back(
    handing: &Handing,
    id: &HandoverId,
) -> Result<(Receipt, Report), SandboxError> {
    let told = outcome(&handing.case)?;
    let values = [(parse(OUTCOME)?, Secret::new(told.as_bytes().to_vec()))];
    let sent = handing.recipient.send_report(id, &values).await;
    let sent = sent.map_err(at("SendReport"))?;
    let report = handing.sender.fetch_report(id).await;
    let report = report.map_err(at("FetchReport"))?;
    let read = report.fields.iter().map(|field| field.value.expose());
    if read.ne([&told.as_bytes().to_vec()]) {
        let wrong = "what became of somebody was read otherwise than it was told";
        return Err(SandboxError::Unexpected(wrong.to_owned()));
    }
    Ok((sent, report))
}

/// What became of an invented person: invented too, and the same in every run.
fn outcome(case: &Case) -> Result<&'static str, SandboxError> {
    let place = case.person.key.bytes().map(usize::from).sum::<usize>() % OUTCOMES.len();
    let outcome = OUTCOMES.get(place).copied();
    outcome.ok_or_else(|| SandboxError::Unexpected("there is no outcome".to_owned()))
}

/// What the sender asks of the broker.
///
/// # Errors
///
/// When a constant of this module is no name: a fault of the build.
pub(crate) fn preparation(case: &Case, recipient: &Client) -> Result<Preparation, SandboxError> {
    let basis = match case.rests {
        Rests::OnLaw => "SUWI_62_1",
        Rests::OnConsent => "CONSENT",
    };
    Ok(Preparation {
        recipient: recipient.party().clone(),
        purpose: case.purpose.parse().map_err(name_fault)?,
        basis: basis.parse().map_err(name_fault)?,
        summary_labels: labels(&case.summary)?,
        dossier_labels: labels(&case.dossier)?,
        group: None,
    })
}

/// Values to be sealed.
///
/// # Errors
///
/// When a label is none: a fault of the build.
pub(crate) fn values(fields: &Fields) -> Result<Values, SandboxError> {
    fields
        .iter()
        .map(|(label, value)| Ok((parse(label)?, Secret::new(value.clone().into_bytes()))))
        .collect()
}

fn labels(fields: &Fields) -> Result<Vec<Label>, SandboxError> {
    fields.iter().map(|(label, _)| parse(label)).collect()
}

fn parse(label: &str) -> Result<Label, SandboxError> {
    label.parse().map_err(name_fault)
}

/// The sender's own key of the person.
///
/// # Errors
///
/// When it is none: a fault of the build.
pub(crate) fn person_key(case: &Case) -> Result<PersonKey, SandboxError> {
    key(&case.person.key)
}

fn key(text: &str) -> Result<PersonKey, SandboxError> {
    PersonKey::new(text).map_err(|_| SandboxError::Unexpected("a person key is none".to_owned()))
}

fn number(person: &Person) -> Result<Bsn, SandboxError> {
    let number = person.bsn.expose().parse();
    number.map_err(|_| {
        SandboxError::Unexpected("a test number does not pass the eleven-test".to_owned())
    })
}

/// The client of an identity.
///
/// # Errors
///
/// When nobody of that name plays.
pub(crate) fn client_of(clients: &Clients, name: &str) -> Result<Client, SandboxError> {
    clients
        .get(name)
        .cloned()
        .ok_or_else(|| SandboxError::Cast(name.to_owned()))
}

/// A constant that is no name: a fault of the build.
pub(crate) fn name_fault(error: rules::id::NameError) -> SandboxError {
    SandboxError::Unexpected(error.to_string())
}

/// Names the step that failed.
pub(crate) fn at(step: &'static str) -> impl Fn(ClientError) -> SandboxError {
    move |source| SandboxError::Step { step, source }
}
