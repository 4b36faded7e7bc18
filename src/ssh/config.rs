//! The russh configuration. Every line that differs from the defaults was measured (research/sshgit.md §2).

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use russh::keys::{Algorithm, EcdsaCurve, HashAlg};
use russh::server::Config;
use russh::{MethodKind, MethodSet, Preferred, SshId, cipher, compression, kex, mac};

use super::HostKey;
use crate::model::limits::MAX_AUTH_ATTEMPTS;

/// A rejected key costs this long, known or not.
const REJECTION_TIME: Duration = Duration::from_millis(300);
/// An idle client is asked this often whether it is there; four times without an answer ends it.
const KEEPALIVE: Duration = Duration::from_secs(15);
const KEEPALIVES_MISSED: usize = 4;
/// A silent build lives longer than this because keepalives are answered.
const INACTIVITY: Duration = Duration::from_mins(2);
/// Carries 80 MB/s over a link of 100 ms.
const WINDOW_BYTES: u32 = 8 << 20;
/// What every client can take (RFC 4253 §6.1).
const PACKET_BYTES: u32 = 32 << 10;

const KEX: &[kex::Name] = &[
    kex::MLKEM768X25519_SHA256,
    kex::CURVE25519,
    kex::CURVE25519_PRE_RFC_8731,
    kex::EXTENSION_SUPPORT_AS_SERVER,
    // Strict key exchange closes the Terrapin prefix truncation (CVE-2023-48795).
    kex::EXTENSION_OPENSSH_STRICT_KEX_AS_SERVER,
];
const KEYS: &[Algorithm] = &[
    Algorithm::Ed25519,
    Algorithm::Ecdsa { curve: EcdsaCurve::NistP256 },
    Algorithm::Ecdsa { curve: EcdsaCurve::NistP384 },
    Algorithm::Ecdsa { curve: EcdsaCurve::NistP521 },
    Algorithm::SkEd25519,
    Algorithm::SkEcdsaSha2NistP256,
    Algorithm::Rsa { hash: Some(HashAlg::Sha512) },
    Algorithm::Rsa { hash: Some(HashAlg::Sha256) },
];
/// AES-256-GCM costs half of chacha20 where the CPU has AES; a Raspberry Pi 4 has not.
const CIPHERS: &[cipher::Name] = &[cipher::AES_256_GCM, cipher::CHACHA20_POLY1305];
const MACS: &[mac::Name] = &[mac::HMAC_SHA512_ETM, mac::HMAC_SHA256_ETM];

/// Returns the configuration of a server with this host key.
pub(super) fn russh_config(host_key: HostKey) -> Arc<Config> {
    Arc::new(Config {
        server_id: SshId::Standard(Cow::Borrowed("SSH-2.0-mini")),
        methods: MethodSet::from(&[MethodKind::PublicKey][..]),
        keys: vec![host_key.into_private()],
        auth_rejection_time: REJECTION_TIME,
        // Every OpenSSH client probes with "none" first: the default makes each login a second longer.
        auth_rejection_time_initial: Some(Duration::ZERO),
        max_auth_attempts: MAX_AUTH_ATTEMPTS,
        inactivity_timeout: Some(INACTIVITY),
        keepalive_interval: Some(KEEPALIVE),
        keepalive_max: KEEPALIVES_MISSED,
        window_size: WINDOW_BYTES,
        maximum_packet_size: PACKET_BYTES,
        channel_buffer_size: 100,
        event_buffer_size: 64,
        preferred: Preferred {
            kex: Cow::Borrowed(KEX),
            key: Cow::Borrowed(KEYS),
            cipher: Cow::Borrowed(CIPHERS),
            mac: Cow::Borrowed(MACS),
            compression: Cow::Borrowed(&[compression::NONE]),
            ..Preferred::DEFAULT
        },
        nodelay: true,
        ..Config::default()
    })
}
