//! Without telemetry the exporter does the same work.

use std::io::ErrorKind;
use std::net::{TcpListener, TcpStream};

use exporter::simulator::Simulator;
use testbed::Directory;

use super::stack::*;
use crate::common::*;

/// One export with this configuration. Whether there was trace context in requests, a port for `/metrics`, and a connection
/// to the endpoint; and the files.
async fn export(config: &str, simulator: &Simulator) -> ([bool; 3], impl PartialEq + std::fmt::Debug) {
    let endpoint = TcpListener::bind("127.0.0.1:0").expect("a port");
    endpoint.set_nonblocking(true).expect("a listener");
    let directory = Directory::create("exporter").expect("a directory");
    let path = directory.path().join("telemetry.toml");
    std::fs::write(&path, config).expect("the configuration");
    let (variables, port) = environment(&format!("http://{}", endpoint.local_addr().expect("an address")));
    let arguments = ["--config", path.to_str().expect("a path")];
    let mut service = Service::start(&simulator.url(), &arguments, &variables);

    let before = asked(simulator).len();
    assert!(service.export(None).await.is_success());
    assert_exported(&service.output(), simulator);
    let with_context = asked(simulator)[before..].iter().any(|asked| asked.context.is_some());
    let listens = TcpStream::connect(("127.0.0.1", port)).is_ok();
    // Whatever was to be sent is sent, or at least tried, before the end.
    assert_eq!(service.process.terminate().expect("an end").code(), Some(0));
    let connected = match endpoint.accept() {
        Ok(_) => true,
        Err(error) if error.kind() == ErrorKind::WouldBlock => false,
        Err(error) => panic!("{error}"),
    };
    ([with_context, listens, connected], files(&service.output()))
}

#[tokio::test(flavor = "multi_thread")]
async fn enabled_false_means_no_port_no_connection_no_trace_context_and_the_same_files() {
    let simulator = simulator(size(250, 120, 30), 3).await;
    let documented = read(CONFIG.as_ref());
    let disabled = documented.replacen("\nenabled = true\n", "\nenabled = false\n", 1);
    let (signs, with) = export(&documented, &simulator).await;
    assert_eq!(signs, [true; 3]);
    let (signs, without) = export(&disabled, &simulator).await;
    assert_eq!(signs, [false; 3]);
    assert_eq!(with, without);
}
