//! The sidecar in the application's pod. In: the stack, the directory of the operator's program. Out: text. It talks to the cluster.

use std::path::Path;
use std::process::Command;

use anyhow::Result;
use testbed::{Stack, output};

use crate::picture::application;
use crate::profiles::EXPORTER;
use crate::show::title;

/// The pod has two containers though its manifest has one, and the operator's program says why.
pub fn show(stack: &Stack, programs: &Path) -> Result<()> {
    let (pod, _) = application(stack, &EXPORTER)?;
    let namespace = EXPORTER.namespace;
    title(
        "the application's pod: its manifest has one container and no endpoint, the API server has added the sidecar",
    );
    let get = format!("get pod -n {namespace} {pod}");
    println!("$ kubectl {get}\n{}", stack.kubectl(&get)?.trim_end());
    println!("$ telemetry-operator explain pod -n {namespace} {pod}");
    let mut explain = Command::new(programs.join("telemetry-operator"));
    explain.args(["explain", "pod", "-n", namespace, &pod]);
    explain.env("KUBECONFIG", stack.node().control_plane().kubeconfig());
    println!("{}", output(&mut explain)?.trim_end());
    Ok(())
}
