//! Files of Kubernetes manifests: text → documents, and back with what was changed. Pure, no cluster.
//!
//! - `document`, `scalar`: the values of a YAML or JSON text as kubectl reads them, with the line of every field
//! - `stream`: a text in pieces, a document each; what nobody changes comes out byte for byte
//! - `template`: the pods that an object describes

pub(crate) mod document;
pub(crate) mod scalar;
pub(crate) mod stream;
pub(crate) mod template;
