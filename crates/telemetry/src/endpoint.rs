//! In: the URL of an OTLP endpoint. Out: the URL and protocol of each signal, or what is wrong with it. Pure.

use std::fmt;
use std::net::Ipv6Addr;

/// The port of OTLP over gRPC.
const GRPC_PORT: u16 = 4317;
/// The port of OTLP over HTTP.
const HTTP_PORT: u16 = 4318;
/// Where a Jaeger took spans before it spoke OTLP: Thrift over HTTP, and a gRPC of its own.
const OLD_JAEGER_PORTS: [u16; 2] = [14268, 14250];
/// The path of Thrift over HTTP.
const OLD_JAEGER_PATH: &str = "/api/traces";

/// How OTLP is spoken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Protocol {
    /// Plaintext gRPC, port 4317.
    Grpc,
    /// Protobuf over plaintext HTTP/1.1, port 4318.
    HttpProtobuf,
}

impl Protocol {
    /// The protocol as `OTEL_EXPORTER_OTLP_PROTOCOL` names it.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Grpc => "grpc",
            Self::HttpProtobuf => "http/protobuf",
        }
    }
}

/// What is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Signal {
    Traces,
    Logs,
}

/// Where one signal goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct OtlpEndpoint {
    /// `http://host:port` for gRPC, the whole URL with the signal's path (`…/v1/traces`) for HTTP.
    pub(crate) url: String,
    pub(crate) protocol: Protocol,
}

/// A URL that something can be sent to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Address {
    /// Name or address; IPv6 in brackets.
    host: String,
    port: Option<u16>,
    /// Empty, or from the first slash on.
    path: String,
}

impl Address {
    /// Reads a URL; an error is the reason why it cannot be used, and never repeats a password.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let (scheme, rest) = text.split_once("://").unwrap_or(("", text));
        let (authority, path) = match rest.find(['/', '?', '#']) {
            Some(end) => rest.split_at(end),
            None => (rest, ""),
        };
        if authority.contains('@') {
            return Err("it contains a user or a password, which OTLP has no use for: remove them".to_owned());
        }
        if text.is_empty() || !text.chars().all(|c| c.is_ascii_graphic()) {
            return Err(not_a_url(text));
        }
        if scheme.eq_ignore_ascii_case("https") {
            return Err(
                "TLS is not supported, only plaintext: let a collector on the same machine or in the same \
                        pod do TLS, and write its http:// address"
                    .to_owned(),
            );
        }
        if !scheme.eq_ignore_ascii_case("http") {
            let example =
                if scheme.is_empty() { format!(": write http://{}", masked(text)) } else { String::new() };
            return Err(format!("the scheme http:// is missing{example}"));
        }
        if path.contains(['?', '#']) {
            return Err(
                "it contains a query or a fragment, which OTLP has no use for: remove what begins at ? or #"
                    .to_owned(),
            );
        }
        if !path.chars().all(|c| c.is_ascii_alphanumeric() || "/-._~!$&'()*+,;=:@%".contains(c)) {
            return Err(not_a_url(text));
        }
        let (host, port) = split_port(authority)?;
        let address = Self { host: host.to_owned(), port, path: path.to_owned() };
        // The clients read the URL once more, by rules of their own.
        address.to_string().parse::<http::Uri>().map(|_| address).map_err(|_| not_a_url(text))
    }

    /// True for an endpoint of a Jaeger from before OTLP.
    pub(crate) fn is_old_jaeger(&self) -> bool {
        let path = self.path.trim_end_matches('/');
        path == OLD_JAEGER_PATH
            || path.is_empty() && self.port.is_some_and(|port| OLD_JAEGER_PORTS.contains(&port))
    }

    /// The OTLP endpoint on the same host.
    pub(crate) fn otlp_neighbour(&self, protocol: Protocol) -> Self {
        let port = match protocol {
            Protocol::Grpc => GRPC_PORT,
            Protocol::HttpProtobuf => HTTP_PORT,
        };
        Self { host: self.host.clone(), port: Some(port), path: String::new() }
    }

    /// The protocol that is meant when none is named.
    pub(crate) fn guess(&self) -> Protocol {
        if self.port == Some(HTTP_PORT) || self.has_path() { Protocol::HttpProtobuf } else { Protocol::Grpc }
    }

    /// True with a path, which only HTTP takes.
    pub(crate) fn has_path(&self) -> bool {
        !self.path.trim_end_matches('/').is_empty()
    }

    /// Where `signal` goes when this is the base of all signals. The traces' own URL stands for its base.
    pub(crate) fn base_of(&self, signal: Signal, protocol: Protocol) -> OtlpEndpoint {
        let path = self.path.trim_end_matches('/');
        let base = path.strip_suffix("/v1/traces").unwrap_or(path);
        let signal = match signal {
            Signal::Traces => "traces",
            Signal::Logs => "logs",
        };
        self.endpoint(&format!("{base}/v1/{signal}"), protocol)
    }

    /// Where a signal goes that this URL is for alone.
    pub(crate) fn exactly(&self, protocol: Protocol) -> OtlpEndpoint {
        self.endpoint(if self.path.is_empty() { "/" } else { &self.path }, protocol)
    }

    fn endpoint(&self, path: &str, protocol: Protocol) -> OtlpEndpoint {
        let path = match protocol {
            Protocol::Grpc => String::new(),
            Protocol::HttpProtobuf => path.to_owned(),
        };
        OtlpEndpoint { url: Self { path, ..self.clone() }.to_string(), protocol }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "http://{}", self.host)?;
        if let Some(port) = self.port {
            write!(f, ":{port}")?;
        }
        f.write_str(&self.path)
    }
}

fn not_a_url(text: &str) -> String {
    format!("`{}` is not a URL: it must look like http://127.0.0.1:4317", masked(text))
}

fn split_port(authority: &str) -> Result<(&str, Option<u16>), String> {
    let bracket = authority.rfind(']').map_or(0, |end| end + 1);
    let end = authority[bracket..].find(':').map_or(authority.len(), |colon| bracket + colon);
    let (host, port) = authority.split_at(end);
    if host.is_empty() {
        return Err("the host is missing: it must look like http://127.0.0.1:4317".to_owned());
    }
    let literal = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    let valid = match literal {
        Some(address) => address.parse::<Ipv6Addr>().is_ok(),
        None => host.chars().all(|c| c.is_ascii_alphanumeric() || "-._".contains(c)),
    };
    if !valid {
        return Err(format!(
            "`{host}` is not a host: write a name, an IPv4 address, or an IPv6 address in brackets"
        ));
    }
    let Some(port) = port.strip_prefix(':') else {
        return Ok((host, None));
    };
    match port.parse::<u16>() {
        Ok(number) if number > 0 && !port.starts_with('+') => Ok((host, Some(number))),
        _ => Err("the port is not a number from 1 to 65535".to_owned()),
    }
}

/// The URL as it may be repeated in a message: without user, password and query, on one line.
pub(crate) fn masked(url: &str) -> String {
    let (scheme, rest) = url.split_at(url.find("://").map_or(0, |at| at + 3));
    let (user, rest) = match rest.rsplit_once('@') {
        Some((_, rest)) => ("***@", rest),
        None => ("", rest),
    };
    let (rest, query) = match rest.split_once('?') {
        Some((rest, _)) => (rest, "?***"),
        None => (rest, ""),
    };
    format!("{scheme}{user}{rest}{query}").escape_debug().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bad_endpoint_is_named_with_its_fault() {
        for (endpoint, fault) in [
            ("", "not a URL"),
            ("not a url", "`not a url` is not a URL"),
            ("http://jae\nger:4317", r"`http://jae\nger:4317` is not a URL"),
            ("http://jäger:4317", "not a URL"),
            ("http://jaeger:4317/\"", "not a URL"),
            ("http://", "the host is missing"),
            ("http://:4317", "the host is missing"),
            ("http:///v1/traces", "the host is missing"),
            ("jaeger:4317", "the scheme http:// is missing: write http://jaeger:4317"),
            ("unix:///run/otlp", "the scheme http:// is missing"),
            (
                "https://jaeger:4317",
                "TLS is not supported, only plaintext: let a collector on the same machine",
            ),
            ("HTTPS://jaeger:4317", "TLS is not supported"),
            ("http://jaeger:70000", "the port is not a number"),
            ("http://jaeger:0", "the port is not a number"),
            ("http://jaeger:+80", "the port is not a number"),
            ("http://jaeger:", "the port is not a number"),
            ("http://[::1]:x", "the port is not a number"),
            ("http://[::1", "`[` is not a host"),
            ("http://[jaeger]:4317", "`[jaeger]` is not a host"),
            ("http://::1", "the host is missing"),
            ("http://fe80::1:4317", "the port is not a number"),
            ("http://me:secret@jaeger:4317", "a user or a password"),
            ("me:secret@jaeger:4317", "a user or a password"),
            ("https://me:secret@jaeger:4317", "a user or a password"),
            ("http://jaeger:4317?x=1", "a query or a fragment"),
            ("http://jaeger:4317/#x", "a query or a fragment"),
        ] {
            let reason = Address::parse(endpoint).expect_err(endpoint);
            assert!(reason.contains(fault), "`{endpoint}`: wanted `{fault}` in: {reason}");
            assert!(!reason.contains("secret"), "the password is repeated: {reason}");
        }
    }

    #[test]
    fn a_good_endpoint_becomes_the_urls_of_both_signals() {
        let grpc = |url: &str| {
            let endpoint = OtlpEndpoint { url: url.to_owned(), protocol: Protocol::Grpc };
            (endpoint.clone(), endpoint)
        };
        let http = |traces: &str, logs: &str| {
            let endpoint = |url: &str| OtlpEndpoint { url: url.to_owned(), protocol: Protocol::HttpProtobuf };
            (endpoint(traces), endpoint(logs))
        };
        for (endpoint, expected) in [
            ("http://127.0.0.1:4317", grpc("http://127.0.0.1:4317")),
            ("HTTP://jaeger.tracing.svc:4317/", grpc("http://jaeger.tracing.svc:4317")),
            ("http://[::1]:4317", grpc("http://[::1]:4317")),
            ("http://[2001:db8::7]", grpc("http://[2001:db8::7]")),
            ("http://otlp", grpc("http://otlp")),
            ("http://c_1:4318", http("http://c_1:4318/v1/traces", "http://c_1:4318/v1/logs")),
            ("http://[::1]:4318/", http("http://[::1]:4318/v1/traces", "http://[::1]:4318/v1/logs")),
            ("http://c/otlp/", http("http://c/otlp/v1/traces", "http://c/otlp/v1/logs")),
            ("http://c:9/v1/traces", http("http://c:9/v1/traces", "http://c:9/v1/logs")),
            ("http://c:9/a/v1/traces/", http("http://c:9/a/v1/traces", "http://c:9/a/v1/logs")),
        ] {
            let address = Address::parse(endpoint).expect(endpoint);
            let of = |signal| address.base_of(signal, address.guess());
            assert_eq!((of(Signal::Traces), of(Signal::Logs)), expected, "`{endpoint}`");
        }
    }

    #[test]
    fn the_url_of_one_signal_is_taken_as_it_is() {
        for (endpoint, url) in [
            ("http://c:4318", "http://c:4318/"),
            ("http://c:4318/spans/", "http://c:4318/spans/"),
            ("http://c:4317/", "http://c:4317"),
        ] {
            let address = Address::parse(endpoint).expect(endpoint);
            assert_eq!(address.exactly(address.guess()).url, url, "`{endpoint}`");
        }
    }

    #[test]
    fn an_endpoint_of_an_old_jaeger_is_known_from_others() {
        for (endpoint, old) in [
            ("http://jaeger:14268/api/traces", true),
            ("http://jaeger:14268/api/traces/", true),
            ("http://jaeger:14268", true),
            ("http://jaeger:14250/", true),
            ("http://jaeger.example.com/api/traces", true),
            ("http://jaeger:4317", false),
            ("http://jaeger:14268/otlp", false),
            ("http://collector:4318/v1/traces", false),
        ] {
            let address = Address::parse(endpoint).expect(endpoint);
            assert_eq!(address.is_old_jaeger(), old, "`{endpoint}`");
            assert_eq!(address.otlp_neighbour(Protocol::Grpc).port, Some(4317));
        }
    }

    #[test]
    fn what_is_secret_is_masked() {
        for (url, shown) in [
            ("http://me:secret@jaeger:4317/a", "http://***@jaeger:4317/a"),
            ("http://me:sec/ret@x@jaeger", "http://***@jaeger"),
            ("me:secret@jaeger", "***@jaeger"),
            ("http://jaeger?token=secret", "http://jaeger?***"),
            ("http://jaeger:4317", "http://jaeger:4317"),
        ] {
            assert_eq!(masked(url), shown);
        }
    }
}
