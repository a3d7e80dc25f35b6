//! The page at `/`: the document to read and to try, with everything that it needs inside this program.

use std::sync::Arc;

use actix_web::{HttpResponse, http::header, web};
use utoipa_swagger_ui::Config;

use super::{error::Refusal, openapi::Document};

/// The page. It loads only what this server serves.
const PAGE: &str = include_str!("page.html");

/// Nothing from elsewhere, whatever the page or its scripts ask for.
const POLICY: &str =
    "default-src 'self'; img-src 'self' data:; style-src 'self' 'unsafe-inline'; frame-ancestors 'none'";

/// The document as JSON.
pub(super) async fn openapi(document: web::Data<Document>) -> HttpResponse {
    HttpResponse::Ok().content_type("application/json").body(document.0.clone())
}

/// The page.
pub(super) async fn page() -> HttpResponse {
    HttpResponse::Ok()
        .content_type("text/html; charset=utf-8")
        .insert_header((header::CONTENT_SECURITY_POLICY, POLICY))
        .body(PAGE)
}

/// A script or style of the page.
pub(super) async fn asset(name: web::Path<String>) -> Result<HttpResponse, Refusal> {
    let config = Arc::new(Config::from("openapi.json").validator_url("none"));
    let file = utoipa_swagger_ui::serve(&name, config).map_err(|_| Refusal::Broken)?.ok_or(Refusal::NoSuchPath)?;
    let mut response = HttpResponse::Ok();
    if file.gzpipped {
        response.insert_header((header::CONTENT_ENCODING, "gzip"));
    }
    Ok(response.content_type(file.content_type).body(file.bytes.into_owned()))
}
