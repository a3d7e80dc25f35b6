//! A fleet whose servers are all reached over TLS, and what it does when a server can't be trusted.

mod relay;
mod world;

use std::time::{Duration, Instant};

use rstuf::tuf::bins::Layout;
use serde_json::Value;

use crate::{
    harness::{
        artifact::Artifact, checker::Checker, fleet::Member, repository::Repository, server::program, services::Kind,
    },
    judges::program::Program,
};
use world::{Trust, View, World};

const PATH: &str = "canary-path";
const LIMIT: Duration = Duration::from_secs(60);
const POLL_INTERVAL: Duration = Duration::from_millis(50);
/// How a client of PostgreSQL asks for TLS.
const SSL_REQUEST: &[u8] = b"\0\0\0\x08\x04\xd2\x16\x2f";
/// The first byte of a TLS handshake.
const HANDSHAKE: u8 = 0x16;

#[tokio::test]
async fn a_fleet_works_over_tls() {
    let mut world = World::new();
    world.migrate();
    for sslmode in ["verify-full", "verify-ca", "require"] {
        wait_until_found(&world, View { sslmode, ..View::GOOD }, &[]);
    }
    wait_until_found(&world, View { broker: Kind::Redis, ..View::GOOD }, &[]);
    for (trust, system) in [(Trust::System, "odd.pem"), (Trust::Ours, "odd.pem"), (Trust::Ours, "missing.pem")] {
        wait_until_found(&world, View { trust, system: Some(system), ..View::GOOD }, &[]);
    }
    world.start(View::GOOD).await;
    let mut repository = Repository::on(world, Layout::Succinct, 2).await;
    let [first, second] = [1, 2].map(|number| Artifact::new(format!("{PATH}/{number}"), "content"));
    repository.add(std::slice::from_ref(&first)).await;
    repository.add(&many(0)).await;
    repository.server.stop();
    repository.server.start(View { broker: Kind::Redis, ..View::GOOD }).await;
    repository.add(std::slice::from_ref(&second)).await;
    repository.add(&many(1)).await;
    let mut checker = Checker::new(&repository);
    checker.check();
    assert_eq!(checker.artifacts().len(), 2 + many(0).len() + many(1).len());
    let found = Program::python_tuf().find(&repository, &[&first.path, &second.path]);
    assert_eq!([&found[&first.path], &found[&second.path]], [&first.info(), &second.info()]);

    let mut world = repository.server;
    world.stop();
    world.assert_kept(&world.logs());
    assert_nothing_in_the_clear(&world);
}

#[tokio::test]
async fn servers_that_nobody_vouches_for_are_not_used() {
    let mut world = World::new();
    world.migrate();
    wait_until_found(&world, View::GOOD, &[]);
    let all = ["broker", "settings", "results", "database"];
    let (good, elsewhere) = (View::GOOD, View { host: "127.0.0.1", ..View::GOOD });
    let strange = View { trust: Trust::Stranger, ..good };
    for (view, missing, cause) in [
        (strange, all.as_slice(), "UnknownIssuer"),
        (View { sslmode: "verify-ca", ..strange }, &all, "UnknownIssuer"),
        (View { sslmode: "require", ..strange }, &all, "UnknownIssuer"),
        (elsewhere, &all, "not valid for name"),
        (View { sslmode: "verify-ca", ..elsewhere }, &all[..3], "not valid for name"),
        (View { broker: Kind::Redis, ..strange }, &all, "UnknownIssuer"),
        (View { broker: Kind::Redis, ..elsewhere }, &all, "not valid for name"),
        (View { trust: Trust::System, ..good }, &all, "UnknownIssuer"),
        (View { trust: Trust::System, sslmode: "require", ..good }, &all[..3], "UnknownIssuer"),
        (View { trust: Trust::System, sslmode: "prefer", ..good }, &all[..3], "UnknownIssuer"),
    ] {
        let told = wait_until_found(&world, view, missing);
        for fault in told.lines().filter(|line| line.contains("FAULT")) {
            assert!(fault.contains("certificate") && fault.contains(cause), "{view:?}: {fault}");
            assert!(fault.contains("ca_file"), "nothing says what to do: {fault}");
        }
    }

    world.spawn(strange);
    let (api, worker) = (world.api.as_ref().expect("started"), world.worker.as_ref().expect("started"));
    assert_eq!(missing(api).await, ["broker", "results", "settings"]);
    assert_eq!(missing(worker).await, ["broker", "database", "results", "settings"]);
    // Twice, for both are to go on and to try again.
    assert_eq!(missing(api).await, ["broker", "results", "settings"]);
    let logs = world.logs();
    world.assert_kept(&logs);
    assert!(logs.contains("invalid peer certificate"), "{logs}");
    assert_nothing_in_the_clear(&world);
}

#[test]
fn a_server_without_tls_is_told_nothing() {
    let world = World::without_servers();
    for trust in [Trust::Ours, Trust::System] {
        for sslmode in ["verify-full", "require"] {
            let view = View { trust, sslmode, ..View::GOOD };
            let (code, told) = world.run(view, &["check-config", "worker"]);
            assert_eq!(code, Some(1), "{told}");
            assert_eq!(faults(&told), ["broker", "settings", "results", "database"], "{told}");
        }
    }
    let [postgres, ..] = &world.relays;
    assert!(postgres.heard().iter().all(|heard| heard == SSL_REQUEST), "{:?}", postgres.heard());
    assert_nothing_in_the_clear(&world);
}

#[test]
fn a_key_that_can_not_be_used_is_named_and_not_told() {
    let world = World::without_servers();
    let broken = world.identity("broken.pem");
    let key = std::fs::read_to_string(world.identity("key.pem")).expect("there is a key");
    std::fs::write(&broken, key.replace("BEGIN", "BEGAN")).expect("a file can be written");
    let output = program()
        .args(["api", "--log-level", "trace"])
        .envs([("RSTUF_BROKER_SERVER", "amqp://localhost"), ("RSTUF_REDIS_SERVER", "redis://localhost")])
        .env("SECRETS_RSTUF_SSL_CERT", world.identity("cert.pem"))
        .env("SECRETS_RSTUF_SSL_KEY", &broken)
        .output()
        .expect("rstufd can be started");
    let told = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{told}");
    assert!(told.contains("broken.pem"), "{told}");
    world.assert_kept(&told);
}

/// A request that is larger than all buffers on its way together.
fn many(series: u32) -> Vec<Artifact> {
    (0..15_000).map(|number| Artifact::new(format!("{PATH}/{series}/{number}"), "content")).collect()
}

/// Runs `check-config` until just these parts are not reached, for a server may start a little later than it listens, and
/// returns what it says.
fn wait_until_found(world: &World, view: View, missing: &[&str]) -> String {
    let deadline = Instant::now() + LIMIT;
    loop {
        let (code, told) = world.run(view, &["check-config", "worker"]);
        if faults(&told) == missing {
            assert_eq!(code, Some(i32::from(!missing.is_empty())), "{told}");
            return told;
        }
        assert!(Instant::now() < deadline, "{view:?}: {told}");
        std::thread::sleep(POLL_INTERVAL);
    }
}

/// The parts that were not reached.
fn faults(told: &str) -> Vec<&str> {
    told.lines().filter_map(|line| line.trim().strip_prefix("FAULT")?.split_whitespace().next()).collect()
}

/// What `/readyz` says is missing, once it says anything.
async fn missing(member: &Member) -> Vec<String> {
    let deadline = Instant::now() + LIMIT;
    loop {
        if let Some((status, body)) = member.readiness().await {
            assert_eq!(status, 503, "{body}");
            let body: Value = serde_json::from_str(&body).expect("it is JSON");
            return body["missing"].as_object().expect("it is an object").keys().cloned().collect();
        }
        assert!(Instant::now() < deadline, "{}", member.daemon.last_words());
        tokio::time::sleep(POLL_INTERVAL).await;
    }
}

/// Asserts that each connection was one of TLS from its first byte, and that no secret could be read in it.
fn assert_nothing_in_the_clear(world: &World) {
    let mut canaries = world.canaries();
    canaries.push(PATH.to_owned());
    canaries.push("canary".to_owned());
    for relay in &world.relays {
        let heard = relay.heard();
        assert!(!heard.is_empty(), "nobody came to port {}", relay.port());
        for heard in heard.iter().filter(|heard| !heard.is_empty()) {
            let encrypted = heard.strip_prefix(SSL_REQUEST).unwrap_or(heard);
            assert!(encrypted.first().is_none_or(|first| *first == HANDSHAKE), "not TLS: {heard:?}");
            let text = String::from_utf8_lossy(heard);
            assert!(!canaries.iter().any(|canary| text.contains(canary.as_str())), "in the clear: {text}");
        }
    }
}
