//! Where a role runs: folders and secrets as an orchestrator mounts them, files that only their owner reads, memory that
//! stays where it is.
//!
//! Must never test as root what holds only for somebody else: root may do everything, and so finds nothing.

use crate::database::Beside;
use crate::house::program;
use crate::laid::Laid;
use crate::private::is_root;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt, chown, symlink};
use std::path::Path;
use std::process::Command;

/// The user and the group of a container, which the machine does not know.
const STRANGER: u32 = 12_345;
/// The bit of the right to lock memory in a process's rights (capabilities(7)).
const MAY_LOCK: u64 = 1 << 14;

fn set_mode(path: &Path, mode: u32) {
    std::fs::set_permissions(path, PermissionsExt::from_mode(mode)).unwrap();
}

/// Lays a folder out as Kubernetes mounts it: the files below a name of its own, and links to them.
fn mount(from: &Path, to: &Path) {
    let own = "..2026_11_30_09_00_00.1";
    std::fs::create_dir(to).unwrap();
    let copied = Command::new("cp")
        .arg("-r")
        .arg(from)
        .arg(to.join(own))
        .status();
    assert!(copied.unwrap().success());
    symlink(own, to.join("..data")).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let name = entry.unwrap().file_name();
        symlink(Path::new("..data").join(&name), to.join(&name)).unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_program_reads_a_mounted_policies_folder_alike() {
    let mut laid = Laid::lay_files();
    let policies = laid.path().join("mounted");
    mount(&laid.path().join("policies"), &policies);
    laid.configure("broker", "../../policies\"", "../../mounted\"");
    let check = async |laid: &Laid| {
        let folder = policies.display().to_string();
        let mut policy = Command::new(program());
        policy.args(["policy", "check", "--folder", &folder]);
        let mut said = vec![policy.output().unwrap()];
        for verb in [&["config", "check"][..], &["doctor"]] {
            let configuration = laid.home("broker").join("sluis.toml");
            let mut command = Command::new(program());
            command.args(verb).arg("--config").arg(configuration);
            said.push(command.output().unwrap());
        }
        said.into_iter().map(|said| {
            let (out, err) = (&said.stdout, &said.stderr);
            format!(
                "{}{}",
                String::from_utf8_lossy(out),
                String::from_utf8_lossy(err)
            )
        })
    };
    laid.migrate("broker");
    for said in check(&laid).await {
        assert!(!said.contains("mistake"), "{said}");
    }
    let leftover = policies.join("guards.cedar~");
    std::fs::write(&leftover, "").unwrap();
    for said in check(&laid).await {
        assert!(
            said.contains("guards.cedar~: this path has no place"),
            "{said}"
        );
    }
    let refused = laid.refusal_to_start("broker").await;
    assert!(
        refused.contains("guards.cedar~: this path has no place"),
        "{refused}"
    );
    std::fs::remove_file(&leftover).unwrap();
    laid.start_all().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_of_root_is_read_by_the_group_that_it_is_for() {
    if !is_root() {
        println!("not tested: only root gives files away");
        return;
    }
    let laid = Laid::lay_files();
    let role = "holder-1";
    let home = laid.home(role).to_owned();
    // A stranger finds the way to the files.
    for folder in home.ancestors().take(4) {
        set_mode(folder, 0o755);
    }
    let program_for_all = home.join("program");
    std::fs::copy(program(), &program_for_all).unwrap();
    let (keys, door) = (home.join("keys.toml"), home.join("certificate.key.pem"));
    for (group, mode, words) in [
        (STRANGER, 0o440, ""),
        (STRANGER, 0o640, ""),
        (STRANGER, 0o400, "Permission denied"),
        (STRANGER, 0o444, "may be read by others"),
        (STRANGER, 0o460, "may be read by others"),
        (STRANGER + 1, 0o444, "may be read by others"),
    ] {
        for secret in [&keys, &door] {
            for file in [&keys, &door] {
                chown(file, Some(0), Some(STRANGER)).unwrap();
                set_mode(file, 0o440);
            }
            chown(secret, Some(0), Some(group)).unwrap();
            set_mode(secret, mode);
            let said = Command::new("setpriv")
                .args(["--reuid=12345", "--regid=12345", "--clear-groups"])
                .arg(&program_for_all)
                .args(["config", "check", "--config"])
                .arg(home.join("sluis.toml"))
                .output()
                .unwrap();
            let told = String::from_utf8_lossy(&said.stderr);
            let secret = secret.display();
            assert_eq!(
                said.status.success(),
                words.is_empty(),
                "{secret} {mode:o}: {told}"
            );
            assert!(told.contains(words), "{secret} {mode:o}: {told}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_role_writes_only_its_owner_reads() {
    let mut laid = Laid::lay_files();
    let role = "portal";
    let migrated = Command::new("bash")
        .args(["-c", "umask 000; exec \"$@\"", "bash"])
        .arg(program())
        .args(["migrate", "--config"])
        .arg(laid.home(role).join("sluis.toml"))
        .status();
    assert!(migrated.unwrap().success());
    laid.start_all().await;
    let own = |laid: &Laid| {
        let files = std::fs::read_dir(laid.home(role)).unwrap();
        let files = files.map(|entry| entry.unwrap());
        let names = files.map(|entry| (entry.file_name(), entry.metadata().unwrap().mode()));
        let names = names.map(|(name, mode)| (name.into_string().unwrap(), mode & 0o777));
        let own = |name: &str| name.starts_with("portal.sqlite") || name.starts_with("store");
        names.filter(|(name, _)| own(name)).collect::<Vec<_>>()
    };
    let found = own(&laid);
    assert!(
        found.len() >= 4,
        "database, its two files and the store: {found:?}"
    );
    for (name, mode) in found {
        assert_eq!(mode, 0o600, "{name}: {mode:o}");
    }
    let database = laid.home(role).join("portal.sqlite");
    set_mode(&database, 0o644);
    let said = laid.say(role, &["doctor"]).await;
    assert!(
        said.out.contains("warning         own files"),
        "{}",
        said.out
    );
    assert!(said.out.contains("run chmod 600"), "{}", said.out);
    drop(Beside::file(&database).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_in_memory_stays_there() {
    let mut laid = Laid::lay_files();
    laid.start("holder-1").await;
    let told = |of: &str| {
        let place = format!("/proc/{}/{of}", laid.process("holder-1"));
        std::fs::read_to_string(place).unwrap()
    };
    let (limits, status) = (told("limits"), told("status"));
    let line = |text: &str, name: &str| {
        let mut lines = text.lines();
        let line = lines.find(|line| line.starts_with(name)).unwrap();
        line[name.len()..]
            .split_whitespace()
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    assert_eq!(line(&limits, "Max core file size")[..2], ["0", "0"]);
    let rights = u64::from_str_radix(&line(&status, "CapEff:")[0], 16).unwrap();
    let may_lock = rights & MAY_LOCK != 0 || line(&limits, "Max locked memory")[0] == "unlimited";
    let locked: u64 = line(&status, "VmLck:")[0].parse().unwrap();
    assert_eq!(locked > 0, may_lock, "{locked} kB");
}
