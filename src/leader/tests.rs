use std::convert::Infallible;

use http::{Method, Request};
use kube::Config;
use tokio::net::TcpListener;
use tower::{BoxError, Layer, Service, ServiceExt, service_fn};

use super::decide::{Change, Seen, Step, decide};
use super::fence::FenceLayer;
use super::*;

const LEASE: Duration = Duration::from_secs(15);

fn held(holder: &str, duration: Option<u64>, since: Instant) -> Seen {
    Seen::Held { holder: holder.to_owned(), duration: duration.map(Duration::from_secs), since }
}

#[tokio::test(start_paused = true)]
async fn a_record_counts_for_as_long_as_it_was_seen_unchanged() {
    let start = Instant::now();
    let after = |seconds| start + Duration::from_secs(seconds);
    let wait = |seconds| Step::Wait { holder: "b".to_owned(), free_in: Duration::from_secs(seconds) };
    assert_eq!(decide(&Seen::Absent, "a", LEASE, start), Step::Take(Change::Create));
    assert_eq!(decide(&Seen::Free, "a", LEASE, start), Step::Take(Change::Acquire));
    assert_eq!(decide(&held("a", Some(15), start), "a", LEASE, after(999)), Step::Take(Change::Renew));
    assert_eq!(decide(&held("b", Some(15), start), "a", LEASE, after(0)), wait(15));
    assert_eq!(decide(&held("b", Some(15), start), "a", LEASE, after(14)), wait(1));
    assert_eq!(decide(&held("b", Some(15), start), "a", LEASE, after(15)), Step::Take(Change::Acquire));
    // A holder with a longer lease of its own is waited for, one that says nothing as long as for one of ours.
    assert_eq!(decide(&held("b", Some(60), start), "a", LEASE, after(15)), wait(45));
    assert_eq!(decide(&held("b", None, start), "a", LEASE, after(14)), wait(1));
}

/// A candidate of the simulation: what it has seen, and until when it may write.
struct Candidate {
    name: String,
    seen: Option<(u64, Seen)>,
    writes_until: Option<Instant>,
}

/// Candidates that look and write at random times, stand still for minutes, and lose requests on either way, against one Lease with
/// a version. At no time may two of them write.
#[tokio::test(start_paused = true)]
async fn there_are_never_two_writers() {
    let timing = Timing { lease: LEASE };
    let mut random = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = move |below: u64| {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        random % below
    };
    let mut changes_of_leader = 0;
    for _ in 0..200 {
        let mut lease: Option<(u64, String)> = None;
        let mut candidates: Vec<_> = (0..3)
            .map(|number| Candidate { name: format!("pod-{number}"), seen: None, writes_until: None })
            .collect();
        for _ in 0..400 {
            let far = if next(30) == 0 { 90_000 } else { 1_500 };
            tokio::time::advance(Duration::from_millis(next(far))).await;
            let now = Instant::now();
            let chosen = usize::try_from(next(3)).unwrap();
            let candidate = &mut candidates[chosen];
            if candidate.writes_until.is_some_and(|until| now >= until) {
                // The process ends; another one takes its place.
                let name = format!("{}'", candidate.name);
                *candidate = Candidate { name, seen: None, writes_until: None };
            }
            // A request is lost on its way there.
            if next(10) == 0 {
                continue;
            }
            let version = lease.as_ref().map_or(0, |(version, _)| *version);
            if candidate.seen.as_ref().is_none_or(|(seen, _)| *seen != version) {
                let seen = lease.as_ref().map_or(Seen::Absent, |(_, holder)| held(holder, Some(15), now));
                candidate.seen = Some((version, seen));
            }
            let seen = &candidate.seen.as_ref().unwrap().1;
            let Step::Take(_) = decide(seen, &candidate.name, LEASE, now) else { continue };
            // Somebody stands still between looking and writing: the version tells.
            let began = now;
            if next(20) == 0 {
                tokio::time::advance(Duration::from_secs(next(40))).await;
            }
            changes_of_leader +=
                u32::from(lease.as_ref().is_none_or(|(_, holder)| *holder != candidate.name));
            lease = Some((version + 1, candidate.name.clone()));
            candidate.seen = Some((version + 1, held(&candidate.name, Some(15), Instant::now())));
            // The answer is lost on its way back: the Lease is held, and its holder does not know it.
            if next(10) != 0 {
                candidate.writes_until = Some(began + timing.renew_deadline());
            }
            let writers = candidates
                .iter()
                .filter(|candidate| candidate.writes_until.is_some_and(|until| Instant::now() < until));
            assert!(writers.count() <= 1, "two writers");
        }
    }
    assert!(changes_of_leader > 1_000, "the simulation changed its leader {changes_of_leader} times only");
}

/// What comes of a request behind a fence.
async fn sent(fence: &Fence, method: Method) -> Result<(), BoxError> {
    let inner = service_fn(|_: Request<()>| async { Ok::<_, Infallible>(()) }).map_err(BoxError::from);
    let mut service = FenceLayer(fence.clone()).layer(inner);
    let request = Request::builder().method(method).body(()).unwrap();
    service.ready().await.unwrap().call(request).await
}

#[tokio::test(start_paused = true)]
async fn writes_pass_the_fence_until_its_deadline_and_reads_always() {
    let fence = Fence::closed();
    let writes = [Method::POST, Method::PUT, Method::PATCH, Method::DELETE];
    for method in &writes {
        assert!(
            sent(&fence, method.clone()).await.is_err_and(|error| error.is::<fence::Fenced>()),
            "{method}"
        );
    }
    sent(&fence, Method::GET).await.unwrap();
    fence.open_until(Instant::now() + Duration::from_secs(10));
    for method in &writes {
        sent(&fence, method.clone()).await.unwrap();
    }
    tokio::time::advance(Duration::from_secs(10)).await;
    assert!(sent(&fence, Method::PATCH).await.is_err());
    sent(&fence, Method::GET).await.unwrap();
    sent(&Fence::open(), Method::DELETE).await.unwrap();
}

/// The peer takes connections and reads nothing: like a cut network it never confirms the end of a large request.
#[tokio::test]
async fn what_the_other_side_does_not_receive_is_given_up_at_the_end_of_the_lease() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let peer = tokio::spawn(async move {
        let mut taken = Vec::new();
        loop {
            taken.push(listener.accept().await.unwrap());
        }
    });
    let timing = Timing { lease: Duration::from_secs(6) };
    let metrics = Metrics::new(&prometheus::Registry::new()).unwrap();
    let client = client(&Config::new(url.parse().unwrap()), &Fence::open(), timing, &metrics).unwrap();
    let request = Request::post("/api").body(vec![b' '; 32 << 20]).unwrap();
    let sent = timeout(Duration::from_secs(30), client.request_text(request)).await.expect("it is given up");
    assert!(sent.is_err());
    assert!(!peer.is_finished());
}

#[test]
fn an_identity_is_of_this_process_alone() {
    assert_ne!(identity(), identity());
}
