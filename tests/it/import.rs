//! `import` as its users meet it: the real binary on the documented file, and the real API server on what it prints.

use testbed::Directory;

use crate::cli::{run, succeed, texts};
use crate::common::*;

const PAGE: &str = "docs/telemetry-configuration.md";

/// The text between two lines of the page.
fn block(begin: &str, end: &str) -> String {
    let page = repository_file(PAGE);
    let (_, rest) = page.split_once(begin).unwrap_or_else(|| panic!("{PAGE} has no {begin}"));
    rest.split_once(end).unwrap_or_else(|| panic!("{PAGE} has no {end} after {begin}")).0.to_owned()
}

/// The file as the page shows it.
fn documented() -> String {
    block("```toml\n", "```")
}

#[test]
fn the_page_shows_what_the_command_prints() {
    let scratch = Directory::create("import").expect("a scratch directory");
    let file = scratch.path().join("telemetry.toml");
    std::fs::write(&file, documented()).expect("the file");
    let path = file.to_str().expect("a path");
    let printed = succeed(&["import", path], None).replace(path, "telemetry.toml");
    // Comments are folded by the length of the path.
    let unfolded =
        |text: &str| text.split_whitespace().filter(|word| *word != "#").collect::<Vec<_>>().join(" ");
    assert_eq!(unfolded(&block("$ telemetry-operator import telemetry.toml\n", "```")), unfolded(&printed));
    let read = succeed(&["import", "-"], Some(&documented()));
    assert_eq!(unfolded(&read.replace("<stdin>", "telemetry.toml")), unfolded(&printed));
}

#[test]
fn the_api_server_takes_what_the_command_prints() {
    let scratch = Directory::create("import").expect("a scratch directory");
    let file = scratch.path().join("profile.yaml");
    let file = file.to_str().expect("a path");
    for text in [documented(), documented().replace("enabled = true", "enabled = false")] {
        let printed = succeed(&["import", "-", "-n", "default", "--selector", "app=exporter"], Some(&text));
        std::fs::write(file, printed).expect("the file");
        assert_eq!(succeed(&["validate", "-f", file], None), "");
        let answer = output(shared().plane.kubectl(["apply", "--dry-run=server", "-f", file]));
        assert!(answer.contains("export-trakt-4-letterboxd created (server dry run)"), "{answer}");
    }
}

#[test]
fn a_bad_file_is_told_on_standard_error_and_by_the_exit_code() {
    let bad = documented().replace("0.1", "\"0.1\"").replace("8081", "80810");
    let (out, err) = told(&["import", "-"], &bad, 1);
    assert_eq!(out, "");
    assert_eq!(
        err,
        "error: <stdin>:6: telemetry.sample_rate: a number in quotes is text: write sample_rate = 0.1\n\
         error: <stdin>:12: telemetry.metrics.prometheus_port: 80810 is out of range: write a whole number from 1 to 65535\n"
    );
    // A name that is wrong, and not the file.
    for wrong in [&["import", "-", "--name", "A b"][..], &["import", "-", "--selector", "app"], &["import"]] {
        let (out, err) = told(wrong, &documented(), 2);
        assert!(out.is_empty() && err.starts_with("error: "), "{wrong:?}: {out}{err}");
    }
    let (out, err) = told(&["import", "/nonexistent/telemetry.toml"], "", 2);
    assert!(out.is_empty() && err.contains("/nonexistent/telemetry.toml"), "{out}{err}");
}

/// The variables of the process around the command say nothing of the application.
#[test]
fn variables_do_not_change_the_profile() {
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_telemetry-operator"));
    let scratch = Directory::create("import").expect("a scratch directory");
    let file = scratch.path().join("telemetry.toml");
    std::fs::write(&file, documented()).expect("the file");
    command.arg("import").arg(&file);
    for (name, value) in
        [("OTEL_SERVICE_NAME", "other"), ("OTEL_TRACES_SAMPLER", "always_off"), ("OTEL_SDK_DISABLED", "true")]
    {
        command.env(name, value);
    }
    assert_eq!(output(command), succeed(&["import", file.to_str().expect("a path")], None));
}

fn told(arguments: &[&str], input: &str, code: i32) -> (String, String) {
    let output = run(arguments, Some(input));
    let told = texts(&output);
    assert_eq!(output.status.code(), Some(code), "{arguments:?}: {told:?}");
    told
}
