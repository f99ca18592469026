//! What is typed and must not be seen: asked for at a terminal with its echo off, or read from standard input.
//!
//! Must never print what was typed, and must never leave a terminal without its echo.

use rules::secret::Secret;
use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};
use std::io::{BufRead as _, IsTerminal as _, Read as _, Write as _};

/// Most octets that are read: a number is shorter by far.
const LINE_BYTES_MAX: u64 = 1_024;

/// A terminal that shows nothing of what is typed, for as long as this lives.
struct Unseen {
    before: Termios,
}

impl Unseen {
    /// Nothing where standard input is no terminal.
    fn begin() -> std::io::Result<Option<Self>> {
        let input = std::io::stdin();
        if !input.is_terminal() {
            return Ok(None);
        }
        let before = tcgetattr(&input)?;
        let mut unseen = before.clone();
        unseen.local_modes.remove(LocalModes::ECHO);
        unseen.local_modes.insert(LocalModes::ECHONL);
        tcsetattr(&input, OptionalActions::Flush, &unseen)?;
        Ok(Some(Self { before }))
    }
}

impl Drop for Unseen {
    fn drop(&mut self) {
        // A terminal that went away needs no echo.
        tcsetattr(std::io::stdin(), OptionalActions::Now, &self.before).unwrap_or_default();
    }
}

/// One line from standard input; a terminal is asked for it with `question`, and does not show it.
///
/// # Errors
///
/// When it cannot be read.
pub(super) fn unseen(question: &str) -> std::io::Result<Secret<String>> {
    let terminal = Unseen::begin()?;
    if terminal.is_some() {
        let mut errors = std::io::stderr();
        errors.write_all(question.as_bytes())?;
        errors.flush()?;
    }
    let mut line = String::new();
    let read = std::io::stdin()
        .lock()
        .take(LINE_BYTES_MAX)
        .read_line(&mut line);
    drop(terminal);
    let line = Secret::new(line);
    read.map(|_| line)
}
