//! The webhook's certificates and when which of them is renewed. In: the present ones, the time, whether the API server
//! trusts the newest authority. Out: the next [`Step`], new certificates. Pure but for the random keys. No cluster.
//!
//! Nobody may be refused while they change, so the authority changes in three steps with a pause between them: the new one
//! is trusted beside the old one; the server's certificate is signed by the new one; the old one is trusted no more.

use std::time::Duration;

use jiff::Timestamp;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer,
    KeyPair, KeyUsagePurpose, PKCS_ECDSA_P256_SHA256,
};
use serde::{Deserialize, Serialize};

use crate::plan::short_hash;

/// Certificates are valid from this long before they are made, for clocks that are behind.
const BACKDATED: Duration = Duration::from_secs(3600);

/// How long certificates live and how long the steps between them take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timing {
    /// Life of an authority. It is followed by the next one after two thirds of it.
    pub authority: Duration,
    /// Life of the server's certificate. It is followed by the next one after two thirds of it.
    pub leaf: Duration,
    /// How long after a step everybody has seen it: several times `poll`.
    pub settle: Duration,
    /// How often each replica looks at what is stored.
    pub poll: Duration,
}

impl Default for Timing {
    fn default() -> Self {
        let day = Duration::from_secs(24 * 3600);
        Self {
            authority: day * 365,
            leaf: day * 30,
            settle: Duration::from_secs(60),
            poll: Duration::from_secs(10),
        }
    }
}

/// A private key as PEM. It is never printed.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Key(String);

impl std::fmt::Debug for Key {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str("Key")
    }
}

/// What is stored: the authorities that are trusted, oldest first, and the server's certificate.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Certificates {
    /// One, or two while one follows the other.
    pub authorities: Vec<Authority>,
    /// What the server shows.
    pub leaf: Leaf,
}

/// A certificate that signs the server's.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Authority {
    /// The certificate, PEM.
    pub certificate: String,
    /// Its key.
    pub key: Key,
    /// Its name among the authorities.
    pub name: String,
    /// When it was made.
    pub made: Timestamp,
    /// When it ends.
    pub expires: Timestamp,
    /// Since when the API server is told to trust it.
    pub published: Option<Timestamp>,
}

/// The server's certificate.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Leaf {
    /// The certificate, PEM.
    pub certificate: String,
    /// Its key.
    pub key: Key,
    /// The name of the authority that signed it.
    pub signed_by: String,
    /// When it was made.
    pub made: Timestamp,
    /// When it ends.
    pub expires: Timestamp,
}

/// What is to be done next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Nothing.
    Rest,
    /// Everything anew, at once: there is nothing that works.
    Anew,
    /// A new authority beside the old one.
    AddAuthority,
    /// The API server trusts the newest authority: the pause begins.
    NotePublished,
    /// A new certificate of the server, by the authority with this index.
    Sign(usize),
    /// The old authority goes.
    DropOldest,
}

/// Why a certificate cannot be made or used.
#[derive(Debug, thiserror::Error)]
pub enum CertificateError {
    /// The library refuses.
    #[error("cannot make a certificate: {0}")]
    Make(#[from] rcgen::Error),
    /// A time is out of range.
    #[error("a certificate's time is out of range: {0}")]
    Time(String),
    /// The stored certificate or key is not one.
    #[error("the stored certificate cannot be used: {0}")]
    Unusable(String),
}

/// The next step. `published`: the API server is told to trust the newest authority wherever it is told of the webhook.
#[must_use]
pub fn next(present: Option<&Certificates>, now: Timestamp, timing: &Timing, published: bool) -> Step {
    let Some(Certificates { authorities, leaf }) = present else { return Step::Anew };
    let signer = authorities.iter().position(|authority| authority.name == leaf.signed_by);
    let (Some(newest), Some(signer)) = (authorities.last(), signer) else { return Step::Anew };
    let settled = |since: Timestamp| now >= after(since, timing.settle);
    if newest.name != leaf.signed_by {
        match newest.published {
            None if published => return Step::NotePublished,
            Some(since) if settled(since) => return Step::Sign(authorities.len() - 1),
            _ => {}
        }
    } else if authorities.len() > 1 && settled(leaf.made) {
        return Step::DropOldest;
    } else if authorities.len() == 1 && now < newest.expires && due(now, newest.made, newest.expires) {
        return Step::AddAuthority;
    }
    if !due(now, leaf.made, leaf.expires) {
        Step::Rest
    } else if now < authorities[signer].expires {
        Step::Sign(signer)
    } else {
        // Nothing works any more, so nothing is lost.
        Step::Anew
    }
}

/// Two thirds of its life are over.
fn due(now: Timestamp, made: Timestamp, expires: Timestamp) -> bool {
    let life = expires.duration_since(made).unsigned_abs();
    now >= after(made, life * 2 / 3)
}

fn after(time: Timestamp, wait: Duration) -> Timestamp {
    time.saturating_add(wait).unwrap_or(Timestamp::MAX)
}

impl Certificates {
    /// Everything anew: an authority and the certificate of a server that has these names.
    ///
    /// # Errors
    /// When the library refuses.
    pub fn create(names: &[String], now: Timestamp, timing: &Timing) -> Result<Self, CertificateError> {
        let authority = Authority::create(now, timing)?;
        let leaf = authority.sign(names, now, timing)?;
        Ok(Self { authorities: vec![authority], leaf })
    }

    /// Takes a step.
    ///
    /// # Errors
    /// When the library refuses.
    pub fn take(
        mut self,
        step: Step,
        names: &[String],
        now: Timestamp,
        timing: &Timing,
    ) -> Result<Self, CertificateError> {
        match step {
            Step::Rest => {}
            Step::Anew => return Self::create(names, now, timing),
            Step::AddAuthority => self.authorities.push(Authority::create(now, timing)?),
            Step::NotePublished => {
                if let Some(newest) = self.authorities.last_mut() {
                    newest.published = Some(now);
                }
            }
            Step::Sign(index) => {
                if let Some(authority) = self.authorities.get(index) {
                    self.leaf = authority.sign(names, now, timing)?;
                }
            }
            Step::DropOldest => {
                self.authorities.remove(0);
            }
        }
        Ok(self)
    }

    /// The certificates that the API server shall trust, PEM.
    #[must_use]
    pub fn bundle(&self) -> String {
        self.authorities.iter().map(|authority| authority.certificate.as_str()).collect()
    }

    /// The stored text, which holds the keys.
    ///
    /// # Errors
    /// Never: nothing in it refuses to be written.
    pub fn to_bytes(&self) -> Result<Vec<u8>, serde_json::Error> {
        serde_json::to_vec(self)
    }

    /// Reads the stored text and looks whether every key in it can be used.
    ///
    /// # Errors
    /// When it is none, or a key does not fit. The error has no part of the text.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, CertificateError> {
        // serde_json's own message may quote the text, and the text is a key.
        let read: Self = serde_json::from_slice(bytes).map_err(|error| {
            CertificateError::Unusable(format!("not the expected text, line {}", error.line()))
        })?;
        for key in read.authorities.iter().map(|authority| &authority.key).chain([&read.leaf.key]) {
            KeyPair::from_pem(&key.0).map_err(|error| CertificateError::Unusable(error.to_string()))?;
        }
        Ok(read)
    }
}

impl Authority {
    fn create(now: Timestamp, timing: &Timing) -> Result<Self, CertificateError> {
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
        let name = format!("telemetry-operator webhook {}", short_hash(key.public_key_raw()));
        let expires = after(now, timing.authority);
        let certificate = authority_params(&name, now, expires)?.self_signed(&key)?;
        let key = Key(key.serialize_pem());
        Ok(Self { certificate: certificate.pem(), key, name, made: now, expires, published: None })
    }

    /// A certificate for a server that has these names. It ends with the authority at the latest.
    fn sign(&self, names: &[String], now: Timestamp, timing: &Timing) -> Result<Leaf, CertificateError> {
        let issuer = Issuer::new(
            authority_params(&self.name, self.made, self.expires)?,
            KeyPair::from_pem(&self.key.0)?,
        );
        let expires = after(now, timing.leaf).min(self.expires);
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
        let mut params = CertificateParams::new(names.to_vec())?;
        // A common name holds 64 characters; the names that count are the alternative ones.
        params.distinguished_name = named("telemetry-operator webhook");
        params.not_before = time(now, BACKDATED)?;
        params.not_after = time(expires, Duration::ZERO)?;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.use_authority_key_identifier_extension = true;
        let certificate = params.signed_by(&key, &issuer)?.pem();
        let signed_by = self.name.clone();
        Ok(Leaf { certificate, key: Key(key.serialize_pem()), signed_by, made: now, expires })
    }
}

impl Leaf {
    /// The certificate and its key as the TLS library takes them.
    ///
    /// # Errors
    /// When they are not what they should be, or do not belong together.
    pub fn certified_key(&self) -> Result<rustls::sign::CertifiedKey, CertificateError> {
        use rustls::pki_types::pem::PemObject;
        use rustls::pki_types::{CertificateDer, PrivateKeyDer};
        let unusable = |error: &dyn std::fmt::Display| CertificateError::Unusable(error.to_string());
        let chain = CertificateDer::pem_slice_iter(self.certificate.as_bytes())
            .collect::<Result<Vec<_>, _>>()
            .map_err(|error| unusable(&error))?;
        let key = PrivateKeyDer::from_pem_slice(self.key.0.as_bytes()).map_err(|error| unusable(&error))?;
        let provider = rustls::crypto::ring::default_provider();
        rustls::sign::CertifiedKey::from_der(chain, key, &provider).map_err(|error| unusable(&error))
    }
}

fn authority_params(
    name: &str,
    made: Timestamp,
    expires: Timestamp,
) -> Result<CertificateParams, CertificateError> {
    let mut params = CertificateParams::new(Vec::new())?;
    params.distinguished_name = named(name);
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    params.not_before = time(made, BACKDATED)?;
    params.not_after = time(expires, Duration::ZERO)?;
    Ok(params)
}

fn named(name: &str) -> DistinguishedName {
    let mut distinguished = DistinguishedName::new();
    distinguished.push(DnType::CommonName, name);
    distinguished
}

fn time(time: Timestamp, before: Duration) -> Result<time::OffsetDateTime, CertificateError> {
    let wrong = |error: &dyn std::fmt::Display| CertificateError::Time(error.to_string());
    let time = time.saturating_sub(before).map_err(|error| wrong(&error))?;
    time::OffsetDateTime::from_unix_timestamp(time.as_second()).map_err(|error| wrong(&error))
}

#[cfg(test)]
mod tests;
