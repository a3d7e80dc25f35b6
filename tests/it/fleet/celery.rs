//! Celery in the place of an API and of a worker: messages and results are those of the Python service.

use rstuf::tuf::bins::Layout;
use serde_json::{Value, json};

use crate::{
    harness::{
        artifact::Artifact,
        deployment::Deployment,
        fleet::{Carrier, Fleet, Plan, Servers},
        repository::Repository,
        services,
    },
    judges::program::Program,
    peers::celery::Celery,
};

const RECORDED: &str = include_str!("../../fixtures/broker-messages.json");
const QUEUE: &str = "metadata_repository";
/// What the API of today can be asked; the bootstrap comes first, as the others need it.
const ACTIONS: [&str; 4] = ["bootstrap", "add_artifacts", "remove_artifacts", "update_settings"];

#[tokio::test]
async fn a_task_of_celery_is_done_by_our_worker_over_rabbitmq() {
    celery_sends(Carrier::Rabbitmq).await;
}

#[tokio::test]
async fn a_task_of_celery_is_done_by_our_worker_over_redis() {
    celery_sends(Carrier::Redis).await;
}

#[tokio::test]
async fn a_task_of_our_api_is_done_by_celery_over_rabbitmq() {
    celery_works(Carrier::Rabbitmq).await;
}

#[tokio::test]
async fn a_task_of_our_api_is_done_by_celery_over_redis() {
    celery_works(Carrier::Redis).await;
}

/// Celery sends, our worker works, and Celery reads the result.
async fn celery_sends(carrier: Carrier) {
    let repository = Repository::on(Fleet::over(carrier).await, Layout::Succinct, 2).await;
    let mut celery = Celery::client(&repository.server);
    let artifact = Artifact::new("from/celery.txt", "from Celery");

    let add = json!({ "artifacts": [artifact.entry()], "add_task_id_to_custom": false, "publish_artifacts": true });
    celery.send("00000000000000000000000000000001", QUEUE, "add_artifacts", &add);
    let (state, result) = celery.result("00000000000000000000000000000001");
    assert_eq!(state, "SUCCESS", "{result}");
    assert_eq!((&result["task"], &result["status"]), (&json!("add_artifacts"), &json!(true)), "{result}");
    assert_eq!(result["message"], "Artifact(s) Added");
    assert_eq!(result["error"], Value::Null);
    assert_eq!(result["details"]["added_artifacts"], json!(["from/celery.txt"]));
    // Celery's JSON makes a time of it, so it was marked as one.
    assert!(result["last_update"].as_str().is_some_and(|time| time.contains("+00:00")), "{result}");
    let found = Program::python_tuf().find(&repository, &["from/celery.txt"]);
    assert_eq!(found["from/celery.txt"], artifact.info());

    // A failure is a result, too; and a publish comes without a payload, on the other queue.
    celery.send("00000000000000000000000000000002", QUEUE, "remove_artifacts", &json!({ "artifacts": [] }));
    let (state, result) = celery.result("00000000000000000000000000000002");
    assert_eq!((state.as_str(), &result["status"]), ("SUCCESS", &json!(false)), "{result}");
    assert_eq!(result["error"], "At list one artifact is required");
    celery.send("00000000000000000000000000000003", "rstuf_internals", "publish_artifacts", &Value::Null);
    let (state, result) = celery.result("00000000000000000000000000000003");
    assert_eq!((state.as_str(), &result["message"]), ("SUCCESS", &json!("Publish Artifacts Processed")), "{result}");
}

/// Our API sends, Celery works on the recorded arguments, and our API shows the result.
async fn celery_works(carrier: Carrier) {
    let fleet = Fleet::start(Plan { apis: 1, workers: 0, carrier, servers: Servers::Shared }).await;
    let recorded: Value = serde_json::from_str(RECORDED).expect("the recordings");
    let worker = Celery::worker(&fleet);
    let api = fleet.api();

    for action in ACTIONS {
        let recording = &recorded[action];
        let path = recording["request"]["path"].as_str().expect("a path").trim_start_matches("/api/v1");
        let body = &recording["request"]["body"];
        let reply = match recording["request"]["method"].as_str() {
            Some("PUT") => api.put(path, body).await,
            _ => api.post(path, body).await,
        };
        let task = reply.expect("the server answers").task();

        let taken = worker.next();
        assert_eq!(taken["id"], task.as_str());
        assert_eq!((&taken["queue"], &taken["args"]), (&json!(QUEUE), &json!([])));
        let recorded_id = recording["broker_message"]["headers"]["id"].as_str().expect("an id");
        let expected = recording["broker_message"]["body_decoded"][1].to_string().replace(recorded_id, &task);
        let expected: Value = serde_json::from_str(&expected).expect("it was JSON");
        assert_eq!(taken["kwargs"], expected, "{action}");

        let result = api.success(&task).await;
        assert_eq!(result["message"], "done by Celery", "{action}");
        assert_eq!(result["details"], json!({ "seen": action }));
        assert!(result.get("error").is_none(), "{result}");
        if action == "bootstrap" {
            // As the Python worker would have done.
            let mut settings = services::redis(&fleet.addresses.settings()).await;
            let () = redis::cmd("HSET")
                .arg(&["DYNACONF_MAIN", "BOOTSTRAP", &task])
                .query_async(&mut settings)
                .await
                .expect("Redis answers");
        }
    }

    let task = api.publish().await.expect("the server answers").task();
    let taken = worker.next();
    assert_eq!(taken["id"], task.as_str());
    assert_eq!(taken["queue"], "rstuf_internals");
    assert_eq!(taken["kwargs"], json!({ "action": "publish_artifacts", "payload": null }));
    api.success(&task).await;
}
