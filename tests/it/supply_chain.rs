//! What stands around the code for a release: no crate of ours may use unsafe, and the release workflow pins what it runs.

use serde_json::Value;

use crate::common::repository_file;

/// What cargo knows of the workspace's own crates.
fn workspace() -> Value {
    let cargo = std::process::Command::new(env!("CARGO"))
        .args(["metadata", "--locked", "--offline", "--no-deps", "--format-version=1"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap();
    assert!(cargo.status.success(), "{}", String::from_utf8_lossy(&cargo.stderr));
    serde_json::from_slice(&cargo.stdout).unwrap()
}

#[test]
fn every_crate_of_the_workspace_forbids_unsafe_code() {
    let root = repository_file("Cargo.toml");
    assert!(
        root.contains("[workspace.lints.rust]\nunsafe_code = \"forbid\"\n"),
        "the workspace allows unsafe code"
    );
    let metadata = workspace();
    let packages = metadata["packages"].as_array().unwrap();
    assert_eq!(packages.len(), metadata["workspace_members"].as_array().unwrap().len());
    assert!(packages.len() >= 4, "{} crates", packages.len());
    for package in packages {
        let path = package["manifest_path"].as_str().unwrap();
        let manifest = std::fs::read_to_string(path).unwrap();
        assert!(
            manifest.contains("\n[lints]\nworkspace = true\n"),
            "{path} does not take the workspace's lints"
        );
    }
}

#[test]
fn the_release_workflow_pins_each_action_and_uses_the_tools_of_the_repository() {
    let workflow = repository_file(".github/workflows/release.yaml");
    let actions: Vec<_> = workflow.lines().filter_map(|line| line.trim().strip_prefix("- uses: ")).collect();
    assert_eq!(actions.len(), workflow.matches("uses:").count(), "{actions:?}");
    assert!(!actions.is_empty());
    for action in actions {
        let (_, pin) = action.split_once('@').unwrap();
        let (commit, release) =
            pin.split_once(" # v").unwrap_or_else(|| panic!("{action} does not name its release"));
        let is_commit = commit.len() == 40 && commit.bytes().all(|byte| byte.is_ascii_hexdigit());
        assert!(is_commit && !release.is_empty(), "{action} is not pinned by a commit");
    }
    // The versions stand where they are used without the workflow; it may not have its own.
    let version = |text: &str, before: &str| {
        let (_, rest) = text.split_once(before).unwrap_or_else(|| panic!("no {before}"));
        rest.split(|byte: char| byte.is_whitespace()).next().unwrap().to_owned()
    };
    let of_workflow = |tool: &str| version(&workflow, &format!("cargo install {tool} --version "));
    assert_eq!(
        of_workflow("cargo-deny"),
        version(&repository_file("Makefile"), "install cargo-deny --version ")
    );
    assert_eq!(of_workflow("cargo-cyclonedx"), version(&repository_file("scripts/sbom"), "\nversion="));
}
