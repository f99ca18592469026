//! Carries what is in SQLite's journal over into its file, beside the commands and not in the way of one.
//!
//! Must never wait for a lock that a command holds, and must never be needed: the writer does the same by itself
//! when the journal has grown too long.

use crate::engine::{File, settings_of_session};
use sqlx::sqlite::SqliteConnection;
use sqlx::{ConnectOptions as _, Connection as _};
use std::path::PathBuf;
use std::time::Duration;
use tokio::task::JoinHandle;

/// How often the journal is looked at.
const INTERVAL: Duration = Duration::from_millis(200);
/// A shorter journal is left alone.
const JOURNAL_BYTES_MIN: u64 = 1024 * 1024;
/// Waits for nobody: what is still read or written stays for the next time.
const CARRY_OVER: &str = "PRAGMA wal_checkpoint(PASSIVE)";

/// The work beside; it ends when this is dropped.
#[derive(Debug)]
pub(crate) struct Checkpointer(JoinHandle<()>);

impl Drop for Checkpointer {
    fn drop(&mut self) {
        self.end();
    }
}

impl Checkpointer {
    pub(crate) fn start(file: &File) -> Self {
        let file = file.clone();
        Self(tokio::spawn(async move {
            let journal = PathBuf::from(format!("{}-wal", file.path.display()));
            let mut connection = None;
            loop {
                tokio::time::sleep(INTERVAL).await;
                let length = tokio::fs::metadata(&journal)
                    .await
                    .map_or(0, |file| file.len());
                if length >= JOURNAL_BYTES_MIN {
                    connection = carry_over(&file, connection).await;
                }
            }
        }))
    }

    /// Ends the work.
    pub(crate) fn end(&self) {
        self.0.abort();
    }
}

/// Does it once; gives the connection back while it is good.
async fn carry_over(file: &File, connection: Option<SqliteConnection>) -> Option<SqliteConnection> {
    let mut connection = match connection {
        Some(connection) => connection,
        None => settings_of_session(file).connect().await.ok()?,
    };
    match sqlx::raw_sql(CARRY_OVER).execute(&mut connection).await {
        Ok(_) => Some(connection),
        Err(fault) => {
            tracing::warn!(%fault, "the journal cannot be carried over beside the commands");
            drop(connection.close().await);
            None
        }
    }
}
