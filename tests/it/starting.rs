//! What a server needs in order to start, and what it does when its certificate is renewed under it.
//!
//! Must never be content with an exit: the words must name what is wrong.

use crate::authority::{Authority, Wish};
use crate::controllers::{Controllers, directory, directory_text, policy_files, write_signatures};
use crate::laid::{Laid, serves};

/// The log line of a renewal that was not good, and of one that was.
const NOT_GOOD: &str = "the new certificate files are not good; the old stay";
const READ_ANEW: &str = "certificate, key and issuer were read anew";

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_new_certificate_never_takes_the_place_of_a_good_old_one() {
    let mut laid = Laid::lay();
    let own = Authority::new("An authority that the group agreed on");
    own.become_trusted(&laid);
    laid.start_all().await;
    let certificate = laid.home("broker").join("certificate.pem");
    let key = laid.home("broker").join("certificate.key.pem");
    let key_pem = std::fs::read_to_string(&key).unwrap();
    let before = laid.connection("broker");
    assert!(serves(&before).await);

    std::fs::write(&certificate, "no certificate").unwrap();
    laid.hang_up("broker");
    laid.wait_for_log("broker", NOT_GOOD).await;
    assert!(serves(&before).await, "open connections go on");
    assert!(serves(&laid.connection("broker")).await, "and new ones");

    // A renewal of the same key by another issuer of the group: everybody goes on, on new connections.
    let wish = Wish {
        oin: Some("00000099000000010000"),
        key_pem: Some(key_pem),
        ..Wish::default()
    };
    let renewed = own.issue(&laid, "renewed", wish);
    std::fs::copy(&renewed.certificate, &certificate).unwrap();
    laid.hang_up("broker");
    laid.wait_for_log("broker", READ_ANEW).await;
    assert!(serves(&laid.connection("broker")).await);
    laid.client("uwv").await;
}

/// Spoils a laid sandbox and looks at what the broker says when it is to start.
async fn check(profile: &str, spoil: impl Fn(&Laid), expected: &[&str]) {
    let laid = Laid::lay();
    laid.migrate("broker");
    let line = |profile: &str| format!("profile = \"{profile}\"");
    laid.configure("broker", &line("sandbox"), &line(profile));
    spoil(&laid);
    let told = laid.refusal_to_start("broker").await;
    for words in expected {
        assert!(told.contains(words), "`{words}` is not in: {told}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_both_controllers_signatures_no_broker_starts() {
    let policies = "policies.signatures.toml";
    let peers = "directory.signatures.toml";
    for profile in ["production", "sandbox"] {
        for (file, what, code) in [
            (policies, "policy set", "POLICY_UNSIGNED"),
            (peers, "directory", "DIRECTORY_SIGNATURE_INVALID"),
        ] {
            let empty = |laid: &Laid| std::fs::write(laid.path().join(file), "").unwrap();
            check(profile, empty, &[what, code]).await;
        }
        let absent = |laid: &Laid| std::fs::remove_file(laid.path().join(policies)).unwrap();
        check(profile, absent, &["policies.signatures", policies]).await;
    }
    let one_alone = |laid: &Laid| {
        let signatures = Controllers::of(laid).sign_policies(&policy_files(laid));
        write_signatures(&laid.path().join(policies), &signatures[..1]);
    };
    check("production", one_alone, &["policy set", "POLICY_UNSIGNED"]).await;
    let changed = |laid: &Laid| {
        let path = laid.path().join("policies/register.toml");
        let text = std::fs::read_to_string(&path).unwrap();
        std::fs::write(path, format!("{text}\n# one word more\n")).unwrap();
    };
    check("production", changed, &["policy set", "POLICY_UNSIGNED"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn in_production_one_key_holder_is_not_enough() {
    let mut laid = Laid::lay();
    let mut alone = directory(&laid);
    alone.holders.truncate(1);
    let text = directory_text(&alone);
    let signatures = Controllers::of(&laid).sign_directory(text.as_bytes());
    std::fs::write(laid.path().join("directory.toml"), text).unwrap();
    let path = laid.path().join("directory.signatures.toml");
    write_signatures(&path, &signatures);
    laid.start("holder-1").await;
    laid.migrate("broker");
    let sandbox = "profile = \"sandbox\"";
    laid.configure("broker", sandbox, "profile = \"production\"");
    let told = laid.refusal_to_start("broker").await;
    assert!(told.contains("production needs two"), "{told}");
    assert!(told.contains("trust_override"), "{told}");
}
