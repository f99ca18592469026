//! The fault run: real processes under load are killed, cut off, starved of room and given a wrong clock at
//! random moments; when all is healed, everything that was acknowledged must be there, once.
//!
//! Must never replace a part by something that only looks like it, and must never end well when it proved
//! nothing.

mod check;
mod clock;
#[expect(dead_code, reason = "the suite from outside uses more of it")]
#[path = "../../it/database.rs"]
mod database;
mod desk;
mod dice;
mod harm;
#[expect(dead_code, reason = "the suite from outside uses more of it")]
#[path = "../../it/house.rs"]
mod house;
mod journal;
mod lanes;
mod postgres;
mod proxy;
mod readers;
mod records;
mod report;
mod servers;
mod stage;
mod visitor;

use check::Checker;
use clap::{Parser, ValueEnum};
use dice::Dice;
use gateway::clock::SystemClock;
use harm::Kind;
use lanes::World;
use records::Records;
use report::Run;
use rules::clock::{Clock as _, Random as _};
use stage::Stage;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};
use tokio::task::JoinSet;

/// How often the progress is told.
const TELL_INTERVAL: Duration = Duration::from_secs(5);
/// How long all handovers may take to end after the healing.
const FINISH_TIMEOUT: Duration = Duration::from_secs(120);
/// How long what follows from a stop may wait: until another broker has the lead, then five seconds.
const FOLLOWED_TIMEOUT: Duration = Duration::from_secs(20);
/// How long the portal may take to take over what is left of the feed.
const FEED_TIMEOUT: Duration = Duration::from_secs(60);
/// Fewer acknowledged changes for each second of load prove nothing.
const CHANGES_PER_SECOND_MIN: u64 = 1;
/// A clock that was seen to be off by less may be one that is right.
const CLOCK_OFF_MILLIS_MIN: i64 = 45_000;
/// So many jumps cannot all have gone unseen.
const CLOCK_JUMPS_MIN: u64 = 3;
/// People whose overview is looked at.
const OVERVIEWS: usize = 10;

/// Harms real processes under load, and checks that nothing was lost.
#[derive(Parser)]
#[command(
    name = "faults",
    after_help = "The seed says what is harmed, when and for how long; how the processes interleave is theirs.\n\n\
                  Example:\n  cargo run --release -p faults -- --seconds 60 --engine postgres --brokers 2 --seed 7"
)]
struct Arguments {
    /// How long harm is done; finishing and checking come after it.
    #[arg(long, default_value_t = 60)]
    seconds: u64,
    /// The seed of an earlier run, to harm the same again.
    #[arg(long)]
    seed: Option<u64>,
    /// Where the servers keep their rows. For PostgreSQL the run starts a server of its own.
    #[arg(long, value_enum, default_value = "sqlite")]
    engine: Engine,
    /// Brokers on one database; two need PostgreSQL.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=2))]
    brokers: u8,
    /// Only this kind of harm.
    #[arg(long, value_enum)]
    only: Option<Kind>,
    /// Print one JSON object and no table.
    #[arg(long)]
    json: bool,
    /// Leave the folder with all files and logs, and say where it is.
    #[arg(long)]
    keep: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Engine {
    Sqlite,
    Postgres,
}

impl Engine {
    const fn name(self) -> &'static str {
        match self {
            Self::Sqlite => "sqlite",
            Self::Postgres => "postgres",
        }
    }
}

impl Arguments {
    /// The command that harms the same again.
    fn again(&self, seed: u64) -> String {
        let only = self.only.and_then(|kind| kind.to_possible_value());
        let only = only.map_or_else(String::new, |kind| format!(" --only {}", kind.get_name()));
        format!(
            "cargo run --release -p faults -- --seconds {} --engine {} --brokers {}{only} --seed {seed} --keep",
            self.seconds,
            self.engine.name(),
            self.brokers
        )
    }
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    if arguments.brokers == 2 && arguments.engine == Engine::Sqlite {
        eprintln!("faults: SQLite is for one broker; say --engine postgres for two");
        return ExitCode::from(2);
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .unwrap();
    if runtime.block_on(run(&arguments)) {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

fn drawn_seed() -> u64 {
    let mut octets = [0; 4];
    vault::chance::SystemChance::new().fill(&mut octets);
    u64::from(u32::from_le_bytes(octets))
}

/// Runs everything; says whether nothing was lost.
async fn run(arguments: &Arguments) -> bool {
    let seed = arguments.seed.unwrap_or_else(drawn_seed);
    let dice = Dice::new(seed);
    eprintln!("seed {seed}; again: {}", arguments.again(seed));
    let begun_at = SystemClock.now();
    let mut stage = Stage::set(arguments).await;
    let mut not_done = Vec::new();
    let kinds = kinds(arguments, &stage, &mut not_done);
    let world = Arc::clone(&stage.world);
    let yard = &stage.yard;

    let until = Instant::now() + Duration::from_secs(arguments.seconds);
    world.journal.count_silence(true);
    let lanes = world.open(stage.lanes, &dice);
    let telling = tokio::spawn(tell(Arc::clone(&world), until));
    yard.harm(&kinds, until, &mut dice.apart(2)).await;
    world.journal.count_silence(false);
    telling.abort();

    eprintln!("healed; every handover is brought to its end");
    let begun = Instant::now();
    servers::until_all_serve(&yard.servers).await;
    world.healed.store(true, Ordering::SeqCst);
    world.closing.store(true, Ordering::SeqCst);
    finish(&world, lanes).await;
    let finishing = begun.elapsed();
    look(&world).await;
    let sandbox = stage.folder.path();
    until_nothing_waits(&world, &sandbox).await;
    stage.check_readers().await;
    let yard = &stage.yard;

    let processes = report::processes(yard);
    // What is on the disk counts, not what a server may still have in hand.
    for server in &yard.servers {
        std::mem::forget(server.down().await);
    }
    let records = Records::read(&sandbox).await;
    let people = world.people();
    let taken = std::mem::take(&mut *world.journal.taken());
    let (mut wrong, checked) = Checker::new(&taken, &records).check();
    wrong.splice(0..0, taken.violations.iter().cloned());
    let clock_off_millis = records.clock_off_millis((begun_at, SystemClock.now()));
    let jumps = (yard.times("clock"), clock_off_millis);
    wrong.extend(proved_nothing(arguments, taken.acts.len(), jumps));
    let run = Run {
        seed,
        seconds: arguments.seconds,
        engine: arguments.engine.name(),
        brokers: usize::from(arguments.brokers),
        again: arguments.again(seed),
        finishing,
        clock_off_millis,
        processes,
        people,
        not_done,
    };
    let report = report::value(&run, &taken, yard, (&checked, &wrong));
    if arguments.json {
        println!("{report}");
    } else {
        report::print(&report);
    }
    stage.leave(arguments.keep);
    wrong.is_empty()
}

/// What is done here, and what cannot be.
fn kinds(arguments: &Arguments, stage: &Stage, not_done: &mut Vec<String>) -> Vec<Kind> {
    let mut kinds = stage.yard.kinds();
    if !kinds.contains(&Kind::Disk) {
        not_done.push("a full disk: root may not mount one for PostgreSQL here".to_owned());
    }
    if !kinds.contains(&Kind::Clock) {
        not_done.push("a clock that jumps: on Debian, apt-get install faketime".to_owned());
    }
    kinds.retain(|kind| arguments.only.is_none_or(|only| only == *kind));
    assert!(!kinds.is_empty(), "that cannot be done here: {not_done:?}");
    kinds
}

/// A run in which nothing happened is no proof.
fn proved_nothing(
    arguments: &Arguments,
    changes: usize,
    (jumps, clock_off_millis): (u64, i64),
) -> Option<String> {
    let changes = u64::try_from(changes).unwrap();
    if changes < CHANGES_PER_SECOND_MIN * arguments.seconds {
        return Some(format!(
            "only {changes} changes were acknowledged: that proves nothing"
        ));
    }
    // A jump is of a minute at least, and what is written then must show it; one of them may have fallen
    // together with a broker that was down.
    (jumps >= CLOCK_JUMPS_MIN && clock_off_millis < CLOCK_OFF_MILLIS_MIN)
        .then(|| "no clock was ever seen to be wrong: that proves nothing".to_owned())
}

async fn tell(world: Arc<World>, until: Instant) {
    loop {
        tokio::time::sleep(TELL_INTERVAL).await;
        let taken = world.journal.taken();
        let refused: u64 = taken.refused.values().sum();
        eprintln!(
            "{:>4} s left: {} people, {} changes and {} reads acknowledged, {refused} refused or failed, \
             {} without an answer, {} wrong",
            until.saturating_duration_since(Instant::now()).as_secs(),
            world.people(),
            taken.acts.len(),
            taken.reads.len(),
            taken.unknown,
            taken.violations.len()
        );
    }
}

/// Waits until every lane has brought its handover to its end and no outbox holds anything.
async fn finish(world: &World, mut lanes: JoinSet<()>) {
    let all = async {
        while let Some(ended) = lanes.join_next().await {
            if let Err(error) = ended {
                world.journal.wrong(format!("a lane broke off: {error}"));
            }
        }
    };
    if tokio::time::timeout(FINISH_TIMEOUT, all).await.is_err() {
        let left = lanes.len();
        world
            .journal
            .wrong(format!("{left} handovers were not finished in time"));
    }
    let waiting: usize = world.desks().map(|desk| desk.waiting()).sum();
    if waiting > 0 {
        world
            .journal
            .wrong(format!("{waiting} requests still wait in outboxes"));
    }
}

/// Some people look at the portal: each law handover is there from its beginning to its end.
async fn look(world: &World) {
    let about: Vec<_> = {
        let about = world.about.lock().unwrap();
        let law = about
            .iter()
            .filter(|(id, _)| !world.journal.taken().rests_on.contains_key(id));
        law.map(|(id, number)| (*id, *number))
            .take(OVERVIEWS)
            .collect()
    };
    for (handover, number) in about {
        let told = world
            .visitor(number)
            .overview()
            .await
            .unwrap_or_default()
            .len();
        let taken = world.journal.taken();
        let done = taken.acts.iter().chain(&taken.reads);
        let done = done.filter(|act| act.handover == handover).count();
        drop(taken);
        if told < done {
            let what = format!("{handover}: its person sees {told} lines of {done} or more");
            world.journal.wrong(what);
        }
    }
}

/// What follows from stops is done, and the portal has taken over the feed: each in its time.
async fn until_nothing_waits(world: &World, sandbox: &std::path::Path) {
    let mut beside = database::Beside::of(&sandbox.join("processes/broker")).await;
    for (waiting, timeout, wrong) in [
        (
            "SELECT COUNT(*) FROM consequence",
            FOLLOWED_TIMEOUT,
            "what follows from a stop was not done in time",
        ),
        (
            "SELECT COUNT(*) FROM feed",
            FEED_TIMEOUT,
            "the feed was not taken over in time",
        ),
    ] {
        let begun = Instant::now();
        while beside.number(waiting).await > 0 {
            if begun.elapsed() > timeout {
                world.journal.wrong(wrong.to_owned());
                break;
            }
            tokio::time::sleep(Duration::from_millis(250)).await;
        }
    }
    beside.close().await;
}
