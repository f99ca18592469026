//! The cryptographic primitives that a hop cannot do without, measured here and now.
//!
//! Must never take a figure from anywhere but this run.

use crate::table::Table;
use rustix::time::{ClockId, clock_gettime};
use std::collections::BTreeMap;
use std::time::Instant;
use vault::measure::BareConversion;

const ROUNDS: usize = 7;
const TIMES: u32 = 60;

/// Microseconds of processor time of each primitive, by name.
pub(crate) struct Floor(BTreeMap<&'static str, f64>);

/// Microseconds that this thread has been on a processor.
pub(crate) fn thread_micros() -> f64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    time.tv_sec as f64 * 1e6 + time.tv_nsec as f64 / 1e3
}

/// Processor time and wall time of `work`, in microseconds.
pub(crate) fn timed(work: impl FnOnce()) -> (f64, f64) {
    let (processor, wall) = (thread_micros(), Instant::now());
    work();
    (
        thread_micros() - processor,
        wall.elapsed().as_secs_f64() * 1e6,
    )
}

impl Floor {
    /// The median of some rounds of each primitive.
    pub(crate) fn measure() -> Self {
        let bare = BareConversion::new();
        let mut floor = BTreeMap::new();
        for primitive in bare.primitives() {
            let mut rounds: Vec<f64> = (0..ROUNDS)
                .map(|_| {
                    let (processor, _) = timed(|| (0..TIMES).for_each(|_| (primitive.run)()));
                    processor / f64::from(TIMES)
                })
                .collect();
            rounds.sort_by(f64::total_cmp);
            floor.insert(primitive.name, rounds[ROUNDS / 2]);
        }
        Self(floor)
    }

    pub(crate) fn print(&self, table: &mut Table) {
        table.heading("cryptographic primitives (processor time, median)");
        for (name, micros) in &self.0 {
            table.number(name, *micros, "µs");
        }
    }

    pub(crate) fn of(&self, name: &str) -> f64 {
        self.0[name]
    }

    /// The least that a hop costs: the order's signature, each earlier voucher's (a parent counts as
    /// one), each input decoded, each target converted and encoded, the voucher signed.
    pub(crate) fn hop(&self, inputs: usize, targets: usize, vouchers: usize) -> f64 {
        self.of("verify") * (1.0 + vouchers as f64)
            + self.of("decode a ciphertext") * inputs as f64
            + (self.of("libpep conversion") + self.of("encode a ciphertext")) * targets as f64
            + self.of("sign")
    }

    /// What the broker cannot do without when it opens a handle: one multiplication, as making the next
    /// public key is.
    fn handle(&self) -> f64 {
        self.of("next public key") + self.of("decode a ciphertext")
    }

    /// The least that a Prepare costs: two targets at each of two holders; at the broker the order, two
    /// vouchers, a handle and a promise.
    pub(crate) fn prepare(&self) -> f64 {
        let holders = self.hop(1, 2, 0) + self.hop(2, 2, 1);
        holders + 3.0 * self.of("verify") + self.handle() + self.of("sign")
    }

    /// The least that a CreateOffer costs: a manifest and a promise.
    pub(crate) fn offer(&self) -> f64 {
        self.of("verify") + self.of("sign")
    }

    /// The least that a whole handover costs: two conversions of two targets at each of two holders, with
    /// earlier vouchers and parents; at the broker four vouchers, two manifests, two orders, two handles and
    /// eight promises.
    pub(crate) fn whole(&self) -> f64 {
        let holders = self.hop(1, 2, 0) + self.hop(2, 2, 1) + self.hop(1, 2, 1) + self.hop(2, 2, 2);
        holders + 8.0 * self.of("verify") + 2.0 * self.handle() + 8.0 * self.of("sign")
    }
}
