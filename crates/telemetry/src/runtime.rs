//! In: the futures that carry telemetry: OTLP connections and the server of `/metrics`. Out: their results. One thread with a
//! runtime of its own, so that telemetry works in a program without one, and while all workers of the program's own runtime
//! are busy. Talks to whatever its futures talk to.

use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use tokio::runtime::{Builder, Handle};
use tokio::sync::oneshot;

use crate::error::TelemetryError;

/// Threads for name look-ups. One that hangs in a resolver must not bring a hundred others after it.
const RESOLVERS: usize = 4;

/// The thread called `telemetry`. Dropping this ends it, without waiting; what it still carries is cut off.
#[derive(Debug)]
pub(crate) struct Background {
    handle: Handle,
    /// Dropped, it ends the thread.
    stop: oneshot::Sender<()>,
    /// Closed by the thread when everything that it carried is gone.
    ended: mpsc::Receiver<()>,
}

impl Background {
    pub(crate) fn start() -> Result<Self, TelemetryError> {
        let runtime = Builder::new_current_thread()
            .enable_all()
            .max_blocking_threads(RESOLVERS)
            .build()
            .map_err(TelemetryError::Runtime)?;
        let handle = runtime.handle().clone();
        let (stop, stopped) = oneshot::channel::<()>();
        let (alive, ended) = mpsc::channel();
        let carry = move || {
            // An error means that the other end is gone, which is a reason to stop as well.
            let _ = runtime.block_on(stopped);
            // A look-up that hangs is left behind.
            runtime.shutdown_background();
            drop(alive);
        };
        thread::Builder::new().name("telemetry".to_owned()).spawn(carry).map_err(TelemetryError::Runtime)?;
        Ok(Self { handle, stop, ended })
    }

    /// To give it work. Once the thread has ended, work is dropped and never runs.
    pub(crate) fn handle(&self) -> &Handle {
        &self.handle
    }

    /// Ends the thread and waits until connections and ports are closed; whether they were in time. Blocks.
    pub(crate) fn stop(self, deadline: Duration) -> bool {
        drop(self.stop);
        matches!(self.ended.recv_timeout(deadline), Err(mpsc::RecvTimeoutError::Disconnected))
    }
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, TcpListener};
    use std::sync::mpsc::channel;
    use std::time::Instant;

    use super::*;

    const PLENTY: Duration = Duration::from_secs(20);

    #[test]
    fn it_works_while_every_worker_of_the_program_is_blocked() {
        let program = Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let background = Background::start().unwrap();
        let (release, blocked) = channel::<()>();
        let (tell, told) = channel();
        let worker = program.spawn(async move {
            tell.send(()).unwrap();
            blocked.recv_timeout(PLENTY)
        });
        told.recv_timeout(PLENTY).expect("the worker was never blocked");

        let (tell, told) = channel();
        background.handle().spawn(async move {
            tokio::time::sleep(Duration::from_millis(1)).await;
            tell.send(thread::current().name().map(str::to_owned)).unwrap();
        });
        let name = told.recv_timeout(PLENTY).expect("nothing was done in the background");
        assert_eq!(name.as_deref(), Some("telemetry"));
        release.send(()).unwrap();
        program.block_on(worker).unwrap().expect("the worker was released too late");
    }

    #[test]
    fn stopping_it_frees_its_ports_and_later_work_is_dropped() {
        let background = Background::start().unwrap();
        let (tell, told) = channel();
        background.handle().spawn(async move {
            let listener = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
            tell.send(listener.local_addr().unwrap()).unwrap();
            listener.accept().await
        });
        let address = told.recv_timeout(PLENTY).unwrap();
        assert!(TcpListener::bind(address).is_err(), "the port was free all the time");

        let handle = background.handle().clone();
        assert!(background.stop(PLENTY), "it did not end");
        TcpListener::bind(address).expect("the port is still taken");
        let late = handle.spawn(async {});
        let runtime = Builder::new_current_thread().build().unwrap();
        assert!(runtime.block_on(late).unwrap_err().is_cancelled());
    }

    #[test]
    fn dropping_it_ends_the_thread_without_waiting_for_it() {
        let background = Background::start().unwrap();
        let (tell, told) = channel();
        let (release, blocked) = channel::<()>();
        let held = tell.clone();
        background.handle().spawn(async move {
            std::future::pending::<()>().await;
            drop(held);
        });
        background.handle().spawn(async move {
            tell.send(()).unwrap();
            blocked.recv_timeout(PLENTY)
        });
        told.recv_timeout(PLENTY).unwrap();
        let started = Instant::now();
        drop(background);
        assert!(started.elapsed() < PLENTY / 2, "it took {:?}", started.elapsed());
        release.send(()).unwrap();
        let end = told.recv_timeout(PLENTY).unwrap_err();
        assert_eq!(end, mpsc::RecvTimeoutError::Disconnected, "the thread goes on");
    }
}
