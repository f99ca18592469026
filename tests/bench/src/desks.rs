//! Senders and recipients at work by law, each with a store of its own, and persons enrolled with them.
//! Clients run on the same processors as the servers, as the design measures.
//!
//! Must never use a person twice, and never count a call that was refused.

use crate::flow::closed;
use client::{Client, ClientError, PersonKey, Preparation};
use gateway::cli::identity::Identity;
use gateway::clock::today;
use rules::id::{HandoverId, Label, Party};
use rules::limits::QUOTA_PREPARE_PER_DAY;
use rules::secret::Secret;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use vault::pseudonym::Bsn;

/// Sender and recipient, by their names in the sandbox.
pub(crate) type Route = (&'static str, &'static str);
/// Senders of four organisations: each has a quota of its own.
pub(crate) const FOUR: &[Route] = &[
    ("uwv", "neutraal"),
    ("regio", "neutraal"),
    ("centrum", "neutraal"),
    ("elders", "centrum"),
];

/// The label of the person's number.
const NUMBER: &str = "identiteit.bsn";

/// Labels and values to be sealed.
pub(crate) fn fields(of: &[(&str, &str)]) -> Vec<(Label, Secret<Vec<u8>>)> {
    of.iter()
        .map(|(label, value)| {
            let label = label.parse().expect("a label");
            (label, Secret::new(value.as_bytes().to_vec()))
        })
        .collect()
}

fn summary() -> Vec<(Label, Secret<Vec<u8>>)> {
    fields(&[
        ("doelgroep.route", "UITKERING"),
        ("hulpvraag.code", "SCHOLING"),
        ("leeftijdsband", "41-50"),
        ("regio.pc4", "0001"),
        ("werk.beroep", "Magazijnmedewerker"),
    ])
}

fn dossier() -> Vec<(Label, Secret<Vec<u8>>)> {
    fields(&[
        ("identiteit.naam", "Okke Blikwijk"),
        ("contact.telefoon", "06-00009999"),
        ("contact.postcode", "0001ZZ"),
        ("doelgroep.code", "WW"),
        (
            "hulpvraag.tekst",
            "Wil een heftruckcertificaat halen en zoekt daarna werk in de buurt.",
        ),
    ])
}

pub(crate) fn labels_of(values: &[(Label, Secret<Vec<u8>>)]) -> Vec<Label> {
    values.iter().map(|(label, _)| label.clone()).collect()
}

/// Labels of a dossier as it is asked for here.
pub(crate) fn dossier_labels() -> Vec<Label> {
    labels_of(&dossier())
}

/// Labels of a summary as it is offered here.
pub(crate) fn summary_labels() -> Vec<Label> {
    labels_of(&summary())
}

/// Test numbers that pass the eleven-test, from the end of the range: the sandbox uses its beginning.
fn numbers(count: usize) -> Vec<String> {
    let passes = (0..100_000_u32).rev().map(|last| format!("9999{last:05}"));
    let numbers: Vec<String> = passes
        .filter(|text| text.parse::<Bsn>().is_ok())
        .take(count)
        .collect();
    assert_eq!(numbers.len(), count, "test numbers that pass");
    numbers
}

fn person(index: usize) -> PersonKey {
    PersonKey::new(&format!("bench-{index}")).expect("a key")
}

/// One sender and one recipient.
struct Pair {
    sender: Arc<Client>,
    recipient: Arc<Client>,
    preparation: Preparation,
    /// Whether the number goes along: to all but the neutral realm.
    with_number: bool,
}

/// All of them. The person with number n is one of the pair n modulo their number.
#[derive(Clone)]
pub(crate) struct Desks {
    pairs: Arc<Vec<Pair>>,
    used: Arc<AtomicUsize>,
    persons: usize,
    numbers: Arc<Vec<String>>,
}

impl Desks {
    /// New stores, new contexts, and so many persons enrolled.
    pub(crate) async fn open(home: &Path, stores: &Path, routes: &[Route], persons: usize) -> Self {
        let each = QUOTA_PREPARE_PER_DAY as usize;
        assert!(
            persons <= each * routes.len(),
            "{persons} handovers are more than the quota of {} organisations",
            routes.len()
        );
        let identity = |name: &str| Identity::load(home, name).expect("an identity of the sandbox");
        let mut clients = BTreeMap::new();
        for name in routes
            .iter()
            .flat_map(|(sender, recipient)| [*sender, *recipient])
        {
            if clients.contains_key(name) {
                continue;
            }
            let client = identity(name).client_at(&stores.join(format!("{name}.store")));
            let client = client.expect("a client");
            client.open_context().await.expect("a context");
            clients.insert(name, Arc::new(client));
        }
        let wanted = |with_number: bool| {
            let number = with_number.then(|| NUMBER.parse().expect("a label"));
            dossier_labels().into_iter().chain(number).collect()
        };
        let pair = |(sender, recipient): &Route| Pair {
            sender: Arc::clone(&clients[sender]),
            recipient: Arc::clone(&clients[recipient]),
            with_number: *recipient != "neutraal",
            preparation: Preparation {
                recipient: identity(recipient)
                    .party()
                    .parse::<Party>()
                    .expect("a party"),
                purpose: "HANDOVER".parse().expect("a purpose"),
                basis: "SUWI_62_1".parse().expect("a basis"),
                summary_labels: summary_labels(),
                dossier_labels: wanted(*recipient != "neutraal"),
                group: None,
            },
        };
        let desks = Self {
            pairs: Arc::new(routes.iter().map(pair).collect()),
            used: Arc::new(AtomicUsize::new(0)),
            persons,
            numbers: Arc::new(numbers(persons)),
        };
        desks.enrol().await;
        desks
    }

    async fn enrol(&self) {
        let mut lists: Vec<Vec<(PersonKey, Bsn)>> = Vec::new();
        lists.resize_with(self.pairs.len(), Vec::new);
        for (index, number) in self.numbers.iter().enumerate() {
            let number = number.parse().expect("a number");
            lists[index % self.pairs.len()].push((person(index), number));
        }
        for (pair, list) in self.pairs.iter().zip(lists) {
            for enrolled in pair
                .sender
                .enrol(&list)
                .await
                .expect("persons are enrolled")
            {
                assert!(enrolled.refused.is_none(), "a person was refused");
            }
        }
    }

    /// The first of so many persons about whom nothing was asked yet.
    pub(crate) fn fresh(&self, count: usize) -> usize {
        let first = self.used.fetch_add(count, Ordering::SeqCst);
        assert!(
            first + count <= self.persons,
            "too few persons were enrolled"
        );
        first
    }

    fn pair(&self, index: usize) -> &Pair {
        &self.pairs[index % self.pairs.len()]
    }

    pub(crate) async fn prepare(&self, index: usize) -> Result<HandoverId, ClientError> {
        let pair = self.pair(index);
        let prepared = pair.sender.prepare(&person(index), &pair.preparation).await;
        Ok(prepared?.receipt.handover)
    }

    pub(crate) async fn offer(&self, index: usize, id: &HandoverId) -> Result<(), ClientError> {
        self.pair(index)
            .sender
            .offer(id, &summary())
            .await
            .map(drop)
    }

    pub(crate) async fn accept(&self, index: usize, id: &HandoverId) -> Result<(), ClientError> {
        let recipient = &self.pair(index).recipient;
        recipient.fetch_offer(id).await?;
        recipient.accept(id).await.map(drop)
    }

    /// From Prepare to Complete.
    pub(crate) async fn whole(&self, index: usize, today: &str) -> Result<(), ClientError> {
        let (sender, recipient) = (&self.pair(index).sender, &self.pair(index).recipient);
        let id = self.prepare(index).await?;
        self.offer(index, &id).await?;
        self.accept(index, &id).await?;
        sender.show(&id).await?;
        let mut values = dossier();
        if self.pair(index).with_number {
            values.extend(fields(&[(NUMBER, &self.numbers[index])]));
        }
        sender.release(&id, &values).await?;
        recipient.fetch(&id).await?;
        recipient.complete(&id, today).await.map(drop)
    }

    /// Prepares a handover of each of so many fresh persons, as fast as it goes; gives the number of the
    /// first person, the handovers in the persons' order, and how many a second.
    pub(crate) async fn prepare_all(
        &self,
        count: usize,
        concurrency: usize,
    ) -> (usize, Arc<Vec<HandoverId>>, f64) {
        let first = self.fresh(count);
        let list = Arc::new(std::sync::Mutex::new(BTreeMap::new()));
        let (desks, kept) = (self.clone(), Arc::clone(&list));
        let rate = closed(count, concurrency, move |index| {
            let (desks, list) = (desks.clone(), Arc::clone(&kept));
            async move {
                let id = desks.prepare(first + index).await;
                let id = id.expect("a handover is prepared");
                list.lock().expect("no panic").insert(index, id);
            }
        })
        .await;
        let ids = std::mem::take(&mut *list.lock().expect("no panic"));
        (first, Arc::new(ids.into_values().collect()), rate)
    }

    /// Offers prepared handovers, so many at a time; gives how many a second.
    pub(crate) async fn offer_all(
        &self,
        first: usize,
        ids: &Arc<Vec<HandoverId>>,
        concurrency: usize,
    ) -> f64 {
        let (desks, list) = (self.clone(), Arc::clone(ids));
        closed(ids.len(), concurrency, move |index| {
            let (desks, id) = (desks.clone(), list[index]);
            async move {
                let offered = desks.offer(first + index, &id).await;
                offered.expect("a handover is offered");
            }
        })
        .await
    }

    /// Prepares and offers handovers of fresh persons, so many at a time; gives how many a second.
    pub(crate) async fn pairs(&self, count: usize, concurrency: usize) -> f64 {
        let (desks, first) = (self.clone(), self.fresh(count));
        closed(count, concurrency, move |index| {
            let desks = desks.clone();
            async move {
                let id = desks.prepare(first + index).await;
                let id = id.expect("a handover is prepared");
                let offered = desks.offer(first + index, &id).await;
                offered.expect("a handover is offered");
            }
        })
        .await
    }

    /// Whole handovers of fresh persons, so many at a time; gives how many a second.
    pub(crate) async fn wholes(&self, count: usize, concurrency: usize) -> f64 {
        let (desks, first, date) = (self.clone(), self.fresh(count), today().expect("a date"));
        closed(count, concurrency, move |index| {
            let (desks, date) = (desks.clone(), date.clone());
            async move {
                let done = desks.whole(first + index, &date).await;
                done.expect("a whole handover");
            }
        })
        .await
    }
}
