//! Somebody who sends bytes to the webhook, by TLS or below it, from an address of one's choice.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// Longer than every time-out of the webhook that a row waits for.
const PATIENCE: Duration = Duration::from_secs(30);

#[derive(Clone)]
pub struct Caller {
    to: SocketAddr,
    from: IpAddr,
    name: ServerName<'static>,
    roots: Arc<rustls::RootCertStore>,
}

/// The first answer on a connection; status 0 when there is none.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub body: String,
}

impl Caller {
    /// One that trusts these authorities (PEM) alone, and calls the webhook by this name.
    pub fn new(port: u16, name: &str, authorities: &str) -> Self {
        let mut roots = rustls::RootCertStore::empty();
        for root in CertificateDer::pem_slice_iter(authorities.as_bytes()) {
            roots.add(root.expect("a certificate")).expect("a root");
        }
        let name = ServerName::try_from(name.to_owned()).expect("a name");
        Self { to: ([127, 0, 0, 1], port).into(), from: [127, 0, 0, 1].into(), name, roots: roots.into() }
    }

    pub fn from(&self, address: [u8; 4]) -> Self {
        Self { from: address.into(), ..self.clone() }
    }

    pub async fn connect(&self) -> io::Result<TcpStream> {
        let socket = TcpSocket::new_v4()?;
        socket.bind((self.from, 0).into())?;
        timeout(PATIENCE, socket.connect(self.to)).await?
    }

    pub async fn handshake(&self, protocol: &[u8]) -> io::Result<TlsStream<TcpStream>> {
        let mut config = rustls::ClientConfig::builder()
            .with_root_certificates(Arc::clone(&self.roots))
            .with_no_client_auth();
        config.alpn_protocols = vec![protocol.to_vec()];
        let connector = TlsConnector::from(Arc::new(config));
        timeout(PATIENCE, connector.connect(self.name.clone(), self.connect().await?)).await?
    }

    /// Sends these bytes and waits for the first answer or the end of the connection.
    pub async fn send(&self, bytes: &[u8]) -> Answer {
        let exchange = async {
            let stream = self.handshake(b"http/1.1").await.expect("a connection");
            let (mut reading, mut writing) = tokio::io::split(stream);
            // Cut off in the middle, the rest cannot be sent; the answer may have come all the same.
            let send = async { writing.write_all(bytes).await.and(writing.flush().await) };
            let (_, text) = tokio::join!(send, read_answer(&mut reading));
            text
        };
        let text = timeout(PATIENCE, exchange).await.expect("an answer, or an end");
        let status = text.strip_prefix("HTTP/1.1 ").and_then(|rest| rest.get(..3)?.parse().ok()).unwrap_or(0);
        let body = text.split_once("\r\n\r\n").map(|(_, body)| body.to_owned()).unwrap_or_default();
        Answer { status, body }
    }

    /// Everything that comes back within this time.
    pub async fn send_for(&self, bytes: &[u8], wait: Duration) -> String {
        let mut stream = self.handshake(b"http/1.1").await.expect("a connection");
        stream.write_all(bytes).await.expect("they are sent");
        let mut read = Vec::new();
        let _ = timeout(wait, stream.read_to_end(&mut read)).await;
        String::from_utf8_lossy(&read).into_owned()
    }

    /// Sends these bytes without TLS. Out: the first byte that came back, and how long it took until the connection ended.
    pub async fn raw(&self, bytes: &[u8]) -> (Option<u8>, Duration) {
        let started = Instant::now();
        let mut stream = self.connect().await.expect("a connection");
        let _ = stream.write_all(bytes).await;
        let mut read = Vec::new();
        let _ = timeout(PATIENCE, stream.read_to_end(&mut read)).await.expect("an end");
        (read.first().copied(), started.elapsed())
    }
}

/// Reads until one answer is complete by its Content-Length, or the connection ends.
async fn read_answer(stream: &mut (impl AsyncReadExt + Unpin)) -> String {
    let (mut read, mut piece) = (Vec::new(), vec![0; 16 * 1024]);
    while let Ok(count @ 1..) = stream.read(&mut piece).await {
        read.extend_from_slice(&piece[..count]);
        let text = String::from_utf8_lossy(&read);
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head
                .lines()
                .find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length: ")?.parse().ok());
            if length.is_some_and(|length: usize| body.len() >= length) {
                return text.into_owned();
            }
        }
    }
    String::from_utf8_lossy(&read).into_owned()
}
