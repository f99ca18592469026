//! This holder's own copy of the directory: verified on import, kept with its signatures, never older.
//!
//! Must never take the directory's word from anybody without all controllers' signatures.

use crate::HolderError;
use papers::controllers::{SignedByAll, decode_signatures, encode_signatures};
use rules::clock::Timestamp;
use rules::directory::Directory;
use rules::id::Oin;
use std::collections::BTreeSet;
use store::directory::SignedFile;
use store::{Database, Tx, Work};
use vault::sign::VerifyingKey;

/// The desk with which a holder signs vouchers and steps.
const HOLDER_DESK: &str = "holder";

/// The key with which a holder signs; `None` when it is not in the directory or was revoked.
pub(crate) fn voucher_key(directory: &Directory, holder: &Oin) -> Option<VerifyingKey> {
    let desk = directory
        .peer(holder)?
        .desks()
        .find(|desk| desk.name.as_str() == HOLDER_DESK)?;
    (!directory.is_revoked(&desk.spki_sha256)).then(|| VerifyingKey::from_bytes(desk.signing_key))
}

/// How many organisations would have to conspire: the number of distinct operators in the walk.
pub(crate) fn trust_level(directory: &Directory) -> u32 {
    let operators: BTreeSet<&Oin> = directory.holders().iter().collect();
    u32::try_from(operators.len()).unwrap_or(u32::MAX)
}

/// The stored directory with the highest version.
pub(crate) async fn newest(
    database: &Database,
) -> Result<Option<SignedByAll<Vec<u8>>>, HolderError> {
    match database.read(&Newest).await? {
        Some(file) => {
            let signatures = decode_signatures(&file.signatures)
                .map_err(|_| HolderError::Malformed("directory_file"))?;
            Ok(Some(SignedByAll {
                content: file.content,
                signatures,
            }))
        }
        None => Ok(None),
    }
}

/// Keeps a verified directory.
pub(crate) async fn keep(
    database: &Database,
    version: u64,
    signed: &SignedByAll<Vec<u8>>,
    now: Timestamp,
) -> Result<(), HolderError> {
    let version = i64::try_from(version).map_err(|_| HolderError::Malformed("directory_file"))?;
    let file = SignedFile {
        content: signed.content.clone(),
        signatures: encode_signatures(&signed.signatures)
            .map_err(|_| HolderError::Malformed("directory_file"))?,
    };
    let keep = Keep { version, file, now };
    database.write(&keep).await
}

struct Newest;

impl Work for Newest {
    type Output = Option<SignedFile>;
    type Error = HolderError;

    fn name(&self) -> &'static str {
        "NewestDirectory"
    }

    async fn perform(&self, tx: &mut Tx<'_>) -> Result<Self::Output, HolderError> {
        Ok(tx.newest_directory().await?.map(|(_, file)| file))
    }

    fn is_transient(error: &HolderError) -> bool {
        error.is_transient()
    }
}

struct Keep {
    version: i64,
    file: SignedFile,
    now: Timestamp,
}

impl Work for Keep {
    type Output = ();
    type Error = HolderError;

    fn name(&self) -> &'static str {
        "ImportDirectory"
    }

    async fn perform(&self, tx: &mut Tx<'_>) -> Result<(), HolderError> {
        Ok(tx
            .insert_directory(self.version, &self.file, self.now)
            .await?)
    }

    fn is_transient(error: &HolderError) -> bool {
        error.is_transient()
    }
}
