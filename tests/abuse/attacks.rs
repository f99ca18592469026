//! What one partner with one certificate can try.
//!
//! Each is bounded, and says what it was answered. Must never aim at anything but the sandbox on loopback.

use crate::desk::{Desk, enrol_request};
use crate::house::bsn;
use crate::peer::{Peer, Session, frame, outcome, send_all};
use crate::stage::Stage;
use gateway::clock::SystemClock;
use prost::Message as _;
use rules::id::OrderId;
use rules::pseudonym::Order;
use std::collections::BTreeMap;
use std::pin::Pin;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tonic::codegen::Bytes;
use vault::chance::SystemChance;
use wire::pseudonym::v1::{EnrolItem, EnrolRequest};

/// How often each answer came.
pub(crate) type Answers = BTreeMap<String, usize>;

/// An attack, and what it may be answered; the first of these must be among the answers.
pub(crate) struct Attack {
    pub(crate) name: &'static str,
    pub(crate) answers: &'static [&'static str],
    pub(crate) run: for<'a> fn(&'a Stage) -> Pin<Box<dyn Future<Output = Answers> + 'a>>,
}

macro_rules! attacks {
    ($($name:literal, $run:ident, $answers:expr;)*) => {
        &[$(Attack { name: $name, answers: $answers, run: |stage| Box::pin($run(stage)) }),*]
    };
}

/// All of them.
pub(crate) const ATTACKS: &[Attack] = attacks![
    "packed", packed, &["Unimplemented"];
    "bombs", bombs, &["INVALID_REQUEST", "TOO_MANY_CALLS", "RIGHT_MISSING"];
    "big messages", big_messages, &["TOO_MANY_CALLS", "OK", "INVALID_REQUEST"];
    "half-sent", half_sent, &["TOO_MANY_CALLS", "waits"];
    "unread", unread, &["TOO_MANY_CALLS", "waits"];
    "stuck", stuck, &["TOO_MANY_CALLS", "waits", "OK"];
    "silent TLS", silent_connections, &["kept", "told"];
    "silent TCP", silent_sockets, &["connected"];
    "proxy's word", word_of_a_proxy, &["cut"];
    "strangers", strangers, &["OIN_UNKNOWN"];
    "flood", flood, &["TOO_MANY_CALLS", "OK"];
    "watches", watches, &["TOO_MANY_CALLS", "waits"];
    "orders", orders, &["OK", "TOO_MANY_CALLS", "HOLDER_UNAVAILABLE"];
];

/// As much as a message may have, its prefix aside.
const MESSAGE_BYTES: usize = 1024 * 1024 - 64;
/// The first field of most requests: sixteen octets.
const REQUEST_ID: &[u8] = b"\x0a\x10................";
/// The window that HTTP/2 begins with.
const WINDOW: u32 = 65_535;
const WHO_AM_I: &str = "/sluis.directory.v1.DirectoryService/WhoAmI";
const ENROL: &str = "/sluis.pseudonym.v1.PseudonymService/Enrol";
const GET_DIRECTORY: &str = "/sluis.directory.v1.DirectoryService/GetDirectory";

/// The same two octets again and again: what is two on the wire can be two hundred in memory.
const BOMBS: &[(&str, &str, &[u8], &[u8])] = &[
    ("broker", ENROL, REQUEST_ID, b"\x12\x00"),
    (
        "broker",
        "/sluis.handover.v1.HandoverService/Prepare",
        REQUEST_ID,
        b"\x2a\x00",
    ),
    (
        "broker",
        "/sluis.handover.v1.HandoverService/Release",
        REQUEST_ID,
        b"\x32\x00",
    ),
    (
        "broker",
        "/sluis.handover.v1.HandoverService/Offer",
        REQUEST_ID,
        b"\x2a\x02\x12\x00",
    ),
    (
        "broker",
        "/sluis.consent.v1.ConsentService/RequestConsent",
        REQUEST_ID,
        b"\x22\x00",
    ),
    (
        "broker",
        "/sluis.portal.v1.FeedService/AckFeed",
        b"",
        b"\x0a\x00",
    ),
    (
        "broker",
        "/sluis.policy.v1.PolicyService/ActivatePolicySet",
        REQUEST_ID,
        b"\x12\x00",
    ),
    (
        "broker",
        "/sluis.restoration.v1.RestorationService/ConfirmResent",
        b"",
        b"\x1a\x00",
    ),
    (
        "portal",
        "/sluis.portal.v1.PortalService/GiveConsent",
        b"",
        b"\x32\x00",
    ),
    (
        "holder-1",
        "/sluis.pseudonym.v1.KeyHolderService/Convert",
        b"",
        b"\x0a\x00",
    ),
];

async fn told(mut answers: JoinSet<String>) -> Answers {
    let mut told = Answers::new();
    while let Some(answer) = answers.join_next().await {
        *told.entry(answer.unwrap()).or_default() += 1;
    }
    told
}

async fn session(peer: &Peer) -> Option<Session> {
    peer.session(WINDOW).await.ok()
}

async fn bombs(stage: &Stage) -> Answers {
    let mut told = Answers::new();
    for (server, path, begin, unit) in BOMBS {
        let mut answers = JoinSet::new();
        for _ in 0..3 {
            let peer = stage.at(server);
            answers.spawn(async move {
                let times = (MESSAGE_BYTES - begin.len()) / unit.len();
                let message = [*begin, &unit.repeat(times)].concat();
                match session(&peer).await {
                    Some(mut session) => session.call(path, &message).await,
                    None => "cut".to_owned(),
                }
            });
        }
        let mut is_judged = false;
        while let Some(answer) = answers.join_next().await {
            let answer = answer.unwrap();
            is_judged |= answer == "INVALID_REQUEST" || answer == "RIGHT_MISSING";
            *told.entry(answer).or_default() += 1;
        }
        if !is_judged {
            *told.entry(format!("{path} was never judged")).or_default() += 1;
        }
        // A message of this size counts as many calls.
        tokio::time::sleep(Duration::from_millis(3_900)).await;
    }
    told
}

/// A thousand items of a thousand octets: as it should be, and as large as it may be.
async fn big_messages(stage: &Stage) -> Answers {
    let item = EnrolItem {
        ciphertext: vec![7; 1_000],
        ..EnrolItem::default()
    };
    let request = EnrolRequest {
        request_id: vec![9; 16],
        items: vec![item; 1_000],
    };
    let message: Bytes = request.encode_to_vec().into();
    let mut answers = JoinSet::new();
    for _ in 0..24 {
        let (peer, message) = (stage.attacker.clone(), message.clone());
        answers.spawn(async move {
            match session(&peer).await {
                Some(mut session) => session.call(ENROL, &message).await,
                None => "cut".to_owned(),
            }
        });
    }
    told(answers).await
}

/// Begins many calls with large messages and never ends them.
async fn half_sent(stage: &Stage) -> Answers {
    let mut answers = JoinSet::new();
    for _ in 0..24 {
        let peer = stage.attacker.clone();
        answers.spawn(async move {
            let Some(mut session) = session(&peer).await else {
                return "cut".to_owned();
            };
            let mut begun = Vec::new();
            for _ in 0..16 {
                let Ok((answer, mut stream)) = session.begin(ENROL, &[]).await else {
                    return "cut".to_owned();
                };
                let body = frame(&vec![0; MESSAGE_BYTES], false).slice(..MESSAGE_BYTES / 2);
                begun.push(tokio::spawn(async move {
                    stream.reserve_capacity(body.len());
                    let half = tokio::time::timeout(Duration::from_secs(3), async {
                        let mut body = body;
                        while !body.is_empty() {
                            let room =
                                std::future::poll_fn(|context| stream.poll_capacity(context));
                            match room.await {
                                Some(Ok(room)) => {
                                    let piece = body.split_to(room.min(body.len()));
                                    if stream.send_data(piece, false).is_err() {
                                        return;
                                    }
                                }
                                _ => return,
                            }
                        }
                    });
                    drop(half.await);
                    (answer, stream)
                }));
            }
            let mut worst = "waits".to_owned();
            for one in begun {
                let (answer, _stream) = one.await.unwrap();
                let ended = tokio::time::timeout(Duration::from_millis(500), outcome(answer));
                if let Ok(answer) = ended.await {
                    worst = answer;
                }
            }
            worst
        });
    }
    told(answers).await
}

/// Messages that say they are packed: this server unpacks nothing.
async fn packed(stage: &Stage) -> Answers {
    let mut told = Answers::new();
    let Some(mut session) = session(&stage.attacker).await else {
        return told;
    };
    for _ in 0..2 {
        let headers = [("grpc-encoding", "gzip")];
        let body = frame(&vec![0; MESSAGE_BYTES], true);
        let answer = session.call_with(ENROL, &headers, body).await;
        *told.entry(answer).or_default() += 1;
    }
    told
}

/// Asks for the largest answer there is, and reads one octet of each.
async fn unread(stage: &Stage) -> Answers {
    let mut answers = JoinSet::new();
    for _ in 0..16 {
        let peer = stage.attacker.clone();
        answers.spawn(async move {
            let Ok(mut session) = peer.session(1).await else {
                return "cut".to_owned();
            };
            let mut begun = Vec::new();
            for _ in 0..16 {
                let Ok((answer, mut stream)) = session.begin(GET_DIRECTORY, &[]).await else {
                    return "cut".to_owned();
                };
                send_all(&mut stream, frame(b"", false)).await;
                begun.push(answer);
            }
            tokio::time::sleep(Duration::from_secs(3)).await;
            let mut worst = "waits".to_owned();
            for answer in begun {
                let ended = tokio::time::timeout(Duration::from_millis(100), outcome(answer));
                if let Ok(answer) = ended.await {
                    worst = answer;
                }
            }
            worst
        });
    }
    told(answers).await
}

/// The same with a window without end: HTTP/2 would take it all.
async fn stuck(stage: &Stage) -> Answers {
    let mut told = Answers::new();
    let mut held = Vec::new();
    for _ in 0..16 {
        let stuck = stage.attacker.ask_and_read_nothing(GET_DIRECTORY, 60).await;
        held.extend(stuck);
    }
    tokio::time::sleep(Duration::from_secs(3)).await;
    for stuck in held {
        for answer in stuck.answers().await {
            *told.entry(answer).or_default() += 1;
        }
    }
    told
}

/// An answer that is left unread from the beginning of the run to its end.
pub(crate) struct Unread {
    session: Session,
    _answer: h2::client::ResponseFuture,
    begun: tokio::time::Instant,
}

/// When the connection must be gone: half a minute, and the time between two looks.
const CUT_OFF: Duration = Duration::from_secs(40);

impl Unread {
    pub(crate) async fn leave(stage: &Stage) -> Self {
        let mut session = stage.attacker.session(1).await.unwrap();
        let (answer, mut stream) = session.begin(GET_DIRECTORY, &[]).await.unwrap();
        send_all(&mut stream, frame(b"", false)).await;
        Self {
            session,
            _answer: answer,
            begun: tokio::time::Instant::now(),
        }
    }

    /// Whether the server ended the connection.
    pub(crate) async fn end(mut self) -> Result<(), String> {
        let ends = tokio::time::timeout_at(self.begun + CUT_OFF, &mut self.session.driver);
        match ends.await {
            Ok(_) => Ok(()),
            Err(_) => Err("an answer that nobody reads keeps its connection".to_owned()),
        }
    }
}

async fn silent_connections(stage: &Stage) -> Answers {
    let mut answers = JoinSet::new();
    for _ in 0..4_000 {
        let peer = stage.attacker.clone();
        answers.spawn(async move {
            let Ok(mut session) = peer.session(WINDOW).await else {
                return "cut".to_owned();
            };
            let ended = tokio::time::timeout(Duration::from_secs(5), &mut session.driver);
            match ended.await {
                Ok(_) => "told".to_owned(),
                Err(_) => "kept".to_owned(),
            }
        });
    }
    told(answers).await
}

/// Connections that never shake hands.
async fn silent_sockets(stage: &Stage) -> Answers {
    let mut sockets = Vec::new();
    let mut told = Answers::new();
    for _ in 0..3_000 {
        let connected = tokio::time::timeout(
            Duration::from_millis(200),
            TcpStream::connect(&stage.attacker.address),
        );
        match connected.await {
            Ok(Ok(socket)) => {
                sockets.push(socket);
                *told.entry("connected".to_owned()).or_default() += 1;
            }
            Ok(Err(_)) | Err(_) => *told.entry("cut".to_owned()).or_default() += 1,
        }
    }
    tokio::time::sleep(Duration::from_secs(1)).await;
    told
}

/// Says as whose proxy it comes, each time as another's: only a proxy that the configuration names is heard, and from
/// anybody else those words are no handshake.
async fn word_of_a_proxy(stage: &Stage) -> Answers {
    let mut answers = JoinSet::new();
    for place in 0..200 {
        let peer = stage.attacker.clone();
        answers.spawn(async move {
            let word = format!("PROXY TCP4 192.0.2.{place} 192.0.2.1 7443 7443\r\n");
            match peer.connect_after(word.as_bytes()).await {
                Ok(_) => "let in".to_owned(),
                Err(_) => "cut".to_owned(),
            }
        });
    }
    told(answers).await
}

/// A certificate of the right issuer that no directory knows, again and again.
async fn strangers(stage: &Stage) -> Answers {
    let mut answers = JoinSet::new();
    for _ in 0..8 {
        let peer = stage.stranger.clone();
        answers.spawn(async move {
            let mut last = "cut".to_owned();
            for _ in 0..30 {
                if let Some(mut session) = session(&peer).await {
                    let answer = session.call(WHO_AM_I, b"").await;
                    if answer != "cut" {
                        last = answer;
                    }
                }
            }
            last
        });
    }
    told(answers).await
}

async fn flood(stage: &Stage) -> Answers {
    let mut answers = JoinSet::new();
    for _ in 0..24 {
        let peer = stage.attacker.clone();
        answers.spawn(async move {
            let Some(mut session) = session(&peer).await else {
                return "cut".to_owned();
            };
            let mut worst = "OK".to_owned();
            for _ in 0..150 {
                let answer = session.call(WHO_AM_I, b"").await;
                if answer != "OK" && worst == "OK" {
                    worst = answer;
                }
            }
            worst
        });
    }
    told(answers).await
}

/// Streams of a watch that nobody reads.
async fn watches(stage: &Stage) -> Answers {
    const WATCH: &str = "/sluis.handover.v1.HandoverService/WatchInbox";
    let mut answers = JoinSet::new();
    for _ in 0..8 {
        let peer = stage.attacker.clone();
        answers.spawn(async move {
            let Ok(mut session) = peer.session(1).await else {
                return "cut".to_owned();
            };
            let mut begun = Vec::new();
            for _ in 0..8 {
                let Ok((answer, mut stream)) = session.begin(WATCH, &[]).await else {
                    return "cut".to_owned();
                };
                send_all(&mut stream, frame(b"", false)).await;
                begun.push(answer);
            }
            let mut worst = "waits".to_owned();
            for answer in begun {
                let ended = tokio::time::timeout(Duration::from_millis(400), outcome(answer));
                if let Ok(answer) = ended.await {
                    worst = answer;
                }
            }
            worst
        });
    }
    told(answers).await
}

/// Batches of a thousand orders that the key holders must judge and refuse: signed, in their window, about another
/// ciphertext.
async fn orders(stage: &Stage) -> Answers {
    let laid = stage.laid();
    let desk = Desk::with(laid, "uwv", laid.identity("uwv").client().unwrap());
    let mut answers = JoinSet::new();
    for _ in 0..8 {
        let (order, ciphertext) = desk.enrolment(&bsn(0)).await;
        let items = (0..1_000).map(|_| {
            let order = Order {
                id: OrderId::draw(&SystemClock, &SystemChance::new()),
                ciphertext_sha256: [7; 32],
                ..order.clone()
            };
            (desk.signed(order), ciphertext.bytes().to_vec())
        });
        let message = enrol_request(items.collect()).encode_to_vec();
        let peer = stage.attacker.clone();
        answers.spawn(async move {
            match session(&peer).await {
                Some(mut session) => session.call(ENROL, &message).await,
                None => "cut".to_owned(),
            }
        });
    }
    told(answers).await
}
