//! Plays the year: enrols the people, hands each over from sender to recipient, many at a time, and counts
//! from what the recipients opened.
//!
//! Must never count what was sent, and never skip a step because a person is invented.

use super::SandboxError;
use super::dossier::{Case, Fields, cases};
use super::ground::Ground;
use super::people::people;
use super::progress::Progress;
use super::report::Outcome;
use super::source::Year;
use super::story::Story;
use super::tell::tell;
use crate::cli::draft::Values;
use crate::clock::SystemClock;
use client::{Client, ClientError, PersonKey, Preparation};
use rules::calendar::Calendar;
use rules::clock::Clock as _;
use rules::id::{HandoverId, Label};
use rules::secret::Secret;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use vault::pseudonym::Bsn;

/// Handovers that are under way at the same time.
const AT_A_TIME: usize = 8;
/// Why, and on which legal basis: the register's words.
const PURPOSE: &str = "HANDOVER";
const BASIS: &str = "SUWI_62_1";
/// The label from which the groups are counted.
const GROUP_LABEL: &str = "doelgroep.code";
/// The label from which the kinds of intervention are counted.
const INTERVENTION_LABEL: &str = "interventie.code";
/// Who takes the year's interventions, and who takes the sign-ups from outside the region.
const NEUTRAL: &str = "neutraal";

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
    let count = usize::try_from(year.handovers()).unwrap_or(usize::MAX);
    let cases = cases(year, people(count));
    ground.write_people(&cases)?;
    let clients = open_clients(ground, progress).await?;
    enrol(&clients, &cases, progress).await?;
    let contact_date: Arc<str> = today()?.into();
    let mut handings = Vec::new();
    for case in cases {
        handings.push(Handing {
            sender: client_of(&clients, &case.sender)?,
            recipient: client_of(&clients, &case.recipient)?,
            contact_date: Arc::clone(&contact_date),
            case,
        });
    }
    progress.say(&format!(
        "handing over {count} people, {AT_A_TIME} at a time"
    ));
    let begun = Instant::now();
    let told = handings
        .iter()
        .position(|handing| handing.case.sender == "uwv")
        .unwrap_or(0);
    let first = handings.swap_remove(told);
    let (first_id, story) = tell(&first).await?;
    progress.step("handed over", count);
    let mut opened = vec![(first.case.recipient.clone(), first_id)];
    opened.extend(hand_over_all(handings, count, progress).await?);
    let playing = begun.elapsed();
    let outcome = count_opened(&clients, &opened, playing).await?;
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

async fn enrol(clients: &Clients, cases: &[Case], progress: &Progress) -> Result<(), SandboxError> {
    for (name, client) in clients {
        let persons: Result<Vec<(PersonKey, Bsn)>, SandboxError> = cases
            .iter()
            .filter(|case| case.sender == *name)
            .map(|case| Ok((person_key(case)?, number(case)?)))
            .collect();
        let persons = persons?;
        if persons.is_empty() {
            continue;
        }
        progress.say(&format!(
            "enrolling {} people of {name} in one batch",
            persons.len()
        ));
        let enrolled = client.enrol(&persons).await.map_err(at("Enrol"))?;
        if let Some(reason) = enrolled.iter().find_map(|one| one.refused) {
            return Err(SandboxError::Unexpected(format!(
                "a person of {name} was not enrolled: {}",
                reason.code()
            )));
        }
    }
    Ok(())
}

async fn hand_over_all(
    handings: Vec<Handing>,
    count: usize,
    progress: &Progress,
) -> Result<Vec<(String, HandoverId)>, SandboxError> {
    let places = Arc::new(Semaphore::new(AT_A_TIME));
    let mut tasks = JoinSet::new();
    for handing in handings {
        let places = Arc::clone(&places);
        tasks.spawn(async move {
            // The semaphore is never closed; if it were, nothing would be held back.
            let _place = places.acquire_owned().await;
            hand_over(&handing)
                .await
                .map(|id| (handing.case.recipient.clone(), id))
        });
    }
    let mut opened = Vec::new();
    while let Some(finished) = tasks.join_next().await {
        let id = finished.map_err(|error| SandboxError::Task(error.to_string()))??;
        opened.push(id);
        progress.step("handed over", count);
    }
    Ok(opened)
}

/// One handover from beginning to end.
async fn hand_over(handing: &Handing) -> Result<HandoverId, SandboxError> {
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
    Ok(id)
}

/// What the sender asks of the broker.
///
/// # Errors
///
/// When a constant of this module is no name: a fault of the build.
pub(crate) fn preparation(case: &Case, recipient: &Client) -> Result<Preparation, SandboxError> {
    Ok(Preparation {
        recipient: recipient.party().clone(),
        purpose: PURPOSE.parse().map_err(name_fault)?,
        basis: BASIS.parse().map_err(name_fault)?,
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
    PersonKey::new(&case.person.key)
        .ok_or_else(|| SandboxError::Unexpected("a person key is none".to_owned()))
}

fn number(case: &Case) -> Result<Bsn, SandboxError> {
    let number = case.person.bsn.expose().parse();
    number.map_err(|_| {
        SandboxError::Unexpected("a test number does not pass the eleven-test".to_owned())
    })
}

/// Counts what lies opened in the recipients' own stores.
async fn count_opened(
    clients: &Clients,
    opened: &[(String, HandoverId)],
    playing: Duration,
) -> Result<Outcome, SandboxError> {
    let mut outcome = Outcome {
        opened: BTreeMap::new(),
        interventions: BTreeMap::new(),
        opened_outside: 0,
        playing,
        whole: playing,
        trust_level: 0,
    };
    for (recipient, id) in opened {
        let record = client_of(clients, recipient)?
            .store()
            .opened(id)
            .map_err(ClientError::from)
            .map_err(at("reading the store"))?;
        let field = |wanted: &str| {
            record.as_ref()?.fields.iter().find_map(|(label, value)| {
                let text = String::from_utf8_lossy(value.expose()).into_owned();
                (label.as_str() == wanted).then_some(text)
            })
        };
        let Some(group) = field(GROUP_LABEL) else {
            continue;
        };
        if recipient != NEUTRAL {
            outcome.opened_outside = outcome.opened_outside.saturating_add(1);
            continue;
        }
        add(&mut outcome.opened, group);
        if let Some(kind) = field(INTERVENTION_LABEL) {
            add(&mut outcome.interventions, kind);
        }
    }
    let status = client_of(clients, NEUTRAL)?
        .status()
        .await
        .map_err(at("GetStatus"))?;
    outcome.trust_level = status.trust_level;
    Ok(outcome)
}

fn add(counts: &mut BTreeMap<String, u32>, name: String) {
    let count = counts.entry(name).or_default();
    *count = count.saturating_add(1);
}

fn client_of(clients: &Clients, name: &str) -> Result<Client, SandboxError> {
    clients
        .get(name)
        .cloned()
        .ok_or_else(|| SandboxError::Cast(name.to_owned()))
}

/// Today in Europe/Amsterdam, where the date of contact is judged.
fn today() -> Result<String, SandboxError> {
    let fault = || SandboxError::Unexpected("today's date cannot be found".to_owned());
    let calendar = Calendar::new::<&str>(&[]).map_err(|_| fault())?;
    let date = calendar.date(SystemClock.now()).ok_or_else(fault)?;
    Ok(date.to_string())
}

fn name_fault(error: rules::id::NameError) -> SandboxError {
    SandboxError::Unexpected(error.to_string())
}

/// Names the step that failed.
pub(crate) fn at(step: &'static str) -> impl Fn(ClientError) -> SandboxError {
    move |source| SandboxError::Step { step, source }
}
