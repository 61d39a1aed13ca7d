//! When the process is told to stop. In: SIGTERM and SIGINT. Out: a receiver that turns true. No cluster.

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

/// A receiver that turns true at SIGTERM or SIGINT.
///
/// # Errors
/// When the signals cannot be received.
pub fn stop_signal() -> std::io::Result<watch::Receiver<bool>> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let (sender, receiver) = watch::channel(false);
    tokio::spawn(async move {
        tokio::select! {
            _ = terminate.recv() => tracing::info!("SIGTERM: finishing what is in hand"),
            _ = interrupt.recv() => tracing::info!("SIGINT: finishing what is in hand"),
        }
        sender.send_replace(true);
        // Dropping the sender would look like a signal to nobody: keep it as long as the process runs.
        sender.closed().await;
    });
    Ok(receiver)
}

/// Resolves when `stop` turns true.
pub async fn stopped(mut stop: watch::Receiver<bool>) {
    // An error means that the sender is gone, and it goes only with the runtime.
    let _ = stop.wait_for(|stop| *stop).await;
}
