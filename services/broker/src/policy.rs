//! What the active policy set answers to a question about no person, and why.
//!
//! Must never look at a person: it is the same answer for every caller.

use crate::Error;
use crate::broker::Broker;
use crate::call::{Answer, Call};
use crate::record::Record;
use crate::serve::{Command, Room, Verdict, looks_up};
use rules::policy::{Explanation, Question, explain};
use rules::reason::{Reason, Refusal};
use store::Tx;

/// Explains one question, with made-up parties.
#[derive(Debug)]
pub struct ExplainDecision {
    /// The question.
    pub question: Question,
}

impl Command for ExplainDecision {
    type Reply = Explanation;
    looks_up!();

    fn name(&self) -> &'static str {
        "ExplainDecision"
    }

    async fn perform<'a>(
        &'a self,
        room: &'a Room<'a>,
        _tx: &'a mut Tx<'_>,
    ) -> Result<Verdict<Explanation>, Error> {
        let policy = &room.in_force.policy;
        let record = Record {
            policy_set: Some(policy.hash()),
            ..Record::default()
        };
        let answer = self
            .question
            .put(policy.register(), |request| explain(policy, request));
        Ok(match answer {
            Ok(explanation) => Verdict::permitted(explanation, record),
            Err(mistake) => {
                let text = mistake.to_string();
                Verdict::refused(
                    Refusal::about(Reason::InvalidRequest, "question", text),
                    record,
                )
            }
        })
    }
}

impl Broker {
    /// Explains one question.
    ///
    /// # Errors
    /// A fault of ours.
    pub async fn explain_decision(
        &self,
        call: &Call,
        request: &ExplainDecision,
    ) -> Result<Answer<Explanation>, Error> {
        self.serve(call, request).await
    }
}
