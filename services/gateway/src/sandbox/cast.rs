//! Who plays in the sandbox: invented organisations with test numbers, their realms and their desks.
//!
//! Must never name a real organisation but the one that the law names (UWV), nor a real person.

/// An organisation.
pub(crate) struct Organisation {
    /// Its number; the prefix 00000099 is kept for tests (Logius).
    pub(crate) oin: &'static str,
    /// Its name, invented.
    pub(crate) title: &'static str,
    /// Its kind's code.
    pub(crate) kind: &'static str,
    /// Its desks, each with a certificate and a signing key of its own.
    pub(crate) desks: &'static [DeskRole],
}

/// A desk and what it may do.
pub(crate) struct DeskRole {
    /// The name under which the command line knows it: `--as <identity>`.
    pub(crate) identity: &'static str,
    /// Its name in the directory.
    pub(crate) desk: &'static str,
    /// The realm that it belongs to.
    pub(crate) realm: &'static str,
    /// Its region.
    pub(crate) region: Option<&'static str>,
    /// Its rights.
    pub(crate) rights: &'static [&'static str],
}

/// A kind of exchange that two realms agreed on.
pub(crate) struct Agreement {
    /// Identity at the sender's side.
    pub(crate) sender: &'static str,
    /// Identity at the recipient's side.
    pub(crate) recipient: &'static str,
    /// The purpose.
    pub(crate) purpose: &'static str,
}

/// The region that the year is about.
pub(crate) const REGION: &str = "NHN";
/// Another region.
pub(crate) const OTHER_REGION: &str = "ZKIJ";

/// The neutral realm, which is the centre of the region.
pub(crate) const TEAM_REALM: &str = "neutraal";
/// What it is called towards people.
pub(crate) const TEAM_TITLE: &str = "het regioteam van Noord-Holland Noord";

/// Everybody.
pub(crate) const ORGANISATIONS: &[Organisation] = &[
    Organisation {
        oin: "00000099000000001000",
        title: "UWV",
        kind: "UWV",
        desks: &[
            DeskRole {
                identity: "uwv",
                desk: "ww",
                realm: "main",
                region: Some(REGION),
                rights: &["bsn", "represent"],
            },
            DeskRole {
                identity: "uwv-fg",
                desk: "fg",
                realm: "main",
                region: None,
                rights: &["officer"],
            },
        ],
    },
    Organisation {
        oin: "00000099000000002000",
        title: "Gemeente Dijkerwaard",
        kind: "GEMEENTE",
        desks: &[
            DeskRole {
                identity: "centrum",
                desk: "werkplein",
                realm: "main",
                region: Some(REGION),
                rights: &["bsn", "represent"],
            },
            DeskRole {
                identity: "neutraal",
                desk: "regioteam",
                realm: TEAM_REALM,
                region: Some(REGION),
                rights: &["represent"],
            },
        ],
    },
    Organisation {
        oin: "00000099000000003000",
        title: "Gemeente Polderzicht",
        kind: "GEMEENTE",
        desks: &[DeskRole {
            identity: "regio",
            desk: "sociale-dienst",
            realm: "main",
            region: Some(REGION),
            rights: &["bsn", "represent"],
        }],
    },
    Organisation {
        oin: "00000099000000004000",
        title: "Gemeente Heuvelmonde",
        kind: "GEMEENTE",
        desks: &[DeskRole {
            identity: "elders",
            desk: "werkplein",
            realm: "main",
            region: Some(OTHER_REGION),
            rights: &["bsn", "represent"],
        }],
    },
    Organisation {
        oin: "00000099000000005000",
        title: "Vakbond De Schakel",
        kind: "VAKBOND",
        desks: &[DeskRole {
            identity: "vakbond",
            desk: "loopbaan",
            realm: "main",
            region: Some(REGION),
            rights: &["assist", "represent"],
        }],
    },
    Organisation {
        oin: "00000099000000006000",
        title: "Toezicht Gezamenlijke Verantwoordelijken",
        kind: "TOEZICHT",
        desks: &[DeskRole {
            identity: "officer",
            desk: "fg",
            realm: "main",
            region: None,
            rights: &["joint-officer"],
        }],
    },
    Organisation {
        oin: "00000099000000007000",
        title: "Stichting Burgerportaal",
        kind: "PORTAL",
        desks: &[DeskRole {
            identity: "portal",
            desk: "portal",
            realm: "main",
            region: None,
            rights: &["bsn", "represent"],
        }],
    },
    Organisation {
        oin: "00000099000000010000",
        title: "Sluiswachters",
        kind: "BROKER",
        desks: &[
            DeskRole {
                identity: "broker",
                desk: "broker",
                realm: "main",
                region: None,
                rights: &["represent"],
            },
            DeskRole {
                identity: "operator",
                desk: "beheer",
                realm: "main",
                region: None,
                rights: &["operator"],
            },
        ],
    },
    Organisation {
        oin: "00000099000000011000",
        title: "Sleutelhuis Noord",
        kind: "HOLDER",
        desks: &[DeskRole {
            identity: "holder-1",
            desk: "holder",
            realm: "main",
            region: None,
            rights: &[],
        }],
    },
    Organisation {
        oin: "00000099000000012000",
        title: "Sleutelhuis Zuid",
        kind: "HOLDER",
        desks: &[DeskRole {
            identity: "holder-2",
            desk: "holder",
            realm: "main",
            region: None,
            rights: &[],
        }],
    },
];

/// Every edge of the sandbox. UWV to vakbond and back is agreed on too, and still refused without the
/// person's consent: an edge alone is never enough.
pub(crate) const AGREEMENTS: &[Agreement] = &[
    handover("uwv", "neutraal"),
    handover("uwv", "regio"),
    handover("uwv", "vakbond"),
    handover("regio", "neutraal"),
    handover("centrum", "neutraal"),
    handover("centrum", "elders"),
    handover("neutraal", "uwv"),
    handover("neutraal", "regio"),
    handover("elders", "centrum"),
    handover("vakbond", "neutraal"),
    handover("vakbond", "uwv"),
    Agreement {
        sender: "uwv",
        recipient: "neutraal",
        purpose: "MONITOR",
    },
];

/// Names of the two controllers that sign the directory and the policies together.
pub(crate) const CONTROLLERS: &[&str] = &["uwv", "centrumgemeente"];

const fn handover(sender: &'static str, recipient: &'static str) -> Agreement {
    Agreement {
        sender,
        recipient,
        purpose: "HANDOVER",
    }
}

/// Every desk with its organisation.
pub(crate) fn desks() -> impl Iterator<Item = (&'static Organisation, &'static DeskRole)> {
    ORGANISATIONS.iter().flat_map(|organisation| {
        organisation
            .desks
            .iter()
            .map(move |desk| (organisation, desk))
    })
}

/// The desk with this identity.
pub(crate) fn desk(identity: &str) -> Option<(&'static Organisation, &'static DeskRole)> {
    desks().find(|(_, desk)| desk.identity == identity)
}

/// True for the gateway's own roles, which run as processes of their own.
pub(crate) fn is_process(desk: &DeskRole) -> bool {
    PROCESSES.contains(&desk.identity)
}

/// True for those who call the broker: all desks but the broker's own and the holders'.
pub(crate) fn is_caller(desk: &DeskRole) -> bool {
    !is_process(desk) || desk.identity == "portal"
}

/// Identities that run as processes, in the order in which they start: the broker walks along the holders
/// when it starts, and the portal calls the broker.
pub(crate) const PROCESSES: &[&str] = &["holder-1", "holder-2", "broker", "portal"];
