//! The secrets of one control plane. In: a directory. Out: files in it that the API server and the controller manager read.
//! Does not talk to the cluster.

use std::fs::File;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Result, anyhow};
use pem::Pem;
use ring::rand::{SecureRandom, SystemRandom};
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair};

/// What stands before the point of a P-256 public key in its standard form (SubjectPublicKeyInfo).
const P256_PUBLIC_KEY_HEADER: [u8; 26] = [
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86,
    0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
];

/// The name under which a node registers.
pub(crate) const NODE: &str = "node";

/// Files for the API server's flags, and the bearer tokens in them.
pub(crate) struct Credentials {
    pub tokens: PathBuf,
    pub signing_key: PathBuf,
    pub public_key: PathBuf,
    pub admin: String,
    pub controller_manager: String,
    pub scheduler: String,
    pub kubelet: String,
    pub kube_proxy: String,
}

impl Credentials {
    /// Makes new secrets and writes their files.
    pub(crate) fn create(directory: &Path) -> Result<Credentials> {
        let random = SystemRandom::new();
        let failed = |_| anyhow!("cannot make a service account key");
        let private =
            EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random).map_err(failed)?;
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, private.as_ref(), &random)
            .map_err(|error| anyhow!("cannot read the new service account key: {error}"))?;
        let public = [P256_PUBLIC_KEY_HEADER.as_slice(), pair.public_key().as_ref()].concat();

        let (admin, controller_manager) = (token(&random)?, token(&random)?);
        let (scheduler, kubelet, kube_proxy) = (token(&random)?, token(&random)?, token(&random)?);
        let tokens = format!(
            "{admin},admin,admin,system:masters\n\
             {controller_manager},system:kube-controller-manager,controller-manager,system:masters\n\
             {scheduler},system:kube-scheduler,scheduler\n\
             {kubelet},system:node:{NODE},kubelet,system:nodes\n\
             {kube_proxy},system:kube-proxy,kube-proxy\n"
        );
        let write = |name: &str, content: &str| write_secret(&directory.join(name), content);
        Ok(Credentials {
            tokens: write("tokens.csv", &tokens)?,
            signing_key: write(
                "service-account.key",
                &pem::encode(&Pem::new("PRIVATE KEY", private.as_ref())),
            )?,
            public_key: write("service-account.pub", &pem::encode(&Pem::new("PUBLIC KEY", public)))?,
            admin,
            controller_manager,
            scheduler,
            kubelet,
            kube_proxy,
        })
    }
}

fn token(random: &SystemRandom) -> Result<String> {
    let mut bytes = [0; 24];
    random.fill(&mut bytes).map_err(|_| anyhow!("the system has no random numbers"))?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

/// Writes a new file that only this user can read.
pub(crate) fn write_secret(path: &Path, content: &str) -> Result<PathBuf> {
    let mut file = File::options().create(true).truncate(true).write(true).mode(0o600).open(path)?;
    file.write_all(content.as_bytes())?;
    Ok(path.to_owned())
}
