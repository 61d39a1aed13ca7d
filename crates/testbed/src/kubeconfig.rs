//! Writes kubeconfig files. In: an address, the certificate authority's file and a bearer token. Out: a file. Does not
//! talk to the cluster.

use std::path::{Path, PathBuf};

use anyhow::Result;
use serde_json::json;

use crate::credentials::write_secret;

/// Writes a kubeconfig with one context, as JSON, which is YAML, too.
pub(crate) fn write(path: &Path, server: &str, authority: &Path, user: &str, token: &str) -> Result<PathBuf> {
    let name = "testbed";
    let config = json!({
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": name, "cluster": {"server": server, "certificate-authority": authority}}],
        "users": [{"name": user, "user": {"token": token}}],
        "contexts": [{"name": name, "context": {"cluster": name, "user": user}}],
        "current-context": name,
    });
    write_secret(path, &format!("{config:#}\n"))
}
