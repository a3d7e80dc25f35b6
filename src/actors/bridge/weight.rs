//! About how many bytes of memory a job takes.

use serde_json::Value;

use crate::task::{Artifact, Job};

/// Of each value, whatever it holds.
const VALUE: usize = 32;

/// About how many bytes a job takes.
pub(super) fn bytes(job: &Job) -> usize {
    match job {
        Job::AddArtifacts(add) => add.artifacts.iter().map(artifact).sum(),
        Job::RemoveArtifacts(remove) => remove.artifacts.iter().map(|path| path.len() + VALUE).sum(),
        _ => VALUE,
    }
}

fn artifact(artifact: &Artifact) -> usize {
    let info = &artifact.info;
    let hashes: usize = info.hashes.iter().map(|(name, digits)| name.len() + digits.len() + VALUE).sum();
    let members = info.custom.iter().flatten();
    let custom: usize = members.map(|(name, member)| name.len() + value(member)).sum();
    artifact.path.as_str().len() + VALUE + hashes + custom
}

fn value(of: &Value) -> usize {
    VALUE
        + match of {
            Value::String(text) => text.len(),
            Value::Array(items) => items.iter().map(value).sum(),
            Value::Object(members) => members.iter().map(|(name, member)| name.len() + value(member)).sum(),
            Value::Null | Value::Bool(_) | Value::Number(_) => 0,
        }
}
