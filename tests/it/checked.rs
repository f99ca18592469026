//! `sluis config check` and a start look at the same things, all at once and before anybody else is asked; and a policies
//! folder that holds another set than the one in force is told of.
//!
//! Must never start another role: what is looked at here needs none.

use crate::authority::{Authority, Wish};
use crate::controllers::{Controllers, following, policy_files, write_signatures};
use crate::laid::Laid;
use std::os::unix::fs::PermissionsExt as _;

/// Spoils a laid sandbox; the check and the start of this role say the same words, with no other role there.
async fn check(name: &str, spoil: impl Fn(&Laid), expected: &[&str]) {
    let laid = Laid::lay_files();
    laid.migrate(name);
    let before = laid.say(name, &["config", "check"]).await;
    assert_eq!(before.code, 0, "{}", before.err);
    spoil(&laid);
    let checked = laid.say(name, &["config", "check"]).await;
    assert_eq!(checked.code, 1, "{name}: {}", checked.out);
    let refused = laid.refusal_to_start(name).await;
    for words in expected {
        assert!(checked.err.contains(words), "`{words}`: {}", checked.err);
        assert!(refused.contains(words), "`{words}`: {refused}");
    }
}

fn overwrite(laid: &Laid, file: &str, text: &str) {
    std::fs::write(laid.path().join(file), text).unwrap();
}

/// Opens a secret of a role to everybody.
fn open(laid: &Laid, name: &str, file: &str) {
    let path = laid.home(name).join(file);
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o644)).unwrap();
}

const SERVERS: [&str; 3] = ["broker", "holder-1", "portal"];

#[tokio::test(flavor = "multi_thread")]
async fn what_keeps_a_role_from_starting_is_found_before_it() {
    for name in SERVERS {
        let unsigned = |laid: &Laid| overwrite(laid, "directory.signatures.toml", "");
        check(name, unsigned, &["DIRECTORY_SIGNATURE_INVALID"]).await;
        let keys = |laid: &Laid| open(laid, name, "keys.toml");
        check(name, keys, &["keys.toml", "chmod 600"]).await;
        let door = |laid: &Laid| open(laid, name, "certificate.key.pem");
        check(name, door, &["certificate.key.pem", "chmod 600"]).await;
        let another = |laid: &Laid| {
            let other = if name == "broker" { "portal" } else { "broker" };
            let key = laid.home(other).join("certificate.key.pem");
            std::fs::copy(key, laid.home(name).join("certificate.key.pem")).unwrap();
        };
        check(name, another, &["is not that of the first certificate"]).await;
        let unknown = |laid: &Laid| {
            let own = Authority::new("Another issuer");
            own.become_trusted(laid);
            let issued = own.issue(
                laid,
                "new",
                Wish {
                    oin: Some("00000099000000010000"),
                    ..Wish::default()
                },
            );
            std::fs::copy(issued.certificate, laid.home(name).join("certificate.pem")).unwrap();
            std::fs::copy(issued.key, laid.home(name).join("certificate.key.pem")).unwrap();
        };
        check(name, unknown, &["the directory"]).await;
    }
    for name in ["broker", "portal"] {
        let unsigned = |laid: &Laid| overwrite(laid, "policies.signatures.toml", "");
        check(name, unsigned, &["policy set", "POLICY_UNSIGNED"]).await;
        let stray = |laid: &Laid| overwrite(laid, "policies/extra.cedar", "");
        check(name, stray, &["extra.cedar: this path has no place"]).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_that_is_wrong_is_told_at_once() {
    let spoil = |laid: &Laid| {
        open(laid, "broker", "keys.toml");
        overwrite(laid, "directory.signatures.toml", "");
        overwrite(laid, "policies.signatures.toml", "");
    };
    let words = [
        "3 things are wrong",
        "chmod 600",
        "DIRECTORY_SIGNATURE_INVALID",
        "POLICY_UNSIGNED",
    ];
    check("broker", spoil, &words).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_commitment_a_missing_holder_and_a_certificate_past_its_end_are_found() {
    let commitment = |laid: &Laid| {
        let path = laid.home("holder-1").join("sluis.toml");
        let text = std::fs::read_to_string(&path).unwrap();
        let lines: Vec<&str> = text
            .lines()
            .filter(|line| line.starts_with("commitment = "))
            .collect();
        let swapped = text
            .replace(lines[0], "# swapped")
            .replace(lines[1], lines[0])
            .replace("# swapped", lines[1]);
        std::fs::write(path, swapped).unwrap();
    };
    check("holder-1", commitment, &["commitment"]).await;
    let nowhere = |laid: &Laid| {
        laid.configure(
            "broker",
            "oin = \"00000099000000012000\"",
            "oin = \"00000099000000001000\"",
        );
    };
    check(
        "broker",
        nowhere,
        &["00000099000000012000", "`holders` has no address"],
    )
    .await;
    let ended = |laid: &Laid| {
        let own = Authority::new("Another issuer");
        own.become_trusted(laid);
        let key_pem =
            std::fs::read_to_string(laid.home("broker").join("certificate.key.pem")).unwrap();
        let wish = Wish {
            oin: Some("00000099000000010000"),
            key_pem: Some(key_pem),
            begins: Some(2020),
            ends: Some(2021),
        };
        let issued = own.issue(laid, "ended", wish);
        std::fs::copy(
            issued.certificate,
            laid.home("broker").join("certificate.pem"),
        )
        .unwrap();
    };
    check("broker", ended, &["certificate.pem", "which is not now"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_is_not_made_yet_is_still_to_be_done_and_no_fault() {
    let laid = Laid::lay_files();
    for name in SERVERS {
        let said = laid.say(name, &["config", "check"]).await;
        assert_eq!(said.code, 0, "{}", said.err);
        assert!(
            said.out.contains("to do: ") && said.out.contains("sluis migrate"),
            "{}",
            said.out
        );
        laid.migrate(name);
        let said = laid.say(name, &["config", "check"]).await;
        assert_eq!(
            (said.code, said.out.contains("to do")),
            (0, false),
            "{}",
            said.out
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_port_that_is_taken_is_said_and_no_fault() {
    let laid = Laid::lay_files();
    laid.migrate("portal");
    let taken = std::net::TcpListener::bind(laid.connection("portal").address()).unwrap();
    let said = laid.say("portal", &["config", "check"]).await;
    assert_eq!(said.code, 0, "{}", said.err);
    assert!(said.out.contains("is taken"), "{}", said.out);
    drop(taken);
    let said = laid.say("portal", &["config", "check"]).await;
    assert!(!said.out.contains("to do"), "{}", said.out);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_policies_folder_that_is_not_what_is_in_force_is_told_of_at_the_start() {
    let told = "the policies folder holds another set than the one in force";
    let mut laid = Laid::open().await;
    for name in ["broker", "portal"] {
        assert!(!laid.log(name).contains(told), "{}", laid.log(name));
    }
    let first = policy_files(&laid);
    let second = following(&first, &first);
    let signatures = Controllers::of(&laid).sign_policies(&second);
    let version = second
        .iter()
        .find(|file| file.path == "version.toml")
        .unwrap();
    std::fs::write(laid.path().join("policies/version.toml"), &version.content).unwrap();
    write_signatures(&laid.path().join("policies.signatures.toml"), &signatures);
    for name in ["broker", "portal"] {
        laid.kill(name);
        laid.start(name).await;
        assert_eq!(
            laid.log(name).matches(told).count(),
            1,
            "{}",
            laid.log(name)
        );
    }
    assert!(laid.log("broker").contains("sluis policy activate"));
    let operator = laid.identity("operator").client().unwrap();
    operator.activate_policy(second, signatures).await.unwrap();
    laid.kill("broker");
    laid.start("broker").await;
    assert_eq!(
        laid.log("broker").matches(told).count(),
        1,
        "it is in force now"
    );
}
