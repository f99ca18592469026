//! The policy set of this repository against its cases, its golden matrix and broken copies of itself.
//!
//! Must never hold an expectation that belongs in `policies/`: a lawyer reads those, not this.

use super::*;
use crate::id::{PeerKind, Purpose};
use std::path::{Path, PathBuf};

/// The path of the folder with policies.
pub(super) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../policies")
}

/// All files of the folder, by path within it.
pub(super) fn files() -> Vec<(String, Vec<u8>)> {
    let mut files = Vec::new();
    for folder in ["", "purposes/", "goals/", "notices/", "cases/"] {
        for entry in std::fs::read_dir(root().join(folder)).unwrap() {
            let entry = entry.unwrap();
            if entry.file_type().unwrap().is_file() {
                let path = format!("{folder}{}", entry.file_name().to_string_lossy());
                files.push((path, std::fs::read(entry.path()).unwrap()));
            }
        }
    }
    files
}

/// Not a cryptographic digest: equal bytes give equal octets, and that is all these tests need.
fn digest(bytes: &[u8]) -> [u8; 32] {
    let mut state = [0_u8; 32];
    let mut sum = 0xcbf2_9ce4_8422_2325_u64;
    for byte in bytes {
        sum = (sum ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
    }
    state[..8].copy_from_slice(&sum.to_be_bytes());
    state
}

/// Loads files without the notices, whose digests are SHA-256.
pub(super) fn load(files: &[(String, Vec<u8>)]) -> Result<PolicyBundle, Vec<BundleError>> {
    let without: Vec<_> = files
        .iter()
        .filter(|(path, _)| !path.starts_with("notices/"))
        .cloned()
        .collect();
    PolicyBundle::load(&without, &digest)
}

pub(super) fn bundle() -> PolicyBundle {
    match load(&files()) {
        Ok(bundle) => bundle,
        Err(errors) => panic!("{errors:#?}"),
    }
}

pub(super) fn text<'a>(files: &'a [(String, Vec<u8>)], path: &str) -> &'a str {
    let (_, content) = files.iter().find(|(known, _)| known == path).unwrap();
    std::str::from_utf8(content).unwrap()
}

pub(super) fn change(files: &mut [(String, Vec<u8>)], path: &str, with: impl Fn(&str) -> String) {
    let changed = with(text(files, path));
    assert_ne!(changed, text(files, path), "nothing changed in {path}");
    let (_, content) = files.iter_mut().find(|(known, _)| known == path).unwrap();
    *content = changed.into_bytes();
}

fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for (path, content) in files() {
        if path.starts_with("cases/") {
            cases.extend(Case::read(&path, &content).unwrap());
        }
    }
    cases
}

/// The titles of cases that do not hold.
fn failing(bundle: &PolicyBundle) -> Vec<String> {
    cases()
        .iter()
        .filter_map(|case| case.check(bundle).err())
        .map(|one| one.to_string())
        .collect()
}

/// Ids of all policies in a file.
fn ids(text: &str) -> Vec<String> {
    let marks = text.lines().filter_map(|line| line.strip_prefix("@id(\""));
    marks
        .filter_map(|rest| rest.strip_suffix("\")"))
        .map(str::to_owned)
        .collect()
}

/// The text without one policy.
pub(super) fn without(text: &str, id: &str) -> String {
    let start = text.find(&format!("@id(\"{id}\")")).unwrap();
    let end = start + text[start..].find(";\n").unwrap() + 2;
    format!("{}{}", &text[..start], &text[end..])
}

#[test]
fn every_case_holds() {
    let failing = failing(&bundle());
    assert!(failing.is_empty(), "{}", failing.join("\n"));
    assert!(cases().len() > 60);
}

#[test]
fn a_case_notices_the_loss_of_any_policy() {
    let whole = files();
    for path in ["guards.cedar", "oversight.cedar"] {
        let ids = ids(text(&whole, path));
        assert!(ids.len() >= 4, "{path}");
        for id in ids {
            let mut mutant = whole.clone();
            change(&mut mutant, path, |text| without(text, &id));
            let bundle = load(&mutant).unwrap();
            assert!(
                !failing(&bundle).is_empty(),
                "nothing notices that {id} is gone"
            );
        }
    }
    for (path, _) in whole
        .iter()
        .filter(|(path, _)| path.starts_with("purposes/"))
    {
        for id in ids(text(&whole, path)) {
            let mut mutant = whole.clone();
            change(&mut mutant, path, |text| without(text, &id));
            assert!(
                load(&mutant).is_err(),
                "an entry that {id} permitted is left without a permit"
            );
        }
    }
}

#[test]
fn the_matrix_is_the_golden_one() {
    let expected = std::fs::read_to_string(root().join("expected.txt")).unwrap();
    let found = matrix(&bundle()).unwrap();
    let differing = found
        .lines()
        .zip(expected.lines())
        .find(|(one, other)| one != other);
    assert_eq!(
        differing, None,
        "made anew by the command in the first line of the file"
    );
    assert_eq!(found.len(), expected.len());
}

/// Changes one file and expects a refusal that names a file and says something.
fn check_refused(path: &str, from: &str, to: &str, file: &str, message: &str) {
    let mut files = files();
    change(&mut files, path, |text| text.replacen(from, to, 1));
    let errors = load(&files).err().unwrap_or_default();
    let named = errors
        .iter()
        .any(|error| error.file == file && error.message.contains(message));
    assert!(named, "`{from}` → `{to}`: {errors:#?}");
}

#[test]
fn a_guard_with_a_typo_is_refused_with_its_file() {
    let check =
        |from, to, message| check_refused("guards.cedar", from, to, "guards.cedar", message);
    check(
        "context.agreementValid",
        "context.agrementValid",
        "agrementValid",
    );
    check("Kind::\"VAKBOND\"", "Kind::\"VAKBON\"", "VAKBON");
    check("Basis::\"CONSENT\"", "Basis::\"CONSEND\"", "CONSEND");
    check("Action::\"sending\"", "Action::\"sendig\"", "sendig");
    check(
        "unless { context.agreementValid };",
        "unless { context.agreementValid ;",
        "",
    );
    let never = "when { context.restricted && resource.basis == Basis::\"CONSENT\" && false }";
    check("when { context.restricted }", never, "");
}

#[test]
fn a_guard_that_cannot_explain_itself_is_refused() {
    let check =
        |from, to, message| check_refused("guards.cedar", from, to, "guards.cedar", message);
    let deny = "@deny(\"NO_AGREEMENT\")";
    check("@deny(\"NO_AGREEMENT\")\n", "", "without @deny");
    check(deny, "@deny(\"NO_AGREEMEND\")", "no code");
    check(deny, "@deny(\"STORAGE_FULL\")", "no code");
    check("@id(\"deny-no-agreement\")\n", "", "without @id");
    check(
        "@id(\"deny-expired\")",
        "@id(\"deny-restricted\")",
        "is also in",
    );
    check("@article(\"AVG 18\")\n", "", "without @article");
    check("@article(\"AVG 18\")", "@artikel(\"AVG 18\")", "@artikel");
    check("forbid (principal", "permit (principal", "guards forbid");
    check(
        "forbid (principal",
        "permit (principal",
        "belongs to forbid only",
    );
}

#[test]
fn parts_that_do_not_fit_one_another_are_refused() {
    let check = check_refused;
    let (triage, schema, register) = (
        "purposes/triage.cedar",
        "handover.cedarschema",
        "register.toml",
    );
    check(
        triage,
        "Purpose::\"TRIAGE\"",
        "Purpose::\"TRIAG\"",
        triage,
        "TRIAG",
    );
    let never = "TRIAGE UWV to GEMEENTE can never be permitted";
    check(
        triage,
        "Purpose::\"TRIAGE\"",
        "Purpose::\"MONITOR\"",
        register,
        never,
    );
    check(
        schema,
        "agreementValid: Bool",
        "agreementValid: Bol",
        schema,
        "",
    );
    check(schema, "\"HEALTH\", ", "", "guards.cedar", "HEALTH");
    check(schema, "\"DEBT\", ", "", register, "DEBT");
    let (from, to) = (
        "secrecy_ground = \"SUWI_74_2_B\"",
        "secrecy_ground = \"SUWI_74\"",
    );
    check(register, from, to, register, "SUWI_74");
    let goal = "goals/g3-bsn.cedar";
    check(goal, "bsnGround", "bsnGrond", goal, "bsnGrond");
}

/// A change to the files of a set.
type Change = dyn Fn(&mut Vec<(String, Vec<u8>)>);

#[test]
fn every_file_has_its_place() {
    let check = |change: &Change, file: &str, message: &str| {
        let mut files = files();
        change(&mut files);
        let errors = load(&files).err().unwrap_or_default();
        let named = errors
            .iter()
            .any(|error| error.file == file && error.message.contains(message));
        assert!(named, "{errors:#?}");
    };
    let add = |path: &'static str, content: &'static [u8]| {
        move |files: &mut Vec<(String, Vec<u8>)>| files.push((path.to_owned(), content.to_vec()))
    };
    let remove = |path: &'static str| {
        move |files: &mut Vec<(String, Vec<u8>)>| files.retain(|(known, _)| known != path)
    };
    let permit = b"@id(\"permit-casus\")\n@article(\"-\")\npermit (principal, action, resource);";
    check(
        &add("purposes/casus.cedar", permit),
        "purposes/casus.cedar",
        "not in the register",
    );
    check(&add("extra.cedar", permit), "extra.cedar", "no place");
    check(
        &add("purposes/../guards.cedar", permit),
        "purposes/../guards.cedar",
        "no place",
    );
    check(&add("guards.cedar", permit), "guards.cedar", "twice");
    check(&add("goals/g9.cedar", b"\xff"), "goals/g9.cedar", "UTF-8");
    check(
        &add("goals/g9.cedar", b"// nothing"),
        "goals/g9.cedar",
        "no policy",
    );
    check(
        &add(
            "goals/g9.cedar",
            b"@id(\"t\")\n@article(\"-\")\npermit (principal == ?principal, action, resource);",
        ),
        "goals/g9.cedar",
        "template",
    );
    check(
        &remove("purposes/nazorg.cedar"),
        "purposes/nazorg.cedar",
        "no policies",
    );
    for path in [
        "guards.cedar",
        "oversight.cedar",
        "register.toml",
        "handover.cedarschema",
        "version.toml",
    ] {
        check(&remove(path), path, "missing");
    }
    let mut with_notice = files();
    with_notice.retain(|(path, _)| !path.starts_with("notices/"));
    with_notice.push(("notices/other.md".to_owned(), b"another text".to_vec()));
    let errors = PolicyBundle::load(&with_notice, &digest).err().unwrap();
    assert!(
        errors.iter().any(|error| error.file == "notices/other.md"),
        "{errors:?}"
    );
}

/// Cedar skips a policy that fails; strict validation does not see an overflow (it is arithmetic on
/// values), so the set loads and the answer must still be no.
#[test]
fn a_policy_that_fails_is_a_no() {
    for (path, policy, code) in [
        (
            "guards.cedar",
            "forbid (principal, action in Action::\"exchange\", resource)",
            "@deny(\"HANDOVER_EXPIRED\")",
        ),
        (
            "purposes/handover.cedar",
            "permit (principal, action in Action::\"exchange\", resource)",
            "",
        ),
    ] {
        let mut files = files();
        change(&mut files, path, |text| {
            format!(
                "{text}\n@id(\"overflows\")\n{code}@article(\"-\")\n{policy}\n\
                 when {{ context.now * 9000000000000 > 9000000000000000000 }};\n"
            )
        });
        let bundle = load(&files).unwrap();
        let question = question(Action::Release);
        let decision = question
            .put(bundle.register(), |request| bundle.decide(request))
            .unwrap();
        assert_eq!(decision.reason(), Some(Reason::PolicyError), "{path}");
        assert_eq!(decision.errors, 1);
        assert!(decision.permit().is_none());
    }
}

fn question(action: Action) -> Question {
    let kinds = (PeerKind::Uwv, PeerKind::Gemeente);
    Question::new(
        action,
        kinds,
        "HANDOVER".parse().unwrap(),
        "SUWI_62_1".parse().unwrap(),
    )
}

#[test]
fn a_permit_names_its_law() {
    let bundle = bundle();
    let decide = |question: &Question| {
        question
            .put(bundle.register(), |request| bundle.decide(request))
            .unwrap()
    };
    let decision = decide(&question(Action::Release));
    let permit = decision.permit().unwrap();
    assert_eq!(permit.action(), "release");
    assert_eq!(permit.policies(), ["permit-handover-statute"]);
    assert_eq!(permit.basis().map(Basis::as_str), Some("SUWI_62_1"));
    assert_eq!(permit.article(), "Wet SUWI 62(1)");
    assert_eq!(
        permit.processing_activity(),
        "urn:sluis:processing:handover-suwi-uwv:2"
    );
    assert_eq!(*permit.policy_set(), bundle.hash());
    let label = |text: &str| text.parse::<Label>().unwrap();
    assert!(permit.labels().contains(&label("identiteit.bsn")));

    let wanted = ["werk.beroep", "identiteit.naam", "gezondheid.beperkingen"].map(label);
    let summary = Question {
        labels: Some(wanted.into()),
        surplus: Surplus::Drop,
        ..question(Action::Offer)
    };
    let decision = decide(&summary);
    let permit = decision.permit().unwrap();
    assert_eq!(*permit.labels(), [label("werk.beroep")].into());
    assert_eq!(
        decision.dropped,
        [label("identiteit.naam"), label("gezondheid.beperkingen")].into()
    );
    let categories: Vec<&str> = permit.categories().iter().map(Category::as_str).collect();
    assert_eq!(categories, ["WORK"]);
}

#[test]
fn a_statement_needs_a_waiver_exactly_where_the_policies_do() {
    let bundle = bundle();
    let resting = bundle
        .register()
        .entries()
        .filter(|entry| entry.needs_consent());
    for entry in resting {
        let kinds = (entry.sender_kind, entry.recipient_kind);
        let mut question = Question::new(
            Action::Release,
            kinds,
            entry.purpose.clone(),
            entry.basis.clone(),
        );
        let mut consent = AssumedConsent::new(ConsentState::Given);
        consent.waiver = false;
        question.consent = Some(consent);
        let decision = question
            .put(bundle.register(), |request| bundle.decide(request))
            .unwrap();
        let expected = entry.needs_waiver().then_some(Reason::SecrecyNotWaived);
        assert_eq!(decision.reason(), expected, "{} {kinds:?}", entry.purpose);
        for action in [Action::Report, Action::FetchReport] {
            question.action = action;
            let decision = question.put(bundle.register(), |request| bundle.decide(request));
            // Where nothing may be told back there are no labels to ask for.
            let expected = match (&entry.report, entry.waiver_ground()) {
                (Some(_), ground) => ground.map(|_| Reason::SecrecyNotWaived),
                (None, _) => Some(Reason::LabelsNoneAllowed),
            };
            let found = decision.unwrap().reason();
            assert_eq!(found, expected, "{} {kinds:?}", entry.purpose);
        }
    }
}

#[test]
fn what_depends_on_no_person_is_told_first_and_the_rest_hidden() {
    let bundle = bundle();
    let purpose: Purpose = "HANDOVER".parse().unwrap();
    let check = |kinds, basis: &str, change: fn(&mut Question), impersonal, hides| {
        let basis = basis.parse().unwrap();
        let mut question = Question::new(Action::Prepare, kinds, purpose.clone(), basis);
        change(&mut question);
        let decision = question
            .put(bundle.register(), |request| bundle.decide(request))
            .unwrap();
        let found = decision.impersonal_refusal().map(|refusal| refusal.reason);
        assert_eq!(
            (found, decision.hides()),
            (impersonal, hides),
            "{question:?}"
        );
    };
    let (union, body) = (
        (PeerKind::Uwv, PeerKind::Vakbond),
        (PeerKind::Uwv, PeerKind::Gemeente),
    );
    check(union, "CONSENT", |_| {}, None, true);
    check(
        union,
        "CONSENT",
        |question| question.edge_valid = false,
        Some(Reason::NoAgreement),
        false,
    );
    check(
        union,
        "CONSENT",
        |question| question.restricted = true,
        None,
        true,
    );
    check(
        union,
        "CONSENT",
        |question| question.objection_pending = true,
        None,
        true,
    );
    let objected = Some(Reason::ObjectionPending);
    check(
        body,
        "SUWI_62_1",
        |question| question.objection_pending = true,
        objected,
        false,
    );
    check(body, "SUWI_62_1", |_| {}, None, false);
    check(body, "CONSENT", |_| {}, Some(Reason::BasisMismatch), false);
}

#[test]
fn the_signed_text_covers_law_and_nothing_beside_it() {
    let (whole, first) = (files(), bundle());
    let text = String::from_utf8(first.signed_text().to_vec()).unwrap();
    let paths: Vec<&str> = text
        .lines()
        .filter_map(|line| line.split('\0').next())
        .collect();
    assert!(paths.is_sorted());
    for path in [
        "guards.cedar",
        "goals/g1-consent.cedar",
        "purposes/handover.cedar",
        "register.toml",
    ] {
        assert!(paths.contains(&path), "{path}");
        let mut changed = whole.clone();
        let comment = if path == "register.toml" {
            "# more\n"
        } else {
            "// more\n"
        };
        change(&mut changed, path, |text| format!("{text}{comment}"));
        assert_ne!(load(&changed).unwrap().hash(), first.hash(), "{path}");
    }
    let mut changed = whole.clone();
    changed.reverse();
    change(&mut changed, "expected.txt", |text| format!("{text} "));
    assert_eq!(load(&changed).unwrap().hash(), first.hash());
}

#[test]
fn an_explanation_has_the_shape_of_authzen() {
    let bundle = bundle();
    let kinds = (PeerKind::Uwv, PeerKind::Vakbond);
    let basis = "CONSENT".parse().unwrap();
    let asked = Question::new(Action::Release, kinds, "HANDOVER".parse().unwrap(), basis);
    let told = asked
        .put(bundle.register(), |request| explain(&bundle, request))
        .unwrap();
    assert_eq!(told.value["decision"], false);
    assert_eq!(told.value["context"]["code"], "CONSENT_MISSING");
    assert_eq!(
        told.value["context"]["determining"][0]["policy"],
        "deny-consent-missing"
    );
    assert_eq!(
        told.value["context"]["determining"][0]["article"],
        "AVG 6(1)(a), 7(1)"
    );
    assert_eq!(told.value["context"]["errors"], 0);
    assert!(
        told.text.contains("refused: CONSENT_MISSING"),
        "{}",
        told.text
    );
    assert!(told.text.contains("to be confirmed by a jurist"));
    assert!(told.labels.is_empty());
    let told = question(Action::Offer).put(bundle.register(), |request| explain(&bundle, request));
    let told = told.unwrap();
    assert_eq!(told.value["decision"], true);
    assert!(told.text.contains("permitted") && !told.labels.is_empty());
}

#[test]
fn a_mark_that_an_editor_puts_before_a_text_means_nothing() {
    let marked: Vec<_> = files()
        .into_iter()
        .map(|(path, content)| match path.rsplit_once('.') {
            Some((_, "cedar" | "cedarschema" | "toml")) => {
                (path, [b"\xef\xbb\xbf", content.as_slice()].concat())
            }
            _ => (path, content),
        })
        .collect();
    let marked = load(&marked).unwrap_or_else(|errors| panic!("{errors:#?}"));
    assert!(failing(&marked).is_empty());
    assert_ne!(
        marked.hash(),
        bundle().hash(),
        "it is signed as it lies there"
    );
}
