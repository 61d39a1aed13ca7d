//! Debian's programs that a node runs. In: [`Part::NodeTools`]. Out: their paths, and the environment that they need. Does not talk to
//! the cluster.

use std::env;
use std::ffi::OsString;
use std::path::PathBuf;

use anyhow::Result;

use crate::build::path;
use crate::part::Part;

/// runc, nft and the network plugins, beside the shared libraries that the machine may lack.
pub struct NodeTools {
    root: PathBuf,
}

impl NodeTools {
    /// Unpacks them where that has not happened yet.
    pub fn get() -> Result<NodeTools> {
        Ok(NodeTools { root: path(Part::NodeTools)? })
    }

    /// What starts containers for containerd.
    pub fn runc(&self) -> PathBuf {
        self.root.join("usr/sbin/runc")
    }

    /// The directory of the network plugins.
    pub fn cni_bin_dir(&self) -> PathBuf {
        self.root.join("usr/lib/cni")
    }

    /// What the programs, and those that call them by name, need: the programs before all others, and the libraries.
    pub fn environment(&self) -> Result<Vec<(&'static str, OsString)>> {
        let programs = ["usr/sbin", "usr/bin", "sbin", "bin"].map(|directory| self.root.join(directory));
        let callers = env::var_os("PATH").unwrap_or_default();
        let path = env::join_paths(programs.into_iter().chain(env::split_paths(&callers)))?;
        let libraries = ["usr/lib", "lib"]
            .map(|directory| self.root.join(directory).join(format!("{}-linux-gnu", env::consts::ARCH)));
        Ok(vec![("PATH", path), ("LD_LIBRARY_PATH", env::join_paths(libraries)?)])
    }
}
