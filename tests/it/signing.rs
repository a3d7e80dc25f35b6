//! Signing by people, as clients, signers and administrators see it: ceremonies, rotation, delegations.

mod bins;
pub(crate) mod delegation;
pub(crate) mod founding;
pub(crate) mod house;
pub(crate) mod immediate;
pub(crate) mod mixed;
pub(crate) mod nested;
pub(crate) mod offline;
pub(crate) mod online;
pub(crate) mod presigned;
pub(crate) mod rotation;
mod sequences;
pub(crate) mod window;

use rstuf::tuf::bins::Layout;

use crate::harness::server::Server;

#[tokio::test]
async fn two_of_three_sign_the_first_root_at_different_times() {
    founding::two_of_three_sign(Server::start()).await;
}

#[tokio::test]
async fn three_roots_follow_under_constant_additions() {
    rotation::three_roots_follow(Server::start()).await;
}

#[tokio::test]
async fn a_stolen_key_is_dropped_at_once() {
    immediate::a_stolen_key_is_dropped_at_once(Server::start()).await;
}

#[tokio::test]
async fn bins_have_an_online_key_of_their_own() {
    bins::have_an_online_key_of_their_own(Layout::PathHashPrefixes).await;
    bins::have_an_online_key_of_their_own(Layout::Succinct).await;
}

#[tokio::test]
async fn delegations_come_change_and_go() {
    delegation::life_of_delegations(Server::start()).await;
}

#[tokio::test]
async fn bad_delegations_are_refused() {
    delegation::bad_delegations_are_refused(Server::start()).await;
}

#[tokio::test]
async fn a_role_that_waits_is_not_met() {
    delegation::a_role_that_waits_is_not_met(Server::start()).await;
}

#[tokio::test]
async fn a_role_waits_for_two_of_three() {
    offline::two_of_three_sign_a_role(Server::start()).await;
}

#[tokio::test]
async fn a_role_is_signed_by_a_person_and_the_service() {
    mixed::a_person_and_the_service_sign(Server::start()).await;
}

#[tokio::test]
async fn clients_ask_roles_with_names_before_bins() {
    nested::clients_ask_roles_before_bins(Server::start()).await;
}

#[tokio::test]
async fn succinct_bins_stand_alone() {
    nested::succinct_bins_stand_alone(Server::start()).await;
}

#[tokio::test]
async fn an_owner_publishes_signed_metadata() {
    presigned::an_owner_publishes_metadata(Server::start()).await;
}

#[tokio::test]
async fn roles_are_published_on_demand() {
    online::roles_are_published_on_demand(Server::start()).await;
}

#[tokio::test]
async fn settings_change() {
    online::settings_change(Server::start()).await;
}

#[tokio::test]
async fn dry_runs_change_nothing() {
    online::dry_runs_change_nothing(Server::start()).await;
}
