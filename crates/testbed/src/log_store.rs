//! A log store that keeps what it is sent, in memory. In: OTLP over HTTP as JSON, as the collector's `otlp_http` exporter
//! writes it. Out: the log records. It stands in for Loki, whose answers are of no use to a test that reads records back.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use anyhow::{Context, Result, bail};
use serde_json::Value;

/// A running log store. It lives as long as the process: it is a thread that waits for connections.
pub struct LogStore {
    endpoint: String,
    requests: Arc<Mutex<Vec<Value>>>,
}

impl LogStore {
    /// Starts one at a free loopback port.
    pub fn start() -> Result<LogStore> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("no free loopback port")?;
        let endpoint = format!("http://{}", listener.local_addr()?);
        let requests = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&requests);
        thread::spawn(move || {
            for connection in listener.incoming().flatten() {
                let kept = Arc::clone(&kept);
                // A client that breaks off in the middle of a request has sent nothing.
                thread::spawn(move || drop(serve(connection, &kept)));
            }
        });
        Ok(LogStore { endpoint, requests })
    }

    /// Where to send to: the base, without a path.
    pub fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// Every log record so far, as OTLP writes it in JSON, each with the attributes of its resource under `resource`.
    pub fn records(&self) -> Vec<Value> {
        let requests = self.requests.lock().unwrap_or_else(PoisonError::into_inner);
        let list = |value: &Value, key: &str| value[key].as_array().cloned().unwrap_or_default();
        let mut records = Vec::new();
        for resource in requests.iter().flat_map(|request| list(request, "resourceLogs")) {
            for mut record in list(&resource, "scopeLogs").iter().flat_map(|scope| list(scope, "logRecords"))
            {
                record["resource"] = resource["resource"]["attributes"].clone();
                records.push(record);
            }
        }
        records
    }
}

/// Answers the requests of one connection until it ends.
fn serve(connection: TcpStream, kept: &Mutex<Vec<Value>>) -> Result<()> {
    let mut reader = BufReader::new(connection);
    loop {
        let mut length = None;
        let mut line = String::new();
        while reader.read_line(&mut line)? > 0 && line.trim() != "" {
            if let Some((name, value)) = line.split_once(':')
                && name.eq_ignore_ascii_case("content-length")
            {
                length = Some(value.trim().parse()?);
            }
            line.clear();
        }
        let Some(length) = length else { bail!("a request without a length") };
        let mut body = vec![0; length];
        reader.read_exact(&mut body)?;
        kept.lock().unwrap_or_else(PoisonError::into_inner).push(serde_json::from_slice(&body)?);
        let answer = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}";
        reader.get_mut().write_all(answer.as_bytes())?;
    }
}
