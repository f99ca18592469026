//! The register of this repository, and broken copies of it.
//!
//! Must never test what a policy decides: that is in `policy::tests`.

use super::*;
use std::path::Path;

const FILE: &str = "register.toml";

fn text() -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../policies")
        .join(FILE);
    std::fs::read_to_string(path).unwrap()
}

fn register() -> Register {
    match Register::parse(FILE, &text()) {
        Ok(register) => register,
        Err(errors) => panic!("{errors:#?}"),
    }
}

/// Makes one change and expects exactly the messages that begin like these, each with its line.
fn check(from: &str, to: &str, expected: &[&str]) {
    let whole = text();
    assert!(whole.contains(from), "{from}");
    let errors = Register::parse(FILE, &whole.replacen(from, to, 1))
        .err()
        .unwrap_or_default();
    for message in expected {
        let named = errors
            .iter()
            .any(|error| error.message.contains(message) && error.file == FILE);
        assert!(named, "`{to}`: `{message}` not in {errors:#?}");
    }
    assert!(!errors.is_empty(), "`{to}` was accepted");
    assert!(
        errors.iter().all(|error| error.line.is_some()),
        "{errors:#?}"
    );
}

#[test]
fn every_entry_of_the_law_is_there() {
    use PeerKind::{Gemeente, Uwv, Vakbond};
    let register = register();
    let both = [(Uwv, Gemeente), (Gemeente, Uwv), (Gemeente, Gemeente)];
    let union = [
        (Uwv, Vakbond),
        (Gemeente, Vakbond),
        (Vakbond, Uwv),
        (Vakbond, Gemeente),
    ];
    let inward = [(Uwv, Gemeente), (Gemeente, Gemeente), (Vakbond, Gemeente)];
    let mut expected = Vec::new();
    for (sender, recipient) in both {
        expected.push(("HANDOVER", sender, recipient, "SUWI_62_1"));
        expected.push(("NAZORG", sender, recipient, "CONSENT"));
    }
    for (sender, recipient) in union {
        expected.push(("HANDOVER", sender, recipient, "CONSENT"));
        expected.push(("NAZORG", sender, recipient, "CONSENT"));
    }
    for (sender, recipient) in inward {
        expected.push(("TRIAGE", sender, recipient, "CONSENT"));
        expected.push(("MONITOR", sender, recipient, "CONSENT"));
    }
    expected.sort();
    let found: Vec<_> = register
        .entries()
        .map(|one| {
            (
                one.purpose.as_str(),
                one.sender_kind,
                one.recipient_kind,
                one.basis.as_str(),
            )
        })
        .collect();
    assert_eq!(found, expected);
    for entry in register.entries() {
        assert_eq!(entry.to_be_confirmed, "to be confirmed by a jurist");
        assert_eq!(entry.needs_consent(), entry.basis.as_str() == "CONSENT");
        assert_eq!(entry.timers, Timers::default());
        let union = [entry.sender_kind, entry.recipient_kind].contains(&Vakbond);
        assert!(!(entry.bsn_allowed && union));
    }
    let ground = |sender, recipient| {
        let purpose = "HANDOVER".parse().unwrap();
        register
            .entry(&purpose, sender, recipient)
            .unwrap()
            .secrecy_ground
            .as_str()
    };
    assert_eq!(ground(Uwv, Vakbond), "SUWI_74_2_B");
    assert_eq!(ground(Gemeente, Vakbond), "PW_SECRECY");
    assert_eq!(ground(Vakbond, Uwv), "NONE");
}

#[test]
fn a_summary_says_nothing_of_who_it_is() {
    let register = register();
    for entry in register.entries() {
        for label in &entry.labels_offer {
            let name = label.as_str();
            assert!(
                !name.starts_with("identiteit.") && !name.starts_with("contact."),
                "{name}"
            );
        }
    }
    assert_eq!(register.holidays().len(), 27);
    for day in ["2026-04-27", "2027-05-06", "2028-06-05", "2028-12-26"] {
        assert!(register.holidays().contains(&day.parse().unwrap()), "{day}");
    }
}

#[test]
fn labels_are_parted_by_stage_and_consent() {
    let register = register();
    let purpose = "HANDOVER".parse().unwrap();
    let entry = register
        .entry(&purpose, PeerKind::Vakbond, PeerKind::Gemeente)
        .unwrap();
    let label = |text: &str| text.parse::<Label>().unwrap();
    let wanted = [
        "werk.beroep",
        "identiteit.naam",
        "identiteit.bsn",
        "no.such",
    ]
    .map(label)
    .into();
    let parted = |stage, consent: Option<&ConsentFacts>| {
        let choice = register.permitted_labels(entry, stage, &wanted, consent);
        assert_eq!(choice.permitted.len() + choice.dropped.len(), wanted.len());
        choice
            .permitted
            .iter()
            .map(ToString::to_string)
            .collect::<Vec<_>>()
    };
    assert_eq!(parted(Stage::Offer, None), ["werk.beroep"]);
    assert_eq!(
        parted(Stage::Dossier, None),
        ["identiteit.naam", "werk.beroep"]
    );
    let consent = ConsentFacts {
        state: crate::policy::ConsentState::Given,
        valid_until: crate::clock::Timestamp::from_millis(1),
        categories: ["IDENTITY".parse().unwrap()].into(),
        recipient_matches: true,
        purpose_matches: true,
        waiver: false,
    };
    assert_eq!(parted(Stage::Dossier, Some(&consent)), ["identiteit.naam"]);
    assert!(parted(Stage::Offer, Some(&consent)).is_empty());
}

#[test]
fn what_may_be_told_back_stands_in_the_entry_and_fits_it() {
    let register = register();
    let label = |text: &str| text.parse::<Label>().unwrap();
    let (outcome, name) = (label("uitstroom.code"), label("identiteit.naam"));
    for entry in register.entries() {
        let tells = entry.purpose.as_str() == "HANDOVER";
        assert_eq!(entry.report.is_some(), tells, "{}", entry.purpose);
        assert_eq!(entry.allows(Stage::Report, &outcome), tells);
        assert!(!entry.allows(Stage::Report, &name));
        // A union is told by UWV and gemeenten, which must keep secrets, on the person's waiver alone.
        let to_union = tells && entry.sender_kind == PeerKind::Vakbond;
        let ground = entry.waiver_ground();
        assert_eq!(ground.is_some(), to_union || entry.needs_waiver());
    }
    let report =
        "report = { labels = [\"uitstroom.code\"], days = 180, secrecy_ground = \"SUWI_62\" }";
    let with = |from: &str, to: &str| report.replace(from, to);
    let foreign = with("uitstroom.code", "identiteit.naam");
    check(report, &foreign, &["does not exist in stage report"]);
    let unknown = with("uitstroom.code", "vakbond.lid");
    check(report, &unknown, &["not in the list of labels"]);
    check(report, &with("\"uitstroom.code\"", ""), &["tells nothing"]);
    check(report, &with("180", "0"), &["report.days"]);
    check(report, &with("180", "731"), &["report.days"]);
    check(
        report,
        &with("SUWI_62", " "),
        &["report.secrecy_ground is empty"],
    );
    check(report, &with("days", "weeks"), &["unknown field `weeks`"]);
    let back = "secrecy_ground = \"NONE\" }";
    let two = "secrecy_ground = \"PW_SECRECY\" }";
    check(back, two, &["can't need two"]);
}

#[test]
fn what_may_not_exist_is_refused() {
    let label = |name: &str, category: &str| {
        format!(
            "[[label]]\nname = \"{name}\"\ncategory = \"{category}\"\nclass = \"O\"\n\
             stages = [\"dossier\"]\ntitle_nl = \"x\"\ntitle_en = \"x\"\n\n[[label]]\n"
        )
    };
    for (name, category) in [
        ("vakbond.lid", "WORK"),
        ("lidmaatschap.nummer", "WORK"),
        ("trade_union", "WORK"),
        ("bijstand.korting", "WORK"),
        ("uwv.maatregel", "WORK"),
        ("sanctie", "WORK"),
        ("werk.iets", "SANCTIES"),
        ("werk.iets", "UNION_MEMBERSHIP"),
    ] {
        check(
            "[[label]]\n",
            &label(name, category),
            &["may not be a field"],
        );
    }
    for purpose in [
        "HANDHAVING",
        "HANDHAVING_PW",
        "ENFORCEMENT",
        "FRAUDE_ONDERZOEK",
    ] {
        let to = format!("purpose = \"{purpose}\"");
        check("purpose = \"TRIAGE\"", &to, &["may not be a purpose"]);
    }
}

#[test]
fn every_mistake_of_form_has_its_line() {
    let uwv = "sender_kinds = [\"UWV\"]";
    check("[[label]]", "[[lable]]", &["lable"]);
    check(
        "dpv_purpose",
        "dvp_purpose",
        &["unknown field `dvp_purpose`"],
    );
    check(
        "bsn_allowed = true",
        "bsn_allowed = \"yes\"",
        &["invalid type"],
    );
    check(uwv, "sender_kinds = [\"UVW\"]", &["unknown variant `UVW`"]);
    check("basis = \"SUWI_62_1\"\n", "", &["missing field `basis`"]);
    check(
        "class = \"N87\"",
        "class = \"N88\"",
        &["unknown variant `N88`"],
    );
    check("complete_days = 14", "complete_day = 14", &["complete_day"]);
    check("\"2026-12-25\"", "\"2026-13-25\"", &["2026-13-25"]);
    check(
        "notice_sha256 = \"",
        "notice_sha256 = \"zz",
        &["64 lowercase"],
    );
    check("[working_days]", "[working_days", &[""]);
}

#[test]
fn every_mistake_of_content_has_its_line() {
    let uwv = "sender_kinds = [\"UWV\"]";
    check(uwv, "sender_kinds = [\"BROKER\"]", &["role of the gateway"]);
    check(uwv, "sender_kinds = []", &["at least one sender kind"]);
    check(uwv, "sender_kinds = [\"GEMEENTE\"]", &["occurs twice"]);
    let article = "law_article = \"Wet SUWI 62(1)\"";
    check(article, "law_article = \" \"", &["law_article is empty"]);
    let (label, double) = ("name = \"werk.beroep\"", "name = \"werk.denkniveau\"");
    check(label, double, &["occurs twice", "not in the list"]);
    check(
        "category = \"CONTACT\"",
        "category = \"BSN\"",
        &["two classes"],
    );
    check(
        "bsn_allowed = true",
        "bsn_allowed = false",
        &["needs bsn_allowed"],
    );
    check(
        "\"werk.beroep\", ",
        "\"contact.email\", ",
        &["does not exist in stage offer"],
    );
    check(
        "complete_days = 14",
        "complete_days = 0",
        &["timer of zero"],
    );
    check(
        "retention_days = 730",
        "retention_days = 0",
        &["at least one day"],
    );
    check("\"2026-12-25\"", "\"2026-12-26\"", &["occurs twice"]);
}

#[test]
fn consent_must_be_free_and_alone() {
    let free = "interest_of_subject_only = true";
    check(free, "interest_of_subject_only = false", &["not free"]);
    check(
        "reflection_hours = 24",
        "reflection_hours = 0",
        &["at least one"],
    );
    check(
        "alternative_without_consent = \"",
        "alternative_without_consent = \"\" # ",
        &["is empty"],
    );
    check(
        "basis_art6 = \"AVG 6(1)(e)\"",
        "basis_art6 = \"AVG 6(1)(a)\"",
        &["needs a [entry.consent]"],
    );
    check(
        "basis_art6 = \"AVG 6(1)(a)\"",
        "basis_art6 = \"AVG 6(1)(e)\"",
        &["belongs to"],
    );
    check(
        "\"doelgroep.code\",",
        "\"gezondheid.beperkingen\",",
        &["needs consent and basis_art9"],
    );
}

#[test]
fn all_mistakes_come_at_once() {
    let broken = text()
        .replacen("class = \"O\"", "class = \"Q\"", 1)
        .replacen("bsn_allowed = true", "bsn_allowed = 7", 1)
        .replacen("reflection_hours = 24", "reflection_hours = 0", 1);
    let errors = Register::parse(FILE, &broken).err().unwrap();
    for message in ["unknown variant `Q`", "invalid type", "reflection_hours"] {
        assert!(
            errors.iter().any(|error| error.message.contains(message)),
            "{message}: {errors:#?}"
        );
    }
    assert!(
        errors[0].to_string().starts_with("register.toml:"),
        "{}",
        errors[0]
    );
}
