//! Builds the repository's `Dockerfile` for real, where no registry is reached: by Debian's buildah, on a base image made of Debian
//! packages, with this machine's Rust and its crates. In: the repository. Out: an OCI archive. Does not talk to the cluster.
//!
//! Layers are kept in the testbed's cache, so that the dependencies are compiled once for each `Cargo.lock`. Everything runs in a
//! mount namespace of its own: no mount is left behind, however it ends.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, anyhow};

use crate::build::{cache_directory, lock, path};
use crate::daemon::output;
use crate::part::Part;

/// What pods call the image.
pub const BUILT_IMAGE: &str = "localhost/telemetry-operator:built";

/// Builds the image with these arguments of the Dockerfile, and writes it to `archive`.
///
/// # Errors
/// When a part is missing and cannot be had, or the build fails: with the end of its output.
pub fn build_image(repository: &Path, arguments: &[(&str, &str)], archive: &Path) -> Result<()> {
    let builder = Builder::new()?;
    // Two builds in one store would wait for each other in the middle.
    let _lock = lock(&cache_directory()?, "buildah", || {})?;
    let base = builder.base()?;
    let (toolchain, crates) = toolchain()?;
    let mut build = builder.buildah("build");
    // The time of a file must not make another image.
    build.args(["--isolation", "chroot", "--layers", "--timestamp", "0", "--tag", BUILT_IMAGE]);
    build.arg("--volume").arg(format!("{}:/usr/local/cargo:ro", toolchain.display()));
    build.arg("--volume").arg(format!("{}:/root/.cargo/registry:ro", crates.display()));
    build.arg("--build-arg").arg(format!("BUILD_IMAGE={base}"));
    for (name, value) in [("CARGO_NET_OFFLINE", "true")].iter().chain(arguments) {
        build.arg("--build-arg").arg(format!("{name}={value}"));
    }
    output(build.arg(repository)).context("the image cannot be built")?;
    let to = format!("oci-archive:{}:{BUILT_IMAGE}", archive.display());
    output(builder.buildah("push").args([BUILT_IMAGE, &to])).map(drop)
}

/// Runs buildah as if its packages were installed: it starts itself again without the variables that would name its libraries.
const AS_INSTALLED: &str = r#"for directory in usr etc; do
  mount -t overlay overlay -o "lowerdir=$0/$directory:/$directory" "/$directory" || exit
done
exec buildah "$@""#;

struct Builder {
    tools: PathBuf,
    store: PathBuf,
}

impl Builder {
    fn new() -> Result<Self> {
        Ok(Self { tools: path(Part::Buildah)?, store: cache_directory()?.join("buildah") })
    }

    fn buildah(&self, subcommand: &str) -> Command {
        let mut command = Command::new("unshare");
        command.args(["--mount", "--propagation", "private", "sh", "-c", AS_INSTALLED]).arg(&self.tools);
        command.arg("--root").arg(self.store.join("root")).arg("--runroot").arg(self.store.join("run"));
        command.args(["--storage-driver", "overlay", subcommand]);
        command
    }

    /// The image of [`Part::BuildRoot`], made where it is missing.
    fn base(&self) -> Result<String> {
        let root = path(Part::BuildRoot)?;
        let key = root.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let name = format!("localhost/{key}:latest");
        if output(self.buildah("inspect").args(["--type", "image", &name])).is_ok() {
            return Ok(name);
        }
        // Left by one that was interrupted.
        let _ = output(self.buildah("rm").args([key]));
        output(self.buildah("from").args(["--name", key, "scratch"]))?;
        output(self.buildah("add").args(["--quiet", key]).arg(&root).arg("/"))?;
        let bundle = self.store.join("authorities.crt");
        authorities(&root, &bundle)?;
        output(
            self.buildah("add").args(["--quiet", key]).arg(&bundle).arg("/etc/ssl/certs/ca-certificates.crt"),
        )?;
        // `cc` is a link that the installation of gcc would have made.
        let linker =
            format!("CARGO_TARGET_{}_UNKNOWN_LINUX_GNU_LINKER=gcc", std::env::consts::ARCH.to_uppercase());
        let variables =
            ["PATH=/usr/local/cargo/bin:/usr/bin:/bin", "CARGO_HOME=/root/.cargo", "CC=gcc", &linker];
        let variables = variables.iter().flat_map(|variable| ["--env", variable]);
        output(self.buildah("config").args(variables).arg(key))?;
        output(self.buildah("commit").args(["--rm", "--quiet", key, &name]))?;
        Ok(name)
    }
}

/// Writes the authorities of Debian's package into one file, which its installation would have made.
fn authorities(root: &Path, bundle: &Path) -> Result<()> {
    let directory = root.join("usr/share/ca-certificates/mozilla");
    let mut files = fs::read_dir(&directory)?.map(|entry| Ok(entry?.path())).collect::<Result<Vec<_>>>()?;
    files.sort();
    let texts = files.iter().map(fs::read_to_string).collect::<Result<Vec<_>, _>>()?;
    fs::write(bundle, texts.concat()).with_context(|| format!("cannot write {}", bundle.display()))
}

/// The directories of this machine's Rust, as cargo runs here, and of the crates that it has downloaded.
fn toolchain() -> Result<(PathBuf, PathBuf)> {
    let sysroot = output(Command::new("rustc").args(["--print", "sysroot"]))?;
    let home = std::env::var_os("CARGO_HOME")
        .map(PathBuf::from)
        .or_else(|| std::env::var_os("HOME").map(|home| Path::new(&home).join(".cargo")))
        .ok_or_else(|| anyhow!("set CARGO_HOME: neither it nor HOME is set"))?;
    Ok((PathBuf::from(sysroot.trim()).canonicalize()?, home.join("registry")))
}
