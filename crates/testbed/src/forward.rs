//! A loopback port of this machine that leads to an address inside namespaces. In: the address. Out: the port, open until
//! the value is dropped. It carries bytes and does not look at them.

use std::io;
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use anyhow::{Context, Result};

use crate::inside::Inside;

/// An open port. Connections that exist when it is dropped end with one of their two sides.
pub struct Forward {
    address: SocketAddr,
    closed: Arc<AtomicBool>,
}

impl Forward {
    /// Opens any free port.
    pub(crate) fn open(inside: Inside, target: SocketAddr) -> Result<Forward> {
        Forward::on(0, inside, target)
    }

    /// Opens this port.
    pub(crate) fn on(port: u16, inside: Inside, target: SocketAddr) -> Result<Forward> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port))
            .with_context(|| format!("cannot listen at port {port} for {target}"))?;
        let forward = Forward { address: listener.local_addr()?, closed: Arc::default() };
        let closed = Arc::clone(&forward.closed);
        thread::Builder::new().name(format!("to {target}")).spawn(move || {
            for client in listener.incoming() {
                if closed.load(Ordering::Relaxed) {
                    return;
                }
                // A client that has gone already needs nothing.
                let Ok(client) = client else { continue };
                thread::spawn(move || match inside.connect(target) {
                    Ok(server) => drop(carry(client, server)),
                    // Nobody listens there (yet): for the client it is a closed connection.
                    Err(_) => drop(client),
                });
            }
        })?;
        Ok(forward)
    }

    /// The port on the loopback interface.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// The address for HTTP clients.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }
}

impl Drop for Forward {
    fn drop(&mut self) {
        self.closed.store(true, Ordering::Relaxed);
        // The listener notices at its next connection, which is this one.
        let _ = TcpStream::connect(self.address);
    }
}

/// Both ways until both sides have ended.
fn carry(client: TcpStream, server: TcpStream) -> io::Result<()> {
    let (from_server, to_client) = (server.try_clone()?, client.try_clone()?);
    let back = thread::spawn(move || one_way(from_server, to_client));
    one_way(client, server);
    // The other direction has nothing to tell but that it has ended.
    let _ = back.join();
    Ok(())
}

fn one_way(mut from: TcpStream, mut to: TcpStream) {
    // Whether the stream has ended or was broken, the other side hears that no more comes.
    let _ = io::copy(&mut from, &mut to);
    let _ = to.shutdown(Shutdown::Write);
}
