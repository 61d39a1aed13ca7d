use super::*;

const HOUR: u64 = 3600;
const DAY: u64 = 24 * HOUR;

fn names() -> Vec<String> {
    vec!["hook.ns.svc".to_owned()]
}

fn start() -> Timestamp {
    "2026-01-01T00:00:00Z".parse().unwrap()
}

fn at(seconds: u64) -> Timestamp {
    after(start(), Duration::from_secs(seconds))
}

/// Takes every step that is due at `now`, with an API server that trusts what it is told to.
fn settle(mut present: Certificates, now: Timestamp, published: bool) -> (Certificates, Vec<Step>) {
    let timing = Timing::default();
    let mut steps = Vec::new();
    loop {
        match next(Some(&present), now, &timing, published) {
            Step::Rest => return (present, steps),
            step => {
                assert!(steps.len() < 5, "no end: {steps:?}");
                steps.push(step);
                present = present.take(step, &names(), now, &timing).unwrap();
            }
        }
    }
}

/// The certificates of an operator that has looked every ten days until then.
fn kept_until(day: u64) -> Certificates {
    (0..day).step_by(10).fold(made(), |present, day| settle(present, at(day * DAY), true).0)
}

fn made() -> Certificates {
    Certificates::create(&names(), start(), &Timing::default()).unwrap()
}

/// What a client that trusts `bundle` says of the leaf at `now`.
fn verify(bundle: &str, leaf: &Leaf, name: &str, now: Timestamp) -> Result<(), rustls::Error> {
    use rustls::client::WebPkiServerVerifier;
    use rustls::client::danger::ServerCertVerifier;
    use rustls::pki_types::pem::PemObject;
    use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
    let mut roots = rustls::RootCertStore::empty();
    for root in CertificateDer::pem_slice_iter(bundle.as_bytes()) {
        roots.add(root.unwrap()).unwrap();
    }
    let provider = std::sync::Arc::new(rustls::crypto::ring::default_provider());
    let verifier = WebPkiServerVerifier::builder_with_provider(roots.into(), provider).build().unwrap();
    let shown = leaf.certified_key().unwrap();
    let now = UnixTime::since_unix_epoch(Duration::from_secs(now.as_second().unsigned_abs()));
    let name = ServerName::try_from(name.to_owned()).unwrap();
    verifier.verify_server_cert(shown.end_entity_cert().unwrap(), &[], &name, &[], now).map(|_| ())
}

#[test]
fn nothing_becomes_everything_and_then_rests() {
    let timing = Timing::default();
    assert_eq!(next(None, start(), &timing, false), Step::Anew);
    let made = made();
    assert_eq!(settle(made.clone(), at(60), true).1, []);
    assert_eq!(settle(made.clone(), at(DAY), false).1, []);
    verify(&made.bundle(), &made.leaf, "hook.ns.svc", start()).unwrap();
    // A clock that is behind.
    verify(&made.bundle(), &made.leaf, "hook.ns.svc", start() - Duration::from_secs(3000)).unwrap();
    assert!(verify(&made.bundle(), &made.leaf, "other.ns.svc", start()).is_err());
    assert!(verify(&made.bundle(), &made.leaf, "hook.ns.svc", at(31 * DAY)).is_err());
}

#[test]
fn the_leaf_is_renewed_after_two_thirds_of_its_life() {
    let made = made();
    assert_eq!(settle(made.clone(), at(20 * DAY - 1), true).1, []);
    let (renewed, steps) = settle(made.clone(), at(20 * DAY), true);
    assert_eq!(steps, [Step::Sign(0)]);
    assert_ne!(renewed.leaf.certificate, made.leaf.certificate);
    assert_eq!(renewed.authorities, made.authorities);
    verify(&made.bundle(), &renewed.leaf, "hook.ns.svc", at(49 * DAY)).unwrap();
}

/// The certificate that is shown is trusted at every moment by whoever knows the bundle of before or after.
#[test]
fn an_authority_is_followed_without_a_moment_of_mistrust() {
    let mut present = kept_until(243);
    let (mut now, mut steps) = (244 * DAY, Vec::new());
    let mut known = present.bundle();
    while present.authorities.len() > 1 || steps.is_empty() {
        let (next, taken) = settle(present.clone(), at(now), known == present.bundle());
        for (bundle, leaf) in
            [(&known, &next.leaf), (&next.bundle(), &next.leaf), (&next.bundle(), &present.leaf)]
        {
            verify(bundle, leaf, "hook.ns.svc", at(now)).unwrap_or_else(|error| panic!("{taken:?}: {error}"));
        }
        steps.extend(taken);
        (known, present) = (next.bundle(), next);
        now += 10;
        assert!(now < 245 * DAY, "{steps:?}");
    }
    assert_eq!(steps, [Step::AddAuthority, Step::NotePublished, Step::Sign(1), Step::DropOldest]);
    assert_eq!(present.leaf.signed_by, present.authorities[0].name);
}

#[test]
fn an_authority_that_nobody_trusts_yet_signs_nothing() {
    let (present, steps) = settle(kept_until(243), at(244 * DAY), false);
    assert_eq!(steps, [Step::AddAuthority]);
    let (renewed, steps) = settle(present, at(264 * DAY), false);
    assert_eq!(steps, [Step::Sign(0)], "the old authority goes on");
    assert_eq!(renewed.authorities.len(), 2);
    // Until it ends: then there is nothing to lose.
    assert_eq!(settle(renewed, at(365 * DAY), false).1, [Step::Anew]);
}

#[test]
fn an_operator_that_was_away_for_long_signs_with_the_authority_that_is_trusted() {
    let (present, steps) = settle(made(), at(100 * DAY), true);
    assert_eq!(steps, [Step::Sign(0)]);
    verify(&present.bundle(), &present.leaf, "hook.ns.svc", at(100 * DAY)).unwrap();
}

#[test]
fn a_leaf_never_outlives_its_authority() {
    let (present, _) = settle(kept_until(243), at(350 * DAY), false);
    assert_eq!(present.leaf.expires, present.authorities[0].expires);
}

#[test]
fn what_is_not_ours_is_made_anew() {
    let mut foreign = made();
    foreign.leaf.signed_by = "somebody".to_owned();
    assert_eq!(next(Some(&foreign), start(), &Timing::default(), true), Step::Anew);
    foreign.authorities.clear();
    assert_eq!(next(Some(&foreign), start(), &Timing::default(), true), Step::Anew);
}

#[test]
fn the_stored_text_comes_back_and_no_key_is_printed() {
    let made = made();
    let bytes = made.to_bytes().unwrap();
    assert_eq!(Certificates::from_bytes(&bytes).unwrap(), made);
    assert!(!format!("{made:?}").contains("PRIVATE"), "{made:?}");
    for length in (0..bytes.len()).step_by(7) {
        let error = Certificates::from_bytes(&bytes[..length]).unwrap_err().to_string();
        assert!(error.len() < 120, "it quotes the text: {error}");
    }
    let text = String::from_utf8(bytes).unwrap();
    let broken = text.replacen("-----BEGIN PRIVATE KEY-----\\nM", "-----BEGIN PRIVATE KEY-----\\nN", 1);
    assert_ne!(broken, text);
    assert!(Certificates::from_bytes(broken.as_bytes()).is_err());
}

#[test]
fn a_key_of_another_certificate_is_unusable() {
    let mut mixed = made();
    mixed.leaf.key = made().leaf.key;
    assert!(mixed.leaf.certified_key().is_err());
}
