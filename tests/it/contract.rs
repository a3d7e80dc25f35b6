//! The real server keeps the contract of the REST API, before there is a repository and after.

use reqwest::redirect::Policy;
use rstuf::tuf::bins::Layout;

use crate::{
    harness::{api, deployment::Deployment, repository::Repository, server::Server},
    http::{self, Site},
};

#[tokio::test]
async fn the_api_keeps_its_contract() {
    let repository = is_kept(Server::start()).await;
    http::published_files_have_their_headers(&site(&repository.server.url())).await;
}

/// The contract, on a deployment that is empty.
pub(crate) async fn is_kept<D: Deployment>(deployment: D) -> Repository<D> {
    let base = deployment.url();
    let site = site(&base);
    http::without_a_repository(&site).await;
    http::in_any_state(&site).await;

    let repository = Repository::on(deployment, Layout::Succinct, 2).await;
    http::in_any_state(&site).await;
    http::with_a_repository(&site).await;
    repository
}

fn site(base: &str) -> Site<'_> {
    let client = api::client_builder().redirect(Policy::none()).build().expect("the options are good");
    Site { base, client }
}
