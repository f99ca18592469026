//! What the controllers sign together: the directory and the policy set, whole, with every signature.
//!
//! Must never take a file whose signatures are fewer than the controllers, and must never take one apart from them.

use crate::Malformed;
use crate::frame::{FrameReader, FrameWriter};
use rules::limits::CONTROLLERS_MAX;
use rules::policy::PolicyBundle;
use rules::reason::{Reason, Refusal, Violation};
use vault::digest::sha256;
use vault::sign::{Paper, Signature, VerifyingKey};

/// A controller: whose signature directory and policy sets need.
#[derive(Clone, Debug)]
pub struct Controller {
    /// Its name, as in every role's configuration.
    pub name: String,
    /// Its Ed25519 key.
    pub key: VerifyingKey,
}

/// That every controller signed these bytes.
///
/// # Errors
/// The refusal with `reason`: which controllers did not, and whether there is a signature by that name.
pub(crate) fn need_signed(
    controllers: &[Controller],
    (paper, bytes): (Paper, &[u8]),
    signatures: &[ControllerSignature],
    reason: Reason,
) -> Result<(), Refusal> {
    let violation = |text: String| Violation::new("signatures", text);
    let wrong = |controller: &Controller| {
        let name = &controller.name;
        let own: Vec<_> = signatures
            .iter()
            .filter(|signed| signed.controller == *name)
            .collect();
        let fits = own.iter().any(|signed| {
            Signature::from_slice(&signed.signature)
                .is_some_and(|signature| controller.key.verify(paper, bytes, &signature))
        });
        let text = match (own.is_empty(), fits) {
            (_, true) => return None,
            (true, false) => format!("has none by controller `{name}`"),
            (false, false) => format!(
                "the one by controller `{name}` is of another key than the configured one, or over another text"
            ),
        };
        Some(violation(text))
    };
    let mut violations: Vec<Violation> = controllers.iter().filter_map(wrong).collect();
    if controllers.is_empty() {
        violations.push(violation(
            "cannot be checked: no controller is configured".to_owned(),
        ));
    }
    if signatures.len() > CONTROLLERS_MAX {
        violations.push(violation(format!("has more than {CONTROLLERS_MAX}")));
    }
    match violations.is_empty() {
        true => Ok(()),
        false => Err(Refusal { reason, violations }),
    }
}

/// A controller's signature over a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ControllerSignature {
    /// The controller's name.
    pub controller: String,
    /// Ed25519, 64 octets when it is one.
    pub signature: Vec<u8>,
}

/// A file and its controllers' signatures.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedByAll<T> {
    /// What was signed.
    pub content: T,
    /// By whom.
    pub signatures: Vec<ControllerSignature>,
}

/// The files of a policy set: path within the policies folder, and content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PolicyFiles(pub Vec<(String, Vec<u8>)>);

/// Reads a policy set and verifies the controllers' signatures over it.
///
/// # Errors
/// The refusal, with every mistake.
pub fn verify_policy_set(
    controllers: &[Controller],
    files: &SignedByAll<PolicyFiles>,
) -> Result<PolicyBundle, Refusal> {
    let bundle = PolicyBundle::load(&files.content.0, &sha256).map_err(|mistakes| Refusal {
        reason: Reason::PolicyInvalid,
        violations: mistakes
            .iter()
            .map(|mistake| Violation::new(mistake.file.clone(), mistake.to_string()))
            .collect(),
    })?;
    let signed = (Paper::PolicyBundle, bundle.signed_text());
    need_signed(
        controllers,
        signed,
        &files.signatures,
        Reason::PolicyUnsigned,
    )?;
    Ok(bundle)
}

/// The controllers' signatures as a row keeps them.
///
/// # Errors
/// When one is longer than a u32 can say.
pub fn encode_signatures(signatures: &[ControllerSignature]) -> Result<Vec<u8>, Malformed> {
    let mut writer = FrameWriter::default();
    for signed in signatures {
        writer.put(signed.controller.as_bytes())?;
        writer.put(&signed.signature)?;
    }
    Ok(writer.finish())
}

/// The controllers' signatures of a kept file.
///
/// # Errors
/// When the row is not of this program's making.
pub fn decode_signatures(octets: &[u8]) -> Result<Vec<ControllerSignature>, Malformed> {
    let mut reader = FrameReader::new(octets);
    let mut signatures = Vec::new();
    while !reader.is_empty() {
        let controller = reader.take_text()?.to_owned();
        signatures.push(ControllerSignature {
            controller,
            signature: reader.take()?.to_vec(),
        });
    }
    Ok(signatures)
}
