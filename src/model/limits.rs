//! Every constant that bounds something, in one table. DESIGN and the README quote this page.

use std::time::Duration;

pub const KIB: u64 = 1 << 10;
pub const MIB: u64 = 1 << 20;
pub const GIB: u64 = 1 << 30;

/// RSA below this is factored by the rich (NIST SP 800-57, part 1, table 2).
pub const MIN_RSA_BITS: u32 = 2048;

// What a push may bring.
/// The pack of one push, compressed.
pub const MAX_PACK_BYTES: u64 = 512 * MIB;
/// All files of one tree, inflated.
pub const MAX_TREE_BYTES: u64 = GIB;
/// Files and folders of one tree.
pub const MAX_TREE_ENTRIES: u64 = 100_000;
/// Folders inside each other.
pub const MAX_TREE_DEPTH: usize = 64;
/// One file.
pub const MAX_BLOB_BYTES: u64 = 256 * MIB;
/// Refs of one push.
pub const MAX_PUSH_REFS: usize = 100;
/// `-o` options of one push, and the bytes of each.
pub const MAX_PUSH_OPTIONS: usize = 64;
pub const MAX_PUSH_OPTION_BYTES: usize = 4 << 10;

// How long things may take. The first three are settings.
pub const BUILD_SILENCE: Duration = Duration::from_mins(5);
pub const BUILD_TIME: Duration = Duration::from_mins(15);
pub const READY_DEADLINE: Duration = Duration::from_mins(1);
/// A release is ready when it answers once, and once more after this.
pub const READY_CONFIRM: Duration = Duration::from_millis(250);
pub const DRAIN_DEADLINE: Duration = Duration::from_secs(30);
pub const STOP_GRACE: Duration = Duration::from_secs(30);
/// A client that uploads a source, or a registry that gives an image, is given up after a silence of this.
pub const UPLOAD_SILENCE: Duration = Duration::from_mins(1);
/// An upload waits this long for one of [`UPLOADS_AT_ONCE`] places.
pub const UPLOAD_WAIT: Duration = Duration::from_mins(5);
/// Between the proof of a push and its storing, git and its client have this long: other releases of the app wait.
pub const STORE_DEADLINE: Duration = Duration::from_mins(1);
/// After a client left, git has this long to end by itself.
pub const GIT_EXIT_GRACE: Duration = Duration::from_secs(10);
/// Sessions and requests have this long when the server stops.
pub const SHUTDOWN_GRACE: Duration = Duration::from_secs(5);

// Builds and releases.
/// Uploads that are taken in at once: each is up to [`MAX_TREE_BYTES`] on disk before anything of it is known.
pub const UPLOADS_AT_ONCE: usize = 4;
/// An upload that is not taken in by then has held its place for too long.
pub const UPLOAD_TIME: Duration = Duration::from_mins(15);
/// Calls that one key may have open, over all doors.
pub const OPEN_CALLS: usize = 64;
/// Readers whose past log lines are in memory at once; some 100 MiB each at the worst.
pub const LOG_TAILS_AT_ONCE: usize = 8;
/// A reader who has not taken those by then asked for too many.
pub const LOG_TAIL_TIME: Duration = Duration::from_mins(1);
/// Processes of one app, over all its types; two releases of it and its one-offs fit into its network.
pub const MAX_PROCESSES: u32 = 20;
/// Containers of one release that start at once.
pub const STARTS_AT_ONCE: usize = 4;
/// A release without a web process is live when its processes have run for this.
pub const STAY_TIME: Duration = Duration::from_secs(10);
/// Requests to a release that must end before the next one starts have this long: those that come meanwhile are held.
pub const WAY_DRAIN: Duration = Duration::from_secs(5);
/// So many deaths of a process within this time are a crash loop.
pub const CRASH_LOOP: usize = 5;
pub const CRASH_LOOP_TIME: Duration = Duration::from_mins(10);
pub const BUILDS_AT_ONCE: usize = 1;
/// Distinct images that went live and are kept for `rollback`.
pub const KEPT_IMAGES: usize = 5;
/// Free disk space below which nothing is built or pulled; a setting.
pub const DISK_FLOOR_BYTES: u64 = GIB;
/// The data dir needs no more than this of it: one source and its records.
pub const DATA_FLOOR_BYTES: u64 = 500 * MIB;
/// Images of an app that are kept while disk space is low: what is live and the one before.
pub const KEPT_IMAGES_WHEN_LOW: usize = 2;
/// Releases of an app whose commits are kept in its repository, besides those whose image is kept.
pub const KEPT_COMMITS: usize = 100;
/// Repacking one repository is given up after this; the next day tries again.
pub const REPACK_TIME: Duration = Duration::from_mins(10);
/// A file of `tmp` that is older belongs to nobody: no upload and no build takes so long.
pub const STALE_TMP: Duration = Duration::from_hours(24);

/// What the builder may keep for the next builds; pruned daily.
pub const BUILD_CACHE_BYTES: u64 = 10 * GIB;
/// Output kept of one deploy: its beginning and its end, and what of a build goes into the app's log.
pub const MAX_BUILD_LOG_BYTES: u64 = 10 * MIB;
pub const BUILD_LOG_HEAD_BYTES: u64 = 2 * MIB;
/// Deploys of one app whose output is kept.
pub const KEPT_OUTPUTS: usize = 50;
/// What waits in memory for one listener who reads slowly; of more, the oldest lines are left out.
pub const BACKLOG_BYTES: usize = 4 << 20;
/// One line of build or app output; the rest of it is cut.
pub const MAX_LINE_BYTES: usize = 16 << 10;
/// Log lines shown when a release fails.
pub const FAILURE_LOG_LINES: usize = 50;

// Containers.
/// The engine must answer a call within this; streams are bounded by those who read them.
pub const ENGINE_ANSWER: Duration = Duration::from_secs(30);
/// Whether the engine answers at all is asked with less patience: the start and `status` wait for it.
pub const ENGINE_CHECK: Duration = Duration::from_secs(5);
/// One attempt to reach an app.
pub const PROBE_TIMEOUT: Duration = Duration::from_secs(2);
pub const DEFAULT_PORT: u16 = 5000;
pub const PIDS_LIMIT: i64 = 512;
/// Programs of one app that `run` started and that run at once; an app's network has 61 addresses.
pub const MAX_ONE_OFFS: usize = 20;
/// Container log files kept by the engine's `local` driver.
pub const ENGINE_LOG_SIZE: &str = "10m";
pub const ENGINE_LOG_FILES: &str = "3";
/// Log segments kept per app.
pub const LOG_SEGMENT_BYTES: u64 = 10 * MIB;
pub const LOG_SEGMENTS: usize = 3;
/// Segments of an app's access lines: kept apart, so that a flood of requests takes no other lines away.
pub const ACCESS_SEGMENTS: usize = 2;
/// Log lines that are copied from a container before it is removed.
pub const ARCHIVED_LINES: usize = 10_000;

/// One run of `iptables`, and the wait for another `mini` that changes rules.
pub const FIREWALL_ANSWER: Duration = Duration::from_secs(3);
/// Ports of the machine that one app may reach.
pub const MAX_HOST_PORTS: usize = 32;

// One app.
/// Domains of its owner's own.
pub const MAX_DOMAINS: u32 = 50;
/// Ranges of addresses in one list, and users of basic authentication.
pub const MAX_RANGES: usize = 200;
pub const MAX_USERS: usize = 50;
pub const MAX_CONFIG_VALUE_BYTES: usize = 64 << 10;
pub const MAX_CONFIG_VALUES: usize = 256;
/// What a word may read from its input, such as a key or a value.
pub const MAX_INPUT_BYTES: usize = 256 << 10;

// SSH.
pub const LOGIN_DEADLINE: Duration = Duration::from_secs(20);
pub const LOGINS_PER_ADDRESS: usize = 10;
pub const LOGINS_AT_ONCE: usize = 128;
pub const SSH_CONNECTIONS: usize = 1024;
pub const CHANNELS_PER_CONNECTION: usize = 8;
pub const MAX_AUTH_ATTEMPTS: usize = 6;
/// The longest command line taken over SSH.
pub const MAX_COMMAND_BYTES: usize = 128 << 10;

// API.
/// The longest JSON body; an input that is the body itself is bounded by the word that reads it.
pub const MAX_JSON_BYTES: usize = 1 << 20;
/// Calls open at once; log followers are most of them.
pub const API_CALLS: usize = 512;
/// Wrong API keys that one address may send within this time.
pub const TOKEN_FAILURES: u32 = 20;
pub const TOKEN_FAILURES_TIME: Duration = Duration::from_mins(1);

// Proxy.
/// From the first byte of a request's head to its last.
pub const HEAD_TIMEOUT: Duration = Duration::from_secs(15);
/// From the first byte of a TLS handshake to its last.
pub const TLS_HANDSHAKE: Duration = Duration::from_secs(10);
/// A client's connection between two requests.
pub const KEEP_ALIVE: Duration = Duration::from_mins(1);
pub const FIRST_BYTE_TIMEOUT: Duration = Duration::from_mins(1);
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// A peer that owes body bytes, or does not take ours, is cut after this.
pub const BODY_PROGRESS: Duration = Duration::from_secs(30);
pub const UPSTREAM_IDLE: Duration = Duration::from_secs(30);
/// Requests wait this long while nothing of their app answers for a moment: a restart, a switch that stops first, a crash.
pub const HOLD_TIME: Duration = Duration::from_secs(10);
/// Requests of one app that wait at once; more are told at once to come again.
pub const HELD_REQUESTS: usize = 1000;
/// An upstream that refused a connection is passed over for this long, while others of its release are there.
pub const REFUSED_PAUSE: Duration = Duration::from_secs(1);
/// When all upstreams refuse, each is asked again this often.
pub const REFUSED_RETRY: Duration = Duration::from_millis(100);
/// Connections of one client address at once; of IPv6 the whole /64 is one, as providers hand them out.
pub const CLIENT_CONNECTIONS_PER_ADDRESS: usize = 512;
/// Connections of all clients at once, where the process may have descriptors for as many.
pub const CLIENT_CONNECTIONS: usize = 65_536;
/// Requests under way at once on one HTTP/2 connection (RFC 9113 §5.1.2 advises 100 at least).
pub const HTTP2_STREAMS: u32 = 128;
pub const MAX_HEADERS: usize = 100;
pub const MAX_HEAD_BYTES: usize = 64 << 10;
/// Connections of scrapers at once.
pub const SCRAPERS: usize = 32;
/// Access lines are fetched from a core this long after the first, or once they are this many bytes.
pub const ACCESS_DELAY: Duration = Duration::from_millis(50);
pub const ACCESS_BATCH_BYTES: usize = 256 << 10;
/// Access lines of one core that wait to be fetched; more are counted and left out.
pub const ACCESS_BACKLOG_BYTES: usize = 4 << 20;
/// The longest path in an access line; the rest of it is cut.
pub const ACCESS_PATH_BYTES: usize = 1 << 10;

/// Authorities count orders and failed proofs, and lock out who has too many: at most one order starts in this time.
pub const ORDER_PAUSE: Duration = Duration::from_mins(1);
