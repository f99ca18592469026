//! What a line of the transparency feed tells: the broker writes them, the portal makes sentences of them.
//!
//! Must never hold a field's value, free text or anything that names a person.

/// What happened (`sluis.portal.v1.FeedKind`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum FeedKind {
    /// Somebody prepared a handover.
    Prepared,
    /// Somebody tried to prepare one and was refused; the code is the reason.
    AttemptRefused,
    /// A handover went on; the code is its state.
    State,
    /// The recipient opened the summary or the dossier; the labels say which fields.
    Opened,
    /// A release or a fetch was refused; the code is the reason.
    StepRefused,
    /// Consent is asked; the labels are categories.
    ConsentAsked,
    /// A desk registered a consent with the person; the exchange is the record.
    ConsentAssisted,
    /// A consent changed; the code is its state and the exchange the record.
    Consent,
    /// A notice was sent to a recipient; the code is its kind.
    Notice,
    /// A recipient answered a notice; the code is the answer.
    NoticeAnswered,
    /// An objection or a restriction was noted or decided; the code says which.
    Objection,
    /// The sender asked and did so much in one day that the rest was refused; the code says how often, and is empty
    /// while the day goes on.
    Folded,
    /// The recipient sent the sender a report of what became of it; the labels say which fields.
    ReportSent,
    /// The sender opened the report; the labels say which fields.
    ReportOpened,
    /// The recipient wanted to send a report and was refused; the code is the reason.
    ReportRefused,
    /// A notice was sent to a sender that opened the report; the code is its kind.
    ReportNotice,
    /// The sender answered that notice; the code is the answer.
    ReportNoticeAnswered,
    /// A dossier had this person's number and was about somebody else; its recipient noticed.
    WrongPerson,
    /// The sender wanted to read the report and was refused; the code is the reason.
    ReportReadRefused,
}

impl FeedKind {
    /// All kinds, in the order of their numbers.
    pub const ALL: &'static [Self] = &[
        Self::Prepared,
        Self::AttemptRefused,
        Self::State,
        Self::Opened,
        Self::StepRefused,
        Self::ConsentAsked,
        Self::ConsentAssisted,
        Self::Consent,
        Self::Notice,
        Self::NoticeAnswered,
        Self::Objection,
        Self::Folded,
        Self::ReportSent,
        Self::ReportOpened,
        Self::ReportRefused,
        Self::ReportNotice,
        Self::ReportNoticeAnswered,
        Self::WrongPerson,
        Self::ReportReadRefused,
    ];

    /// The number on the wire.
    #[must_use]
    pub const fn number(self) -> i32 {
        match self {
            Self::Prepared => 1,
            Self::AttemptRefused => 2,
            Self::State => 3,
            Self::Opened => 4,
            Self::StepRefused => 5,
            Self::ConsentAsked => 6,
            Self::ConsentAssisted => 7,
            Self::Consent => 8,
            Self::Notice => 9,
            Self::NoticeAnswered => 10,
            Self::Objection => 11,
            Self::Folded => 12,
            Self::ReportSent => 13,
            Self::ReportOpened => 14,
            Self::ReportRefused => 15,
            Self::ReportNotice => 16,
            Self::ReportNoticeAnswered => 17,
            Self::WrongPerson => 18,
            Self::ReportReadRefused => 19,
        }
    }

    /// The kind with this number, if there is one.
    #[must_use]
    pub fn from_number(number: i32) -> Option<Self> {
        Self::ALL
            .iter()
            .copied()
            .find(|kind| kind.number() == number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_number_leads_back() {
        for kind in FeedKind::ALL.iter().copied() {
            assert_eq!(FeedKind::from_number(kind.number()), Some(kind));
        }
        assert_eq!(FeedKind::from_number(0), None);
    }
}
