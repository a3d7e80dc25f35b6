//! Endpoints that an operator has disabled.

use std::collections::BTreeSet;

use actix_web::http::Method;
use utoipa::openapi::{HttpMethod, OpenApi};

/// What can be disabled: the methods and paths of the contract, and those that this program has beside them.
const ENDPOINTS: [(&str, &str); 19] = [
    ("GET", "/api/v1/bootstrap"),
    ("POST", "/api/v1/bootstrap"),
    ("GET", "/api/v1/config"),
    ("PUT", "/api/v1/config"),
    ("POST", "/api/v1/metadata"),
    ("POST", "/api/v1/metadata/online"),
    ("GET", "/api/v1/metadata/sign"),
    ("POST", "/api/v1/metadata/sign"),
    ("POST", "/api/v1/metadata/sign/delete"),
    ("POST", "/api/v1/delegations"),
    ("PUT", "/api/v1/delegations"),
    ("POST", "/api/v1/delegations/delete"),
    ("PUT", "/api/v1/delegations/{role}/metadata"),
    ("POST", "/api/v1/artifacts"),
    ("POST", "/api/v1/artifacts/delete"),
    ("POST", "/api/v1/artifacts/publish"),
    ("GET", "/api/v1/task"),
    ("GET", "/openapi.json"),
    ("GET", "/"),
];
const PREFIX: &str = "/api/v1/";

/// The endpoints that answer as if they did not exist.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Disabled(BTreeSet<(&'static str, &'static str)>);

impl Disabled {
    /// Reads a list of items with `:` between them. An item is `/api/v1/<resource>/`, which is everything below it, or
    /// `{'POST'}/api/v1/…`, which is this method of exactly this path. A slash at the end may be left out.
    ///
    /// # Errors
    /// A sentence that names the items that name nothing, and what can be named.
    pub fn parse(list: &str) -> Result<Self, String> {
        let mut disabled = BTreeSet::new();
        let mut unknown = Vec::new();
        for item in list.split(':').map(str::trim).filter(|item| !item.is_empty()) {
            let named: Vec<_> = ENDPOINTS.into_iter().filter(|endpoint| names(item, *endpoint)).collect();
            if named.is_empty() {
                unknown.push(format!("{item:?}"));
            }
            disabled.extend(named);
        }
        if unknown.is_empty() {
            return Ok(Self(disabled));
        }
        let single = ENDPOINTS.iter().map(|(method, path)| format!("{{'{method}'}}{path}"));
        let resources: BTreeSet<_> = ENDPOINTS.iter().filter_map(|(_, path)| resource(path)).collect();
        let all: Vec<_> = resources.into_iter().map(|resource| format!("{PREFIX}{resource}/")).chain(single).collect();
        Err(format!("{} is no endpoint; what can be named: {}", unknown.join(" and "), all.join(" ")))
    }

    pub(super) fn has(&self, method: &Method, path: &str) -> bool {
        // What is asked for its head alone is the same.
        let method = if method == Method::HEAD { "GET" } else { method.as_str() };
        self.0.iter().any(|endpoint| *endpoint == (method, path))
    }

    /// Takes them out of a description of all.
    pub(super) fn take_out_of(&self, document: &mut OpenApi) {
        for (path, item) in &mut document.paths.paths {
            for method in [HttpMethod::Get, HttpMethod::Post, HttpMethod::Put] {
                let (name, operation) = match method {
                    HttpMethod::Post => (Method::POST, &mut item.post),
                    HttpMethod::Put => (Method::PUT, &mut item.put),
                    _ => (Method::GET, &mut item.get),
                };
                if self.has(&name, path.trim_end_matches('/')) {
                    *operation = None;
                }
            }
        }
        document.paths.paths.retain(|_, item| [&item.get, &item.post, &item.put].into_iter().any(Option::is_some));
    }
}

fn names(item: &str, (method, path): (&str, &str)) -> bool {
    let Some((methods, named)) = item.strip_prefix('{').and_then(|item| item.split_once('}')) else {
        let named = item.strip_prefix(PREFIX).map(|item| item.trim_end_matches('/'));
        return named.is_some() && named == resource(path);
    };
    let mut methods = methods.split(',').map(|method| method.trim().trim_matches(['\'', '"']));
    let named = match named.trim_end_matches('/') {
        "" => "/",
        named => named,
    };
    path == named && methods.any(|named| named.eq_ignore_ascii_case(method))
}

/// The part of a path that all of one resource share.
fn resource(path: &str) -> Option<&str> {
    path.strip_prefix(PREFIX)?.split('/').next()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn disabled(list: &str) -> Vec<String> {
        let disabled = Disabled::parse(list).expect(list);
        disabled.0.into_iter().map(|(method, path)| format!("{method} {path}")).collect()
    }

    #[test]
    fn an_item_is_a_resource_or_a_method_of_a_path() {
        assert!(disabled("").is_empty() && disabled(":").is_empty());
        assert_eq!(disabled("/api/v1/config/"), ["GET /api/v1/config", "PUT /api/v1/config"]);
        assert_eq!(disabled("/api/v1/task"), ["GET /api/v1/task"]);
        assert_eq!(
            disabled("{'POST'}/api/v1/artifacts/:/api/v1/task/"),
            ["GET /api/v1/task", "POST /api/v1/artifacts"]
        );
        assert_eq!(disabled("{'POST'}/api/v1/metadata/sign"), ["POST /api/v1/metadata/sign"]);
        assert_eq!(disabled("{\"POST\", 'PUT'}/api/v1/delegations/").len(), 2);
        assert_eq!(
            disabled("{'PUT'}/api/v1/delegations/{role}/metadata/"),
            ["PUT /api/v1/delegations/{role}/metadata"]
        );
        assert_eq!(disabled("/api/v1/delegations/").len(), 4);
        assert_eq!(disabled("/api/v1/artifacts/").len(), 3);
        assert_eq!(disabled("{'GET'}/"), ["GET /"]);
    }

    #[test]
    fn what_names_nothing_is_told_with_what_can_be_named() {
        let told = Disabled::parse("/api/v1/task/:/api/v1/artefacts/:{'GET'}/api/v1/artifacts/").expect_err("unknown");
        for part in
            ["\"/api/v1/artefacts/\"", "\"{'GET'}/api/v1/artifacts/\"", "/api/v1/artifacts/ ", "{'PUT'}/api/v1/config"]
        {
            assert!(told.contains(part), "{part} is not in {told}");
        }
        for item in ["*", "/", "/api/v1/", "/api/v1/artifacts/delete/", "POST /api/v1/artifacts"] {
            Disabled::parse(item).expect_err(item);
        }
    }
}
