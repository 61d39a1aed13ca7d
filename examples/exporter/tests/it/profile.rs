//! `examples/export-trakt-4-letterboxd.yaml` and `telemetry.toml` are about this exporter.

use std::collections::BTreeSet;
use std::path::Path;

use exporter::metrics::EXPOSED;

fn read(name: &str) -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(name)).expect("the file")
}

/// Words of a line that are names of metrics: with `trakt_` in them, and without what a histogram adds.
fn names(line: &str) -> Vec<&str> {
    let words = line.split(|character: char| !character.is_ascii_alphanumeric() && character != '_');
    words.filter(|word| word.contains("trakt_")).map(|word| word.trim_end_matches("_count")).collect()
}

#[test]
fn every_metric_of_the_profile_is_one_that_the_exporter_exposes_and_the_other_way_round() {
    let text = read("../export-trakt-4-letterboxd.yaml");
    let lines = || text.lines().filter(|line| !line.trim_start().starts_with('#'));
    let named: BTreeSet<_> = lines().flat_map(names).collect();
    assert_eq!(named, BTreeSet::from(EXPOSED));
    let instruments: BTreeSet<_> = lines()
        .filter_map(|line| line.trim().strip_prefix("- name: "))
        .filter(|name| name.contains('_'))
        .collect();
    assert_eq!(instruments, BTreeSet::from(EXPOSED), "an instrument is missing");
}

#[test]
fn the_profile_and_the_configuration_name_the_same_service_and_port() {
    let (profile, config) = (read("../export-trakt-4-letterboxd.yaml"), read("telemetry.toml"));
    for (yaml, toml) in [
        ("    name: export-trakt-4-letterboxd\n", "service_name = \"export-trakt-4-letterboxd\"\n"),
        ("    version: 1.0.0\n", "service_version = \"1.0.0\"\n"),
        ("    environment: production\n", "environment = \"production\"\n"),
        ("      ratio: \"0.1\"\n", "sample_rate = 0.1\n"),
        ("    port: 8081\n", "prometheus_port = 8081\n"),
    ] {
        assert!(profile.contains(yaml), "{yaml}");
        assert!(config.contains(toml), "{toml}");
    }
    let file = telemetry::TelemetryConfig::from_toml("telemetry.toml", &config).expect("a configuration");
    assert!(file.config.enabled);
}
