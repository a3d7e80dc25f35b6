//! A planned repository in plain words, before anything is signed.

use jiff::Timestamp;

use super::plan::Plan;
use crate::{
    cli::admin::{
        keys::NamedKey,
        review::{any_of, days, grouped, online_power, root_power, size, table},
        roles::{AskedRole, Signers},
    },
    tuf::{
        bins::{Bins, Layout, suggest},
        expiry::expires,
        limits::{self, Estimate, Length},
        name::RoleName,
    },
};

/// Bytes of timestamp, which lists one file.
const TIMESTAMP_BYTES: u64 = 700;
/// Bytes of a signature with its key id.
const SIGNATURE_BYTES: u64 = 250;
/// Bytes of a targets role besides what it lists.
const FRAME_BYTES: u64 = 2_048;
/// Bytes of an artifact in its role.
const ARTIFACT_BYTES: u64 = 200;

/// Everything that is about to be signed.
pub(super) fn lines(plan: &Plan, now: Timestamp) -> Vec<String> {
    let mut lines = vec![String::new(), "What will be signed. Until now nothing is.".to_owned(), String::new()];
    lines.extend(table(&["Role", "Signed by", "For", "Valid", "First until"], rows(plan, now)));
    lines.push(String::new());
    let names: Vec<_> = plan.root.iter().map(|key| key.name.as_str()).collect();
    lines.extend(root_power(&names, plan.threshold));
    lines.push(String::new());
    for (key, roles) in plan.online.by_key() {
        let least = roles.iter().map(|role| plan.days.of(role)).min().unwrap_or(plan.days.timestamp);
        let uri = key.object["x-rstuf-online-key-uri"].as_str().unwrap_or("nowhere");
        lines.push(format!("The workers find the private half of the online key '{}' at {uri}.", key.name));
        lines.extend(online_power(&key.name, &roles, least));
    }
    lines.push(String::new());
    lines.extend(sizes(plan, now));
    lines.push(String::new());
    lines
}

fn rows(plan: &Plan, now: Timestamp) -> Vec<Vec<String>> {
    let date = |days| expires(now, days).strftime("%Y-%m-%d").to_string();
    let row =
        |role: &str, by: String, what: String, valid: u32| vec![role.to_owned(), by, what, days(valid), date(valid)];
    let people: Vec<_> = plan.root.iter().map(|key| key.name.as_str()).collect();
    let online = |key: &NamedKey| match key.name.as_str() {
        "online" => "online key".to_owned(),
        name => format!("online key {name}"),
    };
    let mut rows = vec![
        row("root", any_of(plan.threshold, &people), "the keys of all roles".to_owned(), plan.days.root),
        row("timestamp", online(&plan.online.timestamp), "what is newest".to_owned(), plan.days.timestamp),
        row("snapshot", online(&plan.online.snapshot), "the versions of all roles".to_owned(), plan.days.snapshot),
        row("targets", online(&plan.online.targets), "who lists artifacts".to_owned(), plan.days.targets),
    ];
    for role in &plan.roles {
        let by = match &role.signers {
            Signers::Online => online(&plan.online.timestamp),
            Signers::People { keys, threshold } => {
                any_of(*threshold, &keys.iter().map(|key| key.name.as_str()).collect::<Vec<_>>())
            }
        };
        rows.push(row(role.name.as_str(), by, scope(role), role.days));
    }
    if let Some(planned) = plan.bins {
        let what = match plan.roles.is_empty() {
            true => "all artifacts",
            false => "all other artifacts",
        };
        let name = format!("{} bins", grouped(u64::from(planned.bins.count())));
        rows.push(row(&name, online(&plan.online.timestamp), what.to_owned(), planned.days));
    }
    rows
}

fn scope(role: &AskedRole) -> String {
    let others = if role.terminating { "" } else { ", then others are asked" };
    format!("{}{others}", role.paths.join(" "))
}

/// What a client downloads, and who can't.
fn sizes(plan: &Plan, now: Timestamp) -> Vec<String> {
    let artifacts = plan.artifacts;
    let root = plan.first_root(now).to_bytes().len() as u64 + u64::from(plan.threshold) * SIGNATURE_BYTES;
    let mut lines = Vec::new();
    match plan.bins {
        Some(planned) => {
            let estimate = Estimate::of(planned.bins, artifacts);
            let update = TIMESTAMP_BYTES + estimate.snapshot + estimate.bin;
            lines.push(format!(
                "With {} artifacts in {} bins a client downloads about {} of metadata for its first artifact, and about {} for \
                 another one after an update.",
                grouped(artifacts),
                grouped(u64::from(planned.bins.count())),
                size(root + estimate.targets + update),
                size(update),
            ));
            lines.extend(estimate.too_large().iter().map(|(role, bytes, clients)| too_large(role, *bytes, clients)));
            lines.extend(better(planned.bins, artifacts, root));
        }
        None => {
            let bytes = FRAME_BYTES + artifacts.saturating_mul(ARTIFACT_BYTES);
            lines.push(format!(
                "A client downloads the whole of a role to find an artifact in it: about {} where one role lists all {} artifacts.",
                size(bytes),
                grouped(artifacts),
            ));
            let role = plan.roles.first().map_or_else(RoleName::targets, |role| role.name.clone());
            let clients = limits::too_large(&role, bytes, Length::Unsigned);
            if !clients.is_empty() {
                lines.push(too_large(&role, bytes, &clients));
            }
        }
    }
    let clients = limits::unreadable(plan.layout().unwrap_or(Layout::PathHashPrefixes));
    if !clients.is_empty() {
        lines.push(format!(
            "Warning: {} can't read this repository; with the layout path_hash_prefixes it could.",
            clients.join(", ")
        ));
    }
    lines
}

fn too_large(role: &RoleName, bytes: u64, clients: &[&str]) -> String {
    let limit = size(limits::strictest(role));
    format!("Warning: {role} would have about {}; {} read no more than {limit}.", size(bytes), clients.join(", "))
}

/// Another number of bins, where it would spare clients much.
fn better(bins: Bins, artifacts: u64, root: u64) -> Option<String> {
    let suggested = Bins::new(suggest(artifacts, bins.layout()), bins.layout()).ok()?;
    let first = |bins| {
        let estimate = Estimate::of(bins, artifacts);
        root + TIMESTAMP_BYTES + estimate.targets + estimate.snapshot + estimate.bin
    };
    (first(bins) > 2 * first(suggested)).then(|| {
        format!(
            "With {} bins it would be about {} for the first artifact.",
            grouped(u64::from(suggested.count())),
            size(first(suggested))
        )
    })
}

#[cfg(test)]
mod tests {
    use super::{super::plan::tests::plan, *};
    use crate::tuf::sample::at;

    fn told(plan: &Plan) -> String {
        lines(plan, at(0)).join("\n")
    }

    #[test]
    fn everything_that_matters_is_told() {
        let told = told(&plan());
        for words in [
            "Any 2 of Ada, Grace and Linus together can change everything",
            "any 2 of Ada, Grace",
            "online key",
            "365 days",
            "2027-11-22",
            "256 bins",
            "If 2 of these keys are lost",
            "With 10,000 artifacts in 256 bins a client downloads about 27 kB of metadata",
            "Warning: tough can't read this repository",
        ] {
            assert!(told.replace('\n', " ").contains(words), "{words:?} is not in\n{told}");
        }
    }

    #[test]
    fn what_clients_would_refuse_is_a_warning() {
        let bins = |number, layout| Bins::new(number, layout).expect("bins");
        let mut plan = plan();
        plan.artifacts = 1_000_000;
        if let Some(planned) = &mut plan.bins {
            planned.bins = bins(16, Layout::PathHashPrefixes);
        }
        let told = told(&plan);
        assert!(
            told.contains("Warning: bins would have about 12.5 MB; python-tuf, tuf-js, go-tuf, tough read no more"),
            "{told}"
        );
        assert!(told.contains("With 1,024 bins it would be about"), "{told}");
        assert!(!told.contains("can't read this repository"), "{told}");
    }
}
