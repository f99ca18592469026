//! What everything is decided under: the directory and the policy set, verified, kept and put in force.
//!
//! Must never put anything in force that a controller did not sign, nor a directory with a version
//! that is not higher, nor a policy set that is not the next after the one in force.

use crate::Error;
use crate::broker::{Broker, InForce};
use crate::call::{Answer, Call};
use crate::record::Record;
use crate::serve::{Command, Room, Verdict};
use papers::controllers::{
    Controller, PolicyFiles, SignedByAll, decode_signatures, encode_signatures, verify_policy_set,
};
use papers::directory::{Came, Imported, verify_directory};
use papers::frame::{FrameReader, FrameWriter};
use rules::calendar::Calendar;
use rules::directory::{Directory, Right};
use rules::policy::PolicyBundle;
use rules::reason::{Outcome, Reason, Refusal};
use std::sync::Arc;
use store::directory::{InForce as InForceRow, SignedFile};
use store::{Database, Tx, Work};

fn encode_policy(files: &SignedByAll<PolicyFiles>) -> Result<SignedFile, Error> {
    let mut writer = FrameWriter::default();
    for (path, content) in &files.content.0 {
        writer.put(path.as_bytes())?;
        writer.put(content)?;
    }
    Ok(SignedFile {
        content: writer.finish(),
        signatures: encode_signatures(&files.signatures)?,
    })
}

fn decode_policy(file: &SignedFile) -> Result<SignedByAll<PolicyFiles>, Error> {
    let mut reader = FrameReader::new(&file.content);
    let mut files = Vec::new();
    while !reader.is_empty() {
        files.push((reader.take_text()?.to_owned(), reader.take()?.to_vec()));
    }
    let signatures = decode_signatures(&file.signatures)?;
    Ok(SignedByAll {
        content: PolicyFiles(files),
        signatures,
    })
}

fn encode_directory(file: &SignedByAll<Vec<u8>>) -> Result<SignedFile, Error> {
    Ok(SignedFile {
        content: file.content.clone(),
        signatures: encode_signatures(&file.signatures)?,
    })
}

impl InForce {
    /// From verified files.
    ///
    /// # Errors
    /// When the register's holidays make no calendar.
    pub fn new(
        directory: Directory,
        directory_file: &SignedByAll<Vec<u8>>,
        policy: PolicyBundle,
    ) -> Result<Self, Error> {
        let holidays: Vec<String> = policy
            .register()
            .holidays()
            .iter()
            .map(ToString::to_string)
            .collect();
        let calendar = Calendar::new(&holidays).map_err(|_| Error::Malformed("a calendar"))?;
        Ok(Self {
            directory,
            directory_file: encode_directory(directory_file)?,
            policy,
            calendar,
        })
    }
}

struct ReadInForce;

impl Work for ReadInForce {
    type Output = Option<(SignedFile, SignedFile)>;
    type Error = Error;

    fn name(&self) -> &'static str {
        "ReadInForce"
    }

    async fn perform<'a>(&'a self, tx: &'a mut Tx<'_>) -> Result<Self::Output, Error> {
        let Some(row) = tx.in_force(None).await? else {
            return Ok(None);
        };
        let missing = || Error::Malformed("what is in force");
        let directory = tx
            .directory(row.directory_version)
            .await?
            .ok_or_else(missing)?;
        let policy = tx
            .policy_set(&row.policy_sha256)
            .await?
            .ok_or_else(missing)?;
        Ok(Some((directory, policy)))
    }

    fn is_transient(error: &Error) -> bool {
        error.is_transient()
    }
}

/// Verifies a directory away from the threads that serve connections.
async fn verify_aside(
    controllers: &[Controller],
    file: &SignedByAll<Vec<u8>>,
    verified: Option<Arc<Directory>>,
) -> Result<Result<Directory, Refusal>, Error> {
    let (controllers, file) = (controllers.to_vec(), file.clone());
    let work = move || verify_directory(&controllers, &file, verified.as_deref());
    let verified = tokio::task::spawn_blocking(work).await;
    verified.map_err(|_| Error::Vault("the verification of a directory was given up"))
}

/// What the database says is in force, verified again as far as it does not stand in `verified`; `None` in a new database.
///
/// # Errors
/// When the database fails, or what it holds no longer verifies.
pub async fn stored(
    database: &Database,
    controllers: &[Controller],
    verified: Option<Arc<Directory>>,
) -> Result<Option<InForce>, Error> {
    let Some((directory_file, policy_file)) = database.read(&ReadInForce).await? else {
        return Ok(None);
    };
    let wrong = |refusal| Error::Unverified(Box::new(refusal));
    let signed = SignedByAll {
        content: directory_file.content.clone(),
        signatures: decode_signatures(&directory_file.signatures)?,
    };
    let directory = verify_aside(controllers, &signed, verified).await?;
    let directory = directory.map_err(wrong)?;
    let policy = verify_policy_set(controllers, &decode_policy(&policy_file)?).map_err(wrong)?;
    Ok(Some(InForce::new(directory, &signed, policy)?))
}

/// Puts a directory, a policy set or both in force.
#[derive(Debug)]
struct PutInForce<'a> {
    name: &'static str,
    directory: Option<(Arc<Directory>, &'a SignedByAll<Vec<u8>>)>,
    policy: Option<(&'a PolicyBundle, &'a SignedByAll<PolicyFiles>)>,
}

impl Command for PutInForce<'_> {
    type Reply = InForceRow;

    fn name(&self) -> &'static str {
        self.name
    }

    fn founds(&self) -> bool {
        true
    }

    async fn perform<'a>(
        &'a self,
        room: &'a Room<'a>,
        tx: &'a mut Tx<'_>,
    ) -> Result<Verdict<InForceRow>, Error> {
        let mut record = Record::default();
        let now = room.call.now;
        let before = tx.in_force(None).await?;
        let mut after = before.unwrap_or(InForceRow {
            directory_version: room.in_force.directory_version(),
            policy_sha256: room.in_force.policy.hash(),
            is_shut: false,
            is_barred: false,
        });
        if let Some((directory, file)) = &self.directory {
            let version = i64::try_from(directory.version()).unwrap_or(i64::MAX);
            if before.is_some_and(|before| version <= before.directory_version) {
                return Ok(Verdict::refused(Reason::DirectoryVersionLower, record));
            }
            tx.insert_directory(version, &encode_directory(file)?, now)
                .await?;
            after.directory_version = version;
        }
        if let Some((bundle, files)) = &self.policy {
            // The set in force of which `perform` knows is that of the row, or there was none.
            let follows = bundle.follows(&room.in_force.policy);
            if let (Some(_), Err(refusal)) = (before, follows) {
                return Ok(Verdict::refused(refusal, record));
            }
            let hash = bundle.hash();
            tx.insert_policy_set(&hash, &encode_policy(files)?, now)
                .await?;
            after.policy_sha256 = hash;
        }
        tx.put_in_force(after).await?;
        record.policy_set = Some(after.policy_sha256);
        Ok(Verdict::permitted(after, record))
    }
}

impl Broker {
    /// Keeps what the broker was made with as what is in force, in a database that has nothing yet.
    ///
    /// # Errors
    /// A fault of ours.
    pub async fn first_start(
        &self,
        directory: &SignedByAll<Vec<u8>>,
        policy: &SignedByAll<PolicyFiles>,
    ) -> Result<Outcome<InForceRow>, Error> {
        let verified = match verify_aside(self.controllers(), directory, None).await? {
            Ok(verified) => verified,
            Err(refusal) => return Ok(Outcome::Refused(refusal)),
        };
        let in_force = self.in_force();
        let command = PutInForce {
            name: "FirstStart",
            directory: Some((Arc::new(verified), directory)),
            policy: Some((&in_force.policy, policy)),
        };
        Ok(self.serve(&self.own_call(), &command).await?.outcome)
    }

    /// Takes in a newer directory, of one piece or a head with some of its parts, and puts it in force when all of it
    /// is here.
    ///
    /// # Errors
    /// A fault of ours.
    pub async fn import_directory(
        &self,
        call: &Call,
        file: SignedByAll<Vec<u8>>,
        parts: Vec<Vec<u8>>,
    ) -> Result<Answer<Imported>, Error> {
        const NAME: &str = "ImportDirectory";
        let came = match self.check_operator(call) {
            Ok(()) => self.take_in(file, parts),
            Err(refusal) => Err(refusal),
        };
        let file = match came {
            Ok(Came::Whole(file)) => file,
            Ok(Came::Missing(missing)) => {
                let noted = self.note(call, NAME).await?;
                let version = self.in_force().directory_version();
                return Ok(noted.map(|()| Imported { version, missing }));
            }
            Err(refusal) => return self.refused_file(call, NAME, refusal).await,
        };
        let verified = Some(self.verified());
        let directory = match verify_aside(self.controllers(), &file, verified).await? {
            Ok(directory) => Arc::new(directory),
            Err(refusal) => return self.refused_file(call, NAME, refusal).await,
        };
        let command = PutInForce {
            name: NAME,
            directory: Some((Arc::clone(&directory), &file)),
            policy: None,
        };
        let answer = self.serve(call, &command).await?;
        self.reload_beside(directory).await?;
        Ok(answer.map(|row| Imported {
            version: row.directory_version,
            missing: Vec::new(),
        }))
    }

    fn take_in(&self, file: SignedByAll<Vec<u8>>, parts: Vec<Vec<u8>>) -> Result<Came, Refusal> {
        let in_force = self.in_force();
        let present = (
            &in_force.directory,
            in_force.directory_file.content.as_slice(),
        );
        self.waiting()
            .take_in(self.controllers(), file, parts, present)
    }

    /// Puts the directory in force that a desk kept, when it is newer than the one of the backup from which
    /// the database was put back and all of it is here. Gives the parts that are not, or why it cannot be.
    ///
    /// # Errors
    /// A fault of ours.
    pub async fn take_back_directory(
        &self,
        call: &Call,
        file: SignedByAll<Vec<u8>>,
        parts: Vec<Vec<u8>>,
    ) -> Result<Outcome<Vec<[u8; 32]>>, Error> {
        let file = match self.take_in(file, parts) {
            Ok(Came::Whole(file)) => file,
            Ok(Came::Missing(missing)) => return Ok(Outcome::Permitted(missing)),
            Err(refusal) if refusal.reason == Reason::DirectoryVersionLower => {
                return Ok(Outcome::Permitted(Vec::new()));
            }
            Err(refusal) => return Ok(Outcome::Refused(refusal)),
        };
        let verified = Some(self.verified());
        let directory = match verify_aside(self.controllers(), &file, verified).await? {
            Ok(directory) => Arc::new(directory),
            Err(refusal) => return Ok(Outcome::Refused(refusal)),
        };
        if self.is_shut().await? {
            let command = PutInForce {
                name: "ImportDirectory",
                directory: Some((Arc::clone(&directory), &file)),
                policy: None,
            };
            self.serve(call, &command).await?;
            self.reload_beside(directory).await?;
        }
        Ok(Outcome::Permitted(Vec::new()))
    }

    /// Puts a policy set in force.
    ///
    /// # Errors
    /// A fault of ours.
    pub async fn activate_policy_set(
        &self,
        call: &Call,
        files: &SignedByAll<PolicyFiles>,
    ) -> Result<Answer<InForceRow>, Error> {
        const NAME: &str = "ActivatePolicySet";
        let bundle = match self.check_operator(call) {
            Ok(()) => verify_policy_set(self.controllers(), files),
            Err(refusal) => Err(refusal),
        };
        let bundle = match bundle {
            Ok(bundle) => bundle,
            Err(refusal) => return self.refused_file(call, NAME, refusal).await,
        };
        let command = PutInForce {
            name: NAME,
            directory: None,
            policy: Some((&bundle, files)),
        };
        let answer = self.serve(call, &command).await?;
        self.reload().await?;
        Ok(answer)
    }

    fn check_operator(&self, call: &Call) -> Result<(), Refusal> {
        if call.caller.may(Right::Operator) {
            Ok(())
        } else {
            Err(Refusal::lacks("needs `operator`"))
        }
    }

    async fn refused_file<T>(
        &self,
        call: &Call,
        name: &'static str,
        refusal: Refusal,
    ) -> Result<Answer<T>, Error> {
        let answer = self.refuse(call, name, refusal.clone()).await?;
        Ok(Answer {
            outcome: Outcome::Refused(refusal),
            promise: answer.promise,
        })
    }

    /// Loads what the database says is in force.
    ///
    /// # Errors
    /// When the database fails or what it holds does not verify.
    pub async fn reload(&self) -> Result<(), Error> {
        self.reload_beside(self.verified()).await
    }

    /// The directory in force, whose signatures have been verified.
    fn verified(&self) -> Arc<Directory> {
        Arc::new(self.in_force().directory.clone())
    }

    async fn reload_beside(&self, verified: Arc<Directory>) -> Result<(), Error> {
        let stored = stored(self.database(), self.controllers(), Some(verified))
            .await?
            .ok_or(Error::Stale)?;
        self.replace_in_force(stored);
        Ok(())
    }
}
