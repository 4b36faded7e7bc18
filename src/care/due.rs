//! When a certificate is ordered: none is there, or it is past two thirds of its life, and the last refusal is long enough ago.

use std::time::Duration;

use crate::model::Stamp;
use crate::store::{CertificateOrder, StoredCertificate};

/// The owner of a new domain often tells DNS about it a moment after he told us: the first retry does not wait for an hour.
const SOON: Duration = Duration::from_mins(5);
const FIRST_PAUSE: Duration = Duration::from_hours(1);
const LONGEST_PAUSE: Duration = Duration::from_hours(24);

/// Of a domain that failed before, up to this part more is waited, so that many do not come at once.
const JITTER_PERCENT: u32 = 20;

/// Tells whether it is time to order one for a domain, by the clock on the wall.
pub(super) fn is_due(certificate: Option<&StoredCertificate>, order: Option<&CertificateOrder>, renew_after: Option<Duration>) -> bool {
    let is_wanted = certificate.is_none_or(|certificate| renewal(certificate, renew_after) <= Stamp::now());
    is_wanted && order.and_then(|order| order.next_at).is_none_or(is_reached)
}

/// A moment farther ahead than any pause was noted by a clock that has been set back since.
fn is_reached(next_at: Stamp) -> bool {
    let ahead = next_at.ahead();
    ahead.is_zero() || ahead > LONGEST_PAUSE + LONGEST_PAUSE * JITTER_PERCENT / 100
}

/// Returns when a certificate is renewed: a third of its life before its end, or at the age of the settings.
fn renewal(certificate: &StoredCertificate, renew_after: Option<Duration>) -> Stamp {
    let (from, to) = (certificate.not_before.as_millis(), certificate.not_after.as_millis());
    let at = match renew_after {
        Some(age) => certificate.added_at.as_millis().saturating_add(i64::try_from(age.as_millis()).unwrap_or(i64::MAX)),
        None => to.saturating_sub(to.saturating_sub(from) / 3),
    };
    Stamp::from_millis(at)
}

/// Returns how long a certificate that has just been issued is left alone, whatever the clock on the wall says meanwhile.
pub(super) fn rest(certificate: &StoredCertificate, renew_after: Option<Duration>) -> Duration {
    let life = certificate.not_after.as_millis().saturating_sub(certificate.not_before.as_millis());
    let life = Duration::from_millis(u64::try_from(life).unwrap_or(0));
    renew_after.unwrap_or(life / 3).min(life / 3)
}

/// Returns how long to wait after the `failures`th failure in a row: 1 h, 2 h, 4 h … 24 h, and some more by chance.
///
/// A domain that never had a certificate is tried again after five minutes once.
pub(super) fn pause(failures: u32, has_certificate: bool) -> Duration {
    let doublings = match (failures.saturating_sub(1), has_certificate) {
        (0, false) => return jittered(SOON),
        (before, false) => before - 1,
        (before, true) => before,
    };
    jittered(FIRST_PAUSE.saturating_mul(1 << doublings.min(5)).min(LONGEST_PAUSE))
}

fn jittered(pause: Duration) -> Duration {
    let mut byte = [0];
    // Without random bytes everybody comes at once, which is no harm worth failing for.
    let _ = aws_lc_rs::rand::fill(&mut byte);
    pause + pause * JITTER_PERCENT * u32::from(byte[0]) / (100 * u32::from(u8::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{AppId, CertificateSource, Secret};

    const HOUR: Duration = Duration::from_hours(1);
    const DAY: Duration = Duration::from_hours(24);

    fn ago(time: Duration) -> Stamp {
        Stamp::from_millis(Stamp::now().as_millis() - i64::try_from(time.as_millis()).unwrap())
    }

    fn certificate(age: Duration, life: Duration) -> StoredCertificate {
        StoredCertificate {
            domain: "example.com".parse().unwrap(),
            app: AppId::random(),
            source: CertificateSource::Auto,
            chain_pem: String::new(),
            key_pem: Secret::new(String::new()),
            not_before: ago(age),
            not_after: Stamp::from_millis(ago(age).as_millis() + i64::try_from(life.as_millis()).unwrap()),
            added_at: ago(age),
        }
    }

    fn refused(next_at: Option<Stamp>) -> CertificateOrder {
        CertificateOrder { domain: "example.com".parse().unwrap(), app: AppId::random(), failures: 1, next_at, last_error: None }
    }

    #[test]
    fn a_certificate_is_due_when_there_is_none_or_two_thirds_of_its_life_are_over() {
        let due = |age, life, renew_after| is_due(Some(&certificate(age, life)), None, renew_after);

        assert!(is_due(None, None, None));
        assert!(!due(59 * DAY, 90 * DAY, None) && due(61 * DAY, 90 * DAY, None) && due(91 * DAY, 90 * DAY, None));
        assert!(!due(3 * DAY, 6 * DAY, None) && due(5 * DAY, 6 * DAY, None), "short-lived ones too");
        assert!(due(2 * HOUR, 90 * DAY, Some(HOUR)) && !due(HOUR / 2, 90 * DAY, Some(HOUR)));
        assert_eq!(rest(&certificate(HOUR, 90 * DAY), None), 30 * DAY);
        assert_eq!(rest(&certificate(HOUR, 90 * DAY), Some(HOUR)), HOUR);
    }

    #[test]
    fn a_refusal_is_waited_out_and_a_clock_that_was_set_back_does_not_prolong_it() {
        let due = |next_at| is_due(None, Some(&refused(next_at)), None);

        assert!(!due(Some(Stamp::after(HOUR))) && !due(Some(Stamp::after(27 * HOUR))));
        assert!(due(Some(ago(HOUR))) && due(None) && due(Some(Stamp::after(400 * DAY))));
        let (fresh, over) = (certificate(HOUR, 90 * DAY), refused(Some(ago(HOUR))));
        assert!(!is_due(Some(&fresh), Some(&over), None));
    }

    #[test]
    fn pauses_double_to_a_day_and_a_new_domain_gets_one_that_is_short() {
        let between = |pause: Duration, least: Duration| pause >= least && pause <= least * 6 / 5;

        for (failures, least) in [(1, HOUR), (2, 2 * HOUR), (3, 4 * HOUR), (5, 16 * HOUR), (6, DAY), (u32::MAX, DAY)] {
            assert!(between(pause(failures, true), least), "{failures}");
        }
        for (failures, least) in [(1, SOON), (2, HOUR), (3, 2 * HOUR), (u32::MAX, DAY)] {
            assert!(between(pause(failures, false), least), "{failures}");
        }
    }
}
