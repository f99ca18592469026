//! Measures a decision with typed facts: `cargo run --release -p rules --example decide`.
//!
//! Must never be a timed test: it prints, and whoever reads it judges.

use rules::policy::{
    Action, AssumedConsent, ConsentState, DecisionRequest, PolicyBundle, Question,
};
use std::error::Error;
use std::hint::black_box;
use std::path::Path;
use std::time::{Duration, Instant};

const ROUNDS: usize = 20_000;

fn main() -> Result<(), Box<dyn Error>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../policies");
    let mut files = Vec::new();
    for folder in ["", "purposes/", "goals/"] {
        for entry in std::fs::read_dir(root.join(folder))? {
            let entry = entry?;
            let path = format!("{folder}{}", entry.file_name().to_string_lossy());
            if PolicyBundle::is_signed_path(&path) {
                files.push((path, std::fs::read(entry.path())?));
            }
        }
    }
    let start = Instant::now();
    let bundle =
        PolicyBundle::load(&files, &|_| [0; 32]).map_err(|errors| format!("{errors:?}"))?;
    println!(
        "load                       {:>8.1} ms",
        start.elapsed().as_secs_f64() * 1e3
    );
    for (title, kinds, basis, consent) in [
        (
            "statute, prepare and permitted",
            ("UWV", "GEMEENTE"),
            "SUWI_62_1",
            None,
        ),
        (
            "consent, prepare and permitted",
            ("VAKBOND", "GEMEENTE"),
            "CONSENT",
            Some(ConsentState::Given),
        ),
        (
            "consent withdrawn, refused",
            ("VAKBOND", "GEMEENTE"),
            "CONSENT",
            Some(ConsentState::Withdrawn),
        ),
    ] {
        let kind = |code: &str| rules::id::PeerKind::from_code(code).ok_or("no such kind");
        let kinds = (kind(kinds.0)?, kind(kinds.1)?);
        let mut question =
            Question::new(Action::Prepare, kinds, "HANDOVER".parse()?, basis.parse()?);
        question.consent = consent.map(AssumedConsent::new);
        question.put(bundle.register(), |request| {
            measure(title, &bundle, request)
        })?;
    }
    Ok(())
}

fn measure(title: &str, bundle: &PolicyBundle, request: &DecisionRequest<'_>) {
    let mut times: Vec<Duration> = (0..ROUNDS)
        .map(|_| {
            let start = Instant::now();
            black_box(bundle.decide(black_box(request)));
            start.elapsed()
        })
        .collect();
    times.sort();
    let at = |share: usize| {
        times
            .get(ROUNDS * share / 100)
            .map_or(0.0, |time| time.as_secs_f64() * 1e6)
    };
    println!("{title:32} p50 {:>6.1} us   p99 {:>6.1} us", at(50), at(99));
}
