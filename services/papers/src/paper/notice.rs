//! The codec of answers to notices (kennisgevingen), signed by the recipient's desk.
//!
//! Must never read an answer that keeps data without a legal ground, or names a ground for anything else.

use super::{Form, PaperError, VERSION, moment, named, refused, version};
use rules::clock::Timestamp;
use rules::id::{Basis, NoticeId};
use rules::notice::AnswerCode;
use rules::reason::Reason;
use wire::handover::v1 as message;

/// A decoded answer to a notice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NoticeAnswer {
    /// The notice.
    pub notice: NoticeId,
    /// What was done.
    pub answer: AnswerCode,
    /// With RETAINED, and only then: the legal ground in the register's alphabet, for example
    /// `ARCHIEFWET`.
    pub ground: Option<Basis>,
    /// When.
    pub time: Timestamp,
}

impl Form for NoticeAnswer {
    type Message = message::NoticeAnswer;
    const KIND: vault::sign::Paper = vault::sign::Paper::NoticeAnswer;
    const MALFORMED: Reason = Reason::NoticeSignatureInvalid;
    const FORGED: Reason = Reason::NoticeSignatureInvalid;

    fn to_message(&self) -> message::NoticeAnswer {
        message::NoticeAnswer {
            version: VERSION,
            notice_id: self.notice.bytes().to_vec(),
            answer: self.answer.number(),
            ground: self
                .ground
                .as_ref()
                .map(ToString::to_string)
                .unwrap_or_default(),
            time_millis: self.time.millis(),
        }
    }

    fn from_message(answer: message::NoticeAnswer) -> Result<Self, PaperError> {
        version::<Self>(answer.version)?;
        Ok(Self {
            notice: NoticeId::from_slice(&answer.notice_id)
                .ok_or_else(|| refused::<Self>("notice_id", "is not an id of 16 bytes"))?,
            answer: AnswerCode::from_number(answer.answer)
                .ok_or_else(|| refused::<Self>("answer", "is missing or unknown"))?,
            ground: read_ground(&answer)?,
            time: moment::<Self>("time_millis", answer.time_millis)?,
        })
    }
}

fn read_ground(answer: &message::NoticeAnswer) -> Result<Option<Basis>, PaperError> {
    let retained = answer.answer == AnswerCode::Retained.number();
    match (retained, answer.ground.as_str()) {
        (true, "") => Err(PaperError {
            reason: Reason::NoticeGroundMissing,
            ..refused::<NoticeAnswer>("ground", "is missing")
        }),
        (true, text) => named::<NoticeAnswer, _>("ground", text).map(Some),
        (false, "") => Ok(None),
        (false, _) => Err(refused::<NoticeAnswer>(
            "ground",
            "belongs to RETAINED only",
        )),
    }
}
