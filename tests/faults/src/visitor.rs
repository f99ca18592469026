//! A person at the portal: logs in, links a vakbond, gives consent, stops it, looks at the overview; and does
//! so again, under the same request id, when the portal was away.
//!
//! Must never take a silence for an answer.

use crate::journal::Journal;
use client::error::from_status;
use rules::clock::{Clock as _, Random as _};
use rules::id::ConsentId;
use rules::limits::DAY_MILLIS;
use rules::reason::Reason;
use std::sync::Arc;
use std::time::Duration;
use tonic::transport::Channel;
use vault::chance::SystemChance;
use wire::portal::v1 as message;
use wire::portal::v1::portal_service_client::PortalServiceClient;

/// Categories that are agreed to: all that is handed over.
const CATEGORIES: [&str; 4] = ["CONTACT", "IDENTITY", "TARGET_GROUP", "WORK"];
/// For how long.
const DAYS: i64 = 7;
const PAUSE: Duration = Duration::from_millis(300);
/// Attempts of which the answer is no, before that is taken for the answer.
const ATTEMPTS_MAX: usize = 400;

/// One person.
pub(crate) struct Visitor {
    portal: PortalServiceClient<Channel>,
    journal: Arc<Journal>,
    digits: String,
    session: Vec<u8>,
}

/// A consent that was given.
pub(crate) struct Given {
    pub(crate) record: ConsentId,
    pub(crate) stop_code: String,
}

/// Asks until the portal has answered, with a new session where the old one is gone.
macro_rules! ask {
    ($visitor:expr, $method:ident, $name:literal, $request:expr) => {{
        let mut answer = None;
        for _ in 0..ATTEMPTS_MAX {
            $visitor.log_in().await;
            let mut request = $request;
            request.session.clone_from(&$visitor.session);
            match $visitor.portal.$method(request).await {
                Ok(answered) => {
                    answer = Some(answered.into_inner());
                    break;
                }
                Err(status) => $visitor.refused($name, &status).await,
            }
        }
        answer
    }};
}

impl Visitor {
    pub(crate) fn new(channel: Channel, digits: String, journal: &Arc<Journal>) -> Self {
        Self {
            portal: PortalServiceClient::new(channel),
            journal: Arc::clone(journal),
            digits,
            session: Vec::new(),
        }
    }

    async fn refused(&mut self, call: &'static str, status: &tonic::Status) {
        let error = from_status(call, status);
        if error.reason() == Some(Reason::LoginRefused) {
            self.session.clear();
        }
        self.journal.refused(call, &error);
        tokio::time::sleep(PAUSE).await;
    }

    async fn log_in(&mut self) {
        while self.session.is_empty() {
            let assertion = format!("test:{}", self.digits);
            let login = self.portal.login(message::LoginRequest { assertion });
            match login.await {
                Ok(answer) => self.session = answer.into_inner().session,
                Err(status) => self.refused("Login", &status).await,
            }
        }
    }

    /// A code that links this person to a vakbond.
    pub(crate) async fn link_code(&mut self, oin: &str) -> Option<String> {
        let request = || message::MakeLinkCodeRequest {
            session: Vec::new(),
            oin: oin.to_owned(),
        };
        let made = ask!(self, make_link_code, "MakeLinkCode", request())?;
        Some(made.code)
    }

    /// Consents to a handover by one party to another.
    pub(crate) async fn give(&mut self, sender: &str, recipient: &str) -> Option<Given> {
        let now = gateway::clock::SystemClock.now();
        let asked = message::GiveConsentRequest {
            session: Vec::new(),
            request_id: request_id(),
            sender: sender.to_owned(),
            recipient: recipient.to_owned(),
            purpose: "HANDOVER".to_owned(),
            categories: CATEGORIES.map(str::to_owned).to_vec(),
            valid_until_millis: now.plus_millis(DAYS * DAY_MILLIS).millis(),
            refused: false,
            secrecy_waived: false,
            language: "nl".to_owned(),
        };
        let given = ask!(self, give_consent, "GiveConsent", asked.clone())?;
        Some(Given {
            record: ConsentId::from_slice(&given.record_id).unwrap(),
            stop_code: given.stop_code,
        })
    }

    /// Stops a consent as its giver, logged in.
    pub(crate) async fn stop(&mut self, record: ConsentId) -> bool {
        let asked = message::StopConsentRequest {
            session: Vec::new(),
            request_id: request_id(),
            record_id: record.bytes().to_vec(),
        };
        for _ in 0..ATTEMPTS_MAX {
            match ask!(self, stop_consent, "StopConsent", asked.clone()) {
                Some(answer) if answer.still_to_do == 0 => return true,
                // The portal goes on by itself; what counts here is what it has said to be done.
                Some(_) => tokio::time::sleep(PAUSE).await,
                None => return false,
            }
        }
        false
    }

    /// Stops a consent by the code on its statement.
    pub(crate) async fn stop_by_code(&mut self, code: &str) -> bool {
        let asked = message::StopByCodeRequest {
            request_id: request_id(),
            stop_code: code.to_owned(),
            source: self.digits.clone(),
        };
        for _ in 0..ATTEMPTS_MAX {
            match self.portal.stop_by_code(asked.clone()).await {
                Ok(_) => return true,
                Err(status) => self.refused("StopByCode", &status).await,
            }
        }
        false
    }

    /// The sentences of the overview.
    pub(crate) async fn overview(&mut self) -> Option<Vec<String>> {
        let request = || message::GetOverviewRequest {
            language: "nl".to_owned(),
            limit: 1_000,
            ..message::GetOverviewRequest::default()
        };
        let seen = ask!(self, get_overview, "GetOverview", request())?;
        // Lines that are equal are one line, which says how many.
        let lines = seen.lines.into_iter();
        let times = |count: i32| usize::try_from(count).unwrap_or(1).max(1);
        Some(
            lines
                .flat_map(|line| std::iter::repeat_n(line.sentence, times(line.count)))
                .collect(),
        )
    }
}

fn request_id() -> Vec<u8> {
    let mut octets = vec![0; 16];
    SystemChance::new().fill(&mut octets);
    octets
}
