//! The servers, the attacker's certificate, and what is looked at while an attack goes on.
//!
//! Must never measure a process that was not given a rest first.

use crate::attacks::Attack;
use crate::authority::{Authority, Wish};
use crate::bystanders::{Bystanders, Times};
use crate::consent::Scene;
use crate::laid::Laid;
use crate::peer::Peer;
use gateway::door::budgets::Budgets;
use serde_json::Value;
use std::collections::BTreeMap;
use std::fmt;
use std::time::{Duration, Instant};

/// An organisation that no directory knows.
const NOBODY: &str = "00000099000000009000";
/// How long between two attacks: budgets come back.
const REST: Duration = Duration::from_secs(4);
/// One turn of the attacker's, and one of each other that may wait as well: the broker's own work, desk, portal.
const WAITED_MAX: u64 = 4;
/// What any attack may be answered: the connection ended, or had its one answer.
const ALWAYS: [&str; 2] = ["cut", "Unavailable"];
/// Lines that one attack may cause in the log of the process at the levels that an operator reads.
const LINES_MAX: usize = 24;

/// Octets that a process may have more than before once an attack is over: caches that are filled once.
const KEPT_MAX: u64 = 16 << 20;
/// Within what time memory comes back.
const COMES_BACK: Duration = Duration::from_secs(15);

/// All that an attack meets.
pub(crate) struct Stage {
    pub(crate) attacker: Peer,
    /// With a certificate of a trusted issuer that stands for nobody.
    pub(crate) stranger: Peer,
    pub(crate) oin: String,
    bystanders: Bystanders,
}

/// What an attack came to.
pub(crate) struct Told {
    answers: BTreeMap<String, usize>,
    growth: u64,
    waited: [Option<u64>; 2],
    pub(crate) times: Times,
    pub(crate) wrong: Vec<String>,
}

impl fmt::Display for Told {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let answers: Vec<String> = self
            .answers
            .iter()
            .map(|(answer, times)| format!("{times} {answer}"))
            .collect();
        let turns = self
            .waited
            .map(|turns| turns.map_or("-".to_owned(), |turns| turns.to_string()));
        write!(
            out,
            "{}; {} MiB; {}, {}",
            answers.join(", "),
            self.growth >> 20,
            turns[0],
            turns[1],
        )
    }
}

impl Stage {
    /// With so many consents that people may stop.
    pub(crate) async fn set(consents: usize) -> Self {
        let mut laid = Laid::lay();
        laid.configure("broker", "level = \"info\"", "level = \"debug\"");
        let own = Authority::new("An authority that the group agreed on");
        own.become_trusted(&laid);
        let wish = Wish {
            oin: Some(NOBODY),
            ..Wish::default()
        };
        let nobody = own.issue(&laid, "nobody", wish);
        laid.start_all().await;
        let identity = laid.identity("uwv");
        identity.client().unwrap().open_context().await.unwrap();
        let attacker = Peer::of(&identity, &identity.broker_address);
        let files = (&*nobody.certificate, &*nobody.key, &*identity.issuer);
        let stranger = Peer::with(files, &identity.broker_server_name, &attacker.address);
        let scene = Scene::on(laid).await;
        Self {
            attacker,
            stranger,
            oin: identity.oin,
            bystanders: Bystanders::gather(scene, consents).await,
        }
    }

    pub(crate) fn laid(&self) -> &Laid {
        &self.bystanders.scene.house
    }

    /// The attacker before another server's door.
    pub(crate) fn at(&self, server: &str) -> Peer {
        let home = self.laid().home(server).join("sluis.toml");
        let text = std::fs::read_to_string(home).unwrap();
        let settings: toml::Table = text.parse().unwrap();
        Peer {
            address: settings["listen"].as_str().unwrap().to_owned(),
            ..self.attacker.clone()
        }
    }

    /// How long desk and stop take when nobody attacks.
    pub(crate) async fn calm(&self, times: usize) -> Times {
        self.bystanders.work(times).await
    }

    /// Lets an attack go on while a desk works and a person stops something.
    pub(crate) async fn suffer(&self, attack: &Attack, times: usize) -> Told {
        tokio::time::sleep(REST).await;
        let broker = self.laid().process("broker");
        let before = resident(broker, "VmRSS");
        // Where it may not be reset, the most there ever was is what counts.
        drop(std::fs::write(format!("/proc/{broker}/clear_refs"), "5"));
        let log_before = self.laid().log("broker").len();
        let (answers, times) = tokio::join!((attack.run)(self), self.bystanders.work(times));
        let growth = resident(broker, "VmHWM").saturating_sub(before);
        let log = self.laid().log("broker");
        let log = log.get(log_before..).unwrap_or_default();
        let waited = ["GetHandover", "WithdrawConsent"].map(|name| most_waited(log, name));
        let mut told = Told {
            answers,
            growth,
            waited,
            times,
            wrong: Vec::new(),
        };
        self.judge(attack, &mut told, log);
        let kept = memory_kept(broker, before).await;
        if kept > KEPT_MAX {
            let kept = kept >> 20;
            told.wrong.push(format!("{kept} MiB do not come back"));
        }
        told
    }

    fn judge(&self, attack: &Attack, told: &mut Told, log: &str) {
        let mut wrong = Vec::new();
        for (answer, times) in &told.answers {
            if !attack.answers.contains(&answer.as_str()) && !ALWAYS.contains(&answer.as_str()) {
                wrong.push(format!("{times} answered {answer}"));
            }
        }
        if !told
            .answers
            .keys()
            .any(|answer| attack.answers.first() == Some(&answer.as_str()))
        {
            wrong.push(format!("nothing was answered {:?}", attack.answers.first()));
        }
        let budget = Budgets::default().organisation.memory_bytes();
        if told.growth > budget {
            wrong.push(format!(
                "grew by {} MiB, beyond {}",
                told.growth >> 20,
                budget >> 20
            ));
        }
        for (who, waited) in ["another desk", "a stop"].iter().zip(told.waited) {
            match waited {
                None => wrong.push(format!("{who} never had its turn")),
                Some(turns) if turns > WAITED_MAX => {
                    wrong.push(format!("{who} waited for {turns} turns"));
                }
                Some(_) => {}
            }
        }
        let lines: Vec<Value> = log
            .lines()
            .filter_map(|line| serde_json::from_str(line).ok())
            .filter(|line: &Value| line["level"] == "WARN" || line["level"] == "ERROR")
            .collect();
        if lines.len() > LINES_MAX {
            wrong.push(format!("{} lines in the log of the process", lines.len()));
        }
        for line in lines {
            let fields = &line["fields"];
            if fields["budget"].is_string() && fields["oin"] != self.oin.as_str() {
                wrong.push(format!("somebody else was held back: {fields}"));
            }
        }
        wrong.extend(told.times.wrong.iter().cloned());
        told.wrong = wrong;
    }
}

/// How many octets more than before a process has once an attack is over: as soon as it is little, or after a while.
async fn memory_kept(pid: u32, before: u64) -> u64 {
    let over = Instant::now() + COMES_BACK;
    loop {
        let kept = resident(pid, "VmRSS").saturating_sub(before);
        if kept <= KEPT_MAX || Instant::now() > over {
            return kept;
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

/// For how many turns of others the transactions of one name have waited at most.
fn most_waited(log: &str, transaction: &str) -> Option<u64> {
    log.lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok())
        .map(|line| line["fields"].clone())
        .filter(|fields| {
            fields["message"] == "has its turn" && fields["transaction"] == transaction
        })
        .filter_map(|fields| fields["waited"].as_u64())
        .max()
}

/// Octets of memory of a process: `VmRSS` now, `VmHWM` at most.
fn resident(pid: u32, what: &str) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with(what)).unwrap();
    let kib: u64 = line.split_whitespace().nth(1).unwrap().parse().unwrap();
    kib * 1024
}
