//! Blocks: a realm of an organisation, to and from which nothing goes any more.
//!
//! The block is a row, kept in one transaction with the errand that finds what it stops, before any line is opened.
//! Must never tell anybody but the person, and must never bring a consent back when it is undone.

use super::copy::{self, CopyName};
use super::errand::Task;
use super::find::Scope;
use super::rows::FindBlocks;
use super::rows::errands::Unblock;
use super::session::Session;
use super::{Portal, settle};
use crate::PortalError;
use rules::directory::Peer;
use rules::id::{Party, Tag};
use rules::reason::{Outcome, Reason};
use std::collections::BTreeMap;
use store::Queue;

/// What a block did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Blocking {
    /// Consents that it stopped.
    pub stopped: u32,
    /// Handovers under statute that it objected to.
    pub objections: u32,
    /// Stops and objections that the broker has not answered. They are repeated until it has.
    pub still_to_do: u32,
}

/// A block, as its person sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BlockView {
    /// Its id.
    pub id: Tag,
    /// The realm that is blocked; none when it no longer takes part.
    pub blocked: Option<Party>,
}

impl Portal {
    /// Blocks a realm: remembers it, stops every consent from or to it, and objects to what goes on
    /// under statute.
    ///
    /// # Errors
    /// When the database is away. The broker is told at once, or as soon as it answers.
    pub async fn block(
        &self,
        token: &[u8],
        blocked: &Party,
    ) -> Result<Outcome<Blocking>, PortalError> {
        let done = async {
            let session = self.session(token)?;
            if self.broker().directory().realm(blocked).is_none() {
                return Err(Reason::NotAvailable.into());
            }
            let blocks: Vec<_> = session
                .indexes()
                .map(|index| (*index, self.block_tag(index, blocked)))
                .collect();
            // Before a line is opened: the block holds whatever becomes of this call. What came before the row was there
            // is found by the errand, and what comes later by the row.
            let find = self
                .finding(&session, Scope::Blocked(blocked.clone()))
                .await?;
            self.keep_errands(blocks, std::slice::from_ref(&find))
                .await?;
            // One that was left from before has its place.
            let mut finds = self.own_errands(&session, Queue::Stop).await?;
            finds.retain(|kept| kept.id == find.id);
            let errands = self.found(&session, finds).await;
            let deliveries = self.deliver_now(&errands).await;
            Ok(Blocking {
                stopped: deliveries.done(&errands, |task| matches!(task, Task::Stop(_))),
                objections: deliveries.done(&errands, |task| matches!(task, Task::Object(_))),
                still_to_do: deliveries.still_to_do,
            })
        };
        settle(done.await)
    }

    /// What a person blocked, in the order of the ids.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn blocks(&self, token: &[u8]) -> Result<Outcome<Vec<BlockView>>, PortalError> {
        let listed = async {
            let session = self.session(token)?;
            Ok(self.blocks_by_id(&session).await?)
        };
        settle(listed.await)
    }

    /// Undoes a block, for what comes from now on: what it stopped stays stopped, and what is still to be stopped is
    /// finished. Gives whether there was such a block, and how many errands of the person wait.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn unblock(
        &self,
        token: &[u8],
        block: Tag,
    ) -> Result<Outcome<(bool, u32)>, PortalError> {
        let undone = async {
            let session = self.session(token)?;
            let view = self.blocks_by_id(&session).await?;
            let blocked = view
                .into_iter()
                .find(|view| view.id == block)
                .and_then(|view| view.blocked);
            let tag = |index: &[u8; 32]| {
                blocked
                    .as_ref()
                    .map_or(block, |blocked| self.block_tag(index, blocked))
            };
            let blocks: Vec<_> = session
                .indexes()
                .map(|index| (*index, tag(index)))
                .collect();
            let copies = blocks
                .iter()
                .map(|(index, tag)| self.copy_of_block(index, *tag))
                .collect();
            let was_there = self.database().write(&Unblock { blocks, copies }).await?;
            self.0.copies_wait.notify_one();
            let waiting = self.own_errands(&session, Queue::Own).await?.len();
            Ok((was_there, u32::try_from(waiting).unwrap_or(u32::MAX)))
        };
        settle(undone.await)
    }

    async fn blocks_by_id(&self, session: &Session) -> Result<Vec<BlockView>, PortalError> {
        let find = FindBlocks(session.indexes().copied().collect());
        let rows = self.database().read(&find).await?;
        let directory = self.broker().directory();
        // The same block has another tag under each index by which the person is known.
        let mut views: BTreeMap<Option<Party>, Vec<Tag>> = BTreeMap::new();
        for (index, tag) in rows {
            let mut all = directory
                .peers()
                .flat_map(Peer::realms)
                .map(|realm| &realm.party);
            let blocked = all.find(|party| self.block_tag(&index, party) == tag);
            views.entry(blocked.cloned()).or_default().push(tag);
        }
        let mut blocks: Vec<BlockView> = views
            .into_iter()
            .flat_map(|(blocked, tags)| {
                let shown = if blocked.is_some() { 1 } else { tags.len() };
                tags.into_iter().take(shown).map(move |id| BlockView {
                    id,
                    blocked: blocked.clone(),
                })
            })
            .collect();
        blocks.sort_by_key(|view| *view.id.bytes());
        Ok(blocks)
    }

    /// Whether a person blocked one of two parties.
    pub(super) fn is_one_blocked(
        &self,
        person_index: &[u8; 32],
        parties: [&Party; 2],
        blocks: &[([u8; 32], Tag)],
    ) -> bool {
        parties
            .iter()
            .any(|party| blocks.contains(&(*person_index, self.block_tag(person_index, party))))
    }

    /// The tag of what one person blocked.
    pub(super) fn block_tag(&self, person_index: &[u8; 32], blocked: &Party) -> Tag {
        let value = [person_index.as_slice(), blocked.to_string().as_bytes()].concat();
        Tag::new(self.0.index.tag("block", &value))
    }

    /// The name of the copy of a block's row at the broker.
    pub(super) fn copy_of_block(&self, person_index: &[u8; 32], tag: Tag) -> CopyName {
        let name = [person_index.as_slice(), tag.bytes().as_slice()].concat();
        self.copy_name(copy::BLOCK, &name)
    }
}
