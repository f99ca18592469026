//! A key holder at its own door: whom it lets in, what one organisation can take from it, and what it does when its
//! clock is set.
//!
//! Must never look at what a holder has in memory: what others get from it is what is looked at.

use crate::cli::said;
use crate::desk::{Desk, request_id};
use crate::faketime::Clock;
use crate::house::{Folder, bsn, digits, enrol, program, reason_of};
use crate::laid::Laid;
use client::{Client, PersonKey, RetryPolicy};
use gateway::clock::SystemClock;
use rules::id::OrderId;
use rules::limits::{BATCH_ITEMS_MAX, MESSAGE_BYTES_MAX, QUOTA_REFUSED_PER_MINUTE};
use rules::reason::Reason;
use std::collections::BTreeMap;
use std::process::Command;
use std::time::{Duration, Instant};
use vault::chance::SystemChance;
use wire::directory::v1::directory_service_client::DirectoryServiceClient;
use wire::directory::v1::{ImportDirectoryRequest, WhoAmIRequest};
use wire::pseudonym::v1::enrol_result::Outcome;
use wire::pseudonym::v1::key_holder_service_client::KeyHolderServiceClient;
use wire::pseudonym::v1::pseudonym_service_client::PseudonymServiceClient;
use wire::pseudonym::v1::{
    CloseContextRequest, ConvertItem, ConvertRequest, EnrolItem, EnrolRequest,
    ListCommitmentsRequest, SignedContextRequest, StepContextRequest,
};

/// Within this a holder goes on once its clock goes well, and a second until a process sees another clock.
const GOES_ON_WITHIN: Duration = Duration::from_secs(5 + 1);
const JUMPED: &str = "the clock jumped";
const GOES_WELL: &str = "the clock goes well again";

#[tokio::test(flavor = "multi_thread")]
async fn nobody_but_the_broker_is_heard_and_nothing_of_it_is_read_before() {
    let laid = Laid::open().await;
    let door = laid.connection("holder-1");
    let mut holder = KeyHolderServiceClient::new(door.channel());
    let mut directory = DirectoryServiceClient::new(door.channel());
    // Were these read, they would be too large.
    let large = vec![0; 2 * MESSAGE_BYTES_MAX];
    let item = ConvertItem {
        ciphertexts: vec![large.clone()],
        ..ConvertItem::default()
    };
    let request = Some(SignedContextRequest {
        request: large.clone(),
        ..SignedContextRequest::default()
    });
    let convert = ConvertRequest { items: vec![item] };
    let step = StepContextRequest {
        context_request: request.clone(),
        ..StepContextRequest::default()
    };
    let close = CloseContextRequest {
        context_request: request,
        ..CloseContextRequest::default()
    };
    let import = ImportDirectoryRequest {
        request_id: request_id(),
        directory_toml: large,
        ..ImportDirectoryRequest::default()
    };
    for (what, status) in [
        ("Convert", holder.convert(convert).await.map(drop)),
        ("StepContext", holder.step_context(step).await.map(drop)),
        ("CloseContext", holder.close_context(close).await.map(drop)),
        (
            "ListCommitments",
            holder
                .list_commitments(ListCommitmentsRequest {})
                .await
                .map(drop),
        ),
        (
            "ImportDirectory",
            directory.import_directory(import).await.map(drop),
        ),
    ] {
        let status = status.unwrap_err();
        assert_eq!(reason_of(&status), "RIGHT_MISSING", "{what}: {status:?}");
    }
    let me = directory.who_am_i(WhoAmIRequest {}).await.unwrap();
    assert_eq!(me.into_inner().oin, laid.identity("portal").oin);
}

/// What a person is shown after a login, in English.
fn logs_in(laid: &Folder, number: usize) -> bool {
    let mut overview = Command::new(program());
    overview
        .args(["overview", "--lang", "en"])
        .arg("--sandbox")
        .arg(laid.path());
    said(&mut overview, &digits(number)).code == 0
}

/// Octets of memory that a process has, in MiB.
fn resident_mib(process: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.unwrap().trim().trim_end_matches(" kB");
    kib.trim().parse::<u64>().unwrap() / 1024
}

/// A batch of signed orders, in their window, that name another ciphertext than they come with.
async fn refused_batch(desk: &Desk) -> EnrolRequest {
    let (order, ciphertext) = desk.enrolment(&bsn(7)).await;
    let items = (0..BATCH_ITEMS_MAX).map(|_| {
        let mut order = order.clone();
        order.id = OrderId::draw(&SystemClock, &SystemChance::new());
        order.ciphertext_sha256 = [9; 32];
        EnrolItem {
            order: Some(desk.signed(order)),
            ciphertext: ciphertext.bytes().to_vec(),
        }
    });
    EnrolRequest {
        request_id: request_id(),
        items: items.collect(),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_floods_the_holders_with_orders_that_are_refused_shuts_out_itself() {
    const BATCHES: usize = 12;
    let mut laid = Laid::lay();
    // More than the broker's door lets one organisation do: what is counted here is what lies behind it.
    let many = "calls_per_second = 100000\ncalls_burst = 100000\nlisten = ";
    laid.configure("broker", "listen = ", many);
    laid.start_all().await;
    let desk = Desk::of(&laid, "uwv").await;
    let town = laid.client("regio").await;
    let mut service = PseudonymServiceClient::new(desk.connection.channel());
    let before = resident_mib(laid.process("holder-1"));
    let mut answers: BTreeMap<String, usize> = BTreeMap::new();
    for batch in 0..BATCHES {
        let asked = refused_batch(&desk).await;
        let answer = service.enrol(asked).await.unwrap().into_inner();
        for result in answer.results {
            let Some(Outcome::RefusedReason(reason)) = result.outcome else {
                panic!("such an order was carried out")
            };
            *answers.entry(reason).or_default() += 1;
        }
        if batch % 4 == 3 {
            enrol(&town, &format!("bz-{batch}"), 20 + batch).await;
            assert!(logs_in(&laid, 20 + batch), "a person's login");
        }
    }
    let after = resident_mib(laid.process("holder-1"));
    println!("{answers:?}; holder-1 had {before} MiB and has {after} MiB");
    let quota = usize::try_from(QUOTA_REFUSED_PER_MINUTE).unwrap();
    let unheard = answers["QUOTA_EXCEEDED"];
    assert_eq!(answers.len(), 2, "{answers:?}");
    assert!(
        unheard >= BATCHES * BATCH_ITEMS_MAX / 2 - quota,
        "most are unheard"
    );
    assert!(after < before + 64, "memory that nobody paid for");
    let told = laid.log("holder-1").matches("an order was refused").count();
    assert_eq!(
        told, answers["ORDER_CIPHERTEXT_MISMATCH"],
        "a line for each that was heard"
    );
}

/// The same client, which gives up after one attempt.
fn once(client: &Client) -> Client {
    client.with_retry(RetryPolicy {
        attempts_max: 1,
        ..RetryPolicy::default()
    })
}

async fn enrol_once(client: &Client, name: &str) -> Result<(), Option<Reason>> {
    let person = PersonKey::new(name).unwrap();
    let answer = once(client).enrol(&[(person, bsn(31))]).await;
    match answer {
        Ok(answers) => match answers[0].refused {
            None => Ok(()),
            refused => Err(refused),
        },
        Err(error) => Err(error.reason()),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_holder_whose_clock_is_ahead_for_two_seconds_goes_on_within_five() {
    let mut laid = Laid::lay();
    let clock = Clock::new(&laid.beside("holder-1.clock"))
        .expect("faketime is there: on Debian, apt-get install faketime");
    laid.live_by("holder-1", clock.environment());
    laid.start_all().await;
    let uwv = laid.client("uwv").await;
    for (place, seconds) in [3_600, 40 * 86_400].into_iter().enumerate() {
        enrol(&uwv, &format!("before-{place}"), 30).await;
        let jumped = laid.log("holder-1").matches(JUMPED).count();
        clock.jump(seconds);
        laid.wait_for_count("holder-1", JUMPED, jumped + 1).await;
        let answer = enrol_once(&uwv, &format!("ahead-{place}")).await;
        assert_eq!(answer, Err(Some(Reason::HolderUnavailable)));
        tokio::time::sleep(Duration::from_secs(1)).await;
        let took = set_right(&laid, &clock).await;
        println!(
            "{seconds} s ahead: it goes on after {:.1} s",
            took.as_secs_f64()
        );
        assert!(took < GOES_ON_WITHIN, "{took:?}");
        enrol(&uwv, &format!("after-{place}"), 30).await;
    }
    laid.kill("holder-1");
    clock.jump(40 * 86_400);
    laid.start("holder-1").await;
    let took = set_right(&laid, &clock).await;
    assert!(took < GOES_ON_WITHIN, "{took:?}");
    enrol(&uwv, "started-ahead", 30).await;
}

/// Sets the first holder's clock right; gives how long it was until it went on.
async fn set_right(laid: &Laid, clock: &Clock) -> Duration {
    let log = laid.log("holder-1");
    let [jumped, well] = [JUMPED, GOES_WELL].map(|text| log.matches(text).count());
    let right = Instant::now();
    clock.jump(0);
    laid.wait_for_count("holder-1", JUMPED, jumped + 1).await;
    // It may have gone on by the wrong clock just before.
    let well = well.max(laid.log("holder-1").matches(GOES_WELL).count());
    laid.wait_for_count("holder-1", GOES_WELL, well + 1).await;
    right.elapsed()
}

/// The names of a broker's day keys.
fn day_keys(laid: &Laid) -> Vec<String> {
    let keys = std::fs::read_dir(laid.home("broker").join("day-keys")).unwrap();
    let name = |key: std::io::Result<std::fs::DirEntry>| key.unwrap().file_name();
    keys.map(|key| name(key).into_string().unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_that_starts_with_its_clock_ahead_destroys_no_day_key() {
    let mut laid = Laid::lay();
    let clock = Clock::new(&laid.beside("broker.clock"))
        .expect("faketime is there: on Debian, apt-get install faketime");
    laid.live_by("broker", clock.environment());
    laid.start_all().await;
    let before = day_keys(&laid);
    assert_eq!(before.len(), 2);
    laid.kill("broker");
    clock.jump(40 * 86_400);
    laid.start("broker").await;
    let after = day_keys(&laid);
    assert!(before.iter().all(|key| after.contains(key)), "{after:?}");
    assert_eq!(
        after.len(),
        4,
        "it took the clock's word for today: {after:?}"
    );
}
