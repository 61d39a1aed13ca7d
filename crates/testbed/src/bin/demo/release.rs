//! The operator as a Helm release. In: the stack. Out: text. It talks to the cluster.

use anyhow::Result;
use testbed::{OPERATOR_NAMESPACE, RELEASE, Stack, output};

use crate::show::{line, title};

/// What Helm says of the release, and the first lines of its notes.
pub fn show(stack: &Stack) -> Result<()> {
    title("the operator, installed by its chart: helm list, helm get notes");
    let list = output(stack.helm()?.args(["list", "--namespace", OPERATOR_NAMESPACE]))?;
    let notes = output(stack.helm()?.args(["get", "notes", RELEASE, "--namespace", OPERATOR_NAMESPACE]))?;
    let notes = notes.lines().skip_while(|text| text.trim().is_empty() || text.starts_with("NOTES")).take(5);
    for text in list.lines().chain([""]).chain(notes) {
        line(text);
    }
    Ok(())
}
