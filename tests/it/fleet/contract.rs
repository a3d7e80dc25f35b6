//! The REST API of a fleet keeps the contract as that of a standalone server does, and its artifacts are found.

use rstuf::tuf::bins::Layout;

use crate::{
    artifacts, contract,
    harness::fleet::{Carrier, Fleet},
};

#[tokio::test]
async fn an_api_with_two_workers_keeps_the_contract_over_rabbitmq() {
    contract::is_kept(Fleet::over(Carrier::Rabbitmq).await).await;
}

#[tokio::test]
async fn an_api_with_two_workers_keeps_the_contract_over_redis() {
    contract::is_kept(Fleet::over(Carrier::Redis).await).await;
}

#[tokio::test]
async fn clients_follow_a_fleet_over_rabbitmq() {
    let fleet = Fleet::over(Carrier::Rabbitmq).await;
    artifacts::clients_follow(fleet, Layout::Succinct, 256).await;
}

#[tokio::test]
async fn clients_follow_a_fleet_over_redis() {
    let fleet = Fleet::over(Carrier::Redis).await;
    artifacts::clients_follow(fleet, Layout::PathHashPrefixes, 16).await;
}

#[tokio::test]
async fn what_is_not_published_stays_invisible_over_both() {
    for carrier in [Carrier::Rabbitmq, Carrier::Redis] {
        artifacts::stays_invisible_until_a_publish(Fleet::over(carrier).await).await;
    }
}
