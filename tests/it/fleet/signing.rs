//! What people sign, with two APIs and two workers over RabbitMQ.

use crate::{
    harness::fleet::{Carrier, Fleet, Plan, Servers},
    signing::{delegation, founding, immediate, mixed, nested, offline, presigned, rotation, window},
};

#[tokio::test]
async fn no_client_fails_while_online_keys_are_replaced_and_publishers_killed() {
    window::keys_are_replaced_and_publishers_killed(fleet().await).await;
}

async fn fleet() -> Fleet {
    Fleet::start(Plan { apis: 2, workers: 2, carrier: Carrier::Rabbitmq, servers: Servers::Shared }).await
}

#[tokio::test]
async fn two_of_three_sign_the_first_root_of_a_fleet() {
    founding::two_of_three_sign(fleet().await).await;
}

#[tokio::test]
async fn three_roots_follow_on_a_fleet() {
    rotation::three_roots_follow(fleet().await).await;
}

#[tokio::test]
async fn a_stolen_key_of_a_fleet_is_dropped_at_once() {
    immediate::a_stolen_key_is_dropped_at_once(fleet().await).await;
}

#[tokio::test]
async fn delegations_of_a_fleet_come_change_and_go() {
    delegation::life_of_delegations(fleet().await).await;
}

#[tokio::test]
async fn a_role_of_a_fleet_waits_for_two_of_three() {
    offline::two_of_three_sign_a_role(fleet().await).await;
}

#[tokio::test]
async fn a_role_of_a_fleet_is_signed_by_a_person_and_the_service() {
    mixed::a_person_and_the_service_sign(fleet().await).await;
}

#[tokio::test]
async fn clients_of_a_fleet_ask_roles_with_names_before_bins() {
    nested::clients_ask_roles_before_bins(fleet().await).await;
}

#[tokio::test]
async fn an_owner_publishes_signed_metadata_on_a_fleet() {
    presigned::an_owner_publishes_metadata(fleet().await).await;
}
