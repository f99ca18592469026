//! Consent statements as compact JWS (RFC 7515) with EdDSA over Ed25519 (RFC 8037), so that anybody can
//! verify them with a library that is not ours.
//!
//! The header is one fixed text but for the key's name. Must never verify by an algorithm that the
//! message chooses, and must never accept a second spelling of the same bytes.

use crate::sign::{Signature, SigningKey, VerifyingKey};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;
use serde_json::Value;

/// The media type of the statement (`typ`).
pub const TYPE: &str = "consent-receipt+jwt";
/// Octets of a whole JWS.
pub const STATEMENT_BYTES_MAX: usize = 64 * 1024;

/// Why a text is not a signed statement.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StatementError {
    /// Not three parts of base64url, or too long.
    #[error("is not a compact JWS of at most 64 KiB")]
    Form,
    /// Another header than the one this gateway writes.
    #[error(
        "has another header than {{\"alg\":\"EdDSA\",\"kid\":…,\"typ\":\"consent-receipt+jwt\"}}"
    )]
    Header,
    /// Nobody who may sign has this name, or the signature is not theirs.
    #[error("is not signed by who may sign it")]
    Signature,
}

/// A statement whose signature was verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpenedStatement {
    /// Name of the key that signed.
    pub kid: String,
    /// What was signed.
    pub payload: Vec<u8>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Header {
    alg: String,
    kid: String,
    typ: String,
}

/// The header, canonical (RFC 8785).
fn header(kid: &str) -> String {
    let kid = Value::String(kid.to_owned());
    format!("{{\"alg\":\"EdDSA\",\"kid\":{kid},\"typ\":\"{TYPE}\"}}")
}

/// Signs a payload under a key's name.
#[must_use]
pub fn sign(key: &SigningKey, kid: &str, payload: &[u8]) -> String {
    let signed = format!(
        "{}.{}",
        URL_SAFE_NO_PAD.encode(header(kid)),
        URL_SAFE_NO_PAD.encode(payload)
    );
    let signature = URL_SAFE_NO_PAD.encode(key.sign_jws(&signed).bytes());
    format!("{signed}.{signature}")
}

struct Parts {
    kid: String,
    payload: Vec<u8>,
    signed: String,
    signature: Signature,
}

fn part(jws: &str) -> Result<Parts, StatementError> {
    let form = StatementError::Form;
    if jws.len() > STATEMENT_BYTES_MAX {
        return Err(form);
    }
    let (signed, signature) = jws.rsplit_once('.').ok_or(form)?;
    let (head, payload) = signed.split_once('.').ok_or(form)?;
    let decode = |text: &str| URL_SAFE_NO_PAD.decode(text).map_err(|_| form);
    let head = decode(head)?;
    let read: Header = serde_json::from_slice(&head).map_err(|_| StatementError::Header)?;
    let ours = read.alg == "EdDSA" && read.typ == TYPE && header(&read.kid).as_bytes() == head;
    if !ours {
        return Err(StatementError::Header);
    }
    Ok(Parts {
        kid: read.kid,
        payload: decode(payload)?,
        signed: signed.to_owned(),
        signature: Signature::from_slice(&decode(signature)?).ok_or(form)?,
    })
}

/// Opens a statement: `key_of` gives the key that has this name, if it may sign.
///
/// # Errors
/// When the form or the header is another, or the signature does not hold.
pub fn open(
    jws: &str,
    key_of: impl FnOnce(&str) -> Option<VerifyingKey>,
) -> Result<OpenedStatement, StatementError> {
    let parts = part(jws)?;
    let key = key_of(&parts.kid).ok_or(StatementError::Signature)?;
    if !key.verify_jws(&parts.signed, &parts.signature) {
        return Err(StatementError::Signature);
    }
    Ok(OpenedStatement {
        kid: parts.kid,
        payload: parts.payload,
    })
}

/// What a statement says, without looking at its signature: for one that was verified when it came in.
///
/// # Errors
/// When the form or the header is another.
pub fn payload(jws: &str) -> Result<Vec<u8>, StatementError> {
    Ok(part(jws)?.payload)
}

/// A public key as JWK (RFC 8037 section 2), for the set that verifiers fetch.
#[must_use]
pub fn jwk(key: &VerifyingKey, kid: &str) -> String {
    let kid = Value::String(kid.to_owned());
    let x = URL_SAFE_NO_PAD.encode(key.bytes());
    format!(
        "{{\"alg\":\"EdDSA\",\"crv\":\"Ed25519\",\"kid\":{kid},\"kty\":\"OKP\",\"use\":\"sig\",\"x\":\"{x}\"}}"
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use rules::secret::Secret;

    fn key(octet: u8) -> SigningKey {
        SigningKey::from_seed(&Secret::new([octet; 32]))
    }

    fn check(jws: &str, expected: StatementError) {
        let public = key(1).public();
        assert_eq!(open(jws, |_| Some(public)), Err(expected), "{jws}");
    }

    /// RFC 8037 appendix A.4: key, signing input and signature.
    #[test]
    fn the_vector_of_the_rfc_comes_out() {
        let seed =
            rules::hex::decode("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60");
        let seed: [u8; 32] = seed.expect("hex").try_into().expect("32 octets");
        let key = SigningKey::from_seed(&Secret::new(seed));
        let signed = "eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc";
        assert_eq!(
            URL_SAFE_NO_PAD.encode(key.sign_jws(signed).bytes()),
            "hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg"
        );
        assert!(
            jwk(&key.public(), "k").contains("11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"),
            "the public key of appendix A.1"
        );
    }

    #[test]
    fn what_was_signed_opens_and_nothing_else_does() {
        let jws = sign(&key(1), "00000099000000007000/portal", b"{}");
        let opened = open(&jws, |kid| {
            (kid == "00000099000000007000/portal").then(|| key(1).public())
        });
        assert_eq!(opened.expect("ours").payload, b"{}");
        assert_eq!(
            open(&jws, |_| Some(key(2).public())),
            Err(StatementError::Signature)
        );
        assert_eq!(open(&jws, |_| None), Err(StatementError::Signature));
        for place in 0..jws.len() {
            let mut octets = jws.clone().into_bytes();
            octets[place] = if octets[place] == b'A' { b'B' } else { b'A' };
            let changed = String::from_utf8(octets).expect("ASCII");
            assert!(
                open(&changed, |_| Some(key(1).public())).is_err(),
                "{place}"
            );
        }
    }

    #[test]
    fn other_headers_and_forms_are_refused() {
        let encode = |text: &str| URL_SAFE_NO_PAD.encode(text);
        for head in [
            r#"{"alg":"none"}"#,
            r#"{"alg":"EdDSA","kid":"k"}"#,
            r#"{"kid":"k","alg":"EdDSA","typ":"consent-receipt+jwt"}"#,
            r#"{"alg":"HS256","kid":"k","typ":"consent-receipt+jwt"}"#,
            r#"{"alg":"EdDSA","crit":["b64"],"kid":"k","typ":"consent-receipt+jwt"}"#,
        ] {
            let signed = format!("{}.{}", encode(head), encode("{}"));
            let signature = URL_SAFE_NO_PAD.encode(key(1).sign_jws(&signed).bytes());
            check(&format!("{signed}.{signature}"), StatementError::Header);
        }
        check("", StatementError::Form);
        check("a.b", StatementError::Form);
        check(&"a".repeat(STATEMENT_BYTES_MAX + 1), StatementError::Form);
        let padded = sign(&key(1), "k", b"{}") + "=";
        check(&padded, StatementError::Form);
        check(&(sign(&key(1), "k", b"{}") + ".e30"), StatementError::Form);
        let standard = sign(&key(1), "k", &[0xff; 3]).replace("____", "////");
        check(&standard, StatementError::Form);
    }

    /// The last letter of `e30` has two bits to spare: `e31` decodes to the same octets elsewhere.
    #[test]
    fn the_same_bytes_have_one_spelling() {
        let public = key(1).public();
        let jws = sign(&key(1), "k", b"{}");
        let (head, _) = jws.split_once('.').expect("three parts");
        let signed = format!("{head}.e31");
        let signature = URL_SAFE_NO_PAD.encode(key(1).sign_jws(&signed).bytes());
        assert_eq!(
            open(&format!("{signed}.{signature}"), |_| Some(public)),
            Err(StatementError::Form)
        );
        assert_eq!(payload(&jws), Ok(b"{}".to_vec()));
    }

    #[test]
    fn no_signed_statement_is_a_paper_and_no_paper_a_statement() {
        use crate::sign::Paper;
        let key = key(1);
        let jws = sign(&key, "k", b"{}");
        let (signed, signature) = jws.rsplit_once('.').expect("three parts");
        let octets = URL_SAFE_NO_PAD.decode(signature).expect("base64url");
        let signature = Signature::from_slice(&octets).expect("64 octets");
        for paper in Paper::ALL {
            assert!(
                !key.public().verify(*paper, signed.as_bytes(), &signature),
                "{paper:?}"
            );
            let other = key.sign(*paper, signed.as_bytes());
            assert!(!key.public().verify_jws(signed, &other), "{paper:?}");
        }
    }
}
