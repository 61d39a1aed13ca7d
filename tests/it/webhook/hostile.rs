//! Whatever anybody sends to the webhook: it is answered or cut off, the process lives, and stays below its memory limit.

use std::time::Instant;

use futures::StreamExt;
use futures::future::join_all;

use super::caller::{Answer, Caller};
use super::*;
use crate::injection::table;

/// What the chart allows, in KiB.
const MEMORY_LIMIT: u64 = 256 * 1024;
/// The name by which the API server calls it.
const NAME: &str = "telemetry-operator-webhook.telemetry-system.svc";
const MEBIBYTE: usize = 1024 * 1024;

fn review(object: &Value) -> Value {
    json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": {
        "uid": "1", "resource": {"group": "", "version": "v1", "resource": "pods"}, "operation": "CREATE",
        "namespace": "shop", "object": object}})
}

/// A review with this text in the place of the pod.
fn review_with(object: &str) -> Vec<u8> {
    review(&json!("HERE")).to_string().replace("\"HERE\"", object).into_bytes()
}

fn changed(path: &str, value: Value) -> Vec<u8> {
    let mut review = review(&table::pod("plain"));
    let (parent, field) = path.rsplit_once('/').expect("a path");
    review.pointer_mut(parent).expect("a parent")[field] = value;
    review.to_string().into_bytes()
}

fn request(head: &str, body: &[u8]) -> Vec<u8> {
    let length = body.len();
    [format!("{head}\r\nHost: x\r\nContent-Length: {length}\r\n\r\n").as_bytes(), body].concat()
}

fn posted(headers: &str, body: &[u8]) -> Vec<u8> {
    request(&format!("POST /mutate-pods HTTP/1.1{headers}"), body)
}

fn json_posted(body: &[u8]) -> Vec<u8> {
    posted("\r\nContent-Type: application/json", body)
}

fn chunked(chunks: &[u8]) -> Vec<u8> {
    let head = "POST /mutate-pods HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n";
    [head.as_bytes(), chunks].concat()
}

/// What is sent, and the status that answers it; 0: the connection is closed without an answer.
type Row = (&'static str, Vec<u8>, u16);

fn heads() -> Vec<Row> {
    let valid = review(&table::pod("plain")).to_string().into_bytes();
    let json = "\r\nContent-Type: application/json";
    let long = "x".repeat(200_000);
    let many: String = (0..200).map(|n| format!("\r\nX-{n}: 1")).collect();
    vec![
        ("a pod", json_posted(&valid), 200),
        ("a charset", posted("\r\nContent-Type: application/JSON; charset=utf-8", &valid), 200),
        ("GET", b"GET /mutate-pods HTTP/1.1\r\nHost: x\r\n\r\n".to_vec(), 405),
        ("TRACE", b"TRACE /mutate-pods HTTP/1.1\r\nHost: x\r\n\r\n".to_vec(), 405),
        ("another path", request("POST /convert HTTP/1.1", &valid), 404),
        ("a path that climbs", request("POST /mutate-pods/../metrics HTTP/1.1", &valid), 404),
        ("no type", posted("", &valid), 415),
        ("another type", posted("\r\nContent-Type: application/yaml", &valid), 415),
        ("gzip", posted(&format!("{json}\r\nContent-Encoding: gzip"), b"\x1f\x8b\x08\0\0"), 415),
        ("a length above the limit", json_posted_length(7 * MEBIBYTE + 1), 413),
        ("a length beyond all numbers", json_posted_length_text("99999999999999999999999"), 400),
        ("a negative length", json_posted_length_text("-1"), 400),
        ("two lengths", json_posted_length_text("5\r\nContent-Length: 6"), 400),
        ("a bad chunk", chunked(b"zz\r\n{}\r\n0\r\n\r\n"), 400),
        ("chunks above the limit", chunked(&too_many_chunks()), 413),
        (
            "chunks",
            chunked(&[format!("{:x}\r\n", valid.len()).as_bytes(), &valid, b"\r\n0\r\n\r\n"].concat()),
            200,
        ),
        ("chunks without end", chunked(b"1\r\n{\r\n"), 408),
        ("a body that stops", [&json_posted_length(100)[..], b"{"].concat(), 408),
        ("a body that does not come", json_posted_length(100), 408),
        ("200 headers", posted(&many, &valid), 431),
        ("a long header", posted(&format!("\r\nX: {long}"), &valid), 431),
        ("a long path", request(&format!("POST /{long} HTTP/1.1"), &valid), 431),
        ("NUL in the head", b"POST /mutate-\0pods HTTP/1.1\r\n\r\n".to_vec(), 400),
        ("no HTTP", b"\0\x01\x02\x03\r\n\r\n".to_vec(), 400),
        ("HTTP/0.9", b"GET /\r\n\r\n".to_vec(), 400),
        ("HTTP/2 without asking", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec(), 0),
        ("a head that ends nowhere", b"POST /mutate-pods HTTP/1.1\r\nHost: x\r\nX-".to_vec(), 0),
        ("nothing at all", Vec::new(), 0),
    ]
}

fn json_posted_length(length: usize) -> Vec<u8> {
    json_posted_length_text(&length.to_string())
}

fn json_posted_length_text(length: &str) -> Vec<u8> {
    let head = "POST /mutate-pods HTTP/1.1\r\nHost: x\r\nContent-Type: application/json";
    format!("{head}\r\nContent-Length: {length}\r\n\r\n").into_bytes()
}

fn too_many_chunks() -> Vec<u8> {
    [format!("{MEBIBYTE:x}\r\n").into_bytes(), vec![b' '; MEBIBYTE], b"\r\n".to_vec()].concat().repeat(8)
}

fn bodies() -> Vec<Row> {
    let pod = table::pod("plain").to_string();
    let valid = review(&table::pod("plain")).to_string().into_bytes();
    let full = 7 * MEBIBYTE - 1000;
    let fill = |piece: &str| review_with(&format!("[{}0]", piece.repeat(full / piece.len())));
    let deep =
        |open: &str, close: &str| review_with(&(open.repeat(full / 8) + "0" + &close.repeat(full / 8)));
    let crowd = r#"{"metadata":{"labels":{"app":"plain"}},"spec":{"containers":["#.to_owned()
        + &"{},".repeat(20_000)
        + "{}]}}";
    let duplicate = pod.replacen("\"spec\"", "\"spec\":null,\"spec\"", 1);
    let bodies: Vec<Row> = vec![
        ("an empty body", Vec::new(), 400),
        ("null", b"null".to_vec(), 400),
        ("a list", b"[]".to_vec(), 400),
        ("half a review", valid[..valid.len() / 2].to_vec(), 400),
        ("two reviews", valid.repeat(2), 400),
        ("a byte order mark", [b"\xef\xbb\xbf", &valid[..]].concat(), 400),
        ("UTF-16", valid.iter().flat_map(|byte| [*byte, 0]).collect(), 400),
        ("NULs", vec![0; MEBIBYTE], 400),
        (
            "bytes that are no text",
            changed("/request/uid", json!("HERE"))
                .into_iter()
                .map(|b| if b == b'H' { 0xff } else { b })
                .collect(),
            400,
        ),
        ("another kind", changed("/kind", json!("ConversionReview")), 400),
        ("an old version", changed("/apiVersion", json!("admission.k8s.io/v1beta1")), 400),
        ("no request", changed("/request", json!(null)), 400),
        ("no uid", changed("/request/uid", json!(null)), 400),
        ("an empty uid", changed("/request/uid", json!("")), 400),
        ("a uid of 6 MiB", changed("/request/uid", json!("u".repeat(6 * MEBIBYTE))), 400),
        (
            "two uids",
            review_with("{}")
                .strip_suffix(b"}}")
                .expect("braces")
                .iter()
                .copied()
                .chain(*b",\"uid\":\"2\"}}")
                .collect(),
            400,
        ),
        ("no pod", changed("/request/object", json!(null)), 200),
        ("a pod that is a number", changed("/request/object", json!(-0.0)), 200),
        ("a key twice", review_with(&duplicate), 200),
        ("numbers beyond all bounds", review_with("[1e999,-1e999,123456789012345678901234567890]"), 200),
        ("half a surrogate", review_with("\"\\ud800\""), 200),
        (
            "a label of 6 MiB",
            changed("/request/object/metadata/labels/x", json!("x".repeat(6 * MEBIBYTE))),
            200,
        ),
        ("7 MiB of small maps", fill("{\"\":0},"), 200),
        ("7 MiB of empty lists", fill("[],"), 200),
        ("7 MiB of numbers", fill("0,"), 200),
        ("7 MiB of escapes", review_with(&format!("\"{}\"", "\\u0000".repeat(full / 6))), 200),
        ("lists of great depth", deep("[", "]"), 200),
        ("maps of great depth", deep("{\"\":", "}"), 200),
        ("20000 containers", review_with(&crowd), 200),
    ];
    bodies.into_iter().map(|(name, body, status)| (name, json_posted(&body), status)).collect()
}

/// Takes 20 s, most of it waiting for time-outs.
#[tokio::test(flavor = "multi_thread")]
async fn whatever_is_sent_is_answered_within_the_memory_limit() {
    let cluster = shared_1_35();
    let client = cluster.client().await;
    let _owned = operator_objects().await;
    let namespace = cluster.namespace("webhook-hostile").await;
    deploy(cluster);
    let [port] = free_ports().expect("a port");
    let mut running = operator(cluster, &namespace, port, true);
    let spec = json!({"selector": {"matchLabels": {"app": "plain"}}, "service": {"name": "plain"}});
    apply_profile(&client, &namespace, "trakt", spec).await;
    wait_for_injection(&client, &namespace, &table::pod("plain")).await;
    let caller = Caller::new(port, NAME, &authority(&client).await);

    let (heads, bodies) = (heads(), bodies());
    assert!(heads.len() + bodies.len() > 50, "{} and {}", heads.len(), bodies.len());
    let heads = join_all(heads.iter().map(|row| checked(&caller, row)));
    // No more at once than the webhook reads: that it refuses the others is another test.
    let bodies =
        futures::stream::iter(&bodies).map(|row| checked(&caller, row)).buffered(3).collect::<Vec<_>>();
    let (heads, bodies, ()) = tokio::join!(heads, bodies, below_tls(&caller));
    let wrong: Vec<_> = heads.into_iter().chain(bodies).flatten().collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    pipelined(&caller).await;
    a_flood_leaves_room(&caller).await;
    large_bodies_leave_room(&caller).await;

    wait_for_injection(&client, &namespace, &table::pod("plain")).await;
    let peak = peak_memory(running.daemon.id());
    println!("peak memory {peak} KiB");
    assert!(peak < MEMORY_LIMIT, "{peak} KiB");
    assert_eq!(running.page("/healthz").0, 200);
    let log = std::fs::read_to_string(running.daemon.log()).expect("the log");
    assert!(!log.contains("panicked"), "{log}");
    assert_eq!(running.daemon.terminate().expect("it ends").code(), Some(0));
}

/// What is wrong with the answer to a row.
async fn checked(caller: &Caller, (name, bytes, status): &Row) -> Option<String> {
    let started = Instant::now();
    let mut answer = caller.send(bytes).await;
    // A machine with too much to do may not send a large body in time.
    while [408, 503].contains(&answer.status) && [200, 400].contains(status) && started.elapsed() < DEADLINE {
        answer = caller.send(bytes).await;
    }
    let right = answer.status == *status && (*status != 200 || answer.body.contains("\"allowed\":true"));
    if right { None } else { Some(format!("{name}: {status} expected, but {answer:?}")) }
}

async fn authority(client: &Client) -> String {
    let entry = configuration(client, WEBHOOK).await.webhooks.unwrap_or_default().remove(0);
    String::from_utf8(entry.client_config.ca_bundle.expect("a bundle").0).expect("PEM")
}

/// What is no TLS, or none that is spoken here.
async fn below_tls(caller: &Caller) {
    // A client that speaks nothing newer than TLS 1.1.
    let old = b"\x16\x03\x01\x00\x2f\x01\x00\x00\x2b\x03\x02"
        .iter()
        .copied()
        .chain([7; 32])
        .chain(*b"\0\0\x04\xc0\x13\0\x2f\x01\0");
    let rows = [
        ("plain HTTP", b"GET / HTTP/1.1\r\nHost: x\r\n\r\n".to_vec()),
        ("noise", (0..=255).cycle().take(4000).collect()),
        ("TLS 1.1", old.collect()),
        ("a record without end", b"\x16\x03\x03\xff\xff".to_vec()),
        ("silence", Vec::new()),
    ];
    let cut = join_all(rows.iter().map(|(name, bytes)| async move { (name, caller.raw(bytes).await) })).await;
    for (name, (first, took)) in cut {
        assert!(took < Duration::from_secs(9), "{name}: {took:?}");
        assert!(matches!(first, None | Some(0x15)), "{name}: {first:?} is no TLS alert");
    }
    assert!(caller.handshake(b"h2").await.is_err(), "a protocol that is not spoken");
    assert!(caller.handshake(b"http/1.1").await.is_ok());
}

/// Several questions at once on one connection are answered in order.
async fn pipelined(caller: &Caller) {
    let asked: Vec<_> =
        (0..20).flat_map(|n| json_posted(&changed("/request/uid", json!(format!("n{n}"))))).collect();
    let text = caller.send_for(&asked, Duration::from_secs(2)).await;
    let at: Vec<_> = (0..20).map(|n| text.find(&format!("\"uid\":\"n{n}\""))).collect();
    assert!(at.iter().all(Option::is_some) && at.is_sorted(), "{at:?}");
}

/// A peer that takes every connection that it gets leaves some for others.
async fn a_flood_leaves_room(caller: &Caller) {
    let attacker = caller.from([127, 0, 0, 2]);
    let held = join_all((0..600).map(|_| attacker.connect())).await;
    assert!(held.iter().filter(|one| one.is_ok()).count() >= 256, "the flood is none");
    let mut idle = Vec::new();
    for _ in 0..50 {
        idle.push(attacker.handshake(b"http/1.1").await);
    }
    answered_soon(caller).await;
    drop(held);
}

/// Large bodies that never end, and others that cost as much as they can, at the same time as an ordinary pod.
async fn large_bodies_leave_room(caller: &Caller) {
    let attacker = caller.from([127, 0, 0, 3]);
    let unfinished = [json_posted_length(7 * MEBIBYTE), vec![b' '; 7 * MEBIBYTE - 1]].concat();
    let small = format!("[{}0]", "{\"\":0},".repeat(24_000));
    let costly = json_posted(&review_with(&small));
    let held = join_all((0..12).map(|_| attacker.send(&unfinished)));
    let worked = join_all((0..60).map(|_| attacker.send(&costly)));
    let asked = async {
        for _ in 0..10 {
            answered_soon(caller).await;
        }
    };
    let (held, worked, ()) = tokio::join!(held, worked, asked);
    let statuses = |answers: &[Answer]| answers.iter().map(|answer| answer.status).collect::<Vec<_>>();
    // Cut off while it still sends, a client may see the end of the connection before the answer.
    assert!(statuses(&held).iter().all(|status| [0, 408, 503].contains(status)), "{:?}", statuses(&held));
    assert!(statuses(&worked).iter().all(|status| [200, 503].contains(status)), "{:?}", statuses(&worked));
    assert!(statuses(&worked).contains(&200));
}

/// Nobody is in its way; what else the machine does is.
async fn answered_soon(caller: &Caller) {
    let started = Instant::now();
    let answer = caller.send(&json_posted(&changed("/request/uid", json!("2")))).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    assert!(started.elapsed() < Duration::from_secs(10), "{:?}", started.elapsed());
}

fn peak_memory(process: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).expect("its status");
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("a peak");
    peak.trim().trim_end_matches(" kB").parse().expect("a number")
}
