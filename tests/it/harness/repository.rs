//! A server with a repository on it.

use rstuf::tuf::bins::Layout;

use super::{artifact::Artifact, ceremony::Ceremony, deployment::Deployment, server::Server};

/// A deployment that was bootstrapped.
pub(crate) struct Repository<D = Server> {
    pub(crate) server: D,
    pub(crate) ceremony: Ceremony,
}

impl Repository {
    /// Starts a server and bootstraps it.
    pub(crate) async fn new(layout: Layout, bins: u32) -> Self {
        Self::on(Server::start(), layout, bins).await
    }
}

impl<D: Deployment> Repository<D> {
    /// Bootstraps a deployment.
    pub(crate) async fn on(server: D, layout: Layout, bins: u32) -> Self {
        let ceremony = Ceremony::hold(&server.scratch("ceremony"), &server.keys(), layout, bins);
        let api = server.api();
        let task = api.post("/bootstrap/", &ceremony.payload).await.expect("the server answers").task();
        api.success(&task).await;
        Self { server, ceremony }
    }

    /// Adds artifacts and waits until clients see them.
    pub(crate) async fn add(&self, artifacts: &[Artifact]) {
        let api = self.server.api();
        let task = api.add(artifacts).await.expect("the server answers").task();
        api.success(&task).await;
    }

    /// Removes artifacts and waits until clients don't see them any more.
    pub(crate) async fn remove(&self, paths: &[&str]) {
        let api = self.server.api();
        let task = api.remove(paths).await.expect("the server answers").task();
        api.success(&task).await;
    }
}
