//! `/metadata`: the published files, when this process serves them itself.

use std::sync::Arc;

use actix_web::{
    HttpRequest, HttpResponse,
    http::header::{CacheControl, CacheDirective, ContentType, ETag, EntityTag, Header, IfNoneMatch},
    web,
};
use aws_lc_rs::digest::{SHA256, digest};

use super::{error::Refusal, openapi::Refused};
use crate::{
    store::bucket::Bucket,
    tuf::name::{RoleName, Version},
};

/// How long a client may hold on to `timestamp.json`, in seconds: within it a new round is not seen.
const POINTER_AGE: u32 = 5;

/// How long a client may hold on to a versioned file, in seconds: a year, as it never changes.
const IMMUTABLE_AGE: u32 = 31_536_000;

/// Where the files are.
#[derive(Clone)]
pub(super) struct Published(pub(super) Arc<dyn Bucket>);

/// Get a published metadata file.
///
/// `timestamp.json` changes with every publication, `<version>.<role>.json` never. Clients start with the newest
/// `<version>.root.json`.
#[utoipa::path(get, operation_id = "get_metadata_file", path = "/metadata/{name}", tag = "Metadata files",
    params(("name" = String, Path, description = "`timestamp.json` or `<version>.<role>.json`", example = "1.root.json")),
    responses(
        (status = 200, description = "The file", body = Object),
        (status = 304, description = "The client has it already"),
        (status = 404, description = "There is no such file"),
        (status = 503, description = "The files can't be read now", body = Refused)))]
pub(super) async fn get(
    published: web::Data<Published>,
    request: HttpRequest,
    name: web::Path<String>,
) -> Result<HttpResponse, Refusal> {
    let kind = Kind::of(&name).ok_or(Refusal::NoSuchPath)?;
    let bytes = published.0.read(&name).await?.ok_or(Refusal::NoSuchPath)?;
    let tag = EntityTag::new_strong(hex::encode(digest(&SHA256, &bytes)));
    let mut response = if has_already(&request, &tag) { HttpResponse::NotModified() } else { HttpResponse::Ok() };
    response.insert_header(ETag(tag.clone())).insert_header(kind.cache_control());
    if has_already(&request, &tag) {
        return Ok(response.finish());
    }
    Ok(response.insert_header(ContentType::json()).body(bytes))
}

/// Which files a name can stand for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Pointer,
    Versioned,
}

impl Kind {
    /// Only names that a round can have written: nothing else in the bucket is read.
    fn of(name: &str) -> Option<Self> {
        if name == RoleName::timestamp().file_name(Version::FIRST) {
            return Some(Self::Pointer);
        }
        let (version, role) = name.strip_suffix(".json")?.split_once('.')?;
        let written = RoleName::parse(role).ok()?.file_name(version.parse().ok()?);
        (written == name).then_some(Self::Versioned)
    }

    fn cache_control(self) -> CacheControl {
        let (age, extension) = match self {
            Self::Pointer => (POINTER_AGE, CacheDirective::MustRevalidate),
            Self::Versioned => (IMMUTABLE_AGE, CacheDirective::Extension("immutable".to_owned(), None)),
        };
        CacheControl(vec![CacheDirective::Public, CacheDirective::MaxAge(age), extension])
    }
}

fn has_already(request: &HttpRequest, tag: &EntityTag) -> bool {
    match IfNoneMatch::parse(request) {
        Ok(IfNoneMatch::Any) => true,
        Ok(IfNoneMatch::Items(tags)) => tags.iter().any(|known| known.weak_eq(tag)),
        Err(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_of_published_files_are_read() {
        assert_eq!(Kind::of("timestamp.json"), Some(Kind::Pointer));
        for name in ["1.root.json", "20.snapshot.json", "3.bins-0f.json", "7.2fa.json"] {
            assert_eq!(Kind::of(name), Some(Kind::Versioned), "{name}");
        }
        let refused = [
            "",
            ".json",
            "root.json",
            "1.root",
            "0.root.json",
            "01.root.json",
            "+1.root.json",
            "-1.root.json",
            "1.a.b.json",
            "1..json",
            "1.../x.json",
            "..",
            "../1.root.json",
            "1.root.json.tmp",
            "1.root.JSON",
            "1.timestamp.json",
            "ledger.sqlite",
            "1.a\0.json",
            "99999999999999999999.root.json",
        ];
        for name in refused {
            assert_eq!(Kind::of(name), None, "{name:?}");
        }
    }

    #[test]
    fn versioned_files_are_immutable_for_caches() {
        assert_eq!(Kind::Versioned.cache_control().to_string(), "public, max-age=31536000, immutable");
        assert_eq!(Kind::Pointer.cache_control().to_string(), "public, max-age=5, must-revalidate");
    }
}
