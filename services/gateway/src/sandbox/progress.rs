//! Progress on standard error: one line that is drawn over on a terminal, few lines elsewhere.
//!
//! Must never say anything about a person: it counts.

use crate::cli::output::note;
use std::io::{IsTerminal as _, Write as _};
use std::sync::atomic::{AtomicUsize, Ordering};

/// Elsewhere than on a terminal, how many steps go by between two lines.
const STEPS_PER_LINE: usize = 50;
/// Width of the bar, in characters.
const BAR_CHARACTERS: usize = 30;

/// Progress on standard error.
pub(crate) struct Progress {
    is_terminal: bool,
    done: AtomicUsize,
}

impl Progress {
    pub(crate) fn new() -> Self {
        Self {
            is_terminal: std::io::stderr().is_terminal(),
            done: AtomicUsize::new(0),
        }
    }

    /// What is being done now.
    pub(crate) fn say(&self, what: &str) {
        note(&format!("sandbox: {what}"));
    }

    /// One more of `all` is done.
    pub(crate) fn step(&self, what: &str, all: usize) {
        let done = self.done.fetch_add(1, Ordering::Relaxed).saturating_add(1);
        if self.is_terminal {
            let filled = done
                .saturating_mul(BAR_CHARACTERS)
                .checked_div(all)
                .unwrap_or(0)
                .min(BAR_CHARACTERS);
            let bar = "#".repeat(filled);
            let end = if done >= all { "\n" } else { "" };
            let mut out = std::io::stderr();
            let _ = write!(out, "\r  [{bar:<BAR_CHARACTERS$}] {done}/{all} {what}{end}");
            let _ = out.flush();
        } else if done.is_multiple_of(STEPS_PER_LINE) || done == all {
            note(&format!("  {done}/{all} {what}"));
        }
    }
}
