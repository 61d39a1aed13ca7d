//! Helm, without what the person at this machine has set. In: the directory for its files, a kubeconfig or none. Out: a command.
//! Does not talk to the cluster; the command may.

use std::path::Path;
use std::process::Command;

use anyhow::Result;

use crate::build::path;
use crate::part::Part;

/// A command to add arguments to. Without a kubeconfig it reaches no cluster.
///
/// # Errors
/// When Helm cannot be built.
pub fn helm(home: &Path, kubeconfig: Option<&Path>) -> Result<Command> {
    let mut command = Command::new(path(Part::Helm)?);
    for (variable, folder) in
        [("HELM_CACHE_HOME", "cache"), ("HELM_CONFIG_HOME", "config"), ("HELM_DATA_HOME", "data")]
    {
        command.env(variable, home.join("helm").join(folder));
    }
    match kubeconfig {
        Some(kubeconfig) => command.env("KUBECONFIG", kubeconfig),
        None => command.env_remove("KUBECONFIG"),
    };
    Ok(command)
}
