//! What can happen to a handover, who does it, and who is told.
//!
//! Must never tell the recipient of a handover that was not offered.

use std::fmt;

/// Who does something.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Actor {
    /// A desk of the sender's realm.
    Sender,
    /// A desk of the recipient's realm.
    Recipient,
    /// The candidate's channel: the portal, or the stop code.
    Candidate,
    /// The sender's privacy officer, or the joint one.
    Officer,
    /// The broker itself.
    Broker,
}

impl Actor {
    /// All actors.
    pub const ALL: &'static [Self] = &[
        Self::Sender,
        Self::Recipient,
        Self::Candidate,
        Self::Officer,
        Self::Broker,
    ];

    /// The name, as in the documentation.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Sender => "sender",
            Self::Recipient => "recipient",
            Self::Candidate => "candidate",
            Self::Officer => "officer",
            Self::Broker => "broker",
        }
    }
}

macro_rules! events {
    ($( $(#[$doc:meta])* $variant:ident; )*) => {
        /// What can happen to a handover. The names are those of the calls, where there is one.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Event {
            $( $(#[$doc])* $variant, )*
        }

        impl Event {
            /// All events.
            pub const ALL: &'static [Self] = &[ $( Self::$variant, )* ];

            /// The name, as in the log and the documentation.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $( Self::$variant => stringify!($variant), )* }
            }
        }

        impl fmt::Display for Event {
            fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                out.write_str(self.name())
            }
        }
    };
}

events! {
    /// The sender asks, and it may be.
    Prepare;
    /// The sender offers a sealed summary.
    Offer;
    /// The recipient has taken notice.
    AckNotification;
    /// The recipient reads the summary.
    FetchOffer;
    /// The recipient asks for a change first.
    ProposeChange;
    /// The sender goes along with it.
    AcceptChange;
    /// The sender does not.
    RejectChange;
    /// The recipient does not take it.
    Decline;
    /// The recipient takes it.
    Accept;
    /// The sender releases the sealed dossier.
    Release;
    /// The recipient reads the dossier.
    Fetch;
    /// The recipient's sealing key changed.
    RequestReseal;
    /// The sender seals the dossier anew.
    Reseal;
    /// What was opened does not equal the manifest.
    ReportMismatch;
    /// The recipient has had contact with the candidate.
    Complete;
    /// The recipient sends the sender a sealed report of what became of it.
    SendReport;
    /// The sender reads the report.
    FetchReport;
    /// The recipient gives it back.
    Return;
    /// The sender calls it off.
    Cancel;
    /// Another handover of the group was released.
    Supersede;
    /// The person withdrew consent.
    Withdraw;
    /// A controller found that the consent was not free or not informed.
    Invalidate;
    /// The person objects (AVG article 21).
    Object;
    /// The person has processing restricted (AVG article 18).
    Restrict;
    /// The officer finds the objection right.
    UpholdObjection;
    /// The officer finds that the objection does not hold.
    RejectObjection;
    /// The officer lifts the restriction.
    LiftRestriction;
    /// For a day the recipient took no notice of the offer.
    ReportUndelivered;
    /// The deadline of the state passed.
    Expire;
}

/// Whose inbox.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Side {
    /// The sender's.
    Sender,
    /// The recipient's.
    Recipient,
}

impl Side {
    /// The other one.
    #[must_use]
    pub const fn other(self) -> Self {
        match self {
            Self::Sender => Self::Recipient,
            Self::Recipient => Self::Sender,
        }
    }
}

macro_rules! inbox_kinds {
    ($( $(#[$doc:meta])* $variant:ident, $code:literal, $number:literal; )*) => {
        /// What an inbox tells (`sluis.handover.v1.InboxKind`).
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum InboxKind {
            $( $(#[$doc])* $variant, )*
        }

        impl InboxKind {
            /// All kinds, in the order of their numbers.
            pub const ALL: &'static [Self] = &[ $( Self::$variant, )* ];

            /// The code, as in rows and documentation.
            #[must_use]
            pub const fn code(self) -> &'static str {
                match self { $( Self::$variant => $code, )* }
            }

            /// The number on the wire.
            #[must_use]
            pub const fn number(self) -> i32 {
                match self { $( Self::$variant => $number, )* }
            }

            /// The kind with this number, if there is one.
            #[must_use]
            pub fn from_number(number: i32) -> Option<Self> {
                Self::ALL.iter().copied().find(|kind| kind.number() == number)
            }
        }
    };
}

inbox_kinds! {
    /// To the recipient: a handover is offered.
    Offered, "OFFERED", 1;
    /// To the sender: a change is proposed.
    ChangeProposed, "CHANGE_PROPOSED", 2;
    /// To the recipient: the change is accepted.
    ChangeAccepted, "CHANGE_ACCEPTED", 3;
    /// To the sender: accepted; release now.
    Accepted, "ACCEPTED", 4;
    /// To the sender: declined.
    Declined, "DECLINED", 5;
    /// To the recipient: the dossier can be fetched.
    Released, "RELEASED", 6;
    /// To the sender: the recipient asks for the dossier sealed anew.
    ResealRequested, "RESEAL_REQUESTED", 7;
    /// To the sender: responsibility has moved.
    Completed, "COMPLETED", 8;
    /// To the sender: given back.
    Returned, "RETURNED", 9;
    /// To the recipient, and to the sender when it was not the sender: called off.
    Cancelled, "CANCELLED", 10;
    /// To both: withdrawn.
    Withdrawn, "WITHDRAWN", 11;
    /// To both: a deadline passed.
    Expired, "EXPIRED", 12;
    /// To both: waits for a decision on an objection or restriction.
    Paused, "PAUSED", 13;
    /// To both: goes on.
    Resumed, "RESUMED", 14;
    /// To the recipient, and to a sender that fetched a report: a notice to answer.
    Notice, "NOTICE", 15;
    /// To the other side: a notice was answered.
    NoticeAnswered, "NOTICE_ANSWERED", 16;
    /// To the other side: a notice was not answered in time.
    NoticeOverdue, "NOTICE_OVERDUE", 17;
    /// To the sender: the recipient found a mismatch.
    Mismatch, "MISMATCH", 18;
    /// To a sender that asked for consent: it was given.
    Ready, "READY", 20;
    /// To the sender: the recipient took no notice of the offer for a day.
    Undelivered, "UNDELIVERED", 21;
    /// To the sender: a report of what became of it can be fetched.
    ReportSent, "REPORT_SENT", 22;
}
