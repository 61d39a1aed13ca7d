//! Loopback networking for tests. In: nothing, or an `http://` address. Out: free ports, or a status and a body.
//! Does not talk to the cluster.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream, ToSocketAddrs};
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};

const CONNECT: Duration = Duration::from_secs(2);
const ANSWER: Duration = Duration::from_secs(30);

/// `N` different loopback ports that were free a moment ago. Another process may still take one before it is bound;
/// [`crate::ControlPlane`] and [`crate::Jaeger`] then start again with other ports.
pub fn free_ports<const N: usize>() -> Result<[u16; N]> {
    let mut held = Vec::with_capacity(N);
    let mut ports = [0; N];
    for port in &mut ports {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("no free loopback port")?;
        *port = listener.local_addr()?.port();
        held.push(listener);
    }
    Ok(ports)
}

/// Whether something accepts connections at this loopback port.
pub(crate) fn accepts_connections(port: u16) -> bool {
    TcpStream::connect_timeout(&SocketAddr::from((Ipv4Addr::LOCALHOST, port)), CONNECT).is_ok()
}

/// GET of `http://HOST:PORT/PATH`: status and body.
pub fn http_get(url: &str) -> Result<(u16, String)> {
    http("GET", url, "")
}

/// A request to `http://HOST:PORT/PATH` with JSON as its body, or none: status and body of the answer.
pub fn http(method: &str, url: &str, body: &str) -> Result<(u16, String)> {
    http_with(method, url, "application/json", body.as_bytes())
}

/// A request to `http://HOST:PORT/PATH` with a body of this type: status and body of the answer. Speaks HTTP/1.0, so that the
/// answer is never chunked.
pub fn http_with(method: &str, url: &str, content_type: &str, body: &[u8]) -> Result<(u16, String)> {
    let rest = url.strip_prefix("http://").ok_or_else(|| anyhow!("{url}: only http:// is supported"))?;
    let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
    let address = host
        .to_socket_addrs()
        .with_context(|| format!("{url}: not an address with a port"))?
        .next()
        .ok_or_else(|| anyhow!("{url}: the host has no address"))?;
    let mut stream = TcpStream::connect_timeout(&address, CONNECT)
        .with_context(|| format!("{method} {url}: connecting"))?;
    stream.set_read_timeout(Some(ANSWER))?;
    stream.set_write_timeout(Some(ANSWER))?;
    write!(
        stream,
        "{method} /{path} HTTP/1.0\r\nHost: {host}\r\nAccept: */*\r\nContent-Length: {}\r\n",
        body.len()
    )
    .and_then(|()| write!(stream, "Content-Type: {content_type}\r\n\r\n"))
    .and_then(|()| stream.write_all(body))
    .with_context(|| format!("{method} {url}: sending"))?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).with_context(|| format!("{method} {url}: reading"))?;
    parse_answer(&answer).with_context(|| format!("{method} {url}"))
}

fn parse_answer(answer: &[u8]) -> Result<(u16, String)> {
    let head_end = answer
        .windows(4)
        .position(|window| window == b"\r\n\r\n")
        .ok_or_else(|| anyhow!("the answer ends before its headers do"))?;
    let head = String::from_utf8_lossy(&answer[..head_end]);
    let body = &answer[head_end + 4..];
    let mut lines = head.lines();
    let status = lines
        .next()
        .and_then(|line| line.split(' ').nth(1))
        .and_then(|code| code.parse().ok())
        .ok_or_else(|| anyhow!("no HTTP status in {head:?}"))?;
    for (name, value) in lines.filter_map(|line| line.split_once(':')) {
        if name.eq_ignore_ascii_case("content-length") && value.trim().parse() != Ok(body.len()) {
            bail!("{} bytes announced, {} received", value.trim(), body.len());
        }
        if name.eq_ignore_ascii_case("transfer-encoding") {
            bail!("the server answers an HTTP/1.0 request with transfer encoding {}", value.trim());
        }
    }
    Ok((status, String::from_utf8_lossy(body).into_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_are_distinct_and_can_be_bound() {
        let ports = free_ports::<8>().unwrap();
        let bound: Vec<_> =
            ports.iter().map(|port| TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).unwrap()).collect();
        assert_eq!(bound.len(), 8);
        assert!(accepts_connections(ports[0]));
    }

    #[test]
    fn an_answer_is_split_into_status_and_body() {
        let answer = b"HTTP/1.0 404 Not Found\r\nContent-Length: 4\r\n\r\ngone";
        assert_eq!(parse_answer(answer).unwrap(), (404, "gone".to_owned()));
    }

    #[test]
    fn a_cut_or_chunked_answer_is_an_error() {
        for answer in [
            "HTTP/1.0 200 OK\r\nContent-Length: 9\r\n\r\nshort",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            "HTTP/1.0 200 OK\r\n",
            "SSH-2.0 hello\r\n\r\n",
        ] {
            assert!(parse_answer(answer.as_bytes()).is_err(), "{answer:?}");
        }
    }
}
