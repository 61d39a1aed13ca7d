//! Many files: what is printed passes `validate` and says what the file says; what a profile cannot hold is refused with
//! the file's line.

use std::collections::BTreeMap;

use super::*;
use crate::profile::{InstrumentType, LogFormat, TelemetryProfile, TraceProtocol};

fn read(text: &str) -> TelemetryProfile {
    serde_yaml::from_str(text).unwrap_or_else(|error| panic!("{error}\n{text}"))
}

fn told(text: &str, names: &Names) -> String {
    match import("t.toml", text, names) {
        Err(error) => error.to_string(),
        Ok(profile) => panic!("accepted: {profile}"),
    }
}

/// The printed profile says what the file says.
fn assert_equal(config: &TelemetryConfig, text: &str) {
    let spec = read(text).spec;
    assert_eq!(spec.service.name, config.service_name);
    assert_eq!(spec.service.version.unwrap_or_default(), config.service_version);
    assert_eq!(spec.service.environment.unwrap_or_default(), config.environment);
    assert_eq!(spec.traces.enabled, config.enabled && config.tracing_enabled);
    assert_eq!(spec.traces.sampling.ratio.parse(), Ok(config.sample_rate), "{text}");
    assert_eq!(spec.metrics.enabled, config.enabled && config.prometheus_enabled);
    assert_eq!(spec.metrics.port, config.prometheus_port);
    assert_eq!(spec.metrics.instruments.len(), if spec.metrics.enabled { 4 } else { 0 });
    assert_eq!(spec.logs.enabled, config.enabled);
    assert_eq!(spec.logs.format == LogFormat::Json, config.structured_format);
    let thrift = config.jaeger_endpoint.as_ref().is_some_and(|url| url.contains(":14268"));
    assert_eq!(spec.traces.protocols.contains(&TraceProtocol::JaegerThriftHttp), thrift);
    assert!(spec.traces.protocols.contains(&TraceProtocol::Otlp));
}

#[test]
fn every_combination_becomes_a_profile_that_says_the_same() {
    let names = ["shop", "Shop Cart", "4/a.b_c", "on", "1e3", &"x".repeat(63)];
    let versions = ["", "1.0.0", "1.10", "2026-01-31", "0x1F"];
    let rates = ["0", "1", "0.1", "0.000001", "1e-3", "0.3", "0.999999"];
    let endpoints = [
        "http://jaeger:14268/api/traces",
        "http://jaeger:14250",
        "http://jaeger.tracing.svc:4317",
        "http://127.0.0.1:4317",
        "http://[::1]:4318/v1/traces",
        "http://my_host/otlp",
    ];
    for case in 0..210 {
        // The lengths of these lists have no common divisor, so that every pair of values comes up.
        let (name, version) = (names[case % names.len()], versions[case % versions.len()]);
        let (rate, endpoint) = (rates[case % rates.len()], endpoints[case / 7 % endpoints.len()]);
        let flag = |bit: usize| (case >> bit) & 1 == 0;
        let text = format!(
            "[telemetry]\nenabled = {}\nservice_name = '{name}'\nservice_version = '{version}'\nenvironment = '{version}'\n\
             sample_rate = {rate}\n[telemetry.tracing]\nenabled = {}\njaeger_endpoint = '{endpoint}'\n[telemetry.metrics]\n\
             prometheus_enabled = {}\nprometheus_port = {}\ncustom_metrics = {}\n[telemetry.logging]\n\
             correlation_enabled = {}\nstructured_format = {}\n",
            case % 5 != 4,
            flag(0),
            flag(1),
            8081 + case,
            flag(2),
            flag(3),
            flag(4),
        );
        let config = TelemetryConfig::from_toml("t.toml", &text).expect("a good file").config;
        let printed =
            import("t.toml", &text, &Names::default()).unwrap_or_else(|error| panic!("{error}\n{text}"));
        assert_equal(&config, &printed);
        assert_eq!(lint::lint("printed", &printed), [], "{printed}");
        // Every key of the file is accounted for.
        for line in
            [2, 3, 4, 5, 6, 8, 9, 11, 12, 13, 15, 16].into_iter().map(|line| format!("t.toml:{line}: "))
        {
            assert!(printed.contains(&line), "{line} is not in\n{printed}");
        }
    }
}

#[test]
fn a_short_file_becomes_a_short_profile() {
    let text = "telemetry.service_name = 'shop'";
    let printed = import("t.toml", text, &Names::default()).expect("a good file");
    assert_equal(&TelemetryConfig::from_toml("", text).expect("a good file").config, &printed);
    let profile = read(&printed);
    assert_eq!(profile.metadata.name.as_deref(), Some("shop"));
    assert_eq!(profile.spec.selector.match_labels["app.kubernetes.io/name"].0, "shop");
}

#[test]
fn a_share_stays_exact_to_six_decimals_and_never_becomes_all_or_nothing() {
    for (rate, ratio) in [
        ("0.1", "0.1"),
        ("0.30000000000000004", "0.3"),
        ("0.1234567", "0.123457"),
        ("1e-9", "0.000001"),
        ("0.9999999", "0.999999"),
        ("-0.0", "0"),
        ("0.5e0", "0.5"),
    ] {
        let text = format!("[telemetry]\nservice_name = 'shop'\nsample_rate = {rate}");
        let printed = import("t.toml", &text, &Names::default()).expect("a good file");
        assert_eq!(read(&printed).spec.traces.sampling.ratio, ratio, "{rate}");
        let rounded = printed.contains("at six decimals");
        assert_eq!(rounded, ratio.parse::<f64>() != rate.parse(), "{printed}");
    }
}

#[test]
fn with_telemetry_off_the_operator_makes_nothing() {
    let text = "[telemetry]\nenabled = false\nservice_name = 'shop'";
    let printed = import("t.toml", text, &Names::default()).expect("a good file");
    let rendered = crate::render::render("shop", &printed, &Default::default(), &Default::default());
    let rendered = rendered.expect("a profile");
    assert_eq!(rendered.len(), 1);
    assert_eq!(rendered[0].children, []);
}

/// What a profile's schema has no room for is never printed, and never silently changed.
#[test]
fn odd_names_are_kept_or_refused() {
    for (name, kept) in [
        ("Export Trakt", true),
        ("a: b", false),
        ("a # b", false),
        ("a\\\"b", false),
        ("a'b", false),
        ("köln", false),
        ("日本", false),
        ("-a", false),
        ("{{ .Values.x }}", false),
        ("$(X)", false),
        ("a\\u2028paused: true", false),
        ("a\\u0085b", false),
        ("a\\nspec: {}", false),
        ("a\\r\\npaused: true", false),
        (&"x".repeat(64), false),
    ] {
        let text = format!("[telemetry]\nenvironment = \"test\"\nservice_name = \"{name}\"\n");
        match import("t.toml", &text, &Names::default()) {
            Ok(printed) => {
                assert!(kept, "{name} was kept: {printed}");
                assert_eq!(read(&printed).spec.service.name, name);
            }
            Err(error) => {
                let error = error.to_string();
                assert!(!kept && error.starts_with("t.toml:3: telemetry.service_name: "), "{name}: {error}");
                assert_eq!(error.lines().count(), 1, "{error}");
            }
        }
    }
}

#[test]
fn what_a_profile_cannot_hold_is_told_with_the_line_of_the_file() {
    let none = Names::default();
    assert_eq!(
        told("[telemetry]\nservice_name = 'shop'\nservice_version = 'a b'\nenvironment = 'prod/eu'", &none),
        "t.toml:3: telemetry.service_version: does not fit into spec.service.version of a profile: \"a b\" does not match \
         ^[A-Za-z0-9]([-A-Za-z0-9_.+]*[A-Za-z0-9])?$; write text of this form (`service.version`. Left out: not set)\n\
         error: t.toml:4: telemetry.environment: does not fit into spec.service.environment of a profile: \"prod/eu\" does \
         not match ^[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?$; write text of this form (`deployment.environment.name` (and \
         the older `deployment.environment`), for example `production`. Left out: not set)"
    );
    assert_eq!(
        told("telemetry.service_name = 'shop'\ntelemetry.metrics.prometheus_port = 4318", &none),
        "t.toml:2: telemetry.metrics.prometheus_port: does not fit into spec.metrics.port of a profile: 4317, 4318, 13133 \
         and 14268 are taken by the collector sidecar in the same pod; serve /metrics on another port"
    );
    assert_eq!(
        told("[telemetry]\nsample_rate = 2\n", &none),
        "t.toml:1: telemetry.service_name: is missing: write service_name = \"NAME\"\n\
         error: t.toml:2: telemetry.sample_rate: 2 is out of range: write a number from 0 to 1, the share of traces that \
         are kept"
    );
}

#[test]
fn names_that_are_given_are_taken_and_checked() {
    let text = "[telemetry]\nservice_name = 'Shop Cart'";
    let label = |key: &str, value: &str| BTreeMap::from([(key.to_owned(), value.to_owned())]);
    let names = Names {
        name: Some("cart".to_owned()),
        namespace: Some("shop".to_owned()),
        selector: label("app", "cart"),
    };
    let printed = import("t.toml", text, &names).expect("a good file");
    let profile = read(&printed);
    assert_eq!(profile.metadata.name.as_deref(), Some("cart"));
    assert_eq!(profile.metadata.namespace.as_deref(), Some("shop"));
    assert_eq!(profile.spec.selector.match_labels.len(), 1);
    assert_eq!(profile.spec.selector.match_labels["app"].0, "cart");
    assert!(!printed.contains("guess"), "{printed}");

    for (wrong, flag) in [
        (Names { name: Some("Cart".to_owned()), ..names.clone() }, "--name: "),
        (Names { name: Some("a\nb: c".to_owned()), ..names.clone() }, "--name: "),
        (Names { namespace: Some("x y".to_owned()), ..names.clone() }, "--namespace: "),
        (Names { selector: label("app", "a b"), ..names.clone() }, "--selector: "),
        (Names { selector: label("a b", "c"), ..names.clone() }, "--selector: "),
    ] {
        let error = import("t.toml", text, &wrong).expect_err("wrong names");
        assert!(matches!(error, ImportError::Names(_)), "{error:?}");
        assert!(error.to_string().starts_with(flag), "{error}");
    }
}

#[test]
fn the_name_of_the_file_stays_in_its_comment() {
    let hostile = "a\nspec: {}\u{2028}paused: true\r.toml";
    let printed =
        import(hostile, "[telemetry]\nservice_name = 'shop'", &Names::default()).expect("a good file");
    let profile = read(&printed);
    assert_eq!((profile.spec.service.name.as_str(), profile.spec.paused), ("shop", false));
}

/// The instruments of a profile are those that an application of the library exposes: names and types.
#[test]
fn the_instruments_are_those_of_the_library() {
    let config = TelemetryConfig {
        service_name: "library".to_owned(),
        prometheus_enabled: false,
        ..TelemetryConfig::default()
    };
    let library = telemetry::TelemetryManager::new(config).unwrap();
    let instruments = library.instruments();
    instruments.exports.add(1, &[]);
    instruments.api_duration.record(0.1, &[]);
    instruments.cache_hit_ratio.record(0.5, &[]);
    let _active = instruments.active_operation("export");
    let text = library.render_metrics(None).body;
    let exposed: BTreeMap<_, _> = text
        .lines()
        .filter_map(|line| line.strip_prefix("# TYPE trakt_"))
        .filter_map(|line| line.split_once(' '))
        .map(|(name, kind)| (format!("trakt_{name}"), kind))
        .collect();

    let printed = import("t.toml", "[telemetry]\nservice_name = \"library\"\n", &Names::default()).unwrap();
    let declared = read(&printed).spec.metrics.instruments;
    let declared = declared.iter().map(|instrument| {
        let kind = match instrument.kind {
            InstrumentType::Counter => "counter",
            InstrumentType::Histogram => "histogram",
            InstrumentType::Gauge | InstrumentType::UpDownCounter => "gauge",
        };
        (instrument.name.clone(), kind)
    });
    assert_eq!(declared.collect::<BTreeMap<_, _>>(), exposed);
}
