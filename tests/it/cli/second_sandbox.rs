//! A sandbox that runs is not wiped by another.
//!
//! Must never accept that somebody's servers lose their folder.

use super::{Terminal, said};
use crate::house::program;
use std::process::Command;

#[tokio::test]
async fn a_second_sandbox_leaves_a_running_one_alone() {
    let terminal = Terminal::open().await;
    let folder = terminal.folder();
    for more in [&["--lay"][..], &[]] {
        let second = said(
            Command::new(program())
                .arg("sandbox")
                .args(more)
                .arg("--folder")
                .arg(&folder),
            "",
        );
        assert_eq!(second.code, 1, "{}", second.err);
        assert!(second.err.contains("is running in"), "{}", second.err);
    }
    terminal.text("--as uwv whoami", "");
}
