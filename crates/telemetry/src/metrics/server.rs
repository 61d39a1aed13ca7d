//! In: HTTP requests. Out: `/metrics`, `/healthz`, `/readyz`. Listens on a port.
//!
//! A connection serves one request and must be done with it within a deadline, and there are only so many at once: one
//! rule against everybody who is slow in sending or in reading, or who does neither. Scrapes and probes are seconds apart, so
//! that a new connection for each costs nothing.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, TcpListener};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::response::IntoResponse;
use axum::routing::get;
use http::header::{ACCEPT, CONTENT_TYPE};
use http::{HeaderMap, StatusCode};
use hyper::server::conn::http1;
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use tokio::net::TcpStream;
use tokio::runtime::Handle;
use tokio::sync::oneshot;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::Metrics;

const LIMITS: Limits =
    Limits { deadline: Duration::from_secs(15), connections: 128, last_answers: Duration::from_secs(1) };

#[derive(Clone, Copy)]
struct Limits {
    /// How long a connection may take. Longer than Prometheus' default timeout of a scrape.
    deadline: Duration,
    /// How many connections are served at once. Others wait for a place.
    connections: usize,
    /// How long requests that are being answered may hold up the end.
    last_answers: Duration,
}

/// Takes the port, without serving it yet. Without a host: on all addresses of the machine.
///
/// # Errors
/// The port is taken, or the address is not one of this machine.
pub(crate) fn bind(host: Option<IpAddr>, port: u16) -> io::Result<TcpListener> {
    let listener = match host {
        Some(host) => TcpListener::bind((host, port)),
        // On Linux this takes IPv4 connections, too.
        None => match TcpListener::bind((Ipv6Addr::UNSPECIFIED, port)) {
            Err(error)
                if !matches!(error.kind(), io::ErrorKind::AddrInUse | io::ErrorKind::PermissionDenied) =>
            {
                TcpListener::bind((Ipv4Addr::UNSPECIFIED, port))
            }
            bound => bound,
        },
    }?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

/// A server at work in the background. Dropping this ends it without waiting.
#[derive(Debug)]
pub(crate) struct Server {
    /// Dropped, it ends the server.
    stop: oneshot::Sender<()>,
    /// Closed when the last request has been answered or given up.
    ended: mpsc::Receiver<()>,
    last_answers: Duration,
}

impl Server {
    /// Serves the port of a listener that [`bind`] gave.
    pub(crate) fn start(
        listener: TcpListener,
        metrics: Metrics,
        ready: Arc<AtomicBool>,
        background: &Handle,
    ) -> Self {
        Self::with_limits(LIMITS, listener, router(metrics, ready), background)
    }

    fn with_limits(limits: Limits, listener: TcpListener, router: Router, background: &Handle) -> Self {
        let (stop, stopped) = oneshot::channel::<()>();
        let (alive, ended) = mpsc::channel();
        background.spawn(async move {
            // An error means that the runtime does not take the listener: the port is closed.
            let _ = serve(limits, listener, router, async { drop(stopped.await) }).await;
            drop(alive);
        });
        Self { stop, ended, last_answers: limits.last_answers }
    }

    /// Closes the port and waits for the answers that are on their way, but no longer than the deadline. Blocks.
    pub(crate) fn stop(self, deadline: Duration) {
        drop(self.stop);
        // Whatever it waited for: what is left is dropped with the runtime.
        let _ = self.ended.recv_timeout(deadline.min(2 * self.last_answers));
    }
}

async fn serve(
    limits: Limits,
    listener: TcpListener,
    router: Router,
    stop: impl Future<Output = ()> + Send,
) -> io::Result<()> {
    let listener = tokio::net::TcpListener::from_std(listener)?;
    let service = TowerToHyperService::new(router);
    let mut connections = JoinSet::new();
    let mut stop = std::pin::pin!(stop);
    loop {
        tokio::select! {
            () = &mut stop => break,
            // Also a panic, in a collector of the application's own, ends the one connection only.
            Some(_) = connections.join_next() => {}
            accepted = listener.accept(), if connections.len() < limits.connections => match accepted {
                Ok((stream, _)) => {
                    connections.spawn(timeout(limits.deadline, answer(stream, service.clone())));
                }
                // No file descriptors are left, as a rule. They do not come back by asking at once.
                Err(error) if !is_of_the_client(&error) => sleep(Duration::from_millis(100)).await,
                Err(_) => {}
            },
        }
    }
    drop(listener);
    // What is not done by then is dropped with the set.
    let _ = timeout(limits.last_answers, async { while connections.join_next().await.is_some() {} }).await;
    Ok(())
}

async fn answer(stream: TcpStream, service: TowerToHyperService<Router>) {
    // The client hung up, or what it sent is not HTTP: nobody is left to be told.
    let _ = http1::Builder::new().keep_alive(false).serve_connection(TokioIo::new(stream), service).await;
}

fn is_of_the_client(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset)
}

fn router(metrics: Metrics, ready: Arc<AtomicBool>) -> Router {
    Router::new()
        .route("/metrics", get(scrape).with_state(metrics))
        .route("/healthz", get(async || "ok\n"))
        .route("/readyz", get(readiness).with_state(ready))
        .fallback(async || {
            (StatusCode::NOT_FOUND, "nothing here; there are /metrics, /healthz and /readyz\n")
        })
}

async fn scrape(State(metrics): State<Metrics>, headers: HeaderMap) -> impl IntoResponse {
    let accept: Vec<_> = headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok()).collect();
    let exposition = metrics.render(Some(&accept.join(",")));
    ([(CONTENT_TYPE, exposition.content_type)], exposition.body)
}

async fn readiness(State(ready): State<Arc<AtomicBool>>) -> (StatusCode, &'static str) {
    match ready.load(Ordering::Relaxed) {
        true => (StatusCode::OK, "ok\n"),
        false => (StatusCode::SERVICE_UNAVAILABLE, "not ready\n"),
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::SocketAddr;
    use std::thread;
    use std::time::Instant;

    use super::super::tests::various;
    use super::*;
    use crate::runtime::Background;

    const PATIENCE: Duration = Duration::from_secs(20);

    /// The server in the background, as the manager runs it.
    struct Running {
        address: SocketAddr,
        ready: Arc<AtomicBool>,
        server: Server,
        background: Background,
    }

    impl Running {
        fn start(limits: Limits, metrics: Metrics) -> Self {
            let listener = bind(Some(Ipv4Addr::LOCALHOST.into()), 0).unwrap();
            let address = listener.local_addr().unwrap();
            let ready = Arc::new(AtomicBool::new(true));
            let background = Background::start().unwrap();
            let router = router(metrics, ready.clone());
            let server = Server::with_limits(limits, listener, router, background.handle());
            Self { address, ready, server, background }
        }

        fn connect(&self) -> std::net::TcpStream {
            let stream = std::net::TcpStream::connect(self.address).unwrap();
            stream.set_read_timeout(Some(PATIENCE)).unwrap();
            stream
        }

        /// Head and body of the answer to a request that begins like this.
        fn ask(&self, request: &str) -> (String, String) {
            let mut stream = self.connect();
            write!(stream, "{request}Host: x\r\n\r\n").unwrap();
            let mut answer = String::new();
            stream.read_to_string(&mut answer).unwrap();
            let (head, body) = answer.split_once("\r\n\r\n").unwrap_or_else(|| panic!("{answer:?}"));
            (head.to_ascii_lowercase(), body.to_owned())
        }

        fn stop(self) {
            self.server.stop(PATIENCE);
            assert!(self.background.stop(PATIENCE), "the background does not end");
        }
    }

    #[test]
    fn each_path_answers() {
        let metrics = various();
        let server = Running::start(LIMITS, metrics.clone());
        let (head, body) = server.ask("GET /metrics HTTP/1.1\r\n");
        assert!(head.starts_with("http/1.1 200 ok"), "{head}");
        assert!(head.contains("content-type: text/plain; version=0.0.4; charset=utf-8"), "{head}");
        assert_eq!(body, metrics.render(None).body);
        let length = format!("content-length: {}", body.len());

        let (head, body) = server.ask("HEAD /metrics HTTP/1.1\r\n");
        assert!(head.starts_with("http/1.1 200 ok") && head.contains(&length), "{head}");
        assert_eq!(body, "");

        let accept =
            "Accept: application/openmetrics-text;version=1.0.0;q=0.6\r\nAccept: text/plain;q=0.5\r\n";
        let (head, body) = server.ask(&format!("GET /metrics HTTP/1.1\r\n{accept}"));
        assert!(head.contains("content-type: application/openmetrics-text; version=1.0.0"), "{head}");
        assert!(body.ends_with("\n# EOF\n"), "{body}");

        for (request, status, expected) in [
            ("GET /healthz HTTP/1.1\r\n", "200", "ok\n"),
            ("GET /readyz HTTP/1.1\r\n", "200", "ok\n"),
            ("GET / HTTP/1.1\r\n", "404", "nothing here; there are /metrics, /healthz and /readyz\n"),
            ("POST /metrics HTTP/1.1\r\n", "405", ""),
        ] {
            let (head, body) = server.ask(request);
            assert!(head.starts_with(&format!("http/1.1 {status}")), "{request}: {head}");
            assert_eq!(body, expected, "{request}");
        }
        server.ready.store(false, Ordering::Relaxed);
        let (head, body) = server.ask("GET /readyz HTTP/1.1\r\n");
        assert!(head.starts_with("http/1.1 503"), "{head}");
        assert_eq!(body, "not ready\n");
        assert_eq!(server.ask("GET /healthz HTTP/1.1\r\n").1, "ok\n");

        let address = server.address;
        server.stop();
        assert!(std::net::TcpStream::connect(address).is_err(), "the port is still open");
    }

    #[test]
    fn clients_that_take_their_time_do_not_keep_others_out() {
        let limits = Limits { deadline: Duration::from_millis(300), connections: 2, ..LIMITS };
        let server = Running::start(limits, various());
        let mut slow: Vec<_> = (0..4).map(|_| server.connect()).collect();
        slow[0].write_all(b"GET /metrics HTTP/1.1\r\nHost:").unwrap();
        slow[1].write_all(b"\x16\x03\x01 this is not HTTP").unwrap();
        let start = Instant::now();
        assert_eq!(server.ask("GET /healthz HTTP/1.1\r\n").1, "ok\n");
        assert!(start.elapsed() < PATIENCE);
        // Every one of them is hung up on.
        for mut stream in slow {
            let mut rest = Vec::new();
            let hung_up = stream.read_to_end(&mut rest);
            let reset = |error: &io::Error| error.kind() == io::ErrorKind::ConnectionReset;
            assert!(hung_up.as_ref().is_ok() || hung_up.as_ref().is_err_and(reset), "{hung_up:?}");
        }
        // One that is still open does not hold up the end.
        let _open = server.connect();
        let start = Instant::now();
        server.stop();
        assert!(start.elapsed() < Duration::from_secs(10), "{:?}", start.elapsed());
    }

    #[test]
    fn a_request_on_its_way_is_answered_before_the_end() {
        let patient = Limits { last_answers: PATIENCE, ..LIMITS };
        let server = Running::start(patient, various());
        let mut client = server.connect();
        client.write_all(b"GET /healthz HTTP/1.1\r\n").unwrap();
        // Connections are accepted in their order: with this answer, the other one has been, too.
        assert_eq!(server.ask("GET /healthz HTTP/1.1\r\n").1, "ok\n");
        let address = server.address;
        let stopping = thread::spawn(move || server.stop());
        while std::net::TcpStream::connect(address).is_ok() {
            assert!(!stopping.is_finished(), "the port is still open");
        }
        client.write_all(b"Host: x\r\n\r\n").unwrap();
        let mut answer = String::new();
        client.read_to_string(&mut answer).unwrap();
        assert!(answer.ends_with("ok\n"), "{answer:?}");
        stopping.join().unwrap();
    }

    #[test]
    fn a_collector_that_panics_costs_its_own_scrape_only() {
        struct Panics;
        impl prometheus::core::Collector for Panics {
            fn desc(&self) -> Vec<&prometheus::core::Desc> {
                Vec::new()
            }
            fn collect(&self) -> Vec<prometheus::proto::MetricFamily> {
                std::panic::resume_unwind(Box::new("on purpose"))
            }
        }
        let metrics = Metrics::disabled();
        metrics.registry().register(Box::new(Panics)).unwrap();
        let server = Running::start(LIMITS, metrics);
        let mut stream = server.connect();
        stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        assert_eq!(answer, b"");
        assert_eq!(server.ask("GET /healthz HTTP/1.1\r\n").1, "ok\n");
        server.stop();
    }

    #[test]
    fn without_a_host_every_address_is_served() {
        let listener = bind(None, 0).unwrap();
        let port = listener.local_addr().unwrap().port();
        std::net::TcpStream::connect((Ipv4Addr::LOCALHOST, port)).unwrap();
        if TcpListener::bind((Ipv6Addr::LOCALHOST, 0)).is_ok() {
            std::net::TcpStream::connect((Ipv6Addr::LOCALHOST, port)).unwrap();
        }
    }

    #[test]
    fn a_taken_port_is_an_error() {
        let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = taken.local_addr().unwrap().port();
        for host in [None, Some(Ipv4Addr::LOCALHOST.into())] {
            assert_eq!(bind(host, port).unwrap_err().kind(), io::ErrorKind::AddrInUse, "{host:?}");
        }
    }
}
