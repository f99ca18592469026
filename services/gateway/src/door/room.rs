//! How many connections there are: those that still shake hands, everybody's, and the portal's share.
//!
//! Must never let in more than there is room for, and must never give the portal's share to anybody else: through it
//! persons stop what stands.

use super::admission::Registry;
use super::certificate::PeerCertificate;
use rules::id::PeerKind;
use std::collections::VecDeque;
use std::sync::Arc;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

/// Connections at the same time that have shaken hands, the portal's share not counted.
const CONNECTIONS_MAX: usize = 4_096;
/// Further ones, which are the portal's only.
const PORTAL_CONNECTIONS_MAX: usize = 64;
/// Connections that still shake hands. Of whom these are is not known yet: beyond that the oldest goes, because who is
/// silent is old, and who shakes hands is soon done.
const SHAKING_MAX: usize = 1_024;

/// Where connections are counted that have shaken hands.
pub(super) struct Room {
    registry: Arc<dyn Registry>,
    everybody: Arc<Semaphore>,
    portal: Arc<Semaphore>,
}

impl Room {
    /// As much room as a process has.
    pub(super) fn new(registry: Arc<dyn Registry>) -> Self {
        Self::of(registry, CONNECTIONS_MAX, PORTAL_CONNECTIONS_MAX)
    }

    fn of(registry: Arc<dyn Registry>, everybody: usize, portal: usize) -> Self {
        Self {
            registry,
            everybody: Arc::new(Semaphore::new(everybody)),
            portal: Arc::new(Semaphore::new(portal)),
        }
    }

    /// A place for a connection with this certificate, if there is one.
    pub(super) fn place(&self, certificate: &PeerCertificate) -> Option<OwnedSemaphorePermit> {
        let place = |of: &Arc<Semaphore>| Arc::clone(of).try_acquire_owned().ok();
        place(&self.everybody).or_else(|| {
            let caller = self.registry.admit(certificate).ok()?;
            (caller.kind == PeerKind::Portal).then(|| place(&self.portal))?
        })
    }
}

/// Where connections wait that still shake hands, oldest first.
#[derive(Debug, Default)]
pub(super) struct Hall(VecDeque<oneshot::Sender<()>>);

impl Hall {
    /// One more comes in. What it gets ends when it is crowded out; it is out of the hall when it drops that.
    pub(super) fn enter(&mut self) -> oneshot::Receiver<()> {
        if self.0.len() >= SHAKING_MAX {
            self.0.retain(|shaking| !shaking.is_closed());
        }
        if self.0.len() >= SHAKING_MAX {
            self.0.pop_front();
        }
        let (stays, crowded_out) = oneshot::channel();
        self.0.push_back(stays);
        crowded_out
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use counter::Caller;
    use rules::clock::Timestamp;
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

    #[test]
    fn whoever_takes_all_the_room_leaves_the_portal_its_share() {
        let room = Room::of(Arc::new(Everybody), 3, 2);
        let place = |oin| room.place(&certificate(oin));
        let mut partners: Vec<_> = (0..3).map(|_| place(Some(PARTNER)).unwrap()).collect();
        for other in [Some(PARTNER), None] {
            assert!(place(other).is_none(), "{other:?}");
        }
        let portals = [place(Some(PORTAL)).unwrap(), place(Some(PORTAL)).unwrap()];
        assert!(place(Some(PORTAL)).is_none(), "its share has an end too");
        drop(portals);
        assert!(place(Some(PARTNER)).is_none(), "and stays its own");
        partners.pop();
        assert!(place(Some(PARTNER)).is_some());
    }

    #[test]
    fn who_is_silent_is_crowded_out_by_who_shakes_hands() {
        let mut hall = Hall::default();
        let mut silent: Vec<_> = (0..SHAKING_MAX).map(|_| hall.enter()).collect();
        assert!(silent[0].try_recv() == Err(oneshot::error::TryRecvError::Empty));
        // Those that are done make room, wherever they stand.
        silent.pop();
        let next = hall.enter();
        assert!(silent[0].try_recv() == Err(oneshot::error::TryRecvError::Empty));
        let mut later: Vec<_> = (0..SHAKING_MAX - 1).map(|_| hall.enter()).collect();
        for one in &mut silent {
            assert!(one.try_recv() == Err(oneshot::error::TryRecvError::Closed));
        }
        later.push(next);
        for one in &mut later {
            assert!(one.try_recv() == Err(oneshot::error::TryRecvError::Empty));
        }
    }
}
