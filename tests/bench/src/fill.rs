//! Fills the broker's database by copying rows of real handovers that are over, with ids, tags and times of
//! their own. Their seals and hashes are copies and open nothing: no server looks at the past.
//!
//! Must never change a row that a server made but the heads of inboxes, which count what was added; and must
//! never go through a server's own connection: its settings are those of production.

use crate::database::Beside;
use rules::handover::State;
use std::path::Path;

/// Handovers made by one round of statements: few enough that the broker, whose own work goes on, never waits
/// as long as it would for a lock.
const ROUND: i64 = 2_000;
/// Copies lie in the time before the run, the oldest first: from a year ago on, so many milliseconds apart. What is
/// kept for months only, items of inboxes and outcomes, is of now, so that no sweep takes it away.
const PAST_MILLIS: i64 = 365 * 24 * 3_600_000;
const APART_MILLIS: i64 = 10_000;

/// A statement on SQLite and on PostgreSQL.
#[derive(Clone, Copy)]
struct Text {
    sqlite: &'static str,
    postgres: &'static str,
}

/// One text for both engines: between the parts stands the type of octets.
macro_rules! of_octets {
    ($first:literal $(, $next:literal)* $(,)?) => { Text {
        sqlite: concat!($first $(, "BLOB", $next)*),
        postgres: concat!($first $(, "BYTEA", $next)*),
    } };
}

/// One text for both engines.
const fn same(text: &'static str) -> Text {
    Text {
        sqlite: text,
        postgres: text,
    }
}

/// What is copied, numbered by the handovers it is about; and what is made in one round. On SQLite the cache
/// of this connection is larger than a server's.
const PREPARATIONS: [Text; 6] = [
    Text {
        sqlite: "PRAGMA cache_size = -400000",
        postgres: "SET synchronous_commit = off",
    },
    of_octets!(
        "CREATE TEMPORARY TABLE made (k BIGINT, template BIGINT, millis BIGINT, moment ",
        ", salt ",
        ")"
    ),
    of_octets!(
        "CREATE TEMPORARY TABLE template (n BIGINT PRIMARY KEY, handover_id ",
        ", subject_index ",
        ")"
    ),
    of_octets!(
        "CREATE TEMPORARY TABLE template_entry (n BIGINT, entry_id ",
        ")"
    ),
    of_octets!(
        "CREATE TEMPORARY TABLE template_outcome (n BIGINT, caller_tag ",
        ", request_id ",
        ")"
    ),
    of_octets!(
        "CREATE TEMPORARY TABLE template_item (n BIGINT, party_tag ",
        ", position BIGINT)"
    ),
];
const TAKE_HANDOVERS: Text = same(
    "INSERT INTO template (n, handover_id, subject_index) \
     SELECT row_number() OVER (ORDER BY handover_id) - 1, handover_id, subject_index \
     FROM handover WHERE state = $1 AND wrapped_key IS NULL",
);
const TAKE_ENTRIES: Text = same(
    "INSERT INTO template_entry (n, entry_id) \
     SELECT dense_rank() OVER (ORDER BY handover_tag) - 1, entry_id \
     FROM audit_entry WHERE handover_tag IS NOT NULL",
);
const TAKE_OUTCOMES: Text = same(
    "INSERT INTO template_outcome (n, caller_tag, request_id) \
     SELECT (row_number() OVER (ORDER BY caller_tag, request_id) - 1) % $1, caller_tag, request_id \
     FROM request_outcome",
);
const TAKE_ITEMS: Text = same(
    "INSERT INTO template_item (n, party_tag, position) \
     SELECT (row_number() OVER (ORDER BY party_tag, position) - 1) % $1, party_tag, position FROM inbox",
);

/// Numbers from $1 up to $2, of $3 templates, from moment $4 on, $5 milliseconds apart.
const MAKE: Text = Text {
    sqlite: "INSERT INTO made (k, template, millis, moment, salt) \
         WITH RECURSIVE number (k) AS (SELECT $1 UNION ALL SELECT k + 1 FROM number WHERE k + 1 < $2) \
         SELECT k, k % $3, $4 + k * $5, unhex(printf('%012x', $4 + k * $5)), randomblob(8) FROM number",
    postgres: "INSERT INTO made (k, template, millis, moment, salt) \
         SELECT k, k % $3, $4 + k * $5, decode(lpad(to_hex($4 + k * $5), 12, '0'), 'hex'), \
         substr(uuid_send(gen_random_uuid()), 1, 8) FROM generate_series($1, $2 - 1) AS number (k)",
};
const COPY_SUBJECTS: Text = of_octets!(
    "INSERT INTO relation_subject (subject_index, relation_tag, sealed_handle, created_at) \
     SELECT CAST(made.salt || substr(old.subject_index, 9) AS ",
    "), old.relation_tag, old.sealed_handle, made.millis \
     FROM made JOIN template ON template.n = made.template \
     JOIN relation_subject AS old ON old.subject_index = template.subject_index"
);
const COPY_HANDOVERS: Text = of_octets!(
    "INSERT INTO handover (handover_id, revision, state, sender_tag, recipient_tag, purpose_tag, \
     subject_index, group_tag, entered_at, deadline_at, remaining_millis, opened_at, undelivered_at, \
     erase_at, day, wrapped_key, body) \
     SELECT CAST(made.moment || made.salt || substr(old.handover_id, 15) AS ",
    "), old.revision, old.state, old.sender_tag, old.recipient_tag, old.purpose_tag, \
     CAST(made.salt || substr(old.subject_index, 9) AS ",
    "), old.group_tag, made.millis, old.deadline_at, old.remaining_millis, old.opened_at, \
     old.undelivered_at, old.erase_at, old.day, old.wrapped_key, old.body \
     FROM made JOIN template ON template.n = made.template \
     JOIN handover AS old ON old.handover_id = template.handover_id"
);
const COPY_ENTRIES: Text = of_octets!(
    "INSERT INTO audit_entry (entry_id, leaf_index, leaf_sha256, year, time, handover_tag, sender_tag, \
     recipient_tag, caller_tag, purpose_tag, subject_tag, finding_tag, open_part, closed_part) \
     SELECT CAST(made.moment || substr(made.salt, 1, 4) || substr(old.entry_id, 11) AS ",
    "), NULL, old.leaf_sha256, old.year, made.millis, \
     CAST(made.salt || substr(old.handover_tag, 9) AS ",
    "), old.sender_tag, old.recipient_tag, old.caller_tag, old.purpose_tag, \
     CAST(made.salt || substr(old.subject_tag, 9) AS ",
    "), old.finding_tag, old.open_part, old.closed_part \
     FROM made JOIN template_entry ON template_entry.n = made.template \
     JOIN audit_entry AS old ON old.entry_id = template_entry.entry_id"
);
const COPY_OUTCOMES: Text = of_octets!(
    "INSERT INTO request_outcome (caller_tag, request_id, body_sha256, outcome, created_at) \
     SELECT old.caller_tag, \
     CAST(made.moment || substr(made.salt, 1, 4) || substr(old.request_id, 11) AS ",
    "), old.body_sha256, old.outcome, old.created_at \
     FROM made JOIN template_outcome ON template_outcome.n = made.template \
     JOIN request_outcome AS old ON old.caller_tag = template_outcome.caller_tag \
     AND old.request_id = template_outcome.request_id"
);
const COPY_ITEMS: Text = same(
    "INSERT INTO inbox (party_tag, position, created_at, body) \
     SELECT old.party_tag, inbox_head.position \
     + row_number() OVER (PARTITION BY old.party_tag ORDER BY made.k, old.position), old.created_at, old.body \
     FROM made JOIN template_item ON template_item.n = made.template \
     JOIN inbox AS old ON old.party_tag = template_item.party_tag \
     AND old.position = template_item.position \
     JOIN inbox_head ON inbox_head.party_tag = old.party_tag",
);
const RAISE_HEADS: Text = same(
    "UPDATE inbox_head SET position = \
     (SELECT MAX(position) FROM inbox WHERE inbox.party_tag = inbox_head.party_tag)",
);
const FORGET: Text = same("DELETE FROM made");

/// What a server of either kind does by and by, done now.
const SETTLE: Text = Text {
    sqlite: "PRAGMA wal_checkpoint(PASSIVE)",
    postgres: "VACUUM (ANALYZE) relation_subject, handover, audit_entry, request_outcome, inbox",
};
/// Writes out what was made now, and not while calls are measured. A server may not let everybody.
const WRITE_OUT: Text = Text {
    sqlite: "PRAGMA wal_checkpoint(TRUNCATE)",
    postgres: "CHECKPOINT",
};
const COUNT_ENTRIES: Text = same("SELECT COUNT(*) FROM audit_entry");
const COUNT_TEMPLATES: Text = same("SELECT COUNT(*) FROM template");
/// Octets of the database with its indexes.
const MEASURE: Text = Text {
    sqlite: "SELECT page_count * page_size FROM pragma_page_count, pragma_page_size",
    postgres: "SELECT CAST(SUM(pg_total_relation_size(oid)) AS BIGINT) FROM pg_class \
         WHERE relkind = 'r' AND relnamespace = CAST(current_schema() AS regnamespace)",
};

/// A connection beside the broker, which knows what it copies.
pub(crate) struct Fill {
    beside: Beside,
    templates: i64,
    next: i64,
    begin_millis: i64,
}

impl Fill {
    /// Takes the handovers that are complete now as what is copied.
    pub(crate) async fn open(broker: &Path, now_millis: i64) -> Self {
        let beside = Beside::of(broker).await;
        let mut fill = Self {
            beside,
            templates: 0,
            next: 0,
            begin_millis: now_millis - PAST_MILLIS,
        };
        for text in PREPARATIONS {
            fill.run(text, &[]).await;
        }
        let completed = i64::from(State::Completed.number());
        fill.run(TAKE_HANDOVERS, &[completed]).await;
        fill.templates = fill.number(COUNT_TEMPLATES).await;
        assert!(fill.templates > 0, "no handover is complete");
        fill.run(TAKE_ENTRIES, &[]).await;
        fill.run(TAKE_OUTCOMES, &[fill.templates]).await;
        fill.run(TAKE_ITEMS, &[fill.templates]).await;
        fill
    }

    /// Copies until the log has so many entries.
    pub(crate) async fn until(&mut self, entries: i64) {
        let mut present = self.entries().await;
        // Learned from the first copies.
        let mut each = 8;
        while present < entries {
            let copies = ((entries - present) / each + 1).min(ROUND);
            let added = self.round(copies).await;
            assert!(added > 0, "nothing was copied");
            each = (added / copies).max(1);
            present += added;
        }
        self.run(SETTLE, &[]).await;
        drop(self.attempt(WRITE_OUT, &[]).await);
    }

    /// Adds so many handovers; gives how many entries came with them.
    async fn round(&mut self, copies: i64) -> i64 {
        let end = self.next + copies;
        let make = [
            self.next,
            end,
            self.templates,
            self.begin_millis,
            APART_MILLIS,
        ];
        self.run(MAKE, &make).await;
        self.run(COPY_SUBJECTS, &[]).await;
        self.run(COPY_HANDOVERS, &[]).await;
        let entries = self.run(COPY_ENTRIES, &[]).await;
        for text in [COPY_OUTCOMES, COPY_ITEMS, RAISE_HEADS, FORGET] {
            self.run(text, &[]).await;
        }
        self.next = end;
        i64::try_from(entries).expect("a number of rows")
    }

    pub(crate) async fn entries(&mut self) -> i64 {
        self.number(COUNT_ENTRIES).await
    }

    /// Octets on disk.
    pub(crate) async fn bytes(&mut self) -> i64 {
        self.number(MEASURE).await
    }

    pub(crate) async fn close(self) {
        self.beside.close().await;
    }

    async fn number(&mut self, text: Text) -> i64 {
        let text = text.of(&self.beside);
        self.beside.number(text).await
    }

    /// Runs a statement; gives how many rows it changed.
    async fn run(&mut self, text: Text, numbers: &[i64]) -> u64 {
        let sql = text.of(&self.beside);
        let done = self.attempt(text, numbers).await;
        done.unwrap_or_else(|error| panic!("{error}: {sql}"))
    }

    async fn attempt(&mut self, text: Text, numbers: &[i64]) -> Result<u64, sqlx::Error> {
        let sql = text.of(&self.beside);
        match &mut self.beside {
            Beside::Sqlite(connection) => {
                let query = numbers
                    .iter()
                    .fold(sqlx::query(sql), |query, n| query.bind(*n));
                let done = query.execute(connection).await;
                done.map(|done| done.rows_affected())
            }
            Beside::Postgres(connection) => {
                let query = numbers
                    .iter()
                    .fold(sqlx::query(sql), |query, n| query.bind(*n));
                let done = query.execute(connection).await;
                done.map(|done| done.rows_affected())
            }
        }
    }
}

impl Text {
    const fn of(self, beside: &Beside) -> &'static str {
        match beside {
            Beside::Sqlite(_) => self.sqlite,
            Beside::Postgres(_) => self.postgres,
        }
    }
}
