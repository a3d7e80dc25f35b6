//! The download server of the demonstration, which is honest until it is told otherwise.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
};

use actix_web::{App, HttpResponse, HttpServer, dev::ServerHandle, web};
use anyhow::Context;

use crate::tuf::name::ArtifactPath;

/// What is served in place of the files of the directory.
type Tampered = Arc<Mutex<BTreeMap<ArtifactPath, Vec<u8>>>>;

/// Serves the files of a directory.
pub(super) struct Mirror {
    address: SocketAddr,
    server: ServerHandle,
    tampered: Tampered,
}

impl Mirror {
    /// Serves `directory` on a free port of this machine.
    ///
    /// # Errors
    /// When there is no free port.
    pub(super) fn start(directory: PathBuf) -> anyhow::Result<Self> {
        let tampered = Tampered::default();
        let state = web::Data::new((directory, tampered.clone()));
        let server =
            HttpServer::new(move || App::new().app_data(state.clone()).route("/{path:.*}", web::get().to(get)))
                .workers(1)
                .disable_signals()
                .bind("127.0.0.1:0")
                .context("no free port for the download server")?;
        let address = server.addrs().first().copied().context("the download server has no address")?;
        let server = server.run();
        let handle = server.handle();
        actix::spawn(server);
        Ok(Self { address, server: handle, tampered })
    }

    /// Where a file is.
    pub(super) fn url(&self, path: &ArtifactPath) -> String {
        format!("http://{}/{path}", self.address)
    }

    /// From now on this is served as the file `path`: what an attacker who owns the download server can do.
    pub(super) fn tamper(&self, path: ArtifactPath, bytes: Vec<u8>) {
        self.tampered.lock().unwrap_or_else(PoisonError::into_inner).insert(path, bytes);
    }

    /// Serves no more.
    pub(super) async fn stop(self) {
        self.server.stop(false).await;
    }
}

async fn get(state: web::Data<(PathBuf, Tampered)>, path: web::Path<String>) -> HttpResponse {
    let (directory, tampered) = state.as_ref();
    // A path that was checked can't lead out of the directory.
    let Ok(path) = ArtifactPath::parse(&path) else { return HttpResponse::NotFound().finish() };
    let other = tampered.lock().unwrap_or_else(PoisonError::into_inner).get(&path).cloned();
    let bytes = match other {
        Some(bytes) => Ok(bytes),
        None => tokio::fs::read(directory.join(path.as_str())).await,
    };
    bytes.map_or_else(|_| HttpResponse::NotFound().finish(), |bytes| HttpResponse::Ok().body(bytes))
}
