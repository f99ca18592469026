//! Every bound of the system, by name. Each is enforced before work is done and
//! refuses with a reason of its own.
//!
//! Must never hold a limit that nothing enforces.

/// One minute in milliseconds.
pub const MINUTE_MILLIS: i64 = 60_000;
/// One hour in milliseconds.
pub const HOUR_MILLIS: i64 = 60 * MINUTE_MILLIS;
/// One day in milliseconds.
pub const DAY_MILLIS: i64 = 24 * HOUR_MILLIS;

/// Largest gRPC message, in bytes, either way.
pub const MESSAGE_BYTES_MAX: usize = 1024 * 1024;
/// Largest sealed dossier (all sealed fields together), in bytes.
pub const DOSSIER_BYTES_MAX: usize = 768 * 1024;
/// Most labels in one manifest.
pub const MANIFEST_LABELS_MAX: usize = 64;
/// Largest value of one field before sealing, in bytes.
pub const FIELD_BYTES_MAX: usize = 64 * 1024;
/// Sealed fields are padded up to a multiple of this many bytes, so that sizes tell little.
pub const FIELD_PADDING_BYTES: usize = 256;
/// Most key holders in a directory: each adds its voucher to every answer about a conversion.
pub const HOLDERS_MAX: usize = 8;
/// Most parts of a directory: one for each labour-market region of the country, and as many again.
pub const DIRECTORY_PARTS_MAX: usize = 128;
/// Largest part of a directory, in bytes: it fits in a message beside the head.
pub const DIRECTORY_PART_BYTES_MAX: usize = 640 * 1024;
/// Largest head of a directory in parts, in bytes.
pub const DIRECTORY_HEAD_BYTES_MAX: usize = 256 * 1024;
/// Largest directory, all its parts together, in bytes: half as much again as the whole country's, and less than one
/// record of a partner's store.
pub const DIRECTORY_BYTES_MAX: usize = 14 * 1024 * 1024;
/// How long after it was issued a directory may end, at most, in days: a year, and room to renew it.
pub const DIRECTORY_DAYS_MAX: i64 = 400;
/// How long before the end of a directory its people are told to have a new one signed, in milliseconds: seven days.
pub const DIRECTORY_END_MILLIS_WARNING: i64 = 7 * DAY_MILLIS;
/// What a message about directories holds beside head and parts, in bytes: signatures, digests, lengths.
pub const DIRECTORY_REST_BYTES_MAX: usize = 32 * 1024;
/// Most controllers whose signatures come with a directory or a policy set.
pub const CONTROLLERS_MAX: usize = 16;
/// Most checks of the number in one dossier: one, and repeats after a fault. More would be trying numbers.
pub const PERSON_CHECKS_MAX: u32 = 8;
/// Most wrong fields that are told of one request.
pub const VIOLATIONS_MAX: usize = 20;
/// Most items in one batch (enrolment).
pub const BATCH_ITEMS_MAX: usize = 1_000;
/// Rows in a page when the caller names no number.
pub const PAGE_ROWS_DEFAULT: u32 = 100;
/// Most rows in a page; a larger wish is lowered, not refused.
pub const PAGE_ROWS_MAX: u32 = 1_000;
/// Longest time the server works on one call, in milliseconds.
pub const DEADLINE_MILLIS_MAX: i64 = 30_000;
/// Longest validity of an order, in milliseconds.
pub const ORDER_WINDOW_MILLIS_MAX: i64 = 5 * MINUTE_MILLIS;
/// How far an order's start may lie ahead of a holder's clock, in milliseconds.
pub const CLOCK_SKEW_MILLIS_MAX: i64 = 30_000;
/// By how much the wall clock and the count of time may come apart before it is a jump, in milliseconds.
pub const CLOCK_STEP_MILLIS_MAX: i64 = 1_000;
/// How long a wall clock that jumped must go as time does until it is gone by again, in milliseconds.
pub const CLOCK_SETTLE_MILLIS: i64 = 3_000;
/// Oldest PREPARE voucher on which a HANDOVER order may rest: longer than any handover can stay open
/// without an objection (24 h + 5 and 2 working days + 14 days), in milliseconds.
pub const PARENT_VOUCHER_MILLIS_MAX: i64 = 60 * DAY_MILLIS;
/// Age at which a watch stream is ended so that revocation and load balancing get a grip, in milliseconds.
pub const WATCH_STREAM_MILLIS_MAX: i64 = 30 * MINUTE_MILLIS;
/// How long a stored outcome answers repeats of a request id, in milliseconds.
pub const REQUEST_OUTCOME_MILLIS: i64 = 24 * HOUR_MILLIS;
/// Open handovers of one person in one relation; the operator may set another number.
pub const OPEN_HANDOVERS_MAX: u32 = 20;
/// Questions for consent to one person in one relation within [`QUESTION_MILLIS`]; the operator may set another number.
pub const QUESTIONS_MAX: u32 = 5;
/// Lines to one person and to inboxes that one sender may cause in one relation on one day, stops and answers aside;
/// the operator may set another number. A handover that goes all the way causes about fifteen.
pub const LINES_PER_DAY: u32 = 300;
/// Quota of ENROL orders per issuing organisation and day.
pub const QUOTA_ENROL_PER_DAY: u32 = 10_000;
/// Quota of PREPARE, UNBOUND and ASSIST orders together, per issuing organisation and day.
pub const QUOTA_PREPARE_PER_DAY: u32 = 2_000;
/// Quota of HANDOVER orders per issuing organisation and day.
pub const QUOTA_HANDOVER_PER_DAY: u32 = 2_000;
/// Quota of CHECK orders per issuing organisation and day: as many as dossiers can be released to it by one sender.
pub const QUOTA_CHECK_PER_DAY: u32 = 2_000;
/// Quota of MISMATCH orders per issuing organisation and day.
pub const QUOTA_MISMATCH_PER_DAY: u32 = 100;
/// Quota of the portal's LOGIN, LINK and CONSENT orders together, per day.
pub const QUOTA_PORTAL_PER_DAY: u32 = 10_000;
/// Quota of orders that a holder refuses, per issuing organisation and minute: a whole batch. Beyond it, until the
/// minute is over, nothing of that organisation is heard.
pub const QUOTA_REFUSED_PER_MINUTE: u32 = 1_000;
/// Octets of a holder's memory of orders. The design burst of 200 orders a second leaves 60,000 in a window, twice
/// that is 120,000, and this is room for 131,072.
pub const REPLAY_BYTES_MAX: usize = 256 * 1024 * 1024;
/// Octets that one order takes of it at most: its answer, and its place in two tables.
pub const REPLAY_ORDER_BYTES_MAX: usize = 2 * 1024;
/// Orders that every organisation has room for, whatever all others did: one a second in a window.
pub const REPLAY_ORDERS_SURE: usize = 300;
/// Orders are reserved from the quota durably in blocks of this many.
pub const QUOTA_BLOCK_ORDERS: u32 = 50;
/// How long a question for consent waits before it lapses, in milliseconds: longer than any time to think
/// that the register offers.
pub const QUESTION_MILLIS: i64 = 30 * DAY_MILLIS;
/// Largest part of a log entry as canonical JSON, in bytes (tlog-tiles bundles use 16-bit lengths).
pub const ENTRY_BYTES_MAX: usize = 64 * 1024 - 1;
/// The closed part of a log entry is padded up to a multiple of this many bytes, so that its length tells nothing:
/// room for five policies that decided a uniform refusal.
pub const CLOSED_PADDING_BYTES: usize = 1_536;
/// Rows that one call of a search reads at most, whether or not they fit; the next page goes on from there.
pub const SEARCH_ROWS_MAX: usize = 10_000;
/// Time that one call of a search reads at most, in milliseconds.
pub const SEARCH_MILLIS_MAX: i64 = 500;
/// Rows that one statement of a search reads at most.
pub const SEARCH_STATEMENT_ROWS: usize = 250;
/// Oldest day key; younger ones re-wrap what is still open, in days.
pub const DAY_KEY_DAYS_MAX: i64 = 31;

/// Days that a report of what became of somebody waits for the sender: its own data key stays under the day key of the day
/// on which it was sent, and is gone before that one.
pub const REPORT_DAYS_MAX: i64 = DAY_KEY_DAYS_MAX - 3;
/// How long a report is kept after it was fetched first, for a sender whose answer was lost, in milliseconds.
pub const REPORT_AGAIN_MILLIS: i64 = DAY_MILLIS;

/// Longest consent that a register may have, in days.
pub const CONSENT_DAYS_MAX: u32 = 730;
/// Days that a partner keeps what it stopped, for a gateway that is put back from a backup: as long as a consent that the
/// backup holds can still permit anything, and some days to put it back. An older backup is not put back.
pub const STOPPED_DAYS: i64 = CONSENT_DAYS_MAX as i64 + DAY_KEY_DAYS_MAX + 4;

/// Days after which an item goes from an inbox when its reader has it.
pub const INBOX_READ_DAYS: i64 = 30;
/// Days after which it goes though nobody came for it: the lists of handovers and notices tell the same.
pub const INBOX_DAYS_MAX: i64 = 90;
/// Days after which the portal forgets a line: as long as the log keeps its entry. One term for all, because the
/// portal's rows do not say for which purpose a line is.
pub const PORTAL_LINE_DAYS: i64 = 1_826;

/// Copies that a portal may keep at the broker, for the day on which it is put back from a backup: some blocks and
/// stops of each candidate of the country.
pub const PORTAL_COPIES_MAX: i64 = 200_000;
/// Copies have a whole number of times so many bytes, so that sizes tell little.
pub const PORTAL_COPY_STEP_BYTES: usize = 4 * 1024;
/// Largest copy, in bytes.
pub const PORTAL_COPY_BYTES_MAX: usize = 4 * PORTAL_COPY_STEP_BYTES;
/// Copies in one message: with all of them at their largest it stays below [`MESSAGE_BYTES_MAX`].
pub const PORTAL_COPIES_AT_ONCE: usize = 50;
/// Names of copies that are taken away in one message.
pub const PORTAL_COPIES_TAKEN_AT_ONCE: usize = 500;
/// Days that the paper of a stop or a refusal has a copy at the broker: as long as a partner keeps what it stopped.
pub const PORTAL_COPIED_DAYS: i64 = STOPPED_DAYS;
