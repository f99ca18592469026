//! `AuditService`: looking up the log.
//!
//! Must never show a line, or a part of one, that the broker did not give, nor any of it under another name
//! than it was written with.

use super::call::{self, Incoming};
use super::reading::{Reading, page_rows};
use broker::Broker;
use broker::audit::{GetEntry, SearchEntries};
use broker::record::OpenedEntry;
use rules::clock::Timestamp;
use rules::id::{EntryId, HandoverId, Party, Tag};
use serde_json::Value;
use std::sync::Arc;
use tonic::{Request, Response, Status};
use wire::audit::v1 as message;
use wire::audit::v1::audit_service_server::AuditService;

/// How the broker's own work is named among callers.
const OWN_WORK: &str = "broker";

/// The audit service of a broker.
pub struct Audits {
    broker: Arc<Broker>,
}

impl Audits {
    /// The service at this broker.
    #[must_use]
    pub const fn new(broker: Arc<Broker>) -> Self {
        Self { broker }
    }
}

impl Incoming for message::SearchEntriesRequest {
    type Command = SearchEntries;
    const NAME: &'static str = "SearchEntries";

    fn read(self, reading: &mut Reading) -> Option<SearchEntries> {
        let handover = self
            .handover_id
            .map(|octets| reading.id("handover_id", &octets, HandoverId::from_slice));
        let peer = self.peer_oin.map(|text| reading.name("peer_oin", &text));
        let purpose = self.purpose.map(|text| reading.name("purpose", &text));
        let subject = self
            .subject_tag
            .map(|octets| reading.id("subject_tag", &octets, Tag::from_slice));
        Some(SearchEntries {
            handover: given(handover)?,
            peer: given(peer)?,
            purpose: given(purpose)?,
            subject: given(subject)?,
            findings: self.findings,
            from: self.from_millis.map(Timestamp::from_millis),
            until: self.until_millis.map(Timestamp::from_millis),
            page_rows: page_rows(self.page_size),
            page_token: self.page_token,
        })
    }
}

/// What was not given is nothing; what was given must have been read.
fn given<T>(read: Option<Option<T>>) -> Option<Option<T>> {
    match read {
        None => Some(None),
        Some(None) => None,
        Some(Some(value)) => Some(Some(value)),
    }
}

impl Incoming for message::GetEntryRequest {
    type Command = GetEntry;
    const NAME: &'static str = "GetEntry";

    fn read(self, reading: &mut Reading) -> Option<GetEntry> {
        let entry_id = reading.id("entry_id", &self.entry_id, EntryId::from_slice)?;
        Some(GetEntry { entry_id })
    }
}

/// One attribute of an entry as text, as far as the caller may read: what the closed part has, the open one has
/// not, or less precisely. Empty when it has none.
fn attribute(opened: &OpenedEntry, name: &str) -> String {
    let closed = opened.closed.as_ref();
    let closed = closed.and_then(|closed| closed.text(name));
    closed
        .or_else(|| opened.open.text(name))
        .unwrap_or_default()
        .to_owned()
}

impl Audits {
    fn summary(&self, opened: &OpenedEntry) -> message::EntrySummary {
        let handover: Option<HandoverId> = attribute(opened, "handover.id").parse().ok();
        let action = opened.open.value.get("name").and_then(Value::as_str);
        let code = attribute(opened, "handover.code");
        let told_code = opened.open.text("handover.code");
        let told_code = told_code.filter(|told| *told != code).unwrap_or_default();
        message::EntrySummary {
            entry_id: opened.row.entry_id.bytes().to_vec(),
            action: action.unwrap_or_default().to_owned(),
            time_millis: opened.row.time.millis(),
            decision: attribute(opened, "handover.decision"),
            told_code: told_code.to_owned(),
            code,
            handover_id: handover.map(|id| id.bytes().to_vec()).unwrap_or_default(),
            purpose: attribute(opened, "handover.purpose"),
            article: attribute(opened, "handover.article"),
            sender: attribute(opened, "handover.sender"),
            recipient: attribute(opened, "handover.recipient"),
            caller: self.caller(&attribute(opened, "handover.caller")),
            finding: attribute(opened, "handover.finding"),
            event_code: attribute(opened, "handover.event_code"),
            items: opened
                .open
                .attribute("handover.batch_items")
                .and_then(Value::as_u64),
        }
    }

    /// OIN and desk of a caller that is written as OIN, realm and desk.
    fn caller(&self, written: &str) -> String {
        let operator = self.broker.operator();
        if written == format!("{}/{}", operator.party, operator.desk) {
            return OWN_WORK.to_owned();
        }
        match written.split('/').collect::<Vec<_>>().as_slice() {
            [oin, _realm, desk] => format!("{oin}/{desk}"),
            _ => written.to_owned(),
        }
    }

    /// The register's titles of an entry's exchange, as the policy set in force has them.
    fn titles(&self, opened: &OpenedEntry) -> (String, String) {
        let in_force = self.broker.in_force();
        let kind = |name: &str| {
            let party: Party = attribute(opened, name).parse().ok()?;
            in_force.directory.peer(&party.oin).map(|peer| peer.kind())
        };
        let titles = || {
            let purpose = attribute(opened, "handover.purpose").parse().ok()?;
            let (sender, recipient) = (kind("handover.sender")?, kind("handover.recipient")?);
            let entry = in_force
                .policy
                .register()
                .entry(&purpose, sender, recipient)?;
            Some((entry.title_nl.clone(), entry.title_en.clone()))
        };
        titles().unwrap_or_default()
    }
}

/// The policies that decided, as far as the caller may read.
fn determining(opened: &OpenedEntry) -> Vec<message::DeterminingPolicy> {
    let part = opened.closed.as_ref().unwrap_or(&opened.open);
    let policies = part
        .value
        .pointer("/body/adl.core.response/context/determining")
        .and_then(Value::as_array);
    let text = |policy: &Value, name: &str| {
        policy
            .get(name)
            .and_then(Value::as_str)
            .unwrap_or_default()
            .to_owned()
    };
    policies
        .into_iter()
        .flatten()
        .map(|policy| message::DeterminingPolicy {
            policy_id: text(policy, "policy"),
            effect: text(policy, "effect"),
            code: text(policy, "code"),
            article: text(policy, "article"),
        })
        .collect()
}

#[tonic::async_trait]
impl AuditService for Audits {
    async fn search_entries(
        &self,
        request: Request<message::SearchEntriesRequest>,
    ) -> Result<Response<message::SearchEntriesResponse>, Status> {
        let (page, _) = call::serve(&self.broker, request).await?;
        Ok(Response::new(message::SearchEntriesResponse {
            entries: page
                .entries
                .iter()
                .map(|entry| self.summary(entry))
                .collect(),
            next_page_token: page.next_page_token,
            stopped_at_millis: page.stopped_at.map(Timestamp::millis),
        }))
    }

    async fn get_entry(
        &self,
        request: Request<message::GetEntryRequest>,
    ) -> Result<Response<message::GetEntryResponse>, Status> {
        let (opened, _) = call::serve(&self.broker, request).await?;
        let (register_title_nl, register_title_en) = self.titles(&opened);
        let set = "adl.core.policies";
        let closed = opened.closed.as_ref();
        let closed = closed.and_then(|closed| closed.attribute(set));
        let policy_set = closed
            .or_else(|| opened.open.attribute(set))
            .and_then(|set| set.get("cedar")?.as_str())
            .and_then(rules::hex::decode)
            .unwrap_or_default();
        Ok(Response::new(message::GetEntryResponse {
            leaf_sha256: opened.row.leaf_sha256.to_vec(),
            leaf_index: opened.row.leaf_index,
            summary: Some(self.summary(&opened)),
            determining: determining(&opened),
            policy_set_sha256: policy_set,
            register_title_nl,
            register_title_en,
            open_json: opened.open.json,
            closed_json: opened.closed.map(|closed| closed.json).unwrap_or_default(),
        }))
    }
}
