//! Container images of single programs. In: a part, or a program that cargo has built. Out: an OCI archive for `ctr images import`. Does
//! not talk to the cluster; no registry and no image builder takes part.
//!
//! A program lies at `/bin/<its name>`, where the Prometheus Operator looks for it, too. Beside it there is a `/tmp` and nothing else. The
//! same program makes the same bytes.

use std::collections::HashMap;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, anyhow};
use oci_spec::image::{
    ANNOTATION_REF_NAME, Arch, ConfigBuilder, Descriptor, ImageConfigurationBuilder, ImageIndexBuilder,
    ImageManifestBuilder, MediaType, OciLayoutBuilder, Os, RootFsBuilder, SCHEMA_VERSION, Sha256Digest,
};
use tar::{Builder, EntryType, Header};

use crate::build::path;
use crate::daemon::output;
use crate::hash::sha256;
use crate::part::Part;

/// The user that programs run as when a pod does not say another: nobody in particular, and not root.
const USER: &str = "65532";

/// Where Linux distributions keep the certificate authorities that they trust.
const AUTHORITIES: &str = "/etc/ssl/certs/ca-certificates.crt";

/// A container image of one program.
pub struct Image {
    /// What pods call it: `localhost/<program>:testbed`.
    pub name: String,
    program: String,
    /// Absolute paths in the image, and the files that come there.
    files: Vec<(PathBuf, PathBuf)>,
}

impl Image {
    /// An image of a part that is a program; built when it is missing.
    pub fn of_part(part: Part) -> Result<Image> {
        Ok(Image::new(part.name(), &path(part)?, vec![]))
    }

    /// An image of a program that cargo has built for this machine, with the shared libraries that it loads here. A second build that links
    /// them statically would take minutes.
    pub fn of_program(name: &str, program: &Path) -> Result<Image> {
        let listed = output(Command::new("ldd").arg(program).env("LC_ALL", "C"))
            .with_context(|| format!("cannot tell which libraries {} needs", program.display()))?;
        let mut beside = libraries(&listed)?;
        // Clients of HTTPS do not start without authorities to trust.
        beside.extend(Some(PathBuf::from(AUTHORITIES)).filter(|file| file.exists()));
        Ok(Image::new(name, program, beside))
    }

    /// The image of a pod's sandbox.
    pub fn pause() -> Result<Image> {
        Image::of_part(Part::Pause)
    }

    fn new(program: &str, source: &Path, libraries: Vec<PathBuf>) -> Image {
        let mut files = vec![(Path::new("/bin").join(program), source.to_owned())];
        files.extend(libraries.into_iter().map(|library| (library.clone(), library)));
        Image { name: format!("localhost/{program}:testbed"), program: program.to_owned(), files }
    }

    /// Writes the image to the file `to`: a tar archive of an OCI image layout.
    pub fn archive(&self, to: &Path) -> Result<()> {
        let mut archive = Builder::new(
            File::create(to).with_context(|| format!("cannot write the image {}", to.display()))?,
        );
        let layer = self.layer().with_context(|| format!("cannot make the image {}", self.name))?;
        let config = self.configuration(&layer)?;
        let layer = blob(&mut archive, MediaType::ImageLayer, &layer)?;
        let config = blob(&mut archive, MediaType::ImageConfig, config.as_bytes())?;
        let manifest = ImageManifestBuilder::default()
            .schema_version(SCHEMA_VERSION)
            .media_type(MediaType::ImageManifest)
            .config(config)
            .layers([layer])
            .build()?
            .to_string()?;
        let mut manifest = blob(&mut archive, MediaType::ImageManifest, manifest.as_bytes())?;
        manifest.set_annotations(Some(HashMap::from([(ANNOTATION_REF_NAME.to_owned(), self.name.clone())])));
        let index = ImageIndexBuilder::default()
            .schema_version(SCHEMA_VERSION)
            .media_type(MediaType::ImageIndex)
            .manifests([manifest])
            .build()?
            .to_string()?;
        file(&mut archive, Path::new("index.json"), 0o644, index.as_bytes())?;
        let layout = OciLayoutBuilder::default().image_layout_version("1.0.0").build()?.to_string()?;
        file(&mut archive, Path::new("oci-layout"), 0o644, layout.as_bytes())?;
        archive.into_inner()?;
        Ok(())
    }

    /// The file system of the image, as a tar archive.
    fn layer(&self) -> Result<Vec<u8>> {
        let mut layer = Builder::new(Vec::new());
        let mut header = header(EntryType::Directory, 0o1777, 0);
        layer.append_data(&mut header, "tmp/", &[][..])?;
        for (place, source) in &self.files {
            let content = fs::read(source).with_context(|| format!("cannot read {}", source.display()))?;
            file(&mut layer, place.strip_prefix("/")?, 0o755, &content)?;
        }
        Ok(layer.into_inner()?)
    }

    fn configuration(&self, layer: &[u8]) -> Result<String> {
        let config = ConfigBuilder::default()
            .user(USER)
            .entrypoint([format!("/bin/{}", self.program)])
            .working_dir("/")
            .build()?;
        let files = RootFsBuilder::default().diff_ids([format!("sha256:{}", sha256(layer))]).build()?;
        let configuration = ImageConfigurationBuilder::default()
            .architecture(Arch::default())
            .os(Os::default())
            .config(config)
            .rootfs(files)
            .build()?;
        Ok(configuration.to_string()?)
    }
}

/// Adds content under its hash, and gives what refers to it.
fn blob(archive: &mut Builder<File>, kind: MediaType, content: &[u8]) -> Result<Descriptor> {
    let hash = sha256(content);
    file(archive, &Path::new("blobs/sha256").join(&hash), 0o644, content)?;
    Ok(Descriptor::new(kind, u64::try_from(content.len())?, hash.parse::<Sha256Digest>()?))
}

fn file<W: std::io::Write>(archive: &mut Builder<W>, place: &Path, mode: u32, content: &[u8]) -> Result<()> {
    let mut header = header(EntryType::Regular, mode, u64::try_from(content.len())?);
    Ok(archive.append_data(&mut header, place, content)?)
}

/// Of root, from 1970: nothing about this machine gets into an image.
fn header(kind: EntryType, mode: u32, size: u64) -> Header {
    let mut header = Header::new_gnu();
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_size(size);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    header
}

/// The paths in what `ldd` prints: `name => path (address)`, or `path (address)` for the loader.
fn libraries(listed: &str) -> Result<Vec<PathBuf>> {
    if let Some(missing) = listed.lines().find(|line| line.ends_with("=> not found")) {
        return Err(anyhow!("a library is missing on this machine: {}", missing.trim()));
    }
    Ok(listed.split_whitespace().filter(|word| word.starts_with('/')).map(PathBuf::from).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::directory::Directory;
    use oci_spec::image::{ImageConfiguration, ImageIndex, ImageManifest};
    use std::io::Read;
    use tar::Archive;

    /// Every file and directory of a tar archive, by path, with its mode.
    fn unpacked(bytes: &[u8]) -> HashMap<String, (u32, Vec<u8>)> {
        let mut archive = Archive::new(bytes);
        let entries = archive.entries().unwrap().map(|entry| {
            let mut entry = entry.unwrap();
            assert_eq!((entry.header().uid().unwrap(), entry.header().mtime().unwrap()), (0, 0));
            let mut content = vec![];
            entry.read_to_end(&mut content).unwrap();
            (entry.path().unwrap().display().to_string(), (entry.header().mode().unwrap(), content))
        });
        entries.collect()
    }

    fn at(files: &HashMap<String, (u32, Vec<u8>)>, digest: &oci_spec::image::Digest) -> Vec<u8> {
        let content = files[&format!("blobs/sha256/{}", digest.digest())].1.clone();
        assert_eq!(sha256(&content), digest.digest());
        content
    }

    #[test]
    fn an_archive_leads_from_the_index_to_the_program_and_its_libraries() {
        let directory = Directory::create("image").unwrap();
        let program = std::env::current_exe().unwrap();
        let image = Image::of_program("example", &program).unwrap();
        let write = |name| {
            let file = directory.path().join(name);
            image.archive(&file).unwrap();
            fs::read(file).unwrap()
        };
        let bytes = write("first.tar");
        assert!(bytes == write("second.tar"), "the same image came out different");

        let files = unpacked(&bytes);
        assert_eq!(files["oci-layout"].1, br#"{"imageLayoutVersion":"1.0.0"}"#);
        let index = ImageIndex::from_reader(&files["index.json"].1[..]).unwrap();
        let entry = &index.manifests()[0];
        assert_eq!(entry.annotations().as_ref().unwrap()[ANNOTATION_REF_NAME], "localhost/example:testbed");
        let manifest = ImageManifest::from_reader(&at(&files, entry.digest())[..]).unwrap();
        let layer = at(&files, manifest.layers()[0].digest());
        let configuration =
            ImageConfiguration::from_reader(&at(&files, manifest.config().digest())[..]).unwrap();
        assert_eq!(configuration.rootfs().diff_ids()[..], [format!("sha256:{}", sha256(&layer))]);
        let config = configuration.config().as_ref().unwrap();
        assert_eq!(config.user().as_deref(), Some("65532"));
        assert_eq!(config.entrypoint().as_ref().unwrap()[..], ["/bin/example".to_owned()]);

        let layer = unpacked(&layer);
        assert_eq!(layer["tmp/"].0, 0o1777);
        assert_eq!(layer["bin/example"].0, 0o755);
        assert!(layer["bin/example"].1 == fs::read(program).unwrap());
        assert!(layer.keys().any(|path| path.ends_with("/libc.so.6")), "{:?}", layer.keys());
    }

    #[test]
    fn a_library_that_the_machine_lacks_is_named() {
        let error =
            libraries("\tlibm.so.6 => /lib/libm.so.6 (0x1)\n\tlibnft.so.1 => not found\n").unwrap_err();
        assert!(error.to_string().contains("libnft.so.1"), "{error}");
    }
}
