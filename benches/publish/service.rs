//! The service in this process: real HTTP on the loopback, a real database, a real directory.

use std::{collections::BTreeMap, net::SocketAddr, path::Path, sync::mpsc, thread::JoinHandle};

use anyhow::Context;
use rstuf::{
    config::{self, Sources},
    standalone::Standalone,
};
use tokio::sync::oneshot;

pub(crate) struct Service {
    pub(crate) address: SocketAddr,
    stop: oneshot::Sender<()>,
    thread: JoinHandle<anyhow::Result<()>>,
}

impl Service {
    /// Starts the service on `data_dir`.
    pub(crate) fn start(data_dir: &Path) -> anyhow::Result<Self> {
        let flags =
            BTreeMap::from([("data_dir", data_dir.display().to_string()), ("listen", "127.0.0.1:0".to_owned())]);
        let options = config::standalone::load(Sources::new(None, flags)).checked()?.options;
        let (started, address) = mpsc::channel();
        let (stop, stopped) = oneshot::channel();
        let thread = std::thread::spawn(move || {
            actix::System::new().block_on(async {
                let server = Standalone::start(options).await?;
                started.send(server.address())?;
                // Who asked for the end may as well be gone.
                let _ = stopped.await;
                server.stop().await;
                Ok(())
            })
        });
        match address.recv() {
            Ok(address) => Ok(Self { address, stop, thread }),
            Err(_) => Err(thread.join().expect("no panic").expect_err("it did not start")),
        }
    }

    pub(crate) fn stop(self) -> anyhow::Result<()> {
        self.stop.send(()).ok().context("the service ended by itself")?;
        self.thread.join().expect("no panic")
    }
}
