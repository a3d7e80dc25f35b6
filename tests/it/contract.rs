//! The real server keeps the contract of the REST API, before there is a repository and after.

use reqwest::redirect::Policy;
use rstuf::tuf::bins::Layout;

use crate::{
    harness::{api, repository::Repository, server::Server},
    http::{self, Site},
};

#[tokio::test]
async fn the_api_keeps_its_contract() {
    let server = Server::start();
    let base = server.url();
    let client = api::client_builder().redirect(Policy::none()).build().expect("the options are good");
    let site = Site { base: &base, client };
    http::without_a_repository(&site).await;
    http::in_any_state(&site).await;

    let _repository = Repository::on(server, Layout::Succinct, 2).await;
    http::in_any_state(&site).await;
    http::with_a_repository(&site).await;
    http::published_files_have_their_headers(&site).await;
}
