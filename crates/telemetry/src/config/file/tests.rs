//! Broken files and their exact messages, good files and their values, and text that is hardly TOML at all.

use super::*;

/// The file as the documentation shows it.
const DOCUMENTED: &str = r#"[telemetry]
enabled = true
service_name = "export-trakt-4-letterboxd"
service_version = "1.0.0"
environment = "production"
sample_rate = 0.1
[telemetry.tracing]
jaeger_endpoint = "http://jaeger:14268/api/traces"
enabled = true
[telemetry.metrics]
prometheus_enabled = true
prometheus_port = 8081
custom_metrics = true
[telemetry.logging]
correlation_enabled = true
structured_format = true
"#;

const IN_TELEMETRY: &str = "[telemetry] has enabled, service_name, service_version, environment, sample_rate, \
                            [telemetry.tracing], [telemetry.metrics], [telemetry.logging]";

fn messages(text: &str) -> Vec<String> {
    match TelemetryConfig::from_toml("t.toml", text) {
        Ok(file) => panic!("accepted: {file:?}\n{text}"),
        Err(error) => error.to_string().lines().map(str::to_owned).collect(),
    }
}

/// A file with a name and these further lines.
fn with(more: &str) -> String {
    format!("[telemetry]\nservice_name = \"a\"\n{more}\n")
}

#[test]
fn the_documented_file_is_read_as_it_stands() {
    let file = TelemetryConfig::from_toml("telemetry.toml", DOCUMENTED).expect("the documented file");
    let expected = TelemetryConfig {
        enabled: true,
        service_name: "export-trakt-4-letterboxd".to_owned(),
        service_version: "1.0.0".to_owned(),
        environment: "production".to_owned(),
        sample_rate: 0.1,
        tracing_enabled: true,
        jaeger_endpoint: Some("http://jaeger:14268/api/traces".to_owned()),
        prometheus_enabled: true,
        prometheus_port: 8081,
        custom_metrics: true,
        correlation_enabled: true,
        structured_format: true,
        log_filter: "info".to_owned(),
    };
    assert_eq!(file.config, expected);
    assert_eq!(file.lines.len(), KEYS.len());
    assert_eq!(file.lines["telemetry.enabled"], 2);
    assert_eq!(file.lines["telemetry.tracing.jaeger_endpoint"], 8);
    assert_eq!(file.lines["telemetry.logging.structured_format"], 16);
}

#[test]
fn what_a_file_leaves_out_has_its_default() {
    let file = TelemetryConfig::from_toml("t.toml", &with("")).expect("a name is enough");
    let expected = TelemetryConfig { service_name: "a".to_owned(), ..TelemetryConfig::default() };
    assert_eq!(file.config, expected);
    assert_eq!(file.lines, BTreeMap::from([("telemetry.service_name".to_owned(), 2)]));
}

/// Each key is turned away from its default once, so that none can be read into the field of another.
#[test]
fn every_key_reaches_its_own_field() {
    let read = |text: &str| TelemetryConfig::from_toml("t.toml", text).expect(text).config;
    let default = || TelemetryConfig { service_name: "a".to_owned(), ..TelemetryConfig::default() };
    let text = |text: &str| text.to_owned();
    for (more, expected) in [
        ("enabled = false", TelemetryConfig { enabled: false, ..default() }),
        ("service_version = '1 \"x\"'", TelemetryConfig { service_version: text("1 \"x\""), ..default() }),
        ("environment = \"dév\"", TelemetryConfig { environment: text("dév"), ..default() }),
        ("sample_rate = 0", TelemetryConfig { sample_rate: 0.0, ..default() }),
        ("sample_rate = 2.5e-1", TelemetryConfig { sample_rate: 0.25, ..default() }),
        ("tracing.enabled = false", TelemetryConfig { tracing_enabled: false, ..default() }),
        (
            "tracing = { jaeger_endpoint = 'http://[::1]:4317' }",
            TelemetryConfig { jaeger_endpoint: Some(text("http://[::1]:4317")), ..default() },
        ),
        (
            "[telemetry.metrics]\nprometheus_enabled = false",
            TelemetryConfig { prometheus_enabled: false, ..default() },
        ),
        ("metrics.prometheus_port = 0x2_000", TelemetryConfig { prometheus_port: 8192, ..default() }),
        ("metrics.custom_metrics = false", TelemetryConfig { custom_metrics: false, ..default() }),
        ("logging.correlation_enabled = false", TelemetryConfig { correlation_enabled: false, ..default() }),
        (
            "[telemetry.logging]\nstructured_format = false",
            TelemetryConfig { structured_format: false, ..default() },
        ),
        ("[trakt]\nservice_name = 5\n[[users]]\ntelemetry = 1", default()),
    ] {
        assert_eq!(read(&with(more)), expected, "{more}");
    }
    let crlf = DOCUMENTED.replace('\n', "\r\n");
    assert_eq!(read(&crlf), read(DOCUMENTED));
    assert_eq!(read("telemetry = { service_name = 'a' }"), default());
}

#[test]
fn a_broken_file_is_told_with_line_key_and_reason() {
    let t = |more: &str| format!("{more}. {IN_TELEMETRY}");
    let meant = |more: &str| format!("{more}? {IN_TELEMETRY}");
    let s = str::to_owned;
    let port = "write a whole number from 1 to 65535";
    for (text, expected) in [
        (
            s(""),
            s("1: telemetry: the table is missing: write [telemetry] and under it service_name = \"NAME\""),
        ),
        (
            s("[app]\nx = 1"),
            s("1: telemetry: the table is missing: write [telemetry] and under it service_name = \"NAME\""),
        ),
        (s("\n[telmetry]\nx = 1"), s("2: telmetry: did you mean [telemetry]? That table is missing")),
        (s("[app]\n[Telemetry]"), s("2: Telemetry: did you mean [telemetry]? That table is missing")),
        (
            s("[telemetry]\nenabled = true"),
            s("1: telemetry.service_name: is missing: write service_name = \"NAME\""),
        ),
        (
            s("\n[telemetry.tracing]"),
            s("2: telemetry.service_name: is missing: write service_name = \"NAME\""),
        ),
        (
            s("[[telemetry]]"),
            s("1: telemetry: must be a table, not a list: write [telemetry] and its keys under it"),
        ),
        (
            s("telemetry = 'on'"),
            s("1: telemetry: must be a table, not text: write [telemetry] and its keys under it"),
        ),
        (
            with("tracing = true"),
            s(
                "3: telemetry.tracing: must be a table, not true or false: write [telemetry.tracing] and its keys under it",
            ),
        ),
        (
            s("[telemetry]\nservice_name = ''"),
            s("2: telemetry.service_name: must not be empty: write the name of the application"),
        ),
        (
            s("[telemetry]\nservice_name = ' '"),
            s("2: telemetry.service_name: must not be empty: write the name of the application"),
        ),
        (
            s("[telemetry]\nservice_name = \"a\\nb\""),
            s(
                "2: telemetry.service_name: contains the control character '\\n': write plain text on one line",
            ),
        ),
        (
            with("environment = \"\\u0000\""),
            s("3: telemetry.environment: contains the control character '\\0': write plain text on one line"),
        ),
        (
            with("service_version = '''\n1\n2'''"),
            s(
                "3: telemetry.service_version: contains the control character '\\n': write plain text on one line",
            ),
        ),
        (
            with("service_version = 1.0"),
            s(
                "3: telemetry.service_version: a number without quotes is not text: write service_version = \"1.0\"",
            ),
        ),
        (
            with("environment = false"),
            s("3: telemetry.environment: must be text in quotes, not true or false"),
        ),
        (
            with("service_version = 2026-01-31"),
            s("3: telemetry.service_version: must be text in quotes, not a date"),
        ),
        (with("enabled = 1"), s("3: telemetry.enabled: must be true or false, not a number")),
        (
            with("enabled = \"True\""),
            s("3: telemetry.enabled: a word in quotes is text: write enabled = true"),
        ),
        (with("enabled = \"yes\""), s("3: telemetry.enabled: must be true or false, not text")),
        (
            with("sample_rate = \"0.1\""),
            s("3: telemetry.sample_rate: a number in quotes is text: write sample_rate = 0.1"),
        ),
        (
            with("sample_rate = \"10 %\""),
            s("3: telemetry.sample_rate: must be a number from 0 to 1, not text"),
        ),
        (
            with("sample_rate = [0.1]"),
            s("3: telemetry.sample_rate: must be a number from 0 to 1, not a list"),
        ),
        (
            with("sample_rate = 10"),
            s(
                "3: telemetry.sample_rate: 10 is out of range: write a number from 0 to 1, the share of traces that are kept",
            ),
        ),
        (
            with("sample_rate = -0.1"),
            s(
                "3: telemetry.sample_rate: -0.1 is out of range: write a number from 0 to 1, the share of traces that are kept",
            ),
        ),
        (
            with("sample_rate = nan"),
            s(
                "3: telemetry.sample_rate: NaN is out of range: write a number from 0 to 1, the share of traces that are kept",
            ),
        ),
        (
            with("sample_rate = inf"),
            s(
                "3: telemetry.sample_rate: inf is out of range: write a number from 0 to 1, the share of traces that are kept",
            ),
        ),
        (
            with("metrics.prometheus_port = 0"),
            format!("3: telemetry.metrics.prometheus_port: 0 is out of range: {port}"),
        ),
        (
            with("metrics.prometheus_port = 65536"),
            format!("3: telemetry.metrics.prometheus_port: 65536 is out of range: {port}"),
        ),
        (
            with("metrics.prometheus_port = 99999999999999999999999999999999999999999"),
            format!(
                "3: telemetry.metrics.prometheus_port: 99999999999999999999999999999999999999999 is out of range: {port}"
            ),
        ),
        (
            with("metrics.prometheus_port = 8081.0"),
            format!("3: telemetry.metrics.prometheus_port: 8081.0 has a decimal point: {port}"),
        ),
        (
            with("metrics.prometheus_port = \"8081\""),
            s(
                "3: telemetry.metrics.prometheus_port: a number in quotes is text: write prometheus_port = 8081",
            ),
        ),
        (
            with("metrics.prometheus_port = \":8081\""),
            s("3: telemetry.metrics.prometheus_port: must be a whole number from 1 to 65535, not text"),
        ),
        (
            with("tracing.jaeger_endpoint = 4317"),
            s(
                "3: telemetry.tracing.jaeger_endpoint: a number without quotes is not text: write jaeger_endpoint = \"4317\"",
            ),
        ),
        (
            with("tracing.jaeger_endpoint = \"jaeger:4317\""),
            s(
                "3: telemetry.tracing.jaeger_endpoint: the scheme http:// is missing: write http://jaeger:4317",
            ),
        ),
        (
            with("tracing.jaeger_endpoint = \"https://jaeger:4317\""),
            s(
                "3: telemetry.tracing.jaeger_endpoint: `https://jaeger:4317`: TLS is not supported, only plaintext: let a collector on the same machine or in the same pod do TLS, and write its http:// address",
            ),
        ),
        (
            with("tracing.jaeger_endpoint = \"http://jaeger:70000\""),
            s(
                "3: telemetry.tracing.jaeger_endpoint: `http://jaeger:70000`: the port is not a number from 1 to 65535",
            ),
        ),
        (
            with("tracing.jaeger_endpoint = \"http://me:secret@jaeger:4317\""),
            s(
                "3: telemetry.tracing.jaeger_endpoint: `http://***@jaeger:4317`: it contains a user or a password, which OTLP has no use for: remove them",
            ),
        ),
        (
            with("tracing.jaeger_endpoint = \"\""),
            s(
                "3: telemetry.tracing.jaeger_endpoint: `` is not a URL: it must look like http://127.0.0.1:4317",
            ),
        ),
        (with("colour = 1"), t("3: telemetry.colour: there is no such key")),
        (
            with("enviroment = 'x'"),
            meant("3: telemetry.enviroment: there is no such key; did you mean environment"),
        ),
        (
            with("version = 'x'"),
            meant("3: telemetry.version: there is no such key; did you mean service_version"),
        ),
        (
            with("prometheus_port = 8081"),
            t("3: telemetry.prometheus_port: there is no such key; it belongs to [telemetry.metrics]"),
        ),
        (with("\"a\\nb\" = 1"), t("3: telemetry.\"a\\nb\": there is no such key")),
        (
            with("[telemetry.traces]"),
            meant("3: telemetry.traces: there is no such table; did you mean [telemetry.tracing]"),
        ),
        (with("[telemetry.alerts]"), t("3: telemetry.alerts: there is no such table")),
        (
            with("metrics.enabled = true"),
            s(
                "3: telemetry.metrics.enabled: there is no such key; did you mean prometheus_enabled? [telemetry.metrics] has prometheus_enabled, prometheus_port, custom_metrics",
            ),
        ),
        (with("service_name = 'b'"), s("3: column 1: this is not TOML: duplicate key")),
        (with("[telemetry]"), s("3: column 2: this is not TOML: duplicate key")),
        (
            s("[telemetry\nservice_name = 'a'"),
            s("1: column 11: this is not TOML: unclosed table, expected `]`"),
        ),
        (
            with("environment = prod"),
            s("3: column 15: this is not TOML: string values must be quoted, expected literal string"),
        ),
        (
            with("# é\nenvironment = 'é' x"),
            s("4: column 19: this is not TOML: unexpected key or value, expected newline, `#`"),
        ),
    ] {
        assert_eq!(messages(&text), [format!("t.toml:{expected}")], "{text}");
    }
}

#[test]
fn all_problems_are_told_at_once_in_the_order_of_the_file() {
    let text = "[telemetry]\nserivce_name = 'a'\nsample_rate = 2\n[telemetry.metrics]\nprometheus_port = 0\n\
                port = 1\n[telemetry.tracing]\nenabled = 'true'\njaeger_endpoint = 'jaeger'\n";
    assert_eq!(
        messages(text),
        [
            "t.toml:1: telemetry.service_name: is missing: write service_name = \"NAME\"".to_owned(),
            format!("t.toml:2: telemetry.serivce_name: there is no such key; did you mean service_name? {IN_TELEMETRY}"),
            "t.toml:3: telemetry.sample_rate: 2 is out of range: write a number from 0 to 1, the share of traces that are kept".to_owned(),
            "t.toml:5: telemetry.metrics.prometheus_port: 0 is out of range: write a whole number from 1 to 65535".to_owned(),
            "t.toml:6: telemetry.metrics.port: there is no such key; did you mean prometheus_port? \
             [telemetry.metrics] has prometheus_enabled, prometheus_port, custom_metrics".to_owned(),
            "t.toml:8: telemetry.tracing.enabled: a word in quotes is text: write enabled = true".to_owned(),
            "t.toml:9: telemetry.tracing.jaeger_endpoint: the scheme http:// is missing: write http://jaeger".to_owned(),
        ]
    );
    assert_eq!(
        messages("[telemetry]\nservice_name = a b\nenabled = yes\n"),
        [
            "t.toml:2: column 16: this is not TOML: string values must be quoted, expected literal string",
            "t.toml:3: column 11: this is not TOML: string values must be quoted, expected literal string",
        ]
    );
}

/// Whatever the bytes, the answer is a configuration or problems with a line that the text has.
#[test]
fn no_text_makes_it_panic() {
    let check = |text: &str| {
        let Err(error) = TelemetryConfig::from_toml("t.toml", text) else { return };
        assert!(!error.problems.is_empty());
        for problem in error.problems {
            let line = problem.place.as_ref().map_or(0, |(_, line)| *line);
            assert!((1..=text.split('\n').count()).contains(&line), "{problem}\n{text:?}");
            assert_eq!(problem.to_string().lines().count(), 1, "{problem}");
        }
    };
    let bytes = DOCUMENTED.as_bytes();
    for end in 0..=bytes.len() {
        check(&String::from_utf8_lossy(&bytes[..end]));
        check(&String::from_utf8_lossy(&bytes[end..]));
    }
    for position in 0..bytes.len() {
        for byte in [0, b'\n', b'"', b'[', b']', b'=', b'.', b'{', b'\'', b'\\', b'9', b'@', 0xC3, 0xFF] {
            let mut mutant = bytes.to_vec();
            mutant[position] = byte;
            check(&String::from_utf8_lossy(&mutant));
            mutant.insert(position, bytes[bytes.len() - 1 - position]);
            check(&String::from_utf8_lossy(&mutant));
        }
    }
    check(&"[".repeat(100_000));
    check(&format!("[telemetry]\nservice_name = {}", "[".repeat(100_000)));
}
