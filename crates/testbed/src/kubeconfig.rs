//! Writes kubeconfig files. In: an address, the certificate authority's file and a bearer token. Out: a file. Does not
//! talk to the cluster.

use std::path::{Path, PathBuf};

use anyhow::Result;
use serde_json::json;

use crate::credentials::write_secret;

/// How a client reaches an API server.
#[derive(Clone, Copy)]
pub(crate) struct Server<'a> {
    pub url: &'a str,
    /// The name that its certificate has, where that is not the URL's host.
    pub name: Option<&'a str>,
    /// The file with the certificate that clients trust.
    pub authority: &'a Path,
}

/// Writes a kubeconfig with one context, as JSON, which is YAML, too.
pub(crate) fn write(path: &Path, server: Server<'_>, user: &str, token: &str) -> Result<PathBuf> {
    let name = "testbed";
    let mut cluster = json!({"server": server.url, "certificate-authority": server.authority});
    if let Some(name) = server.name {
        cluster["tls-server-name"] = json!(name);
    }
    let config = json!({
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": name, "cluster": cluster}],
        "users": [{"name": user, "user": {"token": token}}],
        "contexts": [{"name": name, "context": {"cluster": name, "user": user}}],
        "current-context": name,
    });
    write_secret(path, &format!("{config:#}\n"))
}
