//! The person in a relation, from what the key holders converted.
//!
//! Must never let a handle or a pseudonym out of its seal.

use crate::Error;
use crate::broker::{Broker, ConversionRequest, Converted};
use rules::clock::Timestamp;
use rules::id::{Party, Tag};
use rules::pseudonym::Relation;
use rules::reason::{Outcome, Reason, Refusal};
use store::Tx;
use store::pseudonym::SubjectRow;
use vault::pseudonym::Ciphertext;
use vault::rest::Place;

/// Where in the orders PREPARE, CONSENT and ASSIST the relation handle stands.
pub(crate) const TARGET_HANDLE: usize = 0;
/// Where in the orders PREPARE and ASSIST the portal's pseudonym stands.
pub(crate) const TARGET_PORTAL: usize = 1;

/// A person in a relation, as the broker keeps one.
#[derive(Clone, Debug)]
pub(crate) struct Subject {
    pub(crate) index: [u8; 32],
    pub(crate) relation: Tag,
    pub(crate) sealed_handle: Vec<u8>,
}

impl Subject {
    /// Makes sure that the person has a row, known or not, and locks it.
    ///
    /// # Errors
    /// When the database fails.
    pub(crate) async fn make_and_lock(
        &self,
        tx: &mut Tx<'_>,
        now: Timestamp,
    ) -> Result<SubjectRow, Error> {
        let row = tx.make_and_lock_subject(&self.index, self.relation, &self.sealed_handle, now);
        Ok(row.await?)
    }
}

impl Broker {
    /// Has one order converted.
    ///
    /// # Errors
    /// When a holder cannot be reached or its answer does not verify.
    pub(crate) async fn convert_one(
        &self,
        request: ConversionRequest,
    ) -> Result<Outcome<Converted>, Error> {
        let mut answers = self.holders().convert(vec![request]).await?;
        answers
            .pop()
            .ok_or(Error::HolderDishonest(Reason::VoucherInvalid))
    }

    /// Has one order converted that makes a pseudonym for a partner. One whose realm has not opened its
    /// present context could read nothing: that is said before any holder is asked.
    ///
    /// # Errors
    /// As [`Broker::convert_one`].
    pub(crate) async fn convert_for(
        &self,
        recipient: &Party,
        request: ConversionRequest,
    ) -> Result<Outcome<Converted>, Error> {
        let context = request
            .order
            .targets
            .iter()
            .map(|(_, context)| context)
            .find(|context| context.party == *recipient);
        if let Some(context) = context
            && self.in_force().is_current(context)
            && !self.holders().is_open(context).await?
        {
            return Ok(Outcome::Refused(Refusal::new(Reason::ReceiverNotReady)));
        }
        self.convert_one(request).await
    }

    /// The person in a relation, from the conversion's target at `place`: the handle is opened, indexed
    /// and sealed, and is nowhere else.
    ///
    /// # Errors
    /// When the holders' answer has no such target or does not decrypt.
    pub(crate) fn subject(
        &self,
        relation: &Relation,
        converted: &Converted,
        place: usize,
    ) -> Result<Subject, Error> {
        let dishonest = || Error::HolderDishonest(Reason::VoucherInvalid);
        let octets = converted.ciphertexts.get(place).ok_or_else(dishonest)?;
        let ciphertext = Ciphertext::parse(octets).map_err(|_| dishonest())?;
        let keys = self.keys();
        let handle = keys.context.decrypt(&ciphertext).map_err(|_| dishonest())?;
        let label = relation.to_string();
        let value = [label.as_bytes(), &[0], handle.bytes().as_slice()].concat();
        let index = keys.index.index("relation", &value);
        let place = Place {
            table: "relation_subject",
            row: &index,
            column: "sealed_handle",
        };
        Ok(Subject {
            index,
            relation: keys.tag("relation", label.as_bytes()),
            sealed_handle: keys.seal(&place, handle.bytes())?,
        })
    }
}
