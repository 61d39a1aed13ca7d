//! The webhook's HTTPS server. In: connections of anybody in the cluster. Out: answers by [`review`]. Does not talk to the
//! cluster: a request reads nothing but the profiles in memory.
//!
//! What a request may cost is bounded, whoever sends it: the number of connections, in all and of one peer; the time for the
//! handshake, a head and a body; the bytes of bodies that are being read; the memory of what is being worked out.

use std::collections::HashMap;
use std::convert::Infallible;
use std::net::IpAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use futures::StreamExt;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, Semaphore, SemaphorePermit, watch};
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;

use super::review::{self, Outcome};
use super::{Profiles, ServerKey};
use crate::metrics::Metrics;
use crate::settings::Settings;
use crate::shutdown::stopped;

/// Where the API server asks.
pub(super) const PATH: &str = "/mutate-pods";

/// Largest body: what controller-runtime's webhooks take, above everything that an API server can store.
const LARGEST_BODY: usize = 7 * 1024 * 1024;
/// So much of each body needs no share of [`BODIES`]: a flood of large ones leaves room for an ordinary pod.
const FREE_BODY: usize = 32 * 1024;
/// Bytes of all bodies above their free part.
const BODIES: usize = 32 * 1024 * 1024;
/// Bytes that all questions together may take while they are worked out.
const WORK: usize = 64 * 1024 * 1024;
/// Bytes in one permit.
const UNIT: usize = 16 * 1024;
/// Of each connection, for a head and for pieces of a body.
const BUFFER: usize = 64 * 1024;

/// Connections in all, and of one address: an API server has at most 200 writing requests in hand.
const CONNECTIONS: usize = 512;
const CONNECTIONS_OF_PEER: usize = 256;

const HANDSHAKE: Duration = Duration::from_secs(5);
/// From the handshake to the end of the first head.
const FIRST_HEAD: Duration = Duration::from_secs(10);
/// From one answer to the end of the next head. Go's clients drop idle connections after 90 s: were it this side that did so, a
/// question on its way would be lost.
const NEXT_HEAD: Duration = Duration::from_secs(120);
/// The API server waits for an answer for two seconds.
const BODY: Duration = Duration::from_secs(2);
/// A connection of this age ends with its next answer.
const OLD: Duration = Duration::from_secs(600);
/// A connection that is still there then is stuck: its other side does not read.
const STUCK: Duration = Duration::from_secs(900);
/// How long after the signal to stop questions are still answered: so long the API server may take to hear of it.
const LEAVING: Duration = Duration::from_secs(2);
/// How long answers in hand may take after that.
const LAST_ANSWERS: Duration = Duration::from_secs(2);

/// What the handlers share.
pub(super) struct Shared {
    profiles: Profiles,
    settings: Settings,
    metrics: Metrics,
    bodies: Semaphore,
    work: Semaphore,
}

impl Shared {
    pub(super) fn new(profiles: Profiles, settings: Settings, metrics: Metrics) -> Self {
        let permits = |bytes: usize| Semaphore::new(bytes / UNIT);
        Self { profiles, settings, metrics, bodies: permits(BODIES), work: permits(WORK) }
    }
}

/// Shows the present certificate at each handshake.
#[derive(Debug)]
struct Present(watch::Receiver<Option<Arc<ServerKey>>>);

impl rustls::server::ResolvesServerCert for Present {
    fn resolve(&self, _: rustls::server::ClientHello<'_>) -> Option<Arc<ServerKey>> {
        self.0.borrow().clone()
    }
}

/// TLS 1.2 or 1.3 with the present certificate.
///
/// # Errors
/// When the library has no protocol version that its cryptography supports, which a test rules out.
pub(super) fn tls(key: watch::Receiver<Option<Arc<ServerKey>>>) -> Result<TlsAcceptor, rustls::Error> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(Present(key)));
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    // The API server resumes no session: keeping any would only take memory.
    config.session_storage = Arc::new(rustls::server::NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    Ok(TlsAcceptor::from(Arc::new(config)))
}

/// Serves until `stop` turns true and what is in hand is answered.
pub(super) async fn serve(
    listener: TcpListener,
    acceptor: TlsAcceptor,
    shared: Arc<Shared>,
    stop: watch::Receiver<bool>,
) {
    let router = Router::new().route(PATH, post(mutate)).with_state(Arc::clone(&shared));
    let places = Arc::new(Places::default());
    let graceful = GracefulShutdown::new();
    let leaving = async {
        stopped(stop).await;
        sleep(LEAVING).await;
    };
    let accepting = async {
        loop {
            let (stream, peer) = match listener.accept().await {
                Ok(accepted) => accepted,
                Err(error) => {
                    tracing::warn!(%error, "the webhook cannot accept a connection");
                    sleep(Duration::from_millis(100)).await;
                    continue;
                }
            };
            let Some(place) = places.take(peer.ip()) else {
                shared.metrics.webhook_request("too_many_connections");
                continue;
            };
            let connection = connection(stream, acceptor.clone(), router.clone(), graceful.watcher(), place);
            tokio::spawn(connection);
        }
    };
    tokio::select! {
        () = leaving => {}
        () = accepting => {}
    }
    drop(listener);
    if timeout(LAST_ANSWERS, graceful.shutdown()).await.is_err() {
        tracing::warn!("connections to the webhook were left open too long and are cut");
    }
}

async fn connection(
    stream: TcpStream,
    acceptor: TlsAcceptor,
    router: Router,
    watcher: Watcher,
    _place: Place,
) {
    let _ = stream.set_nodelay(true);
    // Whoever fails here is no API server, or one that does not trust the certificate: it says so itself.
    let Ok(Ok(stream)) = timeout(HANDSHAKE, acceptor.accept(stream)).await else { return };
    let began = Instant::now();
    let asked = Notify::new();
    let router = TowerToHyperService::new(router);
    let service = service_fn(|request: hyper::Request<Incoming>| {
        asked.notify_one();
        let answer = router.call(request);
        async move {
            let mut answer = answer.await?;
            if began.elapsed() > OLD {
                answer.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
            }
            Ok::<_, Infallible>(answer)
        }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(NEXT_HEAD)
        .max_buf_size(BUFFER)
        .serve_connection(TokioIo::new(stream), service);
    let silent = async {
        if timeout(FIRST_HEAD, asked.notified()).await.is_ok() {
            sleep(STUCK).await;
        }
    };
    tokio::select! {
        // Its error is the other side's business.
        _ = watcher.watch(connection) => {}
        () = silent => {}
    }
}

/// What is not answered, and why: the status, the label of the metric, a text.
type Unanswered = (StatusCode, &'static str, String);

async fn mutate(State(shared): State<Arc<Shared>>, request: Request) -> Response {
    let began = Instant::now();
    let (result, response) = match answer(&shared, request).await {
        Ok(answer) => {
            let label = match answer.outcome {
                Outcome::Injected => "injected",
                Outcome::Unchanged => "unchanged",
                Outcome::Refused => "refused",
                Outcome::Unread => "unread",
                Outcome::OffTopic => "off_topic",
            };
            (label, ([(header::CONTENT_TYPE, "application/json")], answer.body).into_response())
        }
        Err((status, label, text)) => {
            // What is left of the body is not read.
            (label, (status, [(header::CONNECTION, "close")], format!("{text}\n")).into_response())
        }
    };
    shared.metrics.webhook_request(result);
    shared.metrics.webhook_took(began.elapsed().as_secs_f64());
    response
}

async fn answer(shared: &Shared, request: Request) -> Result<review::Answer, Unanswered> {
    check_head(request.headers())?;
    let too_slow = || (StatusCode::REQUEST_TIMEOUT, "timeout", "the body did not come in time".to_owned());
    let (body, permit) = timeout(BODY, read(shared, request.into_body())).await.map_err(|_| too_slow())??;
    let overloaded = || overloaded("too much is being worked out");
    let cost = u32::try_from(review::memory(&body).div_ceil(UNIT)).unwrap_or(u32::MAX);
    let working = timeout(BODY, shared.work.acquire_many(cost)).await;
    let _working = working.ok().and_then(Result::ok).ok_or_else(overloaded)?;
    let Some(profiles) = (shared.profiles)() else {
        let text = "the profiles are not read yet".to_owned();
        return Err((StatusCode::SERVICE_UNAVAILABLE, "not_ready", text));
    };
    let answer = review::answer(&body, &profiles, &shared.settings)
        .map_err(|error| (StatusCode::BAD_REQUEST, "malformed", error.to_string()));
    drop(permit);
    answer
}

fn check_head(headers: &HeaderMap) -> Result<(), Unanswered> {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let media_type = text(header::CONTENT_TYPE).split(';').next().unwrap_or_default().trim();
    let encoding = text(header::CONTENT_ENCODING);
    if !media_type.eq_ignore_ascii_case("application/json") || !["", "identity"].contains(&encoding) {
        let text = "the body must be application/json without a Content-Encoding".to_owned();
        return Err((StatusCode::UNSUPPORTED_MEDIA_TYPE, "malformed", text));
    }
    let length = text(header::CONTENT_LENGTH).parse::<usize>();
    if length.is_ok_and(|length| length > LARGEST_BODY) { Err(too_large()) } else { Ok(()) }
}

/// Reads a body, and takes permits as its bytes come.
async fn read(shared: &Shared, body: Body) -> Result<(Vec<u8>, Option<SemaphorePermit<'_>>), Unanswered> {
    let mut bytes = Vec::new();
    let mut permit: Option<SemaphorePermit<'_>> = None;
    let mut pieces = body.into_data_stream();
    while let Some(piece) = pieces.next().await {
        let piece = piece.map_err(|error| {
            (StatusCode::BAD_REQUEST, "malformed", format!("the body cannot be read: {error}"))
        })?;
        if bytes.len() + piece.len() > LARGEST_BODY {
            return Err(too_large());
        }
        bytes.extend_from_slice(&piece);
        let wanted = bytes.len().saturating_sub(FREE_BODY).div_ceil(UNIT);
        let more = wanted.saturating_sub(permit.as_ref().map_or(0, SemaphorePermit::num_permits));
        let more = shared
            .bodies
            .try_acquire_many(u32::try_from(more).unwrap_or(u32::MAX))
            .map_err(|_| overloaded("too many large bodies are being read"))?;
        match &mut permit {
            Some(permit) => permit.merge(more),
            None => permit = Some(more),
        }
    }
    Ok((bytes, permit))
}

fn too_large() -> Unanswered {
    let text = format!("the body is larger than {LARGEST_BODY} bytes");
    (StatusCode::PAYLOAD_TOO_LARGE, "too_large", text)
}

fn overloaded(text: &str) -> Unanswered {
    (StatusCode::SERVICE_UNAVAILABLE, "overloaded", text.to_owned())
}

/// The places for connections that are taken, by peer.
#[derive(Default)]
struct Places {
    taken: AtomicUsize,
    of_peers: Mutex<HashMap<IpAddr, usize>>,
}

/// A place, until it is dropped.
struct Place {
    places: Arc<Places>,
    peer: IpAddr,
}

impl Places {
    fn take(self: &Arc<Self>, peer: IpAddr) -> Option<Place> {
        let mut of_peers = self.of_peers.lock().unwrap_or_else(PoisonError::into_inner);
        let of_peer = of_peers.get(&peer).copied().unwrap_or_default();
        if of_peer >= CONNECTIONS_OF_PEER || self.taken.load(Ordering::Relaxed) >= CONNECTIONS {
            return None;
        }
        of_peers.insert(peer, of_peer + 1);
        self.taken.fetch_add(1, Ordering::Relaxed);
        Some(Place { places: Arc::clone(self), peer })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut of_peers = self.places.of_peers.lock().unwrap_or_else(PoisonError::into_inner);
        self.places.taken.fetch_sub(1, Ordering::Relaxed);
        match of_peers.get_mut(&self.peer) {
            Some(count) if *count > 1 => *count -= 1,
            _ => {
                of_peers.remove(&self.peer);
            }
        }
    }
}
