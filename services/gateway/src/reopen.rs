//! `sluis door …`: the door of a broker that was put back from a backup.
//!
//! Must never open it without a call to the running broker, which keeps in its log who did.

use crate::clock::SystemClock;
use client::Connection;
use client::error::from_status;
use rules::clock::Timestamp;
use rules::id::{EntryId, Oin, RequestId};
use serde_json::{Value, json};
use vault::chance::SystemChance;
use wire::restoration::v1::restoration_service_client::RestorationServiceClient;
use wire::restoration::v1::{AcceptUnreadableRequest, GetRestorationRequest, OpenDoorRequest};

/// What a call has to say, for people and for programs.
type Told = Result<(String, Value), DoorError>;

/// What the broker said instead.
#[derive(Debug, thiserror::Error)]
#[error("the door stays as it is: {0}")]
pub(crate) struct DoorError(String);

impl From<tonic::Status> for DoorError {
    fn from(status: tonic::Status) -> Self {
        Self(from_status("the call", &status).to_string())
    }
}

/// How the door stands.
pub(crate) async fn show(connection: &Connection) -> Told {
    let mut missing: Vec<String> = Vec::new();
    let found = loop {
        let page = GetRestorationRequest {
            missing_after: missing.last().cloned().unwrap_or_default(),
        };
        let mut page = RestorationServiceClient::new(connection.channel())
            .get_restoration(page)
            .await?
            .into_inner();
        let is_last = page.missing_desks.is_empty() || !page.more_missing;
        missing.append(&mut page.missing_desks);
        if is_last {
            break page;
        }
    };
    let unreadable = &found.unreadable_organisations;
    if !found.shut {
        let text = format!("the door is open\n{}", undecided(unreadable));
        let value = json!({ "shut": false, "unreadable": unreadable });
        return Ok((text.trim_end().to_owned(), value));
    }
    let moment = |millis| Timestamp::from_millis(millis).to_string();
    let (backup, restored) = (
        moment(found.backup_at_millis),
        moment(found.restored_at_millis),
    );
    let whose = if found.tells_missing {
        ""
    } else {
        " to this desk"
    };
    let mut text =
        format!("the door is shut{whose}:\nthe tables of {backup} were put back at {restored}\n");
    if found.tells_missing {
        let count = missing.len();
        let line = format!("{count} desks have not sent again what they had stopped since:\n");
        text.push_str(&line);
    } else {
        text.push_str(
            "which desks have not sent again what they had stopped, the operator is told\n",
        );
    }
    for desk in &missing {
        text.push_str("  ");
        text.push_str(desk);
        text.push('\n');
    }
    text.push_str(&undecided(unreadable));
    let value = json!({
        "shut": true, "backup_at": backup, "restored_at": restored, "missing": missing,
        "unreadable": unreadable,
    });
    Ok((text, value))
}

/// A log entry as `sluis audit show` wants it.
fn entry(octets: &[u8]) -> Result<String, DoorError> {
    let entry = EntryId::from_slice(octets);
    let entry = entry.ok_or_else(|| DoorError("its answer names no log entry".to_owned()))?;
    Ok(entry.to_string())
}

/// What waits for the joint officer, a line each.
fn undecided(organisations: &[String]) -> String {
    let line = |organisation| {
        format!(
            "what {organisation} had stopped cannot be read; the joint officer decides:\n  \
             sluis door accept {organisation} …\n"
        )
    };
    organisations.iter().map(line).collect()
}

/// Opens the door.
pub(crate) async fn open(connection: &Connection) -> Told {
    let request_id = RequestId::draw(&SystemClock, &SystemChance::new());
    let opened = RestorationServiceClient::new(connection.channel())
        .open_door(OpenDoorRequest {
            request_id: request_id.bytes().to_vec(),
        })
        .await?
        .into_inner();
    let entry = entry(&opened.entry_id)?;
    let text = format!(
        "the door is open; {} desks had not sent again what they had stopped:\n\
         to each it is shut until it has; log entry {entry}",
        opened.missing
    );
    let value = json!({ "shut": false, "missing": opened.missing, "entry_id": entry });
    Ok((text, value))
}

/// Serves an organisation again of which something stopped cannot be read.
pub(crate) async fn accept(connection: &Connection, organisation: &Oin) -> Told {
    let request_id = RequestId::draw(&SystemClock, &SystemChance::new());
    let accepted = RestorationServiceClient::new(connection.channel())
        .accept_unreadable(AcceptUnreadableRequest {
            request_id: request_id.bytes().to_vec(),
            organisation: organisation.to_string(),
        })
        .await?
        .into_inner();
    let entry = entry(&accepted.entry_id)?;
    let door = if accepted.open { "open" } else { "shut" };
    let text = format!("{organisation} is served again; the door is {door}\nlog entry {entry}");
    let value = json!({ "organisation": organisation.to_string(), "shut": !accepted.open, "entry_id": entry });
    Ok((text, value))
}
