//! What was stopped is kept for a while and sent again when the gateway was put back from a backup: a consent
//! that was withdrawn must not come back to life there.
//!
//! Must never send again what did not take effect the first time, and must never confirm before every kept
//! request had its answer.

use crate::connection::{stub, with_deadline};
use crate::directory::parts_to_send;
use crate::error::{ClientError, ProtocolError, from_status};
use crate::mutation::{Mutation as _, send_again};
use crate::outbox::Outbox;
use crate::store::{Change, DIRECTORY_KEY, DirectoryRow, StoppedRow, Table, put, remove};
use prost::Message as _;
use rules::clock::Timestamp;
use rules::directory::head;
use rules::id::RequestId;
use rules::limits::{DAY_MILLIS, STOPPED_DAYS};
use rules::reason::Reason;
use std::future::Future;
use wire::consent::v1::WithdrawConsentRequest;
use wire::consent::v1::withdraw_consent_request::Consent;
use wire::restoration::v1 as message;
use wire::restoration::v1::restoration_service_client::RestorationServiceClient;

/// How far clocks of gateway and partner may differ: so much from before the backup is sent again too.
const MARGIN_MILLIS: i64 = DAY_MILLIS;

impl Outbox {
    /// Repeats as the policy says. A gateway that was restored first gets everything again that was stopped
    /// since its backup; when that opens its door, the call goes on.
    pub(crate) async fn repeat<T, Attempt, Answer>(
        &self,
        mut attempt: Attempt,
    ) -> Result<T, ClientError>
    where
        Attempt: FnMut() -> Answer + Send,
        Answer: Future<Output = Result<T, ClientError>> + Send,
    {
        let answer = self.policy.repeat(&*self.random, &mut attempt).await;
        match answer {
            Err(error) if error.reason() == Some(Reason::Restoring) => {
                if self.resend().await? {
                    self.policy.repeat(&*self.random, attempt).await
                } else {
                    Err(error)
                }
            }
            answer => answer,
        }
    }

    /// Sends again what was stopped since the backup, and says so. Gives whether the door is open.
    ///
    /// # Errors
    /// A fault on the way; what had its answer is not sent once more.
    pub(crate) async fn resend(&self) -> Result<bool, ClientError> {
        // One at a time: the others find nothing left to send.
        let _turn = self.resending.lock().await;
        let found = self.restoration().await?;
        if !found.shut {
            return Ok(true);
        }
        let restored_at = found.restored_at_millis;
        let since = found.backup_at_millis.saturating_sub(MARGIN_MILLIS);
        for (request, row) in self.store.stopped()? {
            if row.stopped_millis >= since && row.resent_for_millis != restored_at {
                self.send_again(&request, row, restored_at).await?;
            }
        }
        self.confirm_resent(restored_at).await
    }

    /// Sends one kept request again; any definite answer will do. That the gateway knows nothing of it means
    /// that what it stopped is gone there too.
    async fn send_again(
        &self,
        request: &RequestId,
        row: StoppedRow,
        restored_at: i64,
    ) -> Result<(), ClientError> {
        match send_again(self, &row).await {
            Ok(()) => {}
            Err(error)
                if error.is_repeatable() || error.reason() == Some(Reason::TriesExhausted) =>
            {
                return Err(error);
            }
            Err(_definite) => {}
        }
        let row = StoppedRow {
            resent_for_millis: restored_at,
            ..row
        };
        let change = put(Table::Stopped, request.bytes(), &row);
        Ok(self.commit(vec![change]).await?)
    }

    pub(crate) async fn restoration(&self) -> Result<message::GetRestorationResponse, ClientError> {
        self.policy
            .repeat(&*self.random, || {
                let mut stub = stub!(RestorationServiceClient<_>, self.connection);
                async move {
                    let question = with_deadline(message::GetRestorationRequest::default());
                    let answer = stub.get_restoration(question).await;
                    let answer = answer.map_err(|status| from_status("GetRestoration", &status))?;
                    Ok(answer.into_inner())
                }
            })
            .await
    }

    async fn confirm_resent(&self, restored_at: i64) -> Result<bool, ClientError> {
        // A newer directory than the backup's may have taken somebody's rights away.
        let kept = self
            .store
            .row::<DirectoryRow>(Table::Directory, DIRECTORY_KEY, "directory")?;
        let (file, signatures) =
            kept.map_or_else(Default::default, |row| (row.file, row.signatures));
        let mut confirmation = message::ConfirmResentRequest {
            restored_at_millis: restored_at,
            directory_toml: head(&file).to_vec(),
            signatures,
            directory_parts: Vec::new(),
        };
        let mut left = usize::MAX;
        loop {
            let answer = self.policy.repeat(&*self.random, || {
                let mut stub = stub!(RestorationServiceClient<_>, self.connection);
                let confirmation = with_deadline(confirmation.clone());
                async move {
                    let answer = stub.confirm_resent(confirmation).await;
                    let answer = answer.map_err(|status| from_status("ConfirmResent", &status))?;
                    Ok(answer.into_inner())
                }
            });
            let answer = answer.await?;
            let missing = answer.missing_parts;
            if missing.is_empty() {
                return Ok(answer.open);
            }
            if missing.len() >= left {
                let what = "asks again for parts that were sent";
                return Err(ProtocolError::new("answer", what).into());
            }
            left = missing.len();
            confirmation.directory_parts = parts_to_send(&file, &missing)?;
        }
    }

    /// The changes with which is kept what a gateway needs that is put back from a backup without a record: it must not
    /// take up again what the record had replaced.
    pub(crate) fn keep_sealed(&self, sealed_subject: &[u8]) -> Result<Vec<Change>, ClientError> {
        let request = RequestId::draw(&*self.clock, &*self.random);
        let message = WithdrawConsentRequest {
            request_id: request.bytes().to_vec(),
            consent: Some(Consent::SealedSubject(sealed_subject.to_vec())),
            source_sha256: Vec::new(),
        };
        self.keep_stopped(
            &request,
            WithdrawConsentRequest::NUMBER,
            message.encode_to_vec(),
        )
    }

    /// The changes with which a request that stopped something is kept, and those whose time is over go.
    pub(crate) fn keep_stopped(
        &self,
        request: &RequestId,
        call: u32,
        message: Vec<u8>,
    ) -> Result<Vec<Change>, ClientError> {
        let now = self.clock.now();
        let row = StoppedRow {
            call,
            message,
            stopped_millis: now.millis(),
            resent_for_millis: 0,
        };
        let mut changes = vec![put(Table::Stopped, request.bytes(), &row)];
        for (old, row) in self.store.stopped()? {
            let age = now.millis_since(Timestamp::from_millis(row.stopped_millis));
            if age > STOPPED_DAYS.saturating_mul(DAY_MILLIS) {
                changes.push(remove(Table::Stopped, old.bytes()));
            }
        }
        Ok(changes)
    }
}
