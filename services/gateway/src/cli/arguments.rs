//! The command line of a partner's desk: who, and what to do.
//!
//! Must never take a BSN: it would stay in the shell's history and in the list of processes. `-` stands for one that is
//! typed unseen, or comes in through standard input.

use clap::{Args, Subcommand};
use std::path::{Path, PathBuf};

/// As whom, and how to answer.
#[derive(Args, Clone, Debug)]
pub struct Who {
    /// The identity to act as, for example uwv, neutraal, regio, officer, portal.
    #[arg(long = "as", value_name = "NAME", global = true)]
    pub identity: Option<String>,
    /// Folder of the running sandbox; ./sluis-sandbox when not given.
    #[arg(long, value_name = "FOLDER", global = true)]
    pub sandbox: Option<PathBuf>,
    /// Answer as JSON, for programs.
    #[arg(long, global = true)]
    pub json: bool,
}

impl Who {
    /// Where the running sandbox lies.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.sandbox
            .as_deref()
            .unwrap_or(Path::new("./sluis-sandbox"))
    }

    /// The flag that was given and means something only when a desk acts.
    #[must_use]
    pub fn flag_of_a_desk(&self) -> Option<&'static str> {
        if self.identity.is_some() {
            return Some("--as");
        }
        self.sandbox.as_ref().map(|_| "--sandbox")
    }
}

/// A handover, by its id.
#[derive(Args, Clone, Debug)]
pub struct Which {
    /// The handover's id, `hnd_` and 32 digits, or the first or last of one in your inbox.
    pub handover: String,
}

/// A person at the portal, as the test login knows them.
#[derive(Args, Clone, Debug)]
pub struct Person {
    /// Only `-`: the BSN of a test person (9999xxxxx) is asked for, or read from standard input.
    #[arg(long, default_value = "-")]
    pub bsn: String,
}

/// A page of a list.
#[derive(Args, Clone, Debug)]
pub struct Page {
    /// So many at most, 1 to 1000.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    pub limit: u32,
    /// Where it goes on, as the page before says at its end.
    #[arg(long, default_value = "")]
    pub after: String,
}

/// One exchange that a person decides about.
#[derive(Args, Clone, Debug)]
pub struct Exchange {
    /// Who would hand over: a name in the sandbox or `<OIN>/<realm>`.
    #[arg(long)]
    pub from: String,
    /// To whom: a name in the sandbox or `<OIN>/<realm>`.
    #[arg(long)]
    pub to: String,
    /// For which purpose.
    #[arg(long, default_value = "HANDOVER")]
    pub purpose: String,
}

/// What a person chose at a desk.
#[derive(Args, Clone, Debug)]
pub struct AssistedChoice {
    /// To whom the person would be handed over: a name in the sandbox or `<OIN>/<realm>`.
    #[arg(long)]
    pub to: String,
    /// For which purpose.
    #[arg(long, default_value = "HANDOVER")]
    pub purpose: String,
    /// A category of data; repeat it for more.
    #[arg(
        long = "category",
        required_unless_present = "refuse",
        conflicts_with = "refuse"
    )]
    pub categories: Vec<String>,
    /// The last day on which it holds, YYYY-MM-DD: to its end in Amsterdam.
    #[arg(long, required_unless_present = "refuse")]
    pub until: Option<String>,
    /// The person says no: it ends what stands, and has no other consequence.
    #[arg(long)]
    pub refuse: bool,
    /// The person signed the waiver of secrecy that the register asks for.
    #[arg(long)]
    pub waive_secrecy: bool,
    /// The person is on the telephone.
    #[arg(long)]
    pub by_phone: bool,
    /// How sure it is who the person is: low, substantial or high; test in a sandbox.
    #[arg(long, default_value = "test")]
    pub level: String,
    /// Language of the notice that the person saw or heard: nl or en.
    #[arg(long, default_value = "nl")]
    pub lang: String,
}

/// What a person can do about consent.
#[derive(Subcommand, Clone, Debug)]
pub enum ConsentVerb {
    /// Gives consent: one sender, one recipient, one purpose.
    #[command(
        after_help = "Example: echo 999990019 | sluis consent give --from vakbond --to neutraal \
        --category IDENTITY --category CONTACT --until YYYY-MM-DD"
    )]
    Give {
        #[command(flatten)]
        person: Person,
        #[command(flatten)]
        exchange: Exchange,
        /// A category of data; repeat it for more.
        #[arg(long = "category", required = true)]
        categories: Vec<String>,
        /// The last day on which it holds, YYYY-MM-DD: to its end in Amsterdam.
        #[arg(long)]
        until: String,
        /// The person signed the waiver of secrecy that the register asks for.
        #[arg(long)]
        waive_secrecy: bool,
        /// Language of the notice that the person saw: nl or en.
        #[arg(long, default_value = "nl")]
        lang: String,
    },
    /// Says no: it ends what stands, and has no other consequence.
    #[command(
        after_help = "Example: echo 999990019 | sluis consent refuse --from uwv --to vakbond"
    )]
    Refuse {
        #[command(flatten)]
        person: Person,
        #[command(flatten)]
        exchange: Exchange,
        /// Language of the notice that the person saw: nl or en.
        #[arg(long, default_value = "nl")]
        lang: String,
    },
    /// Makes a consent narrower: name what remains.
    #[command(
        after_help = "Example: echo 999990019 | sluis consent narrow cns_… --category IDENTITY --until YYYY-MM-DD"
    )]
    Narrow {
        #[command(flatten)]
        person: Person,
        /// The consent's id, as `consent list` prints it.
        consent: String,
        /// A category that remains; repeat it for more.
        #[arg(long = "category", required = true)]
        categories: Vec<String>,
        /// The last day on which it holds, YYYY-MM-DD: to its end in Amsterdam.
        #[arg(long)]
        until: String,
    },
    /// Stops a consent, at once and for good.
    #[command(after_help = "Example: echo 999990019 | sluis consent stop cns_…")]
    Stop {
        #[command(flatten)]
        person: Person,
        /// The consent's id, as `consent list` prints it.
        consent: String,
    },
    /// Stops a consent by the code on its statement; needs no login.
    #[command(after_help = "Example: sluis consent stop-by-code XXXX-XXXX-XXXX-XXXX")]
    StopByCode {
        /// The code; hyphens and capitals don't matter.
        code: String,
    },
    /// A statement as the person keeps it.
    #[command(subcommand)]
    Statement(StatementVerb),
    /// Lists the person's consents.
    #[command(after_help = "Example: echo 999990019 | sluis consent list")]
    List {
        #[command(flatten)]
        person: Person,
        #[command(flatten)]
        page: Page,
    },
}

/// What can be done with a statement.
#[derive(Subcommand, Clone, Debug)]
pub enum StatementVerb {
    /// Says in words what stands in a statement, after looking whether it is signed by the desk that it names. Sends
    /// nothing.
    #[command(
        after_help = "Example: sluis consent statement show sluis-sandbox/statements/cns_….jws"
    )]
    Show {
        /// The file.
        file: PathBuf,
    },
}

/// What a desk can do.
#[derive(Subcommand, Clone, Debug)]
pub enum Verb {
    /// Says who the gateway takes you for.
    #[command(after_help = "Example: sluis --as uwv whoami")]
    Whoami,
    /// Walks from name to answer and says which step fails.
    #[command(after_help = "Example: sluis --as uwv connect-check")]
    ConnectCheck,
    /// Makes a person known: turns a BSN into your own pseudonym, kept under your own key.
    #[command(
        after_help = "Example: echo 999990019 | sluis --as uwv enrol --person klant-1 --bsn -\n\n\
            The number is read from standard input, or asked for and typed unseen: on the command line it\n\
            would stay in the shell's history. It is tested and hashed here and never sent.\n\n\
            Without a number: sluis --as vakbond enrol --person lid-1 --without-bsn"
    )]
    Enrol {
        /// Your own key for this person.
        #[arg(long)]
        person: String,
        /// Only `-`: the BSN is asked for, or read from standard input.
        #[arg(long, required_unless_present = "without_bsn")]
        bsn: Option<String>,
        /// Without a number (a vakbond's member who has no DigiD): draws a random pseudonym. You can hand
        /// this person over; nobody can hand them over to you.
        #[arg(long, conflicts_with = "bsn")]
        without_bsn: bool,
        /// The key stands for another person from now on; without this it keeps the one that it has.
        #[arg(long)]
        replace: bool,
    },
    /// Prepares and offers a handover. The dossier stays here, sealed, until the release.
    #[command(
        after_help = "Example: sluis --as uwv offer --person klant-1 --to neutraal --file tests/data/offer.example.toml\n\n\
            The same person to several, of whom one takes over: give each offer the group that the first\n\
            one printed, or any `grp_` and 32 hexadecimal digits of your own:\n\
            \x20 sluis --as uwv offer --person klant-1 --to regio --file tests/data/offer.example.toml --group grp_…\n\n\
            On consent, as only a vakbond's is: see tests/data/offer-consent.example.toml."
    )]
    Offer {
        /// Your own key for the person, as enrolled.
        #[arg(long)]
        person: String,
        /// Who should take it: an identity of the sandbox, or `<OIN>/<realm>`.
        #[arg(long)]
        to: String,
        /// The file with purpose, basis, summary and dossier.
        #[arg(long)]
        file: PathBuf,
        /// The group of offers of this one person, of which at most one is released: `grp_…`, or `new`.
        #[arg(long)]
        group: Option<String>,
        /// A second handover, although the very same offer was typed before and waits here.
        #[arg(long)]
        again: bool,
    },
    /// Finishes what was left in the outbox by a fault or a crash.
    #[command(after_help = "Example: sluis --as uwv resume")]
    Resume,
    /// Shows what waits for an answer of yours, and the newest of what happened in your handovers.
    #[command(after_help = "Example: sluis --as neutraal inbox\n\
        Example: sluis --as neutraal inbox --all\n\
        Example: sluis --as neutraal inbox --watch")]
    Inbox {
        /// Everything that happened, oldest first.
        #[arg(long, conflicts_with = "watch")]
        all: bool,
        /// Stay and show what happens, as it happens.
        #[arg(long)]
        watch: bool,
    },
    /// Shows a handover as it stands, with its notices.
    #[command(after_help = "Example: sluis --as uwv show hnd_…")]
    Show(Which),
    /// Reads the sealed summary of an offer.
    #[command(after_help = "Example: sluis --as neutraal fetch-offer hnd_…")]
    FetchOffer(Which),
    /// Takes a handover.
    #[command(after_help = "Example: sluis --as neutraal accept hnd_…")]
    Accept(Which),
    /// Does not take a handover.
    #[command(after_help = "Example: sluis --as neutraal decline hnd_… --code no-capacity")]
    Decline {
        #[command(flatten)]
        which: Which,
        /// Why: no-capacity, not-competent, cannot-provide.
        #[arg(long)]
        code: String,
        /// With not-competent: who may be, as identity or `<OIN>/<realm>`.
        #[arg(long)]
        other: Option<String>,
    },
    /// Asks for a change before accepting.
    #[command(
        after_help = "Example: sluis --as neutraal propose-change hnd_… --question later-start --date 2027-01-15"
    )]
    ProposeChange {
        #[command(flatten)]
        which: Which,
        /// What is asked: later-start, more-summary, joint-talk.
        #[arg(long)]
        question: String,
        /// The date proposed, as YYYY-MM-DD: today in Amsterdam or later.
        #[arg(long)]
        date: Option<String>,
    },
    /// Goes along with a proposed change.
    #[command(after_help = "Example: sluis --as uwv accept-change hnd_…")]
    AcceptChange(Which),
    /// Does not go along with a proposed change; the handover ends.
    #[command(after_help = "Example: sluis --as uwv reject-change hnd_…")]
    RejectChange(Which),
    /// Releases the dossier with the recipient's pseudonym, after acceptance.
    #[command(after_help = "Example: sluis --as uwv release hnd_…")]
    Release(Which),
    /// Fetches and opens the dossier.
    #[command(after_help = "Example: sluis --as neutraal fetch hnd_…")]
    Fetch(Which),
    /// Moves responsibility: you have had contact with the candidate.
    #[command(after_help = "Example: sluis --as neutraal complete hnd_… --contact-date today")]
    Complete {
        #[command(flatten)]
        which: Which,
        /// Date of the contact: YYYY-MM-DD, on or after the release and not in the future; or `today`, which
        /// is today in Amsterdam.
        #[arg(long)]
        contact_date: String,
    },
    /// Tells the sender what became of it, sealed to the sender: after completion, once.
    #[command(
        after_help = "Example: sluis --as neutraal send-report hnd_… --outcome duurzame-baan"
    )]
    SendReport {
        #[command(flatten)]
        which: Which,
        /// What became of it: vast-contract, tijdelijk, zzp, duurzame-baan, volgt-opleiding,
        /// vervolgopleiding, niet-afgerond, geen-contact, buiten-regio, onbekend.
        #[arg(long)]
        outcome: String,
        /// The label in the register under which it is told.
        #[arg(long, default_value = "uitstroom.code")]
        label: String,
    },
    /// Fetches and opens the report of what became of it; for a day as often as you like.
    #[command(after_help = "Example: sluis --as uwv fetch-report hnd_…")]
    FetchReport(Which),
    /// Gives a handover back.
    #[command(after_help = "Example: sluis --as neutraal return hnd_… --code no-contact")]
    Return {
        #[command(flatten)]
        which: Which,
        /// Why: no-contact, not-competent, duplicate, cannot-provide.
        #[arg(long)]
        code: String,
    },
    /// Calls a handover off.
    #[command(after_help = "Example: sluis --as uwv cancel hnd_… --code mistake")]
    Cancel {
        #[command(flatten)]
        which: Which,
        /// Why: candidate-declined, no-longer-needed, mistake.
        #[arg(long)]
        code: String,
    },
    /// Asks a person for consent through the portal. The answer is always that it was asked.
    #[command(
        after_help = "Example: sluis --as vakbond ask-consent --person lid-1 --to neutraal --category IDENTITY"
    )]
    AskConsent {
        /// Your own key for this person.
        #[arg(long)]
        person: String,
        /// To whom the person would be handed over.
        #[arg(long)]
        to: String,
        /// For which purpose.
        #[arg(long, default_value = "HANDOVER")]
        purpose: String,
        /// A category of data; repeat it for more.
        #[arg(long = "category", required = true)]
        categories: Vec<String>,
    },
    /// Records the choice that a person makes here, helped by a worker. Needs the right `assist`; the
    /// person sees it at the portal.
    #[command(
        after_help = "Example: sluis --as vakbond assist-consent --person lid-1 --to neutraal \
        --category IDENTITY --category WORK --until YYYY-MM-DD"
    )]
    AssistConsent {
        /// Your own key for this person.
        #[arg(long)]
        person: String,
        #[command(flatten)]
        choice: AssistedChoice,
    },
    /// Redeems a link code that a member read out, and keeps the member's pseudonym under your own key.
    #[command(after_help = "Example: sluis --as vakbond redeem-link --person lid-1 XXXXX-XXXXX")]
    RedeemLink {
        /// Your own key for this person.
        #[arg(long)]
        person: String,
        /// The key stands for another person from now on; without this it keeps the one that it has.
        #[arg(long)]
        replace: bool,
        /// The code.
        code: String,
    },
    /// The person: everything that happened, in plain sentences.
    #[command(after_help = "Example: echo 999990019 | sluis overview --lang nl")]
    Overview {
        #[command(flatten)]
        person: Person,
        /// nl or en.
        #[arg(long, default_value = "nl")]
        lang: String,
        #[command(flatten)]
        page: Page,
    },
    /// The person: consent.
    #[command(subcommand)]
    Consent(ConsentVerb),
    /// The person: objects to a handover under the law, or asks to restrict it.
    #[command(after_help = "Example: echo 999990019 | sluis object hnd_…")]
    Object {
        #[command(flatten)]
        person: Person,
        /// The handover's id, as `overview` prints it.
        handover: String,
        /// Restrict (AVG article 18) instead of object (article 21).
        #[arg(long)]
        restrict: bool,
    },
    /// The person: blocks one realm of an organisation. What stands with it is stopped, and what comes later is stopped
    /// as it comes.
    #[command(after_help = "Example: echo 999990019 | sluis block vakbond")]
    Block {
        #[command(flatten)]
        person: Person,
        /// The realm: a name in the sandbox, or `<OIN>/<realm>`.
        realm: String,
    },
    /// The person: what is blocked.
    #[command(after_help = "Example: echo 999990019 | sluis blocks")]
    Blocks {
        #[command(flatten)]
        person: Person,
        #[command(flatten)]
        page: Page,
    },
    /// The person: undoes a block. What it stopped stays stopped.
    #[command(after_help = "Example: echo 999990019 | sluis unblock vakbond")]
    Unblock {
        #[command(flatten)]
        person: Person,
        /// The realm: a name in the sandbox, or `<OIN>/<realm>`; or a block's id, as `blocks` prints it.
        realm: String,
    },
    /// The person: makes a link code for a vakbond, to be read out within ten minutes.
    #[command(after_help = "Example: echo 999990019 | sluis link vakbond")]
    Link {
        #[command(flatten)]
        person: Person,
        /// The vakbond: a name in the sandbox or an OIN.
        organisation: String,
    },
    /// Sends the recipient a notice about a handover.
    #[command(after_help = "Example: sluis --as uwv notify hnd_… --kind rectification")]
    Notify {
        #[command(flatten)]
        which: Which,
        /// Kind: rectification, erasure, access.
        #[arg(long)]
        kind: String,
    },
    /// Lists the notices about a handover, or about all in your inbox.
    #[command(after_help = "Example: sluis --as neutraal notices")]
    Notices {
        /// Only about this handover.
        handover: Option<String>,
    },
    /// Says that you have received: a handover that was offered, or a notice.
    #[command(after_help = "Example: sluis --as neutraal ack ntc_…")]
    Ack {
        /// `hnd_…` or `ntc_…`.
        id: String,
    },
    /// Answers a notice, signed.
    #[command(
        after_help = "Example: sluis --as neutraal answer ntc_… --answer erased\n\
            Example: sluis --as neutraal answer ntc_… --answer retained --ground ARCHIEFWET"
    )]
    Answer {
        /// The notice's id, `ntc_…`.
        notice: String,
        /// The answer: erased, retained, done, not-held.
        #[arg(long)]
        answer: String,
        /// With retained: the legal ground, as a code.
        #[arg(long)]
        ground: Option<String>,
    },
    /// Decides an objection or lifts a restriction; only an officer may.
    #[command(after_help = "Example: sluis --as uwv-fg decide hnd_… --decision reject")]
    Decide {
        #[command(flatten)]
        which: Which,
        /// The decision: uphold, reject, lift-restriction.
        #[arg(long)]
        decision: String,
    },
    /// Finds a consent invalid: it was not free or not informed. Only an officer of sender or recipient, or
    /// the joint one, may. What is open on it ends; whoever opened something must erase it.
    #[command(after_help = "Example: sluis --as officer invalidate cns_…")]
    Invalidate {
        /// The consent's id, `cns_` and 32 digits.
        consent: String,
    },
    /// Searches and reads the log; only an officer may.
    #[command(subcommand)]
    Audit(AuditVerb),
    /// Asks the active policy set a question about no person.
    #[command(
        after_help = "Example: sluis --as uwv explain --action prepare --from UWV --to VAKBOND \\\n\
            \x20          --purpose HANDOVER --basis SUWI_62_1 --label doelgroep.code"
    )]
    Explain {
        /// The action: prepare, offer, release, fetch, report, fetchReport.
        #[arg(long)]
        action: String,
        /// Kind of the sender, for example UWV.
        #[arg(long = "from")]
        sender: String,
        /// Kind of the recipient, for example GEMEENTE.
        #[arg(long = "to")]
        recipient: String,
        /// The purpose.
        #[arg(long)]
        purpose: String,
        /// The legal basis that the sender would name.
        #[arg(long)]
        basis: String,
        /// A label that would be exchanged; may be given more than once.
        #[arg(long = "label")]
        labels: Vec<String>,
        /// Consent to assume: none, given, withdrawn, expired.
        #[arg(long, default_value = "none")]
        consent: String,
    },
}

/// Reading the log.
#[derive(Subcommand, Clone, Debug)]
pub enum AuditVerb {
    /// Lists entries, newest first. Name at least one of handover, peer, purpose or findings.
    #[command(
        after_help = "Example: sluis --as officer audit search --peer uwv --from 2026-11-23\n\n\
            Without --from it looks from the log's beginning. It says how many entries it shows, whether there are\n\
            more, and how to go on."
    )]
    Search(super::search::Search),
    /// Shows one entry whole: who, what, under which purpose, article and policy.
    #[command(after_help = "Example: sluis --as officer audit show ent_…")]
    Show {
        /// The entry's id, `ent_…`.
        entry: String,
    },
}
