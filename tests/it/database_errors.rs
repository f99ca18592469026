//! Databases that cannot be used: each fault is made for real, is named with what, where and what to do,
//! within seconds, and changes nothing.
//!
//! Must never be content with an exit code, and must never let a password be printed.

use crate::database::Beside;
use crate::laid::{Laid, Said};
use crate::private::PrivateServer;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;
use tokio::net::TcpListener;
use tonic::Code;
use tonic_types::StatusExt as _;
use wire::directory::v1::GetStatusRequest;
use wire::directory::v1::directory_service_client::DirectoryServiceClient;

/// Longest time until a role that cannot start has said so.
const SOON: Duration = Duration::from_secs(8);
/// The role that is to start; it needs no other.
const ROLE: &str = "holder-1";
/// A password that nothing may print.
const SECRET: &str = "a-word-that-nobody-says";

/// That a verb was refused with these words, in time.
fn check(said: &Said, words: &[&str]) {
    assert_eq!(said.code, 1, "{}", said.err);
    for expected in words {
        assert!(
            said.err.contains(expected),
            "`{expected}` is not in: {}",
            said.err
        );
    }
    assert!(said.took < SOON, "{:?}: {}", said.took, said.err);
    let all = format!("{}{}", said.out, said.err);
    assert!(!all.contains(SECRET), "the password is printed: {all}");
}

fn set_mode(path: &Path, mode: u32) {
    std::fs::set_permissions(path, PermissionsExt::from_mode(mode)).unwrap();
}

/// Spoils the file of a role that was in order, and looks at what starting and migrating say.
async fn check_file(
    laid: &Laid,
    good: &[u8],
    spoil: impl AsyncFn(&Path),
    verbs: &[&str],
    words: &[&str],
) {
    let home = laid.home(ROLE);
    let file = home.join("holder.sqlite");
    set_mode(home, 0o755);
    for beside in ["holder.sqlite", "holder.sqlite-wal", "holder.sqlite-shm"] {
        drop(std::fs::remove_file(home.join(beside)));
    }
    std::fs::write(&file, good).unwrap();
    spoil(&file).await;
    let before = std::fs::read(&file).ok();
    for verb in verbs {
        let said = laid.say(ROLE, &[verb]).await;
        check(&said, words);
        check(&said, &[file.file_name().unwrap().to_str().unwrap()]);
        assert_eq!(std::fs::read(&file).ok(), before, "{verb} changed it");
    }
    set_mode(home, 0o755);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_cannot_be_used_is_named_and_stays_as_it_is() {
    let laid = Laid::lay_files();
    laid.migrate(ROLE);
    laid.migrate("portal");
    let good = std::fs::read(laid.home(ROLE).join("holder.sqlite")).unwrap();
    let portal = laid.home("portal").join("portal.sqlite");
    let both: &[&str] = &["serve", "migrate"];

    let gone = async |file: &Path| std::fs::remove_file(file).unwrap();
    let words = ["is not there", "run `sluis migrate`"];
    check_file(&laid, &good, gone, &["serve"], &words).await;
    let closed = async |file: &Path| set_mode(file, 0o444);
    let words = ["may not be read and written", "the right to read and write"];
    check_file(&laid, &good, closed, both, &words).await;
    let closed = async |file: &Path| set_mode(file.parent().unwrap(), 0o555);
    check_file(&laid, &good, closed, both, &words).await;
    let text = async |file: &Path| std::fs::write(file, "no database, but words").unwrap();
    let words = ["is not a database of SQLite", "correct `path`"];
    check_file(&laid, &good, text, both, &words).await;
    let other = async |file: &Path| assert!(std::fs::copy(&portal, file).unwrap() > 0);
    let words = ["the tables of another role: portal", "of its own"];
    check_file(&laid, &good, other, both, &words).await;
    let newer = async |file: &Path| {
        let mut beside = Beside::file(file).await;
        let later = "INSERT INTO _sqlx_migrations \
             (version, description, success, checksum, execution_time) VALUES (9, '', TRUE, x'09', 0)";
        beside.execute(later).await;
        beside.close().await;
    };
    let words = ["version 9 of a newer program", "run the newer program"];
    check_file(&laid, &good, newer, both, &words).await;
    let edited = async |file: &Path| {
        let mut beside = Beside::file(file).await;
        beside
            .execute("UPDATE _sqlx_migrations SET checksum = x'09'")
            .await;
        beside.close().await;
    };
    let words = ["made by other migrations", "restore"];
    check_file(&laid, &good, edited, both, &words).await;

    laid.configure(ROLE, "holder.sqlite", "nowhere/holder.sqlite");
    for verb in both {
        let said = laid.say(ROLE, &[verb]).await;
        check(
            &said,
            &[
                "nowhere/holder.sqlite",
                "a folder that is not there",
                "make the folder",
            ],
        );
    }
    assert!(!laid.home(ROLE).join("nowhere").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_cannot_be_reached_or_entered_is_named() {
    let server = PrivateServer::start();
    let laid = Laid::lay_at(&server.url());
    laid.migrate(ROLE);
    let (good, at) = (server.url(), server.folder());
    let at = at.display().to_string();
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let silent = silent.local_addr().unwrap().to_string();
    let database = |name: &str| good.replace("/postgres?", &format!("/{name}?"));
    for (url, words) in [
        (
            "postgres://sluis@localhost/postgres?host=/nowhere".to_owned(),
            [
                "sluis@/nowhere:5432/postgres",
                "cannot be reached",
                "check host and port",
            ],
        ),
        (
            format!("postgres://sluis@{silent}/postgres"),
            [silent.as_str(), "cannot be reached", "check host and port"],
        ),
        (
            "postgres://sluis@no-such-host.invalid/postgres".to_owned(),
            [
                "no-such-host.invalid:5432",
                "cannot be reached",
                "check host and port",
            ],
        ),
        (
            database("nonesuch"),
            [at.as_str(), "/nonesuch schema", "make the database"],
        ),
        (
            server.url_of("stranger"),
            [at.as_str(), "does not let this user in", "check the user"],
        ),
        (
            format!("{good}&sslmode=nonsense"),
            ["[database] url", "cannot be read", "correct `url`"],
        ),
    ] {
        laid.configure(ROLE, &format!("\"{good}\""), &format!("\"{url}\""));
        for verb in ["serve", "migrate"] {
            check(&laid.say(ROLE, &[verb]).await, &words);
        }
        laid.configure(ROLE, &format!("\"{url}\""), &format!("\"{good}\""));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_has_no_room_for_this_user_or_takes_no_changes_is_named() {
    let server = PrivateServer::start();
    let laid = Laid::lay_at(&server.url());
    laid.migrate(ROLE);
    let (good, at) = (server.url(), server.folder().display().to_string());
    server
        .run(&["CREATE ROLE crowded LOGIN CONNECTION LIMIT 0"])
        .await;
    let crowded = server.url_of("crowded");
    laid.configure(ROLE, &good, &crowded);
    let words = [
        "has no connection left",
        "lower `connections_max`",
        "crowded@",
    ];
    check(&laid.say(ROLE, &["serve"]).await, &words);
    server.run(&["ALTER ROLE crowded CONNECTION LIMIT 9"]).await;
    let words = ["does not let this user at its tables", "as the same user"];
    check(&laid.say(ROLE, &["migrate"]).await, &words);
    laid.configure(ROLE, &crowded, &good);

    server
        .run(&["ALTER DATABASE postgres SET default_transaction_read_only = on"])
        .await;
    for verb in ["serve", "migrate"] {
        let words = [
            "takes no changes",
            "default_transaction_read_only",
            at.as_str(),
        ];
        check(&laid.say(ROLE, &[verb]).await, &words);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_password_is_refused_and_never_printed() {
    let server = PrivateServer::start();
    server
        .run(&[
            "CREATE ROLE guarded LOGIN PASSWORD 'a-word-that-nobody-says'",
            "GRANT CREATE ON DATABASE postgres TO guarded",
        ])
        .await;
    server
        .let_in("local all guarded scram-sha-256\nlocal all all trust\n")
        .await;
    let laid = Laid::lay_at(&server.url());
    laid.configure(ROLE, "sluis@", "guarded@");
    let words = [
        "the server refuses the password",
        "`password_file`",
        "guarded@",
    ];
    check(&laid.say(ROLE, &["migrate"]).await, &words);

    let file = laid.home(ROLE).join("database.password");
    laid.configure(
        ROLE,
        "schema = ",
        "password_file = \"database.password\"\nschema = ",
    );
    std::fs::write(&file, "a-wrong-one").unwrap();
    set_mode(&file, 0o600);
    for verb in ["migrate", "serve"] {
        let said = laid.say(ROLE, &[verb]).await;
        check(&said, &words);
        assert!(!said.err.contains("a-wrong-one"), "{}", said.err);
    }
    std::fs::write(&file, SECRET).unwrap();
    set_mode(&file, 0o644);
    check(
        &laid.say(ROLE, &["migrate"]).await,
        &["database.password", "chmod 600"],
    );
    set_mode(&file, 0o600);
    let said = laid.say(ROLE, &["migrate"]).await;
    assert_eq!(said.code, 0, "{}", said.err);
    let said = laid.say(ROLE, &["doctor"]).await;
    assert_eq!(said.code, 0, "{}", said.out);
    assert!(!said.out.contains(SECRET), "{}", said.out);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_schema_on_a_server_that_is_not_ours_is_named_and_stays_as_it_is() {
    let server = PrivateServer::start();
    let laid = Laid::lay_at(&server.url());
    let nothing = ["has no tables yet", "run `sluis migrate`"];
    check(&laid.say(ROLE, &["serve"]).await, &nothing);
    laid.migrate(ROLE);
    laid.migrate("portal");
    let mut beside = Beside::of(laid.home(ROLE)).await;
    let count =
        "SELECT COUNT(*) FROM information_schema.tables WHERE table_schema = current_schema()";
    let tables = beside.number(count).await;

    laid.configure(ROLE, "_holder_1\"", "_portal\"");
    for verb in ["serve", "migrate"] {
        let words = [
            "the tables of another role: portal",
            "_portal",
            "of its own",
        ];
        check(&laid.say(ROLE, &[verb]).await, &words);
    }
    laid.configure(ROLE, "_portal\"", "_holder_1\"");
    beside
        .execute("UPDATE _sqlx_migrations SET checksum = '\\x09'")
        .await;
    for verb in ["serve", "migrate"] {
        let words = ["made by other migrations", "restore", "_holder_1"];
        check(&laid.say(ROLE, &[verb]).await, &words);
    }
    beside
        .execute(
            "UPDATE _sqlx_migrations SET version = 9 \
             WHERE version = (SELECT MAX(version) FROM _sqlx_migrations)",
        )
        .await;
    for verb in ["serve", "migrate"] {
        let words = [
            "version 9 of a newer program",
            "run the newer program",
            "_holder_1",
        ];
        check(&laid.say(ROLE, &[verb]).await, &words);
    }
    assert_eq!(beside.number(count).await, tables);
    beside.close().await;
}

/// What the broker says to a call that is logged, while the log cannot be written.
async fn ask(laid: &Laid) -> Duration {
    let mut stub = DirectoryServiceClient::new(laid.connection("broker").channel());
    let begun = std::time::Instant::now();
    let status = stub.get_status(GetStatusRequest {}).await.unwrap_err();
    let details = status.get_error_details();
    assert_eq!(status.code(), Code::Unavailable, "{status:?}");
    assert_eq!(details.error_info().unwrap().reason, "STORAGE_UNAVAILABLE");
    assert!(details.retry_info().unwrap().retry_delay.is_some());
    begun.elapsed()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lock_or_a_pool_that_is_waited_for_too_long_is_told_to_the_caller_and_the_log() {
    let server = PrivateServer::start();
    let mut laid = Laid::lay_at(&server.url());
    laid.configure("broker", "schema = ", "connections_max = 1\nschema = ");
    laid.start_all().await;
    laid.kill("portal");
    let mut beside = Beside::of(laid.home("broker")).await;
    beside.execute("BEGIN").await;
    beside
        .execute("LOCK TABLE audit_entry IN ACCESS EXCLUSIVE MODE")
        .await;
    let waited = tokio::join!(ask(&laid), ask(&laid), ask(&laid));
    for waited in [waited.0, waited.1, waited.2] {
        assert!(waited < Duration::from_secs(12), "{waited:?}");
    }
    beside.execute("ROLLBACK").await;
    beside.close().await;
    let log = laid.log("broker");
    for words in [
        "due to lock timeout",
        "pool timed out",
        "STORAGE_UNAVAILABLE",
    ] {
        assert!(log.contains(words), "`{words}` is not in: {log}");
    }
    let mut stub = DirectoryServiceClient::new(laid.connection("broker").channel());
    stub.get_status(GetStatusRequest {}).await.unwrap();
}
