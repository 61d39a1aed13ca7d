//! The operator's image, built from the Dockerfile: what is in it and what it says of itself. `chart` runs it.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;

use serde_json::Value;
use testbed::{Directory, build_image, output};

/// The image of a release is the smaller one: this one is compiled in a hurry.
const CEILING: u64 = 80 * 1024 * 1024;

/// The archive of the image. It is built once for all tests of this process.
pub static ARCHIVE: LazyLock<PathBuf> = LazyLock::new(|| {
    static DIRECTORY: LazyLock<Directory> = LazyLock::new(|| Directory::create("image").unwrap());
    let archive = DIRECTORY.path().join("image.tar");
    build(&archive);
    archive
});

fn build(archive: &Path) {
    let arguments = [("PROFILE", "quick"), ("VERSION", env!("CARGO_PKG_VERSION")), ("REVISION", "tested")];
    build_image(Path::new(env!("CARGO_MANIFEST_DIR")), &arguments, archive).unwrap();
}

/// What an image's archive has: its configuration and its files, unpacked.
struct Unpacked {
    digest: String,
    config: Value,
    root: PathBuf,
}

fn unpack(archive: &Path, directory: &Path) -> Unpacked {
    let tar = |from: &Path, to: &Path| {
        fs::create_dir_all(to).unwrap();
        output(Command::new("tar").arg("-xf").arg(from).arg("-C").arg(to)).unwrap();
    };
    let layout = directory.join("layout");
    tar(archive, &layout);
    let json = |path: &Path| -> Value { serde_json::from_slice(&fs::read(path).unwrap()).unwrap() };
    let blob = |of: &Value| layout.join("blobs").join(of["digest"].as_str().unwrap().replacen(':', "/", 1));
    let index = json(&layout.join("index.json"));
    let digest = index["manifests"][0]["digest"].as_str().unwrap().to_owned();
    let manifest = json(&blob(&index["manifests"][0]));
    let root = directory.join("root");
    for layer in manifest["layers"].as_array().unwrap() {
        tar(&blob(layer), &root);
    }
    Unpacked { digest, config: json(&blob(&manifest["config"]))["config"].clone(), root }
}

fn files(root: &Path) -> Vec<String> {
    let found =
        output(Command::new("find").arg(root).args(["-not", "-type", "d", "-printf", "/%P\n"])).unwrap();
    let mut found: Vec<_> = found.lines().map(str::to_owned).collect();
    found.sort();
    found
}

#[test]
fn the_image_is_one_static_program_that_is_not_root() {
    let directory = Directory::create("unpacked").unwrap();
    let image = unpack(&ARCHIVE, directory.path());
    assert_eq!(image.config["User"], "65532:65532");
    assert_eq!(image.config["Entrypoint"], serde_json::json!(["/telemetry-operator"]));
    assert_eq!(image.config["Cmd"], serde_json::json!(["run"]));
    let label = |name: &str| image.config["Labels"][format!("org.opencontainers.image.{name}")].clone();
    assert_eq!(label("title"), "telemetry-operator");
    assert_eq!(label("licenses"), env!("CARGO_PKG_LICENSE"));
    assert_eq!(label("version"), env!("CARGO_PKG_VERSION"));
    assert_eq!(label("revision"), "tested");
    // No shell, no loader, no library.
    let expected = ["/LICENSE", "/etc/ssl/certs/ca-certificates.crt", "/telemetry-operator"];
    assert_eq!(files(&image.root), expected);
    let program = image.root.join("telemetry-operator");
    let about = fs::metadata(&program).unwrap();
    assert!(about.len() < CEILING, "{} bytes", about.len());
    assert_eq!(about.permissions().mode() & 0o777, 0o755);
    // It starts where there is nothing else.
    let said =
        output(Command::new("chroot").arg(&image.root).args(["/telemetry-operator", "version"])).unwrap();
    assert_eq!(said.trim(), format!("telemetry-operator {}", env!("CARGO_PKG_VERSION")));
    let authorities = fs::read_to_string(image.root.join("etc/ssl/certs/ca-certificates.crt")).unwrap();
    assert!(authorities.matches("BEGIN CERTIFICATE").count() > 100);

    // The same sources make the same image, from a cache or not.
    let again = Directory::create("again").unwrap();
    let archive = again.path().join("image.tar");
    build(&archive);
    assert_eq!(unpack(&archive, again.path()).digest, image.digest);
}
