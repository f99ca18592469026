//! Which connections are let in: those that still shake hands, those that are served, and those that get one answer and
//! go.
//!
//! Must never let in more than there is room for, and must never let one that is only told why hold a place of others.

use super::admission::Registry;
use super::budgets::{Ledger, Place};
use super::certificate::PeerCertificate;
use std::collections::{HashMap, VecDeque};
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

/// Connections that still shake hands. Of whom these are is not known yet: beyond that one goes of the address with the
/// most of them, the oldest, because who is silent is old, and who shakes hands is soon done.
const SHAKING_MAX: usize = 1_024;
/// Connections of certificates that stand for nobody: each gets one answer, which says why.
const UNLISTED_MAX: usize = 16;
/// Connections beyond an organisation's part: each gets one answer.
const BEYOND_MAX: usize = 16;
/// How long a connection stays that gets one answer, before and after it.
pub(super) const ONE_ANSWER_TIMES: (Duration, Duration) =
    (Duration::from_secs(2), Duration::from_millis(200));

/// Where connections are counted that have shaken hands.
pub(super) struct Room {
    registry: Arc<dyn Registry>,
    ledger: Arc<Ledger>,
    unlisted: Arc<Semaphore>,
    beyond: Arc<Semaphore>,
}

/// How a connection was let in. It is counted until this is dropped.
#[derive(Debug)]
pub(super) enum Entrance {
    /// It is served.
    Served(#[expect(dead_code, reason = "held, never read")] Place),
    /// It gets one answer.
    OneAnswer(#[expect(dead_code, reason = "held, never read")] OwnedSemaphorePermit),
}

impl Room {
    /// As much room as the budgets give.
    pub(super) fn new(registry: Arc<dyn Registry>, ledger: Arc<Ledger>) -> Self {
        Self {
            registry,
            ledger,
            unlisted: Arc::new(Semaphore::new(UNLISTED_MAX)),
            beyond: Arc::new(Semaphore::new(BEYOND_MAX)),
        }
    }

    /// How a connection with this certificate is let in, if it is.
    pub(super) fn enter(&self, certificate: &PeerCertificate) -> Option<Entrance> {
        let one_answer = |of: &Arc<Semaphore>| {
            let place = Arc::clone(of).try_acquire_owned().ok();
            place.map(Entrance::OneAnswer)
        };
        match self.registry.admit(certificate) {
            Ok(caller) => match self.ledger.connect(&caller) {
                Some(place) => Some(Entrance::Served(place)),
                None => one_answer(&self.beyond),
            },
            Err(_) => one_answer(&self.unlisted),
        }
    }
}

/// One connection, as its calls know it.
#[derive(Clone, Debug)]
pub(crate) struct Line {
    is_served: bool,
    /// Whether one that gets one answer had it.
    is_answered: Arc<AtomicBool>,
    cut: Arc<Mutex<Option<oneshot::Sender<()>>>>,
}

impl Line {
    /// A line, and what says when it is cut.
    pub(super) fn new(entrance: &Entrance) -> (Self, oneshot::Receiver<()>) {
        let (cut, is_cut) = oneshot::channel();
        let line = Self {
            is_served: matches!(entrance, Entrance::Served(_)),
            is_answered: Arc::default(),
            cut: Arc::new(Mutex::new(Some(cut))),
        };
        (line, is_cut)
    }

    /// Whether its calls are served; otherwise they are told why not.
    pub(super) const fn is_served(&self) -> bool {
        self.is_served
    }

    /// Takes the one answer of a connection that is not served; whether it was there to be taken. The connection ends
    /// soon.
    pub(super) fn take_answer(&self) -> bool {
        if self.is_answered.swap(true, Ordering::AcqRel) {
            return false;
        }
        self.cut_after(ONE_ANSWER_TIMES.1);
        true
    }

    /// Ends the connection after a while.
    pub(super) fn cut_after(&self, time: Duration) {
        let line = self.clone();
        tokio::spawn(async move {
            tokio::time::sleep(time).await;
            line.cut();
        });
    }

    /// Ends the connection.
    pub(super) fn cut(&self) {
        let mut cut = self.cut.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(cut) = cut.take() {
            // Whoever has gone cannot be cut.
            cut.send(()).unwrap_or_default();
        }
    }
}

/// Where connections wait that still shake hands, oldest first.
#[derive(Debug, Default)]
pub(super) struct Hall(VecDeque<(IpAddr, oneshot::Sender<()>)>);

impl Hall {
    /// One more comes in. What it gets ends when it is crowded out; it is out of the hall when it drops that.
    pub(super) fn enter(&mut self, address: IpAddr) -> oneshot::Receiver<()> {
        if self.0.len() >= SHAKING_MAX {
            self.0.retain(|(_, shaking)| !shaking.is_closed());
        }
        if self.0.len() >= SHAKING_MAX
            && let Some(oldest) = self.oldest_of_the_most()
        {
            self.0.remove(oldest);
        }
        let (stays, crowded_out) = oneshot::channel();
        self.0.push_back((address, stays));
        crowded_out
    }

    fn oldest_of_the_most(&self) -> Option<usize> {
        let mut counts: HashMap<IpAddr, usize> = HashMap::new();
        for (address, _) in &self.0 {
            let count = counts.entry(*address).or_default();
            *count = count.saturating_add(1);
        }
        let (most, _) = counts.into_iter().max_by_key(|(_, count)| *count)?;
        self.0.iter().position(|(address, _)| *address == most)
    }
}

#[cfg(test)]
mod tests {
    use super::super::budgets::{Budgets, Part};
    use super::*;
    use counter::Caller;
    use rules::clock::Timestamp;
    use rules::id::PeerKind;
    use rules::reason::Reason;
    use std::collections::BTreeSet;

    const PORTAL: &str = "00000099000000008000";
    const PARTNER: &str = "00000099000000001000";

    struct Everybody;

    impl Registry for Everybody {
        fn admit(&self, certificate: &PeerCertificate) -> Result<Caller, Reason> {
            let oin = certificate.oin.clone().ok_or(Reason::OinUnknown)?;
            let kind = match oin.as_str() {
                PORTAL => PeerKind::Portal,
                _ => PeerKind::Uwv,
            };
            Ok(Caller {
                party: format!("{oin}/main").parse().unwrap(),
                desk: "desk".parse().unwrap(),
                kind,
                region: None,
                rights: BTreeSet::new(),
                signing_key: [0; 32],
            })
        }
    }

    fn certificate(oin: Option<&str>) -> PeerCertificate {
        PeerCertificate {
            oin: oin.map(|oin| oin.parse().unwrap()),
            spki_sha256: [0; 32],
            valid_until: Timestamp::from_millis(0),
        }
    }

    const OTHER: &str = "00000099000000002000";

    fn is_served(entrance: Option<&Entrance>) -> Option<bool> {
        entrance.map(|entrance| Line::new(entrance).0.is_served())
    }

    #[test]
    fn whoever_takes_all_it_can_leaves_the_others_theirs() {
        let few = |connections| Part {
            connections,
            ..Budgets::default().organisation
        };
        let budgets = Budgets {
            organisation: few(3),
            process: few(5),
            ..Budgets::default()
        };
        let room = Room::new(Arc::new(Everybody), Ledger::new(budgets));
        let enter = |oin| room.enter(&certificate(oin));
        let mut partners: Vec<_> = (0..3).map(|_| enter(Some(PARTNER)).unwrap()).collect();
        assert!(
            partners
                .iter()
                .all(|one| is_served(Some(one)) == Some(true))
        );
        let told: Vec<_> = (0..BEYOND_MAX).map(|_| enter(Some(PARTNER))).collect();
        assert!(
            told.iter()
                .all(|one| is_served(one.as_ref()) == Some(false))
        );
        assert!(enter(Some(PARTNER)).is_none(), "the rest hears nothing");
        let others = [enter(Some(OTHER)), enter(Some(OTHER))];
        assert!(
            others
                .iter()
                .all(|one| is_served(one.as_ref()) == Some(true))
        );
        // All the process has is taken; what the portal needs to stop is not.
        drop(told);
        assert_eq!(is_served(enter(Some(OTHER)).as_ref()), Some(false));
        assert_eq!(is_served(enter(Some(PORTAL)).as_ref()), Some(true));
        partners.pop();
        assert_eq!(is_served(enter(Some(PARTNER)).as_ref()), Some(true));
    }

    #[test]
    fn whoever_is_nobody_gets_one_answer_and_holds_nobody_up() {
        let room = Room::new(Arc::new(Everybody), Ledger::new(Budgets::default()));
        let strangers: Vec<_> = (0..UNLISTED_MAX)
            .map(|_| room.enter(&certificate(None)))
            .collect();
        assert!(
            strangers
                .iter()
                .all(|one| is_served(one.as_ref()) == Some(false))
        );
        assert!(room.enter(&certificate(None)).is_none());
        let partner = room.enter(&certificate(Some(PARTNER)));
        assert_eq!(is_served(partner.as_ref()), Some(true));
    }

    fn address(last: u8) -> IpAddr {
        IpAddr::from([192, 0, 2, last])
    }

    #[test]
    fn one_address_crowds_out_itself() {
        let mut hall = Hall::default();
        let mut quiet = hall.enter(address(2));
        let mut many: Vec<_> = (0..2 * SHAKING_MAX)
            .map(|_| hall.enter(address(1)))
            .collect();
        assert!(quiet.try_recv() == Err(oneshot::error::TryRecvError::Empty));
        assert!(many[0].try_recv() == Err(oneshot::error::TryRecvError::Closed));
    }

    #[test]
    fn who_is_silent_is_crowded_out_by_who_shakes_hands() {
        let mut hall = Hall::default();
        let mut silent: Vec<_> = (0..SHAKING_MAX).map(|_| hall.enter(address(1))).collect();
        assert!(silent[0].try_recv() == Err(oneshot::error::TryRecvError::Empty));
        // Those that are done make room, wherever they stand.
        silent.pop();
        let next = hall.enter(address(1));
        assert!(silent[0].try_recv() == Err(oneshot::error::TryRecvError::Empty));
        let mut later: Vec<_> = (0..SHAKING_MAX - 1)
            .map(|_| hall.enter(address(1)))
            .collect();
        for one in &mut silent {
            assert!(one.try_recv() == Err(oneshot::error::TryRecvError::Closed));
        }
        later.push(next);
        for one in &mut later {
            assert!(one.try_recv() == Err(oneshot::error::TryRecvError::Empty));
        }
    }
}
