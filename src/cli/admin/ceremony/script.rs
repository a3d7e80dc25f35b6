//! The questions of a ceremony.

use std::collections::BTreeSet;

use jiff::Timestamp;

use super::{
    plan::{Days, OnlineKeys, Plan, PlannedBins},
    review,
};
use crate::{
    cli::{
        admin::{
            keys::{NamedKey, ask_online, ask_person},
            numbers::{ask_days, ask_threshold},
            roles::{AskedRole, ask_roles},
        },
        failure::Failure,
        interview::{Choice, Interview, List, Stop, Text},
    },
    tuf::{
        bins::{Bins, Layout, MAX_BINS, MIN_BINS, suggest},
        limits,
    },
};

const LEAST_ROOT_THRESHOLD: u32 = 2;
const DEFAULT_ARTIFACTS: &str = "10000";

/// Asks for everything, and shows it before it ends.
pub(super) async fn ask(interview: &mut Interview, now: Timestamp) -> Result<Plan, Stop> {
    interview.tell(
        "A repository begins with a root that people sign. Nothing is signed or sent before you have seen all of it. \
        Esc takes the last answer back, Ctrl-C stops.",
    );
    interview.tell("");
    interview.tell("Timestamp, snapshot and targets are signed by the repository itself, again and again.");
    interview.tell("For how many days do clients accept them when nothing new comes?");
    let timestamp = ask_days(interview, "timestamp.days", "Days for which timestamp is valid:", 1)?;
    let snapshot = ask_days(interview, "snapshot.days", "Days for which snapshot is valid:", 1)?;
    let targets = ask_days(interview, "targets.days", "Days for which targets is valid:", 365)?;
    let (bins, roles, artifacts) = Box::pin(ask_delegations(interview)).await?;
    interview.tell("");
    interview.tell("Root names the keys of all others. It is signed by people, with keys that they keep offline.");
    let root = ask_days(interview, "root.days", "Days for which root is valid:", 365)?;
    let (people, threshold) = Box::pin(ask_people(interview)).await?;
    let online = Box::pin(ask_online_keys(interview, &people)).await?;
    let days = Days { root, timestamp, snapshot, targets };
    let plan = Plan { days, bins, roles, artifacts, root: people, threshold, online };
    for line in review::lines(&plan, now) {
        interview.tell(line);
    }
    match interview.confirm("confirm", "Is this the repository that you want? It is signed next.", true)? {
        true => Ok(plan),
        false => Err(Failure::new("not confirmed, nothing was signed or sent")
            .remedy("begin again; at a question, Esc takes the last answer back")
            .into()),
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Bins,
    Roles,
    Both,
}

async fn ask_delegations(interview: &mut Interview) -> Result<(Option<PlannedBins>, Vec<AskedRole>, u64), Stop> {
    interview.tell("");
    interview.tell("Targets does not list artifacts itself, it delegates them to other roles.");
    let choices = [
        ("bins", "hash bins: many small files, all signed by the online key", Kind::Bins),
        ("roles", "delegated roles: each has its own paths, signed by people or online", Kind::Roles),
        ("both", "both: delegated roles for some paths, hash bins for all others", Kind::Both),
    ];
    let choices = choices.map(|(key, label, value)| Choice { key, label: label.to_owned(), value });
    let kind = interview.choose("delegations", "Where are artifacts listed?", choices.into())?;
    let roles = match kind {
        Kind::Bins => Vec::new(),
        Kind::Roles | Kind::Both => Box::pin(ask_roles(interview, "roles", &BTreeSet::new())).await?,
    };
    let artifacts = interview.text(
        Text {
            id: "artifacts",
            message: "About how many artifacts will there be, in some years?",
            help: Some("only to tell how much clients download, and how many bins suit"),
            default: Some(DEFAULT_ARTIFACTS),
        },
        |text| text.replace(['_', ',', ' '], "").parse::<u64>().map_err(|_| "must be a whole number".to_owned()),
    )?;
    let bins = match kind {
        Kind::Roles => None,
        Kind::Bins => Some(ask_layout(interview)?),
        Kind::Both => {
            interview
                .tell("Beside delegated roles the layout of the bins is path_hash_prefixes, which all clients read.");
            Some(Layout::PathHashPrefixes)
        }
    };
    let bins = bins.map(|layout| ask_bins(interview, layout, artifacts)).transpose()?;
    Ok((bins, roles, artifacts))
}

fn ask_layout(interview: &mut Interview) -> Result<Layout, Stop> {
    let label = |layout, text: &str| match limits::unreadable(layout).as_slice() {
        [] => format!("{text}; every client reads it"),
        others => format!("{text}; {} can't read it", others.join(", ")),
    };
    let succinct = label(Layout::Succinct, "succinct: a few hundred bytes");
    let prefixes = label(Layout::PathHashPrefixes, "path_hash_prefixes: 184 bytes more a bin");
    let choices = vec![
        Choice { key: "succinct", label: succinct, value: Layout::Succinct },
        Choice { key: "path_hash_prefixes", label: prefixes, value: Layout::PathHashPrefixes },
    ];
    interview.choose("bins.layout", "How are the bins written into targets?", choices)
}

fn ask_bins(interview: &mut Interview, layout: Layout, artifacts: u64) -> Result<PlannedBins, Stop> {
    let suggested = suggest(artifacts, layout).to_string();
    let question = Text {
        id: "bins.number",
        message: "How many hash bins?",
        help: Some("2, 4, 8, … 16384, for good; more bins: more to download once, less for each artifact"),
        default: Some(&suggested),
    };
    let bins = interview.text(question, move |text| number_of_bins(text, layout))?;
    let days = ask_days(interview, "bins.days", "Days for which a bin is valid:", 1)?;
    Ok(PlannedBins { days, bins })
}

fn number_of_bins(text: &str, layout: Layout) -> Result<Bins, String> {
    let wrong = || format!("must be a power of two from {MIN_BINS} to {MAX_BINS}");
    let number: u32 = text.parse().ok().filter(|number: &u32| number.is_power_of_two()).ok_or_else(wrong)?;
    Bins::new(number, layout).map_err(|_| wrong())
}

async fn ask_people(interview: &mut Interview) -> Result<(Vec<NamedKey>, u32), Stop> {
    let message = "How many people must sign root?";
    let threshold = ask_threshold(interview, "root.threshold", message, LEAST_ROOT_THRESHOLD, LEAST_ROOT_THRESHOLD)?;
    interview.tell(format_args!(
        "Now the public keys of these people, {threshold} at least. More of them may be lost without harm."
    ));
    let list = List { id: "root.keys", one: "root key", at_least: threshold as usize };
    let ask = async |interview: &mut Interview, id: String, there: &[NamedKey]| ask_person(interview, &id, there).await;
    let people = interview.list(list, |key: &NamedKey| key.name.clone(), ask).await?;
    Ok((people, threshold))
}

async fn ask_online_keys(interview: &mut Interview, people: &[NamedKey]) -> Result<OnlineKeys, Stop> {
    interview.tell("");
    interview.tell("The repository signs with an online key, of which its workers have the private half.");
    let choices = vec![
        Choice { key: "one", label: "one for timestamp, snapshot and targets".to_owned(), value: false },
        Choice { key: "three", label: "one for each of them".to_owned(), value: true },
    ];
    if !interview.choose("online.keys", "How many online keys are there?", choices)? {
        return Ok(OnlineKeys::one(ask_online(interview, "online.key", people).await?));
    }
    let mut taken = people.to_vec();
    let mut keys = Vec::new();
    for role in ["timestamp", "snapshot", "targets"] {
        interview.tell(format_args!("The key of {role}:"));
        let key = ask_online(interview, &format!("online.{role}"), &taken).await?;
        taken.push(key.clone());
        keys.push(key);
    }
    let [timestamp, snapshot, targets] =
        <[NamedKey; 3]>::try_from(keys).map_err(|_| Failure::new("there are three online roles"))?;
    Ok(OnlineKeys { timestamp, snapshot, targets })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_number_of_bins_is_a_power_of_two() {
        for good in ["2", "256", "16384"] {
            assert_eq!(number_of_bins(good, Layout::Succinct).expect("bins").count().to_string(), good);
        }
        for wrong in ["", "0", "1", "3", "255", "32768", "many"] {
            assert!(number_of_bins(wrong, Layout::Succinct).is_err(), "{wrong}");
        }
    }
}
