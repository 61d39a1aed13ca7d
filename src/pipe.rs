//! Injection into manifests, for people without admission: (files, profiles) → the same documents, those with selected pods
//! injected, and what was done with each. Pure, no cluster.

use std::collections::BTreeMap;
use std::fmt;

use serde_json::Value;

use crate::inject::{self, Decision, INJECT_LABEL, Injector, Refusal, SIDECAR_LABEL, State};
use crate::lint::{self, Finding, Located};
use crate::manifest::document::{self, Document, SyntaxError};
use crate::manifest::stream::{self, Piece, WriteError};
use crate::manifest::template::{self, PodPlace};
use crate::observed::Observed;
use crate::settings::Settings;

/// A file by name, and its text.
pub type File = (String, String);

/// Documents and what was done with them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Piped {
    /// Every document, in order.
    pub text: String,
    /// One for each object that describes pods, in order.
    pub notes: Vec<Note>,
}

/// What was done with an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    /// `Kind/name`.
    pub object: String,
    /// What was done, or why nothing.
    pub done: Done,
}

/// What was done with an object's pods.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Done {
    /// They got the sidecar of this profile.
    Injected(String),
    /// They have one; what differs when it is an older one.
    HadOne(Option<String>),
    /// They opt out.
    OptedOut,
    /// The profile that selects them, and why they cannot have a sidecar.
    Refused(String, Refusal),
    /// No profile of this namespace selects them.
    NotSelected(String),
    /// The sidecar was taken out.
    Removed,
    /// They had none.
    HadNone,
}

/// Why nothing can be written.
#[derive(Debug, thiserror::Error)]
pub enum PipeError {
    /// Everything that is wrong with the files.
    #[error("{}", lines(.0))]
    Findings(Vec<Finding>),
    /// There is nothing by which to inject.
    #[error("no TelemetryProfile is in these files: name its file by --profile")]
    NoProfile,
    /// A key stands twice in a document that would be written anew, and only one could stay.
    #[error("{file}:{line}: the key {path} stands twice: keep one of them")]
    Duplicate {
        /// The file.
        file: String,
        /// Line of the first.
        line: usize,
        /// Path of the key.
        path: String,
    },
    /// A document cannot be written.
    #[error(transparent)]
    Write(#[from] WriteError),
}

fn lines(findings: &[Finding]) -> String {
    findings.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.object)?;
        match &self.done {
            Done::Injected(profile) => write!(f, "injected by profile {profile}"),
            Done::HadOne(None) => f.write_str("has its sidecar already"),
            Done::HadOne(Some(what)) => {
                write!(f, "has an older sidecar and was left alone: {what}; run `uninject` first")
            }
            Done::OptedOut => write!(f, "opts out by its label {INJECT_LABEL}"),
            Done::Refused(profile, Refusal { reason, message }) => {
                write!(f, "selected by profile {profile}, but refused: {reason}: {message}")
            }
            Done::NotSelected(namespace) => write!(f, "no profile of namespace {namespace} selects it"),
            Done::Removed => f.write_str("the sidecar was taken out"),
            Done::HadNone => f.write_str("had no sidecar"),
        }
    }
}

/// Injects into the documents of `files`. Profiles are those among them and those of `profiles`, which are not written.
///
/// # Errors
/// Everything that is wrong with files and profiles: then nothing is written.
pub fn inject(
    files: &[File],
    profiles: &[File],
    namespace: &str,
    settings: &Settings,
) -> Result<Piped, PipeError> {
    let streams = split(files)?;
    let mut read = Vec::new();
    for (name, pieces) in &streams {
        let documents = pieces.iter().map(|piece| piece.document.clone()).collect();
        read.extend(lint::read_among(name, documents));
    }
    for (name, text) in profiles {
        read.extend(lint::read(name, text));
    }
    let injectors = Injectors::new(read, namespace, settings)?;
    edit(streams, |object, place| injectors.inject(object, place))
}

/// Takes every sidecar out of the documents of `files`.
///
/// # Errors
/// When a file is neither YAML nor JSON, or a document cannot be written.
pub fn uninject(files: &[File]) -> Result<Piped, PipeError> {
    edit(split(files)?, |object, place| {
        let mut pod = template::pod(object, place);
        if !inject::remove(&mut pod) {
            return (Done::HadNone, false);
        }
        template::put(object, place, pod);
        (Done::Removed, true)
    })
}

fn split(files: &[File]) -> Result<Vec<(String, Vec<Piece>)>, PipeError> {
    let split = |(name, text): &File| match stream::split(text) {
        Ok(pieces) => Ok((name.clone(), pieces)),
        Err(error) => Err(syntax(name, error)),
    };
    files.iter().map(split).collect()
}

fn syntax(file: &str, error: SyntaxError) -> PipeError {
    PipeError::Findings(vec![lint::syntax(file, error)])
}

/// Puts every object that describes a pod through `work`, which says what it did and whether it has changed the object.
fn edit(
    streams: Vec<(String, Vec<Piece>)>,
    work: impl Fn(&mut Value, PodPlace) -> (Done, bool),
) -> Result<Piped, PipeError> {
    let mut notes = Vec::new();
    let mut all = Vec::new();
    for (file, pieces) in streams {
        for mut piece in pieces {
            let mut value = piece.document.value.clone();
            let mut changed = false;
            for object in objects(&mut value) {
                if let Some(place) = template::pod_place(object) {
                    let name = reference(object);
                    let (done, new) = work(object, place);
                    notes.push(Note { object: name, done });
                    changed |= new;
                }
            }
            if changed {
                unambiguous(&file, &piece.document)?;
                piece.changed = Some(value);
            }
            all.push(piece);
        }
    }
    Ok(Piped { text: stream::join(&all)?, notes })
}

/// The objects of a `List`, as `kubectl get -o yaml` prints it, or this one.
fn objects(value: &mut Value) -> &mut [Value] {
    if document::items(value).is_none() {
        return std::slice::from_mut(value);
    }
    document::items(value).map(Vec::as_mut_slice).unwrap_or_default()
}

fn reference(object: &Value) -> String {
    let metadata = |key: &str| object["metadata"][key].as_str();
    let name = metadata("name").or_else(|| metadata("generateName")).unwrap_or("?");
    format!("{}/{name}", object["kind"].as_str().unwrap_or("?"))
}

fn unambiguous(file: &str, document: &Document) -> Result<(), PipeError> {
    match document.duplicates.first() {
        None => Ok(()),
        Some((path, line)) => {
            Err(PipeError::Duplicate { file: file.to_owned(), line: *line, path: path.clone() })
        }
    }
}

/// The profiles' injections: by namespace, and there by the profile's name.
struct Injectors<'a> {
    of: BTreeMap<String, BTreeMap<String, Injector>>,
    default_namespace: &'a str,
}

impl<'a> Injectors<'a> {
    /// A profile that the operator could not make its sidecar's configuration of must inject nothing: the pods would wait for it.
    fn new(
        read: Vec<Result<Located, Vec<Finding>>>,
        default_namespace: &'a str,
        settings: &Settings,
    ) -> Result<Self, PipeError> {
        let mut of = BTreeMap::<String, BTreeMap<_, _>>::new();
        let mut findings = Vec::new();
        for located in read {
            match located {
                Err(found) => findings.extend(found),
                Ok(located) => {
                    let mut profile = located.profile.clone();
                    let namespace = profile
                        .metadata
                        .namespace
                        .get_or_insert_with(|| default_namespace.to_owned())
                        .clone();
                    findings.extend(
                        located.plan(&profile, &Observed::default(), settings).err().unwrap_or_default(),
                    );
                    let name = profile.metadata.name.clone().unwrap_or_default();
                    of.entry(namespace).or_default().insert(name, Injector::new(&profile, settings));
                }
            }
        }
        match (findings.is_empty(), of.is_empty()) {
            (false, _) => Err(PipeError::Findings(findings)),
            (true, true) => Err(PipeError::NoProfile),
            (true, false) => Ok(Self { of, default_namespace }),
        }
    }

    /// As the webhook does: the first profile by name that can inject does.
    fn inject(&self, object: &mut Value, place: PodPlace) -> (Done, bool) {
        let namespace = object["metadata"]["namespace"].as_str().unwrap_or(self.default_namespace).to_owned();
        let mut pod = template::pod(object, place);
        let mut done = Done::NotSelected(namespace.clone());
        for (name, injector) in self.of.get(&namespace).into_iter().flatten() {
            match injector.decide(&pod) {
                Decision::Inject => {
                    let patch = injector.patch(&pod);
                    if let Err(error) = json_patch::patch(&mut pod, &patch) {
                        let message =
                            format!("the patch does not fit the manifest: {error}; correct the manifest");
                        let refusal = Refusal { reason: "PatchFailed", message };
                        return (Done::Refused(name.clone(), refusal), false);
                    }
                    template::put(object, place, pod);
                    return (Done::Injected(name.clone()), true);
                }
                Decision::Injected => return (Done::HadOne(self.older(&namespace, &pod)), false),
                Decision::OptedOut => done = Done::OptedOut,
                Decision::Refused(refusal) => done = Done::Refused(name.clone(), refusal),
                Decision::NotSelected => {}
            }
        }
        (done, false)
    }

    /// What differs in a pod's sidecar from that which its profile would give it now.
    fn older(&self, namespace: &str, pod: &Value) -> Option<String> {
        let owner = pod["metadata"]["labels"][SIDECAR_LABEL].as_str()?;
        match self.of.get(namespace)?.get(owner)?.state(pod) {
            Some(State::Outdated(what)) => Some(what),
            _ => None,
        }
    }
}
