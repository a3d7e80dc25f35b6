//! The API over HTTP, as the contract has it. Each check takes a server that runs, in the state that it names.

use std::{
    io::{BufRead, BufReader, Write},
    net::TcpStream,
    time::Duration,
};

use reqwest::{Client, Method, Response, StatusCode, header};
use serde_json::{Value, json};

const RECORDED: &str = include_str!("../fixtures/validation-matrix.json");
const DIFFERENT: &str = include_str!("../fixtures/validation-differences.json");

/// The routes of the API with their methods, in the form that the contract writes them.
const ROUTES: [(&str, &[Method]); 13] = [
    ("/api/v1/bootstrap/", &[Method::GET, Method::POST]),
    ("/api/v1/config/", &[Method::GET, Method::PUT]),
    ("/api/v1/metadata/", &[Method::POST]),
    ("/api/v1/metadata/online", &[Method::POST]),
    ("/api/v1/metadata/sign", &[Method::GET, Method::POST]),
    ("/api/v1/metadata/sign/delete", &[Method::POST]),
    ("/api/v1/delegations/", &[Method::POST, Method::PUT]),
    ("/api/v1/delegations/delete", &[Method::POST]),
    ("/api/v1/delegations/{role}/metadata", &[Method::PUT]),
    ("/api/v1/artifacts/", &[Method::POST]),
    ("/api/v1/artifacts/delete", &[Method::POST]),
    ("/api/v1/artifacts/publish/", &[Method::POST]),
    ("/api/v1/task/", &[Method::GET]),
];

/// A server to ask.
pub(crate) struct Site<'a> {
    /// Where it is, without a slash at the end.
    pub(crate) base: &'a str,
    /// Who asks. It must not follow redirects: a redirect where an answer is due is a fault.
    pub(crate) client: Client,
}

impl Site<'_> {
    async fn send(&self, method: Method, path: &str, body: Option<&Value>) -> Response {
        let request = self.client.request(method, format!("{}{path}", self.base));
        let request = match body {
            Some(body) => request.json(body),
            None => request,
        };
        request.send().await.expect("an answer")
    }

    async fn ask(&self, method: Method, path: &str, body: Option<&Value>) -> (u16, Value) {
        let response = self.send(method, path, body).await;
        let status = response.status().as_u16();
        assert_eq!(content_type(&response), "application/json", "{path}");
        (status, response.json().await.expect("a body of json"))
    }

    async fn get(&self, path: &str) -> (u16, Value) {
        self.ask(Method::GET, path, None).await
    }

    async fn post(&self, path: &str, body: &Value) -> (u16, Value) {
        self.ask(Method::POST, path, Some(body)).await
    }
}

fn content_type(response: &Response) -> String {
    text(response, header::CONTENT_TYPE)
}

fn text(response: &Response, name: impl header::AsHeaderName) -> String {
    response.headers().get(name).map(|value| value.to_str().expect("text").to_owned()).unwrap_or_default()
}

fn artifact(path: &str) -> Value {
    json!({"path": path, "info": {"length": "630", "hashes": {"sha256": "ab".repeat(32)}, "custom": null}})
}

/// A server without a repository says so, and faults come before that.
pub(crate) async fn without_a_repository(site: &Site<'_>) {
    let available = json!({"data": {"bootstrap": false}, "message": "System available for bootstrap."});
    assert_eq!(site.get("/api/v1/bootstrap/").await, (200, available));

    let not_yet = json!({"detail": {"message": "Task not accepted.",
        "error": "It requires bootstrap finished. State: None"}});
    let add = json!({"artifacts": [artifact("a")]});
    assert_eq!(site.post("/api/v1/artifacts/", &add).await, (404, not_yet.clone()));
    assert_eq!(site.post("/api/v1/artifacts/delete", &json!({"artifacts": ["a"]})).await, (404, not_yet));
    assert_eq!(site.post("/api/v1/artifacts/", &json!({})).await.0, 422);

    let none = json!({"detail": {"message": "No Repository Settings/Config found.",
        "error": "It requires bootstrap. State: None"}});
    assert_eq!(site.get("/api/v1/config/").await, (404, none.clone()));
    let update = json!({"settings": {"expiration": {"bins": 1}}});
    assert_eq!(site.ask(Method::PUT, "/api/v1/config/", Some(&update)).await, (404, none));

    let (status, body) = site.ask(Method::POST, "/api/v1/artifacts/publish/", None).await;
    assert_eq!((status, &body["data"]["artifacts"]), (202, &json!([])));
}

/// In any state: paths, methods, faults of bodies, and what every answer has.
pub(crate) async fn in_any_state(site: &Site<'_>) {
    paths_have_both_forms(site).await;
    other_methods_are_refused(site).await;
    bodies_are_json_and_bounded(site).await;
    too_large_bodies_are_not_awaited(site).await;
    tasks_are_looked_up(site).await;
    the_document_covers_the_routes(site).await;
    the_page_needs_nothing_from_elsewhere(site).await;

    let response = site.send(Method::GET, "/nothing/here", None).await;
    assert_eq!(text(&response, header::X_CONTENT_TYPE_OPTIONS), "nosniff");
    assert_eq!(text(&response, "x-request-id").len(), 36);
    assert_eq!(response.status(), StatusCode::NOT_FOUND);
    assert_eq!(response.text().await.expect("a body"), r#"{"detail":"Not Found"}"#);
    assert_eq!(site.get("/livez").await.0, 200);
    assert_eq!(site.get("/readyz").await, (200, json!({"status": "ready"})));
}

async fn paths_have_both_forms(site: &Site<'_>) {
    for (path, methods) in ROUTES {
        let path = path.replace("{role}", "release");
        let bare = path.trim_end_matches('/');
        for form in [bare.to_owned(), format!("{bare}/"), format!("/{bare}"), format!("/{bare}/")] {
            for method in methods {
                let status = site.send(method.clone(), &format!("{form}?task_id=a"), None).await.status().as_u16();
                // A body that is missing is a fault of the body: the route was found, without a redirect.
                assert!(matches!(status, 200 | 202 | 404 | 422), "{method} {form}: {status}");
                let faults = *method == Method::GET || path.ends_with("publish/") || status == 422;
                assert!(faults, "{method} {form}: {status}");
            }
        }
    }
}

async fn other_methods_are_refused(site: &Site<'_>) {
    for (path, methods) in ROUTES {
        for method in [Method::GET, Method::HEAD, Method::POST, Method::PUT, Method::PATCH, Method::DELETE] {
            if methods.contains(&method) {
                continue;
            }
            let response = site.send(method.clone(), &path.replace("{role}", "release"), None).await;
            assert_eq!(response.status(), StatusCode::METHOD_NOT_ALLOWED, "{method} {path}");
            let allowed: Vec<&str> = methods.iter().map(Method::as_str).collect();
            assert_eq!(text(&response, header::ALLOW), allowed.join(", "));
            if method != Method::HEAD {
                assert_eq!(response.text().await.expect("a body"), r#"{"detail":"Method Not Allowed"}"#);
            }
        }
    }
}

async fn bodies_are_json_and_bounded(site: &Site<'_>) {
    let send = async |kind: &'static str, body: Vec<u8>| {
        let url = format!("{}/api/v1/artifacts", site.base);
        let request = site.client.post(url).header(header::CONTENT_TYPE, kind).body(body);
        let response = request.send().await.expect("an answer");
        (response.status().as_u16(), response.json::<Value>().await.expect("json"))
    };
    let missing = json!({"detail": [{"type": "missing", "loc": ["body"], "msg": "Field required", "input": null}]});
    assert_eq!(send("application/json", vec![]).await, (422, missing));
    let (status, body) = send("application/json", b"{\"artifacts\": [}".to_vec()).await;
    assert_eq!((status, &body["detail"][0]["type"]), (422, &json!("json_invalid")));
    assert_eq!(body["detail"][0]["loc"], json!(["body", 15]));
    let (status, body) = send("text/plain", b"{\"artifacts\": []}".to_vec()).await;
    assert_eq!((status, &body["detail"][0]["type"]), (422, &json!("model_attributes_type")));
    let (status, body) = send("application/json", vec![0xff; 10]).await;
    assert_eq!((status, &body["detail"][0]["type"]), (422, &json!("json_invalid")));
}

/// A body that is announced as too large is refused before it is sent.
async fn too_large_bodies_are_not_awaited(site: &Site<'_>) {
    let address = site.base.trim_start_matches("http://");
    let mut stream = TcpStream::connect(address).expect("a connection");
    let head = format!(
        "POST /api/v1/artifacts HTTP/1.1\r\nhost: {address}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
        1u64 << 40
    );
    stream.write_all(head.as_bytes()).expect("written");
    stream.set_read_timeout(Some(Duration::from_secs(10))).expect("a time-out");
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line).expect("an answer");
    assert!(line.starts_with("HTTP/1.1 413 "), "{line}");
}

async fn tasks_are_looked_up(site: &Site<'_>) {
    let pending = json!({"data": {"task_id": "nobody-knows", "state": "PENDING"}, "message": "Task state."});
    for form in ["/api/v1/task?task_id=nobody-knows", "/api/v1/task/?task_id=nobody-knows"] {
        assert_eq!(site.get(form).await, (200, pending.clone()));
    }
    let missing =
        json!({"detail": [{"type": "missing", "loc": ["query", "task_id"], "msg": "Field required", "input": null}]});
    assert_eq!(site.get("/api/v1/task/").await, (422, missing));
    assert_eq!(site.get("/api/v1/task/?task_id=").await.0, 422);
    assert_eq!(site.get(&format!("/api/v1/task/?task_id={}", "a".repeat(1000))).await.0, 422);
}

async fn the_document_covers_the_routes(site: &Site<'_>) {
    let (status, document) = site.get("/openapi.json").await;
    assert_eq!(status, 200);
    assert!(document["openapi"].as_str().is_some_and(|version| version.starts_with("3.")));
    assert_eq!(document["info"]["title"], "Repository Service for TUF API");
    for (path, methods) in ROUTES {
        for method in methods {
            let operation = &document["paths"][path][method.as_str().to_lowercase()];
            assert!(operation["summary"].is_string() && operation["responses"].is_object(), "{method} {path}");
        }
    }
    let mut references = vec![];
    collect_references(&document, &mut references);
    for reference in references {
        let pointer = reference.trim_start_matches('#');
        assert!(document.pointer(pointer).is_some(), "{reference} leads nowhere");
    }
}

fn collect_references(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::Object(members) => {
            found.extend(members.get("$ref").and_then(Value::as_str).map(str::to_owned));
            members.values().for_each(|value| collect_references(value, found));
        }
        Value::Array(items) => items.iter().for_each(|value| collect_references(value, found)),
        _ => {}
    }
}

async fn the_page_needs_nothing_from_elsewhere(site: &Site<'_>) {
    let response = site.send(Method::GET, "/", None).await;
    assert!(text(&response, header::CONTENT_SECURITY_POLICY).contains("default-src 'self'"));
    assert!(content_type(&response).starts_with("text/html"));
    let page = response.text().await.expect("a page");
    assert!(page.contains("Repository Service for TUF API"));
    assert!(!page.contains("://"));
    let quoted = page.split('"').filter(|part| part.starts_with("docs-assets/"));
    for asset in quoted {
        let response = site.send(Method::GET, &format!("/{asset}"), None).await;
        assert_eq!(response.status(), StatusCode::OK, "{asset}");
        let bytes = response.bytes().await.expect("bytes");
        assert!(!bytes.is_empty(), "{asset}");
        if asset.ends_with("initializer.js") {
            assert!(String::from_utf8_lossy(&bytes).contains("\"openapi.json\""));
        }
    }
}

/// A server with a repository takes work, in the contract's words.
pub(crate) async fn with_a_repository(site: &Site<'_>) {
    let (status, body) = site.get("/api/v1/bootstrap/").await;
    assert_eq!((status, &body["message"]), (200, &json!("System LOCKED for bootstrap.")));
    assert_eq!((&body["data"]["bootstrap"], &body["data"]["state"]), (&json!(true), &json!("finished")));
    assert!(body["data"]["id"].is_string());

    let skipped = " Publishing will be skipped.";
    for (publish, suffix) in [(true, ""), (false, skipped)] {
        let add = json!({"artifacts": [artifact("http/a"), artifact("http/b")], "publish_artifacts": publish});
        let message = format!("New Artifact(s) successfully submitted.{suffix}");
        accepted(site.post("/api/v1/artifacts/", &add).await, &message, Some(json!(["http/a", "http/b"])));
        let remove = json!({"artifacts": ["http/a", "../x"], "publish_artifacts": publish});
        let message = format!("Remove Artifact(s) successfully submitted.{suffix}");
        accepted(site.post("/api/v1/artifacts/delete", &remove).await, &message, Some(json!(["http/a", "../x"])));
    }
    let answer = site.post("/api/v1/artifacts/", &json!({"artifacts": []})).await;
    accepted(answer, "New Artifact(s) successfully submitted.", Some(json!([])));
    let answer = site.ask(Method::POST, "/api/v1/artifacts/publish/", None).await;
    accepted(answer, "Publish artifacts successfully submitted.", Some(json!([])));
    let update = json!({"settings": {"expiration": {"timestamp": 1}}});
    let answer = site.ask(Method::PUT, "/api/v1/config/", Some(&update)).await;
    accepted(answer, "Settings successfully submitted.", None);

    let (status, config) = site.get("/api/v1/config/").await;
    assert_eq!((status, &config["message"]), (200, &json!("Current Settings")));
    assert!(!config.to_string().contains("x-rstuf-online-key-uri"));
    let names = config["data"].as_object().expect("settings").keys();
    assert!(names.clone().count() > 0 && names.into_iter().all(|name| *name == name.to_lowercase()));

    recorded_requests_get_the_recorded_answer(site).await;
}

fn accepted((status, body): (u16, Value), message: &str, artifacts: Option<Value>) {
    assert_eq!((status, &body["message"]), (202, &json!(message)));
    assert_eq!(body["data"].get("artifacts"), artifacts.as_ref());
    let id = body["data"]["task_id"].as_str().expect("an identifier");
    assert!(id.len() == 32 && id.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b)), "{id}");
    let time = body["data"]["last_update"].as_str().expect("a time");
    assert!(time.len() == "2026-11-22T09:24:55.773183Z".len() && time.ends_with('Z'), "{time}");
    assert!(time.parse::<jiff::Timestamp>().is_ok());
}

async fn recorded_requests_get_the_recorded_answer(site: &Site<'_>) {
    let recordings: Vec<Value> = serde_json::from_str(RECORDED).expect("the recordings");
    let differences: Vec<Value> = serde_json::from_str(DIFFERENT).expect("the differences");
    for recording in recordings {
        let case = &recording["case"];
        let method = recording["method"].as_str().expect("a method").parse().expect("a method");
        let path = recording["path"].as_str().expect("a path");
        let (status, body) = site.ask(method, path, Some(&recording["request"])).await;
        match differences.iter().find(|difference| difference["case"] == *case) {
            Some(difference) => {
                assert_eq!(json!(status), difference["status"], "{case}");
                assert_eq!(body["detail"][0]["type"], difference["type"], "{case}");
            }
            None => assert_eq!(
                (json!(status), body),
                (recording["status"].clone(), recording["response"].clone()),
                "{case}"
            ),
        }
    }
}

/// A server that serves the published files itself lets caches keep them as long as they are right.
pub(crate) async fn published_files_have_their_headers(site: &Site<'_>) {
    let immutable = "public, max-age=31536000, immutable";
    let pointer = "public, max-age=5, must-revalidate";
    for (name, cache) in [("1.root.json", immutable), ("timestamp.json", pointer)] {
        let path = format!("/metadata/{name}");
        let response = site.send(Method::GET, &path, None).await;
        assert_eq!(response.status(), StatusCode::OK, "{name}");
        assert_eq!(content_type(&response), "application/json");
        assert_eq!(text(&response, header::CACHE_CONTROL), cache);
        let tag = text(&response, header::ETAG);
        assert!(tag.starts_with('"') && tag.len() > 2, "{tag} is a strong tag");
        let bytes = response.bytes().await.expect("bytes");

        let response = site.send(Method::HEAD, &path, None).await;
        assert_eq!(response.status(), StatusCode::OK, "{name}");
        assert_eq!(text(&response, header::CONTENT_LENGTH), bytes.len().to_string());

        for known in [tag.clone(), format!("\"other\", {tag}"), "*".to_owned()] {
            let request = site.client.get(format!("{}{path}", site.base)).header(header::IF_NONE_MATCH, &known);
            let response = request.send().await.expect("an answer");
            assert_eq!(response.status(), StatusCode::NOT_MODIFIED, "{known}");
            assert_eq!(text(&response, header::ETAG), tag);
            assert_eq!(text(&response, header::CACHE_CONTROL), cache);
        }
    }
    for name in ["root.json", "01.root.json", "999999.root.json", "..%2fledger.sqlite", "1.root.json.tmp", "%2e%2e%2fx"]
    {
        let (status, body) = site.get(&format!("/metadata/{name}")).await;
        assert_eq!((status, body), (404, json!({"detail": "Not Found"})), "{name}");
        let response = site.send(Method::GET, &format!("/metadata/{name}"), None).await;
        assert_eq!(text(&response, header::CACHE_CONTROL), "no-store", "{name}");
    }
    assert_eq!(site.send(Method::PUT, "/metadata/timestamp.json", None).await.status(), StatusCode::METHOD_NOT_ALLOWED);
}
