//! Downloads an artifact: streamed into a part, bounded by the length that is signed, and named when it is verified.

use std::path::{Path, PathBuf};

use anyhow::Context;
use thiserror::Error;

use super::{
    http::{Http, HttpError},
    place::{Part, Place, quote},
};
use crate::tuf::{
    content::{ContentError, Digests},
    name::ArtifactPath,
    targets::TargetFile,
};

/// How often a connection may break off in one download, each time after some bytes.
const MAX_BREAKS: u32 = 5;

/// Where artifacts come from.
#[derive(Debug, Clone)]
pub struct Source {
    /// What comes before their paths.
    pub base_url: String,
    /// How their files are called there.
    pub naming: Naming,
}

/// How the files of artifacts are called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Naming {
    /// As their paths say.
    Plain,
    /// With their digest before the name: `dir/DIGEST.file`.
    HashPrefix,
}

impl Source {
    /// Where an artifact may be; with several digests nobody knows which one is in the name.
    fn urls(&self, path: &ArtifactPath, info: &TargetFile) -> Vec<String> {
        let base = self.base_url.trim_end_matches('/');
        let quoted: Vec<_> = path.as_str().split('/').map(quote).collect();
        match (self.naming, quoted.split_last()) {
            (Naming::HashPrefix, Some((name, directories))) => {
                let directory: String = directories.iter().map(|segment| format!("{segment}/")).collect();
                info.hashes.values().map(|digits| format!("{base}/{directory}{}.{name}", quote(digits))).collect()
            }
            _ => vec![format!("{base}/{}", quoted.join("/"))],
        }
    }
}

/// An artifact that is on the disk and verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Downloaded {
    /// The file.
    pub file: PathBuf,
    /// How it came there.
    pub how: How,
}

/// How a file came there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum How {
    /// It was fetched.
    Fetched,
    /// It was there already.
    Present,
}

/// Why an artifact was not downloaded.
#[derive(Debug, Error)]
pub enum ArtifactError {
    /// The source has no such file.
    #[error("there is no {0}")]
    Missing(String),
    /// It is not what was signed. Nothing of it is left.
    #[error("{url} is not the artifact that is signed: {source}")]
    Content {
        /// The file.
        url: String,
        /// The difference.
        source: ContentError,
    },
    /// Its download ended early. What came is kept, so that another run goes on with it.
    #[error("{source} (after {bytes} bytes)")]
    Broken {
        /// Bytes that are kept.
        bytes: u64,
        /// What happened.
        source: HttpError,
    },
}

pub(super) async fn fetch(
    http: &Http,
    source: &Source,
    path: &ArtifactPath,
    info: &TargetFile,
    directory: &Path,
    progress: &mut dyn FnMut(u64),
) -> anyhow::Result<Downloaded> {
    let place = Place::of(directory, path, info)?;
    let downloaded = |how| Downloaded { file: place.target.clone(), how };
    if place.holds(info)? {
        return Ok(downloaded(How::Present));
    }
    let mut part = place.part()?;
    if place.holds(info)? {
        part.discard()?;
        return Ok(downloaded(How::Present));
    }
    match fill(http, &source.urls(path, info), info, &mut part, progress).await {
        Ok(()) => place.take(part)?,
        Err(error) => {
            let is_refused = matches!(error.downcast_ref(), Some(ArtifactError::Content { .. }));
            if is_refused || part.length == 0 {
                part.discard()?;
            }
            return Err(error);
        }
    }
    Ok(downloaded(How::Fetched))
}

/// Brings a part to its end.
async fn fill(
    http: &Http,
    urls: &[String],
    info: &TargetFile,
    part: &mut Part,
    progress: &mut dyn FnMut(u64),
) -> anyhow::Result<()> {
    let mut digests = part.resume(info)?;
    let mut begin = part.length;
    let mut breaks = 0;
    loop {
        let before = part.length;
        progress(before);
        let came = match part.length < info.length || begin == 0 {
            true => stream(http, urls, info, part, &mut digests, &mut begin, progress).await,
            false => Ok(urls[0].clone()),
        };
        let url = match came {
            Ok(url) => url,
            Err(error) => {
                let is_broken = matches!(error.downcast_ref(), Some(ArtifactError::Broken { .. }));
                breaks += 1;
                if is_broken && part.length > before && breaks < MAX_BREAKS {
                    continue;
                }
                return Err(error);
            }
        };
        let found = part.length;
        let checked = match found == info.length {
            true => digests.check(),
            false => Err(ContentError::Length { expected: info.length, found }),
        };
        match checked {
            Ok(()) => return Ok(()),
            // What an earlier run has left may be what is wrong.
            Err(_) if begin > 0 => {
                digests = part.restart(info)?;
                begin = 0;
            }
            Err(source) => return Err(ArtifactError::Content { url, source }.into()),
        }
    }
}

/// Adds what the server has to a part; `begin` becomes 0 when it has to start over. Returns the address that had it.
async fn stream(
    http: &Http,
    urls: &[String],
    info: &TargetFile,
    part: &mut Part,
    digests: &mut Digests,
    begin: &mut u64,
    progress: &mut dyn FnMut(u64),
) -> anyhow::Result<String> {
    let broken = |bytes| move |source| ArtifactError::Broken { bytes, source };
    let mut found = None;
    for url in urls {
        found = http.open(url, part.length).await.map_err(broken(part.length))?;
        if found.is_some() {
            break;
        }
    }
    let mut body = found.with_context(|| ArtifactError::Missing(urls.join(" and no ")))?;
    let url = body.shown();
    if body.start != part.length {
        *digests = part.restart(info)?;
        *begin = 0;
    }
    while let Some(chunk) = body.chunk().await.map_err(broken(part.length))? {
        let length = part.length + chunk.len() as u64;
        if length > info.length {
            let source = ContentError::Length { expected: info.length, found: length };
            return Err(ArtifactError::Content { url, source }.into());
        }
        part.append(&chunk)?;
        digests.update(&chunk);
        progress(part.length);
    }
    Ok(url)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn info() -> TargetFile {
        let hashes = [("sha256", "aa"), ("sha512", "bb")].map(|(name, digits)| (name.to_owned(), digits.to_owned()));
        TargetFile { length: 1, hashes: hashes.into(), custom: None }
    }

    #[test]
    fn addresses_have_the_path_and_nothing_of_it_means_anything() {
        let path = ArtifactPath::parse("a b/c?d#e%2e").expect("a path");
        let source = Source { base_url: "http://h/x/".into(), naming: Naming::Plain };
        assert_eq!(source.urls(&path, &info()), ["http://h/x/a%20b/c%3Fd%23e%252e"]);
        let source = Source { naming: Naming::HashPrefix, ..source };
        let urls = ["http://h/x/a%20b/aa.c%3Fd%23e%252e", "http://h/x/a%20b/bb.c%3Fd%23e%252e"];
        assert_eq!(source.urls(&path, &info()), urls);
    }
}
