//! The network between a replica and the API server, which can be cut: nothing is answered any more, and no connection ends. In: the
//! installation's kubeconfig. Out: another one.

use std::path::{Path, PathBuf};

use serde_json::Value;
use telemetry_operator::shutdown::stopped;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use crate::rights::Installed;

pub struct Proxy {
    kubeconfig: PathBuf,
    cut: watch::Sender<bool>,
}

impl Proxy {
    pub async fn start(installed: &Installed<'_>) -> Self {
        let text = std::fs::read_to_string(&installed.kubeconfig).expect("a kubeconfig");
        let mut config: Value = serde_json::from_str(&text).expect("JSON");
        let server = config["clusters"][0]["cluster"]["server"].as_str().expect("a server").to_owned();
        let to = server.strip_prefix("https://").expect("HTTPS").to_owned();
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = listener.local_addr().expect("an address").port();
        config["clusters"][0]["cluster"]["server"] = format!("https://127.0.0.1:{port}").into();
        let kubeconfig = installed.kubeconfig.with_extension("cut");
        std::fs::write(&kubeconfig, config.to_string()).expect("a kubeconfig");
        let (cut, is_cut) = watch::channel(false);
        tokio::spawn(async move {
            while let Ok((near, _)) = listener.accept().await {
                tokio::spawn(carry(near, to.clone(), is_cut.clone()));
            }
        });
        Self { kubeconfig, cut }
    }

    pub fn kubeconfig(&self) -> &Path {
        &self.kubeconfig
    }

    /// From now on nothing goes through, in either direction.
    pub fn cut(&self) {
        self.cut.send_replace(true);
    }
}

async fn carry(near: TcpStream, to: String, is_cut: watch::Receiver<bool>) {
    let Ok(far) = TcpStream::connect(&to).await else { return };
    let (near_in, near_out) = near.into_split();
    let (far_in, far_out) = far.into_split();
    tokio::select! {
        () = copy(near_in, far_out, is_cut.clone()) => {}
        () = copy(far_in, near_out, is_cut) => {}
    }
}

async fn copy(
    mut from: impl AsyncReadExt + Unpin,
    mut to: impl AsyncWriteExt + Unpin,
    is_cut: watch::Receiver<bool>,
) {
    let mut buffer = vec![0; 16 * 1024];
    loop {
        let read = tokio::select! {
            read = from.read(&mut buffer) => read,
            () = stopped(is_cut.clone()) => return std::future::pending().await,
        };
        match read {
            Ok(0) | Err(_) => return,
            Ok(read) if to.write_all(&buffer[..read]).await.is_err() => return,
            Ok(_) => {}
        }
    }
}
