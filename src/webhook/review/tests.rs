use std::sync::Arc;

use kube::core::DeserializeGuard;
use serde_json::{Value, json};

use super::*;

fn review_of(object: Value) -> Value {
    json!({
        "apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview",
        "request": {
            "uid": "705ab4f5-6393-11e8-b7cc-42010a800002",
            "kind": {"group": "", "version": "v1", "kind": "Pod"},
            "resource": {"group": "", "version": "v1", "resource": "pods"},
            "operation": "CREATE", "namespace": "shop", "userInfo": {"username": "u"}, "dryRun": true,
            "object": object, "oldObject": null, "options": {"kind": "CreateOptions"},
        },
    })
}

fn pod() -> Value {
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"generateName": "web-", "labels": {"app": "web"}},
        "spec": {"containers": [{"name": "web", "image": "web", "future": {"n": 12345678901234567890123_f64}}]},
    })
}

fn profiles() -> Vec<StoredProfile> {
    let body = json!({
        "apiVersion": "telemetry-operator.dev/v1alpha1", "kind": "TelemetryProfile",
        "metadata": {"name": "web", "namespace": "shop"},
        "spec": {"selector": {"matchLabels": {"app": "web"}}, "service": {"name": "web"}},
    });
    vec![Arc::new(DeserializeGuard(Ok(serde_json::from_value(body).unwrap())))]
}

fn ask(bytes: &[u8]) -> Result<(Value, Outcome), NotAReview> {
    let answer = answer(bytes, &profiles(), &Settings::default())?;
    Ok((serde_json::from_slice(&answer.body).unwrap(), answer.outcome))
}

fn ask_json(review: &Value) -> (Value, Outcome) {
    ask(review.to_string().as_bytes()).unwrap()
}

#[test]
fn what_is_no_creation_of_a_pod_is_allowed_as_it_is() {
    for (path, value) in [
        ("/request/operation", json!("UPDATE")),
        ("/request/resource/resource", json!("configmaps")),
        ("/request/resource/version", json!("v2")),
        ("/request/object", json!(null)),
        ("/request/namespace", json!("elsewhere")),
        ("/request/object", json!([1, 2])),
        ("/request/object", json!("pod")),
        ("/request/object/spec", json!(7)),
        ("/request/object/spec/containers", json!({"a": 1})),
        ("/request/object/metadata", json!(null)),
        ("/request/object/metadata/labels", json!([["app", "web"]])),
    ] {
        let mut review = review_of(pod());
        *review.pointer_mut(path).unwrap() = value;
        let (answer, _) = ask_json(&review);
        assert_eq!(answer["response"]["uid"], "705ab4f5-6393-11e8-b7cc-42010a800002", "{path}");
        assert_eq!(answer["response"]["allowed"], true, "{path}");
    }
    let mut review = review_of(pod());
    review["request"]["subResource"] = json!("eviction");
    assert_eq!(ask_json(&review).1, Outcome::OffTopic);
}

#[test]
fn what_is_no_review_is_refused() {
    let review = review_of(pod());
    let with = |path: &str, value: Value| {
        let mut review = review.clone();
        *review.pointer_mut(path).unwrap() = value;
        review.to_string().into_bytes()
    };
    for bytes in [
        Vec::new(),
        b"null".to_vec(),
        b"[]".to_vec(),
        b"{}".to_vec(),
        b"\0\0\0".to_vec(),
        b"\xff\xfe".to_vec(),
        vec![b'['; 1 << 20],
        with("/apiVersion", json!("admission.k8s.io/v1beta1")),
        with("/kind", json!("ConversionReview")),
        with("/request", json!(null)),
        with("/request/uid", json!("")),
        with("/request/uid", json!(7)),
        with("/request/uid", json!("u".repeat(257))),
        with("/request/operation", json!({})),
    ] {
        let start = String::from_utf8_lossy(&bytes[..bytes.len().min(60)]).into_owned();
        let error = ask(&bytes).map(|answer| answer.0).unwrap_err().to_string();
        assert!(error.starts_with("this is no AdmissionReview") && error.len() < 400, "{start}: {error}");
    }
}

#[test]
fn what_is_too_large_or_too_deep_is_not_read_and_allowed() {
    let nested = |depth: usize| "[".repeat(depth) + &"]".repeat(depth);
    let text = |object: &str| review_of(json!("HERE")).to_string().replace("\"HERE\"", object).into_bytes();
    for object in [
        format!("[{}0]", "0,".repeat(MOST_VALUES)),
        format!("[{}0]", "{\"\":0},".repeat(MOST_VALUES)),
        nested(200),
        nested(1_000_000),
        "1e999".to_owned(),
        "\"\\ud800\"".to_owned(),
    ] {
        let (answer, outcome) = ask(&text(&object)).unwrap();
        assert_eq!(outcome, Outcome::Unread);
        assert_eq!(
            answer["response"],
            json!({"uid": "705ab4f5-6393-11e8-b7cc-42010a800002", "allowed": true})
        );
    }
    let mut crowd = pod();
    crowd["spec"]["containers"] = json!(vec![json!({}); MOST_CONTAINERS + 1]);
    assert_eq!(ask_json(&review_of(crowd)).1, Outcome::Unread);
}

#[test]
fn values_are_bounded_from_above() {
    for (text, count) in [("1", 1), ("[1,2]", 3), (r#"{"a":[{},"b,c:[{"]}"#, 6), (r#""\",\\",1"#, 2)] {
        assert_eq!(values(text.as_bytes()), count, "{text}");
    }
    fn real(value: &Value) -> usize {
        1 + match value {
            Value::Array(list) => list.iter().map(real).sum(),
            Value::Object(map) => map.values().map(real).sum(),
            _ => 0,
        }
    }
    let review = review_of(pod());
    assert!(values(review.to_string().as_bytes()) >= real(&review));
}

/// Changed reviews of all kinds: there is an answer that is a review, or an error, and never a panic.
#[test]
fn whatever_comes_is_answered() {
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(3);
    let seeds = seeds();
    let mut random = Random(0x5eed);
    let (mut rounds, mut answered) = (0_u32, 0_u32);
    while std::time::Instant::now() < deadline {
        let mut bytes = seeds[random.below(seeds.len())].clone();
        for _ in 0..=random.below(4) {
            mutate(&mut bytes, &seeds, &mut random);
        }
        rounds += 1;
        match ask(&bytes) {
            Ok((answer, _)) => {
                answered += 1;
                assert_eq!(answer["response"]["allowed"], true);
                assert!(answer["response"]["uid"].as_str().is_some_and(|uid| !uid.is_empty()));
                assert_eq!(
                    answer["response"]["patch"].is_string(),
                    answer["response"]["patchType"].is_string()
                );
            }
            Err(error) => assert!(error.to_string().len() < 1000),
        }
    }
    assert!(rounds > 1000 && answered > 50, "{answered} of {rounds} were reviews");
}

/// Valid reviews whose parts are mixed.
fn seeds() -> Vec<Vec<u8>> {
    let mut pods = vec![pod()];
    for (path, value) in [
        ("/spec/hostNetwork", json!(true)),
        ("/spec/os", json!({"name": "windows"})),
        ("/spec/initContainers", json!([{"name": "telemetry-sidecar", "restartPolicy": "Always"}])),
        ("/spec/volumes", json!([{"name": "telemetry-sidecar", "emptyDir": {}}])),
        ("/metadata/labels", json!({"app": "web", "telemetry-operator.dev/inject": "false"})),
        ("/metadata/labels", json!({"app": "web", "telemetry-operator.dev/sidecar": "web"})),
        ("/metadata/annotations", json!({"a~b/c": "x"})),
        ("/spec/containers/0/env", json!([{"name": "OTEL_SERVICE_NAME", "value": "own"}, {}, null, 7])),
        ("/spec/containers/0/ports", json!([{"containerPort": 4317}, {"containerPort": "x"}, null])),
        ("/spec/containers/0/env", json!({"name": "x"})),
        ("/spec/containers", json!([null, 1, "x", [], {}])),
    ] {
        let mut pod = pod();
        let (parent, field) = path.rsplit_once('/').unwrap();
        pod.pointer_mut(parent).unwrap()[field] = value;
        pods.push(pod);
    }
    pods.into_iter().map(|pod| review_of(pod).to_string().into_bytes()).collect()
}

fn mutate(bytes: &mut Vec<u8>, seeds: &[Vec<u8>], random: &mut Random) {
    const WORDS: [&str; 16] = [
        "null",
        "{}",
        "[]",
        "-1",
        "1e308",
        "18446744073709551616",
        "\"\"",
        "\"\\u0000\"",
        "true",
        "{\"a\":{\"\":0}}",
        "[[[]]]",
        ",",
        "\"app\":\"web\",",
        "\"name\":\"telemetry-sidecar\",",
        "\u{0}",
        "\"env\":null,",
    ];
    let at = random.below(bytes.len() + 1);
    let length = random.below(24).min(bytes.len() - at);
    match random.below(6) {
        0 => {
            bytes.splice(at..at + length, WORDS[random.below(WORDS.len())].bytes());
        }
        1 => {
            bytes.drain(at..at + length);
        }
        2 => bytes.truncate(at),
        3 => {
            let other = &seeds[random.below(seeds.len())];
            let from = random.below(other.len());
            bytes.splice(at.., other[from..].iter().copied());
        }
        4 if at < bytes.len() => bytes[at] = u8::try_from(random.below(256)).unwrap(),
        // A whole JSON value becomes another: the text stays valid more often.
        _ => {
            let value =
                [&b"\"web\""[..], b"\"Pod\"", b"\"v1\"", b"{\"app\":\"web\"}", b"null"][random.below(5)];
            let word = WORDS[random.below(11)].as_bytes();
            if let Some(found) = bytes.windows(value.len()).position(|window| window == value) {
                bytes.splice(found..found + value.len(), word.iter().copied());
            }
        }
    }
}

/// xorshift64*: the same numbers in each run.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        usize::try_from((self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) % bound.max(1) as u64).unwrap()
    }
}
