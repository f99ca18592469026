//! What lies in the process's memory stays there: no core dumps, and no pages on a disk that memory is swapped to.
//!
//! Must never make an allocation fail: memory is locked only where no limit can be met by that.

use rustix::mm::{MlockAllFlags, mlockall};
use rustix::process::{
    DumpableBehavior, Resource, Rlimit, getrlimit, set_dumpable_behavior, setrlimit,
};
use rustix::thread::{CapabilitySet, capabilities};

/// What to do where memory cannot be locked.
pub(crate) const REMEDY: &str =
    "run without swap, or lift the limit on locked memory (systemd: LimitMEMLOCK=infinity)";
/// Where the system says to what it swaps: a line of titles, and one for each place.
const SWAPS: &str = "/proc/swaps";

/// From now on a crash leaves no core dump. Children inherit it.
pub(crate) fn leave_no_core() {
    let nothing = Rlimit {
        current: Some(0),
        maximum: Some(0),
    };
    // Neither can fail: to lower a limit everybody may. The second is for a machine that pipes core dumps to a program,
    // which no limit holds back; another process of the same user reads no memory then, either.
    setrlimit(Resource::Core, nothing).unwrap_or_default();
    set_dumpable_behavior(DumpableBehavior::NotDumpable).unwrap_or_default();
}

/// Locks the memory of this process, also what it takes later; otherwise says once what to do.
pub(crate) fn lock() {
    // Pages are locked once they are used: the stacks of threads are large, and most of each is never touched.
    let all = MlockAllFlags::CURRENT | MlockAllFlags::FUTURE | MlockAllFlags::ONFAULT;
    let locked = may_lock() && mlockall(all).is_ok();
    if !locked && is_swapped() {
        tracing::warn!(
            remedy = REMEDY,
            "memory cannot be locked, and this machine swaps: keys may reach the disk"
        );
    }
}

/// Whether this process may lock as much memory as it likes. Below a limit it must not begin: what it takes later would
/// count, and not be given.
pub(crate) fn may_lock() -> bool {
    let is_able =
        capabilities(None).is_ok_and(|sets| sets.effective.contains(CapabilitySet::IPC_LOCK));
    is_able || getrlimit(Resource::Memlock).current.is_none()
}

/// Whether this machine swaps; where it does not say, it may.
pub(crate) fn is_swapped() -> bool {
    std::fs::read_to_string(SWAPS).map_or(true, |text| text.lines().nth(1).is_some())
}
