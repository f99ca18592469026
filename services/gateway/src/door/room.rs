//! Which connections are let in: those that still shake hands, those that are served, and those that get one answer and
//! go.
//!
//! Must never let in more than there is room for, and must never let one that is only told why keep others from being told.

use super::admission::Registry;
use super::budgets::{Ledger, Place};
use super::certificate::PeerCertificate;
use std::collections::{HashMap, VecDeque};
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Waker};
use std::time::Duration;
use tokio::sync::oneshot;

/// Connections that still shake hands. Of whom these are is not known yet: beyond that one goes of the address with the
/// most of them, the oldest, because who is silent is old, and who shakes hands is soon done.
const SHAKING_MAX: usize = 1_024;
/// Connections that get one answer, which says why: of certificates that stand for nobody, and as many of those beyond an
/// organisation's part.
const ONE_ANSWER_MAX: usize = 16;
/// The same of one key.
const ONE_ANSWER_OF_A_KEY_MAX: usize = 4;
/// Calls that are refused at the door on one connection.
const REFUSALS_MAX: u32 = 100;
/// How long a connection stays that gets one answer, before and after it.
pub(super) const ONE_ANSWER_TIMES: (Duration, Duration) =
    (Duration::from_secs(2), Duration::from_millis(200));

/// Where connections are counted that have shaken hands.
pub(super) struct Room {
    registry: Arc<dyn Registry>,
    ledger: Arc<Ledger>,
    unlisted: Pool,
    beyond: Pool,
}

/// How a connection was let in. It is counted until this is dropped.
#[derive(Debug)]
pub(super) enum Entrance {
    /// It is served.
    Served(Place),
    /// It gets one answer.
    OneAnswer(#[expect(dead_code, reason = "held, never read")] Ticket),
}

impl Room {
    /// As much room as the budgets give.
    pub(super) fn new(registry: Arc<dyn Registry>, ledger: Arc<Ledger>) -> Self {
        Self {
            registry,
            ledger,
            unlisted: Pool::default(),
            beyond: Pool::default(),
        }
    }

    /// How a connection with this certificate is let in, and what says that it is to end.
    pub(super) fn enter(
        &self,
        certificate: &PeerCertificate,
    ) -> (Entrance, Line, oneshot::Receiver<()>) {
        let (caller, pool) = match self.registry.admit(certificate) {
            Ok(caller) => (Some(caller), &self.beyond),
            Err(_) => (None, &self.unlisted),
        };
        let place = caller.and_then(|caller| self.ledger.connect(&caller));
        let (line, cut) = Line::new(place.is_some());
        let entrance = match place {
            Some(place) => Entrance::Served(place),
            None => Entrance::OneAnswer(pool.enter(certificate.spki_sha256, &line)),
        };
        (entrance, line, cut)
    }
}

/// Connections that get one answer, oldest first. Where there are too many the oldest goes, of the same key first: who
/// only asks something is done before that, and nobody keeps others from asking.
#[derive(Debug, Default)]
struct Pool(Mutex<VecDeque<([u8; 32], Line)>>);

/// A place among those that get one answer, until it is dropped.
#[derive(Debug)]
pub(super) struct Ticket(Line);

impl Pool {
    fn enter(&self, key: [u8; 32], line: &Line) -> Ticket {
        let mut lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        lines.retain(|(_, line)| !line.is_gone());
        let own = lines.iter().filter(|(other, _)| *other == key).count();
        let oldest = if own >= ONE_ANSWER_OF_A_KEY_MAX {
            lines.iter().position(|(other, _)| *other == key)
        } else {
            (lines.len() >= ONE_ANSWER_MAX).then_some(0)
        };
        if let Some((_, oldest)) = oldest.and_then(|oldest| lines.remove(oldest)) {
            oldest.cut();
        }
        lines.push_back((key, line.clone()));
        Ticket(line.clone())
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.0.cut();
    }
}

/// One connection, as its calls know it.
#[derive(Clone, Debug)]
pub(crate) struct Line {
    is_served: bool,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    /// Whether one that gets one answer had it.
    is_answered: AtomicBool,
    /// Calls that were refused at the door.
    refusals: AtomicU32,
    cut: Mutex<Option<oneshot::Sender<()>>>,
    /// Whether the peer takes nothing at the moment, and who waits for that to end.
    is_stuck: AtomicBool,
    waiting: Mutex<Vec<Waker>>,
}

impl Line {
    /// A line, and what says when it is cut.
    pub(super) fn new(is_served: bool) -> (Self, oneshot::Receiver<()>) {
        let (cut, is_cut) = oneshot::channel();
        let shared = Shared {
            is_answered: AtomicBool::new(false),
            refusals: AtomicU32::new(0),
            cut: Mutex::new(Some(cut)),
            is_stuck: AtomicBool::new(false),
            waiting: Mutex::default(),
        };
        let line = Self {
            is_served,
            shared: Arc::new(shared),
        };
        (line, is_cut)
    }

    /// Whether its calls are served; otherwise they are told why not.
    pub(super) const fn is_served(&self) -> bool {
        self.is_served
    }

    /// Takes the one answer of a connection whose calls are not served; whether it was there to be taken. The connection
    /// ends soon.
    pub(super) fn take_answer(&self) -> bool {
        if self.shared.is_answered.swap(true, Ordering::AcqRel) {
            return false;
        }
        self.cut_after(ONE_ANSWER_TIMES.1);
        true
    }

    /// A call was refused at the door. Who goes on all the same must shake hands again.
    pub(super) fn count_refusal(&self) {
        let refusals = self.shared.refusals.fetch_add(1, Ordering::Relaxed);
        if refusals == REFUSALS_MAX {
            self.cut_after(ONE_ANSWER_TIMES.1);
        }
    }

    /// Ends the connection after a while.
    pub(super) fn cut_after(&self, time: Duration) {
        let line = self.clone();
        tokio::spawn(async move {
            tokio::time::sleep(time).await;
            line.cut();
        });
    }

    /// Ends the connection; whether it was there.
    pub(super) fn cut(&self) -> bool {
        let mut cut = self
            .shared
            .cut
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let is_there = cut.take().is_some_and(|cut| cut.send(()).is_ok());
        drop(cut);
        self.went_on();
        is_there
    }

    fn is_gone(&self) -> bool {
        let cut = self
            .shared
            .cut
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        cut.as_ref().is_none_or(oneshot::Sender::is_closed)
    }

    /// The peer takes nothing at the moment.
    pub(super) fn got_stuck(&self) {
        self.shared.is_stuck.store(true, Ordering::Release);
    }

    /// The peer takes octets again.
    pub(super) fn went_on(&self) {
        if self.shared.is_stuck.swap(false, Ordering::AcqRel) {
            let mut waiting = self
                .shared
                .waiting
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            waiting.drain(..).for_each(Waker::wake);
        }
    }

    /// Whether the peer takes nothing at the moment; if so, whoever asks is woken when it does.
    pub(super) fn is_stuck(&self, context: &Context<'_>) -> bool {
        if !self.shared.is_stuck.load(Ordering::Acquire) {
            return false;
        }
        let mut waiting = self
            .shared
            .waiting
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if !waiting.iter().any(|waker| waker.will_wake(context.waker())) {
            waiting.push(context.waker().clone());
        }
        // It may have gone on before this one waited.
        self.shared.is_stuck.load(Ordering::Acquire)
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
    use broker::Caller;
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

    type Entered = (Entrance, Line, oneshot::Receiver<()>);

    fn is_served((entrance, line, _): &Entered) -> bool {
        assert_eq!(matches!(entrance, Entrance::Served(_)), line.is_served());
        line.is_served()
    }

    fn is_cut(entered: &mut Entered) -> bool {
        entered.2.try_recv() == Ok(())
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
        let enter = |oin| room.enter(&certificate(Some(oin)));
        let mut partners: Vec<_> = (0..3).map(|_| enter(PARTNER)).collect();
        assert!(partners.iter().all(is_served));
        assert!(!is_served(&enter(PARTNER)), "the rest is told why");
        let others = [enter(OTHER), enter(OTHER)];
        assert!(others.iter().all(is_served));
        // All the process has is taken; what the portal needs to stop is not.
        assert!(!is_served(&enter(OTHER)));
        assert!(is_served(&enter(PORTAL)));
        partners.pop();
        assert!(is_served(&enter(PARTNER)));
    }

    #[test]
    fn whoever_is_nobody_crowds_out_itself_and_then_the_oldest() {
        let room = Room::new(Arc::new(Everybody), Ledger::new(Budgets::default()));
        let enter = |key| {
            room.enter(&PeerCertificate {
                spki_sha256: [key; 32],
                ..certificate(None)
            })
        };
        let mut probe = enter(200);
        let mut same: Vec<_> = (0..50).map(|_| enter(1)).collect();
        assert!(
            !is_served(&probe) && !is_cut(&mut probe),
            "not by another key alone"
        );
        let left = same
            .iter_mut()
            .filter_map(|one| (!is_cut(one)).then_some(()));
        assert_eq!(left.count(), ONE_ANSWER_OF_A_KEY_MAX);
        let many: Vec<_> = (2..18).map(enter).collect();
        assert!(
            is_cut(&mut probe),
            "the oldest goes where there are too many"
        );
        drop(many);
        let mut next = enter(1);
        drop((0..3).map(|_| enter(1)).collect::<Vec<_>>());
        assert!(!is_cut(&mut next), "who has gone takes no place");
        assert!(is_served(&room.enter(&certificate(Some(PARTNER)))));
    }

    #[tokio::test]
    async fn who_goes_on_after_a_hundred_refusals_is_cut_off() {
        let (line, mut cut) = Line::new(true);
        for _ in 0..REFUSALS_MAX {
            line.count_refusal();
        }
        tokio::time::sleep(ONE_ANSWER_TIMES.1 * 2).await;
        assert!(cut.try_recv() == Err(oneshot::error::TryRecvError::Empty));
        line.count_refusal();
        tokio::time::sleep(ONE_ANSWER_TIMES.1 * 2).await;
        assert!(cut.try_recv() == Ok(()));
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
