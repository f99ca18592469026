//! One partner with one valid certificate does its worst, and nobody else is to notice: each attack runs against real
//! processes on loopback while a desk works and people stop what stands.
//!
//! Asserted are what each attack was answered, the memory of the process, that nobody else was refused, and for how many
//! turns of others another desk and a stop waited. Must never pass because the attack did not come through: each says
//! what it did. Times are printed with `--measure` and judged by people.

mod attacks;
#[expect(dead_code, reason = "the suite from outside uses more of it")]
#[path = "../it/authority.rs"]
mod authority;
mod bystanders;
#[expect(
    dead_code,
    unused_imports,
    reason = "the suite from outside uses more of it"
)]
#[path = "../it/consent.rs"]
mod consent;
#[expect(dead_code, reason = "the suite from outside uses more of it")]
#[path = "../it/database.rs"]
mod database;
#[expect(dead_code, reason = "the suite from outside uses more of it")]
#[path = "../it/desk.rs"]
mod desk;
#[expect(dead_code, reason = "the suite from outside uses more of it")]
#[path = "../it/house.rs"]
mod house;
#[expect(dead_code, reason = "the suite from outside uses more of it")]
#[path = "../it/laid.rs"]
mod laid;
mod peer;
#[expect(dead_code, reason = "the suite from outside uses more of it")]
#[path = "../it/private.rs"]
mod private;
mod stage;

use attacks::ATTACKS;
use stage::Stage;

/// How often the calm is measured, and each attack with `--measure`.
const MEASURED: usize = 20;

#[tokio::main(flavor = "multi_thread")]
async fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let measures = arguments.iter().any(|argument| argument == "--measure");
    let only = arguments
        .iter()
        .find(|argument| !argument.starts_with("--"));
    let times = if measures { MEASURED } else { 1 };
    let stage = Stage::set(times * (ATTACKS.len() + 1)).await;
    println!("attack          answers; growth of the broker; turns waited for: desk, stop");
    let mut wrong = Vec::new();
    let calm = stage.calm(times).await;
    if measures {
        println!("calm: {}", calm.beside(&calm));
    }
    let unread = attacks::Unread::leave(&stage).await;
    for attack in ATTACKS {
        if only.is_some_and(|only| only != attack.name) {
            continue;
        }
        let told = stage.suffer(attack, times).await;
        println!("{:<15} {told}", attack.name);
        wrong.extend(
            told.wrong
                .iter()
                .map(|wrong| format!("{}: {wrong}", attack.name)),
        );
        if measures {
            println!("{:<15} {}", "", told.times.beside(&calm));
        }
    }
    wrong.extend(unread.end().await.err());
    assert!(
        wrong.is_empty(),
        "not as it should be:\n{}",
        wrong.join("\n")
    );
    println!("nobody else noticed");
}
