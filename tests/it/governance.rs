//! What everything is decided under changes only by all controllers' word: policy sets and directories
//! that are not signed, not whole or not newer stay outside, and what was in force stays in force.
//!
//! Must never sign a wrong file wrongly: then the signature would be what is refused.

use crate::controllers::{
    Controllers, directory, directory_text, following, numbered, policy_files, signed_text,
    write_signatures,
};
use crate::desk::request_id;
use crate::house::{
    Folder, House, decisions, enrol, offer, preparation, reason, reason_of, release,
};
use crate::laid::Laid;
use client::{Client, ClientError, Refused};
use rules::reason::Reason;
use std::path::Path;
use tonic::Status;
use wire::directory::v1::directory_service_client::DirectoryServiceClient;
use wire::directory::v1::{ControllerSignature, GetStatusResponse, ImportDirectoryRequest};
use wire::policy::v1::PolicyFile;

/// What is in force, as everybody is told.
async fn in_force(client: &Client) -> (i64, Vec<u8>) {
    let GetStatusResponse {
        directory_version,
        policy_set_sha256,
        ..
    } = client.status().await.unwrap();
    (directory_version, policy_set_sha256)
}

fn operator(folder: &Folder) -> Client {
    folder.identity("operator").client().unwrap()
}

/// The files with `from` replaced by `to` in one of them.
fn edited(files: &[PolicyFile], path: &str, from: &str, to: &str) -> Vec<PolicyFile> {
    let mut files = files.to_vec();
    let file = files.iter_mut().find(|file| file.path == path).unwrap();
    let text = String::from_utf8(file.content.clone()).unwrap();
    assert!(text.contains(from), "{from} is not in {path}");
    file.content = text.replacen(from, to, 1).into_bytes();
    files
}

/// The files with one guard more, which forbids a step to everybody, at any time that is not 1970: at
/// that time the loader asks whether anything could still be permitted.
fn with_guard(files: &[PolicyFile], action: &str) -> Vec<PolicyFile> {
    let guard = format!(
        "@id(\"deny-for-the-test\")\n@deny(\"NO_APPLICABLE_PERMIT\")\n@article(\"AVG 5\")\n\
         forbid (principal, action == Action::\"{action}\", resource)\n\
         when {{ context.now > 1 }};\n\n// Guards"
    );
    edited(files, "guards.cedar", "// Guards", &guard)
}

async fn refused(
    client: &Client,
    files: Vec<PolicyFile>,
    signatures: Vec<ControllerSignature>,
) -> Box<Refused> {
    match client.activate_policy(files, signatures).await {
        Err(ClientError::Refused(refused)) => refused,
        other => panic!("was not refused: {other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_policy_set_without_every_controllers_signature_stays_outside() {
    let house = House::start().await;
    let operator = operator(&house);
    let before = in_force(&operator).await;
    let controllers = Controllers::of(&house);
    let files = edited(
        &policy_files(&house),
        "guards.cedar",
        "// Guards",
        "// The guards",
    );
    let whole = controllers.sign_policies(&files);
    let [first, second] = [0, 1].map(|place| whole[place].clone());
    let older = controllers.sign_policies(&policy_files(&house));
    let of_a_directory = controllers.sign_directory(&signed_text(&files));
    let swapped = vec![
        ControllerSignature {
            signature: second.signature.clone(),
            ..first.clone()
        },
        second.clone(),
    ];
    for (what, signatures) in [
        ("unsigned", Vec::new()),
        ("the second is missing", vec![first.clone()]),
        ("the first is missing", vec![second]),
        ("one controller twice", vec![first.clone(), first]),
        ("one signs in the other's name", swapped),
        ("signed before the change", older),
        ("signed as another paper", of_a_directory),
    ] {
        let refused = refused(&operator, files.clone(), signatures).await;
        assert_eq!(refused.reason, Some(Reason::PolicyUnsigned), "{what}");
        assert_eq!(in_force(&operator).await, before, "{what}");
    }
    // Rightly signed, by a desk that may not.
    let uwv = house.client("uwv").await;
    let unfit = refused(&uwv, files, whole).await;
    assert_eq!(unfit.reason, Some(Reason::RightMissing));
    assert_eq!(in_force(&operator).await, before);
}

/// Sends rightly signed sets that each have a mistake in the named file: the file is named, and what was
/// in force still decides.
async fn check_mistakes(house: &House, cases: Vec<(&str, &str, Vec<PolicyFile>)>) {
    let operator = operator(house);
    let before = in_force(&operator).await;
    let controllers = Controllers::of(house);
    for (what, file, wrong) in cases {
        let signatures = controllers.sign_policies(&wrong);
        let refused = refused(&operator, wrong, signatures).await;
        assert_eq!(refused.reason, Some(Reason::PolicyInvalid), "{what}");
        let named = refused.violations.iter().any(|one| one.field == file);
        assert!(named, "{what}: {:?}", refused.violations);
        assert_eq!(in_force(&operator).await, before, "{what}");
    }
    let uwv = house.client("uwv").await;
    let who = enrol(&uwv, "ww-1", 27).await;
    offer(&uwv, &who, &house.identity("neutraal")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_policy_with_a_mistake_stays_outside_and_its_file_is_named() {
    let house = House::start().await;
    let files = policy_files(&house);
    let valid = "unless { context.agreementValid }";
    let code = "@deny(\"NO_AGREEMENT\")\n";
    let cases = [
        ("a typo", valid, "unles { true }"),
        (
            "an attribute that does not exist",
            valid,
            "unless { context.agrementValid }",
        ),
        ("a condition that is no condition", valid, "unless { 1 }"),
        ("no code", code, ""),
        (
            "a code that does not exist",
            code,
            "@deny(\"NO_AGREEMENTS\")\n",
        ),
        ("no article", "@article(", "@artikel("),
    ]
    .map(|(what, from, to)| {
        let file = "guards.cedar";
        (what, file, edited(&files, file, from, to))
    });
    check_mistakes(&house, cases.into()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_register_with_a_mistake_or_a_set_that_is_not_whole_stays_outside() {
    let house = House::start().await;
    let files = policy_files(&house);
    let uri = "oversight_activity_uri";
    let mut cases: Vec<_> = [
        (
            "an unknown field",
            uri,
            "enforcement = true\noversight_activity_uri",
        ),
        ("no TOML", uri, "oversight activity"),
        (
            "union membership",
            "werk.denkniveau",
            "lidmaatschap.vakbond",
        ),
    ]
    .map(|(what, from, to)| {
        let file = "register.toml";
        (what, file, edited(&files, file, from, to))
    })
    .into();
    let without_guards = files.iter().filter(|file| file.path != "guards.cedar");
    cases.push((
        "a file is missing",
        "guards.cedar",
        without_guards.cloned().collect(),
    ));
    let stray = PolicyFile {
        path: "../guards.cedar".to_owned(),
        content: b"// nothing".to_vec(),
    };
    let again = files[0].clone();
    let with = |file: &PolicyFile| files.iter().chain([file]).cloned().collect();
    cases.push(("a file too many", &stray.path, with(&stray)));
    cases.push(("a file twice", &again.path, with(&again)));
    check_mistakes(&house, cases).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_good_set_decides_from_the_next_call_on_and_after_a_restart() {
    let mut laid = Laid::open().await;
    let uwv = laid.client("uwv").await;
    let to = laid.identity("neutraal");
    let who = enrol(&uwv, "ww-1", 28).await;
    let handover = offer(&uwv, &who, &to).await;
    let operator = operator(&laid);
    let (_, before) = in_force(&operator).await;
    let laid_files = policy_files(&laid);
    let files = following(&laid_files, &with_guard(&laid_files, "prepare"));
    let signatures = Controllers::of(&laid).sign_policies(&files);
    let expected = vault::digest::sha256(&signed_text(&files)).to_vec();
    assert_ne!(expected, before);
    let hash = operator.activate_policy(files, signatures).await.unwrap();
    assert_eq!(hash, expected);
    assert_eq!(in_force(&operator).await.1, expected);
    let refused = uwv.prepare(&who, &preparation(&to, None)).await;
    assert_eq!(reason(refused), Reason::NoApplicablePermit, "it decides");
    let desk = laid.client("neutraal").await;
    desk.accept(&handover).await.unwrap();

    laid.kill("broker");
    laid.start("broker").await;
    assert_eq!(in_force(&operator).await.1, expected, "it is kept");
    let refused = uwv.prepare(&who, &preparation(&to, None)).await;
    assert_eq!(reason(refused), Reason::NoApplicablePermit);
    let oin = laid.identity("operator").oin;
    let lines = decisions(&laid.officer(), &oin, "ActivatePolicySet").await;
    assert_eq!(lines, [("permitted".to_owned(), String::new())]);
}

/// Sends a directory as it is; the client library would look at it first.
async fn import(
    folder: &Folder,
    name: &str,
    text: &str,
    signatures: Vec<ControllerSignature>,
) -> Result<i64, Status> {
    let connection = folder.identity(name).connect().unwrap();
    let request = ImportDirectoryRequest {
        request_id: request_id(),
        directory_toml: text.as_bytes().to_vec(),
        signatures,
        parts: Vec::new(),
    };
    let mut service = DirectoryServiceClient::new(connection.channel());
    let answer = service.import_directory(request).await?;
    Ok(answer.into_inner().version)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_directory_that_is_unsigned_wrong_or_not_newer_stays_outside() {
    let house = House::start().await;
    let operator = operator(&house);
    let before = in_force(&operator).await;
    assert_eq!(before.0, 1);
    let controllers = Controllers::of(&house);
    let sign = |text: &str| controllers.sign_directory(text.as_bytes());
    let mut newer = directory(&house);
    newer.version = 3;
    let good = directory_text(&newer);
    let unknown = good.replacen("version = 3", "version = 3\nblock_list = []", 1);
    let broken = good.replacen("version = 3", "version = ", 1);
    let mut forged = newer.clone();
    forged.edges[0].purpose = "MONITOR".to_owned();
    let forged = directory_text(&forged);
    let older = |version| {
        let mut file = newer.clone();
        file.version = version;
        directory_text(&file)
    };
    let unsigned = "DIRECTORY_SIGNATURE_INVALID";
    let invalid = "DIRECTORY_INVALID";
    let cases = [
        ("unsigned", &good, Vec::new(), unsigned),
        ("one is missing", &good, sign(&good)[..1].to_vec(), unsigned),
        ("of another file", &good, sign(&older(2)), unsigned),
        ("malformed", &broken, sign(&broken), invalid),
        ("an unknown field", &unknown, sign(&unknown), invalid),
        (
            "an edge that no peer signed",
            &forged,
            sign(&forged),
            invalid,
        ),
        (
            "equal",
            &older(1),
            sign(&older(1)),
            "DIRECTORY_VERSION_LOWER",
        ),
    ];
    for (what, text, signatures, expected) in cases {
        let status = import(&house, "operator", text, signatures).await;
        assert_eq!(reason_of(&status.unwrap_err()), expected, "{what}");
        assert_eq!(in_force(&operator).await, before, "{what}");
    }
    for name in ["uwv", "officer", "uwv-fg"] {
        let status = import(&house, name, &good, sign(&good)).await;
        assert_eq!(reason_of(&status.unwrap_err()), "RIGHT_MISSING", "{name}");
    }
    let version = import(&house, "operator", &good, sign(&good)).await;
    assert_eq!(version.unwrap(), 3);
    assert_eq!(in_force(&operator).await.0, 3);
    for version in [2, 3] {
        let text = older(version);
        let status = import(&house, "operator", &text, sign(&text)).await;
        assert_eq!(reason_of(&status.unwrap_err()), "DIRECTORY_VERSION_LOWER");
    }
    let uwv = house.client("uwv").await;
    assert_eq!(in_force(&uwv).await.0, 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_goes_back_to_an_older_set_and_none_is_passed_over() {
    let mut laid = Laid::open().await;
    let operator = operator(&laid);
    let controllers = Controllers::of(&laid);
    let first = policy_files(&laid);
    let second = following(&first, &with_guard(&first, "prepare"));
    let third = following(&second, &first);
    let name = |files: &[PolicyFile]| vault::digest::sha256(&signed_text(files)).to_vec();
    let with = |version: i64, predecessor: &[u8]| {
        let mut files = second.clone();
        let file = files.iter_mut().find(|file| file.path == "version.toml");
        file.unwrap().content = numbered(version, &rules::hex::encode(predecessor));
        files
    };
    let (lower, differs) = (Reason::PolicyVersionLower, Reason::PolicyPredecessorDiffers);
    let activate = async |files: &[PolicyFile]| {
        let signatures = controllers.sign_policies(files);
        operator.activate_policy(files.to_vec(), signatures).await
    };
    for (what, files, expected) in [
        ("the one in force", first.clone(), lower),
        (
            "the right version, another predecessor",
            with(2, &[7; 32]),
            differs,
        ),
        (
            "the right predecessor, a version too far",
            with(3, &name(&first)),
            differs,
        ),
        ("one that was missed", third.clone(), differs),
    ] {
        assert_eq!(reason(activate(&files).await), expected, "{what}");
        assert_eq!(in_force(&operator).await.1, name(&first), "{what}");
    }
    assert_eq!(activate(&second).await.unwrap(), name(&second));
    laid.kill("broker");
    laid.start("broker").await;
    for (what, files) in [("the first", &first), ("the second again", &second)] {
        assert_eq!(reason(activate(files).await), lower, "{what}");
    }
    // The old content comes again as a new set.
    assert_eq!(activate(&third).await.unwrap(), name(&third));
    assert_eq!(in_force(&operator).await.1, name(&third));
}

/// Writes a policy set into a folder, with its signatures beside it.
fn lay(folder: &Path, files: &[PolicyFile], signatures: &[ControllerSignature]) {
    for file in files {
        let path = folder.join(&file.path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, &file.content).unwrap();
    }
    write_signatures(&folder.with_extension("toml"), signatures);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_command_that_activates_says_why_not_and_takes_what_was_missed() {
    let house = House::start().await;
    let operator = house.identity("operator");
    let controllers = Controllers::of(&house);
    let first = policy_files(&house);
    let second = following(&first, &with_guard(&first, "prepare"));
    let third = following(&second, &first);
    for (name, files) in [("first", &first), ("second", &second), ("third", &third)] {
        let signatures = controllers.sign_policies(files);
        lay(&house.path().join(name), files, &signatures);
    }
    lay(&house.path().join("unsigned"), &second, &[]);
    let activate = |sets: &[&str]| {
        let mut command = std::process::Command::new(crate::house::program());
        command.args(["policy", "activate"]);
        for set in sets {
            let folder = house.path().join(set);
            let signatures = folder.with_extension("toml");
            command.arg("--folder").arg(folder);
            command.arg("--signatures").arg(signatures);
        }
        command
            .args(["--broker", &operator.broker_address])
            .args(["--server-name", &operator.broker_server_name])
            .arg("--certificate")
            .arg(&operator.certificate)
            .arg("--key")
            .arg(&operator.key)
            .arg("--issuer")
            .arg(&operator.issuer);
        let done = command.output().unwrap();
        let text = [done.stdout, done.stderr].concat();
        (done.status.success(), String::from_utf8(text).unwrap())
    };
    let already = "already in force; nothing was done";
    let (done, told) = activate(&["first"]);
    assert!(done && told.contains(already), "{told}");
    for (sets, expected) in [
        (&["unsigned"][..], Reason::PolicyUnsigned),
        (&["third"], Reason::PolicyPredecessorDiffers),
    ] {
        let (done, told) = activate(sets);
        assert!(!done && told.contains(expected.english()), "{told}");
    }
    let (done, told) = activate(&["first", "second", "third"]);
    assert!(done && told.contains("were already"), "{told}");
    for again in [&["third"][..], &["first", "second", "third"]] {
        let (done, told) = activate(again);
        assert!(done && told.contains(already), "{told}");
    }
    let (done, told) = activate(&["second"]);
    assert!(!done && told.contains("in force is version 3"), "{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_directory_is_checked_signed_and_put_in_force_on_the_command_line() {
    let house = House::start().await;
    let operator = house.identity("operator");
    let (file, signatures) = (
        house.beside("new.toml"),
        house.beside("new.signatures.toml"),
    );
    let text = std::fs::read_to_string(house.path().join("directory.toml")).unwrap();
    let newer = text.replacen("version = 1", "version = 2", 1);
    std::fs::write(&file, &newer).unwrap();
    let sluis = |words: &str, more: &[&Path]| {
        let mut command = std::process::Command::new(crate::house::program());
        command.args(["directory", words, "--file"]).arg(&file);
        let done = command.args(more).output().unwrap();
        let said = String::from_utf8([done.stdout, done.stderr].concat()).unwrap();
        (done.status.success(), said)
    };
    let path = |text: &'static str| Path::new(text);
    let sign = |controller: &'static str| {
        let key = house.path().join(format!("controllers/{controller}.key"));
        let names = [path("--controller"), path(controller), path("--out")];
        let words = [&[path("--key"), &key], &names[..], &[&*signatures]].concat();
        let (done, said) = sluis("sign", &words);
        assert!(done && said.contains("signed directory 2"), "{said}");
    };
    let import = || {
        let place = [
            (path("--signatures"), &*signatures),
            (path("--broker"), Path::new(&operator.broker_address)),
            (
                path("--server-name"),
                Path::new(&operator.broker_server_name),
            ),
            (path("--certificate"), &*operator.certificate),
            (path("--key"), &*operator.key),
            (path("--issuer"), &*operator.issuer),
        ];
        sluis("import", &place.map(|(name, value)| [name, value]).concat())
    };
    let (done, said) = sluis("check", &[]);
    assert!(done && said.contains("in order: directory 2, "), "{said}");
    sign("uwv");
    let (done, said) = import();
    let unsigned = Reason::DirectorySignatureInvalid.english();
    assert!(!done && said.contains(unsigned), "{said}");
    // Whoever signs twice stands there once.
    sign("uwv");
    sign("centrumgemeente");
    let (done, said) = import();
    assert!(done && said.contains("directory 2 is in force"), "{said}");
    let (done, said) = import();
    let lower = Reason::DirectoryVersionLower.english();
    assert!(!done && said.contains(lower), "{said}");

    // What cannot be put in force is not signed either.
    std::fs::write(&file, newer.replacen("HANDOVER", "WERK", 1)).unwrap();
    let key = house.path().join("controllers/uwv.key");
    let more = [path("--key"), &key, path("--controller"), path("uwv")];
    let words = [&more[..], &[path("--out"), &signatures]].concat();
    for (verb, words) in [("check", &[][..]), ("sign", &words)] {
        let (done, said) = sluis(verb, words);
        assert!(!done && said.contains("has a wrong signature"), "{said}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tighter_set_is_asked_at_the_next_step_of_what_is_under_way() {
    let house = House::start().await;
    let uwv = house.client("uwv").await;
    let desk = house.client("neutraal").await;
    let who = enrol(&uwv, "ww-1", 29).await;
    let handover = offer(&uwv, &who, &house.identity("neutraal")).await;
    desk.accept(&handover).await.unwrap();
    let laid_files = policy_files(&house);
    let files = following(&laid_files, &with_guard(&laid_files, "release"));
    let signatures = Controllers::of(&house).sign_policies(&files);
    let operator = operator(&house);
    operator.activate_policy(files, signatures).await.unwrap();
    let released = release(&uwv, &handover).await;
    assert_eq!(reason(released), Reason::NoApplicablePermit);
}
