//! Blocks of a person on the command line, each of one realm: made, listed and undone at the portal.
//!
//! Must never keep or print a number: it goes to the portal's login and nowhere else.

use super::arguments::{Page, Person, Verb};
use super::error::CliError;
use super::output::Answer;
use super::people::digits;
use super::person::{goes_on, octets};
use super::portal::{Portal, ask, request_id};
use serde_json::json;
use std::path::Path;
use wire::portal::v1 as message;

/// Does one of the verbs on blocks; `None` when it is none of them.
///
/// # Errors
///
/// As the call, or when something typed is wrong.
pub(super) async fn run(sandbox: &Path, verb: &Verb) -> Option<Result<Answer, CliError>> {
    Some(match verb {
        Verb::Block { person, realm } => block(sandbox, person, realm).await,
        Verb::Blocks { person, page } => blocks(sandbox, person, page).await,
        Verb::Unblock { person, realm } => unblock(sandbox, person, realm).await,
        _ => return None,
    })
}

async fn block(sandbox: &Path, person: &Person, text: &str) -> Result<Answer, CliError> {
    let mut portal = Portal::open(sandbox)?;
    let party = portal.party(text)?;
    let request = message::BlockOrganisationRequest {
        session: portal.login(&digits(&person.bsn)?).await?,
        request_id: request_id(),
        party,
    };
    let answer = ask!(portal, block_organisation, "BlockOrganisation", request)?;
    let (stopped, objections) = (answer.stopped_consents, answer.objections);
    let mut text = format!(
        "blocked; {stopped} consents were stopped by it, and {objections} handovers objected to"
    );
    if answer.still_to_do > 0 {
        text.push_str(&format!(
            "; {} more are, as soon as the gateway answers: the portal sees to that",
            answer.still_to_do
        ));
    }
    let values = json!({
        "stopped_consents": stopped, "objections": objections, "still_to_do": answer.still_to_do,
    });
    Ok(Answer::new(text, values))
}

async fn list(
    portal: &mut Portal,
    session: &[u8],
    (limit, after): (u32, Vec<u8>),
) -> Result<message::ListBlocksResponse, CliError> {
    let request = message::ListBlocksRequest {
        session: session.to_vec(),
        limit: i32::try_from(limit).unwrap_or(i32::MAX),
        after,
    };
    ask!(portal, list_blocks, "ListBlocks", request)
}

async fn blocks(sandbox: &Path, person: &Person, page: &Page) -> Result<Answer, CliError> {
    let mut portal = Portal::open(sandbox)?;
    let session = portal.login(&digits(&person.bsn)?).await?;
    let asked = (page.limit, octets(&page.after)?);
    let listed = list(&mut portal, &session, asked).await?;
    let lines = listed.blocks.iter().map(|block| {
        let id = rules::hex::encode(&block.block_id);
        let what = match block.party.as_str() {
            "" => "an organisation that no longer takes part".to_owned(),
            party => format!("{party}, {}", portal.called(party)),
        };
        format!("{id}  {what}")
    });
    let lines: Vec<String> = lines.collect();
    let text = if lines.is_empty() {
        "nothing is blocked".to_owned()
    } else {
        lines.join("\n")
    };
    let more = rules::hex::encode(&listed.more);
    let values = listed.blocks.iter().map(|block| {
        json!({
            "block_id": rules::hex::encode(&block.block_id), "party": block.party,
        })
    });
    let values = json!({ "blocks": values.collect::<Vec<_>>(), "more": more });
    Ok(Answer::new(goes_on(text, &more), values))
}

/// The id of a block, by what is blocked; none when it is not.
async fn find(
    portal: &mut Portal,
    session: &[u8],
    party: &str,
) -> Result<Option<Vec<u8>>, CliError> {
    let mut after = Vec::new();
    loop {
        let listed = list(portal, session, (0, after)).await?;
        let mut blocks = listed.blocks.into_iter();
        let found = blocks.find(|block| block.party == party);
        match found {
            Some(block) => return Ok(Some(block.block_id)),
            None if listed.more.is_empty() => return Ok(None),
            None => after = listed.more,
        }
    }
}

async fn unblock(sandbox: &Path, person: &Person, text: &str) -> Result<Answer, CliError> {
    let mut portal = Portal::open(sandbox)?;
    let session = portal.login(&digits(&person.bsn)?).await?;
    let typed = rules::hex::decode(text).filter(|octets| octets.len() == 16);
    let block_id = match typed {
        Some(id) => Some(id),
        None => {
            let party = portal.party(text)?;
            find(&mut portal, &session, &party).await?
        }
    };
    let block_id = block_id
        .ok_or_else(|| CliError::usage("that is not blocked", "`sluis blocks` prints what is"))?;
    let request = message::UnblockOrganisationRequest {
        session,
        request_id: request_id(),
        block_id,
    };
    let answer = ask!(portal, unblock_organisation, "UnblockOrganisation", request)?;
    let mut text = if answer.undone {
        "undone, for what comes from now on; what was stopped stays stopped".to_owned()
    } else {
        "that was not blocked".to_owned()
    };
    if answer.still_to_do > 0 {
        text.push_str(&format!(
            "; {} things that were asked for before are still to be done, and will be",
            answer.still_to_do
        ));
    }
    let values = json!({ "undone": answer.undone, "still_to_do": answer.still_to_do });
    Ok(Answer::new(text, values))
}
