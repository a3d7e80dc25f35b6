//! What every backend of the settings is held to: one case for each promise of [`Settings`].

use std::{collections::BTreeMap, sync::Arc};

use serde_json::{Value, json};
use tokio::task::JoinSet;

use super::{BOOTSTRAP, Settings};

/// Runs all cases. `fresh` names a place that is empty, and what it returns opens the settings there, also again.
pub(crate) async fn all<S: Settings + 'static, Open: AsyncFn() -> S>(fresh: impl Fn() -> Open) {
    what_was_put_is_read(fresh()).await;
    null_is_listed_and_absent_is_not(fresh()).await;
    every_kind_of_json_comes_back_as_it_was(fresh()).await;
    writers_of_different_fields_do_not_undo_each_other(fresh()).await;
    several_fields_are_seen_whole(fresh()).await;
    a_swap_asks_for_what_is_there(fresh()).await;
    of_many_swaps_one_wins(fresh()).await;
}

fn fields<const N: usize>(fields: [(&str, Value); N]) -> BTreeMap<String, Value> {
    fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

async fn get(settings: &impl Settings, name: &str) -> Value {
    settings.get(name).await.expect("read")
}

async fn what_was_put_is_read<S: Settings>(open: impl AsyncFn() -> S) {
    let settings = open().await;
    assert_eq!(settings.all().await.expect("read"), BTreeMap::new());
    settings.put(fields([("TARGETS_EXPIRATION", json!(365)), ("BINS_EXPIRATION", json!(1))])).await.expect("put");
    settings.put(fields([("BINS_EXPIRATION", json!(7))])).await.expect("put");
    drop(settings);
    let settings = open().await;
    assert_eq!(get(&settings, "BINS_EXPIRATION").await, json!(7));
    let all = settings.all().await.expect("read");
    assert_eq!(all, fields([("TARGETS_EXPIRATION", json!(365)), ("BINS_EXPIRATION", json!(7))]));
}

async fn null_is_listed_and_absent_is_not<S: Settings>(open: impl AsyncFn() -> S) {
    let settings = open().await;
    assert_eq!(get(&settings, "ROOT_SIGNING").await, Value::Null);
    settings.put(fields([("ROOT_SIGNING", json!({"signed": {}}))])).await.expect("put");
    settings.put(fields([("ROOT_SIGNING", Value::Null)])).await.expect("put");
    assert_eq!(get(&settings, "ROOT_SIGNING").await, Value::Null);
    assert_eq!(settings.all().await.expect("read"), fields([("ROOT_SIGNING", Value::Null)]));
}

async fn every_kind_of_json_comes_back_as_it_was<S: Settings>(open: impl AsyncFn() -> S) {
    let settings = open().await;
    let kinds = [
        json!(null),
        json!(true),
        json!(-5),
        json!(u64::MAX),
        json!(1.5),
        json!(""),
        json!("5"),
        json!("@int 5"),
        json!("ü\n\"\u{0}"),
        json!([]),
        json!({"keyval": {"public": "a\nb"}, "z": [1, null], "a": {}}),
    ];
    for kind in kinds {
        settings.put(fields([("ONLINE_KEY", kind.clone())])).await.expect("put");
        assert_eq!(get(&settings, "ONLINE_KEY").await, kind);
        assert_eq!(settings.all().await.expect("read")["ONLINE_KEY"], kind);
    }
}

async fn writers_of_different_fields_do_not_undo_each_other<S: Settings + 'static>(open: impl AsyncFn() -> S) {
    let settings = Arc::new(open().await);
    let mut writers = JoinSet::new();
    for n in 0..20 {
        let settings = Arc::clone(&settings);
        writers.spawn(async move { settings.put(fields([(&format!("ROLE{n}_EXPIRATION"), json!(n))])).await });
    }
    for outcome in writers.join_all().await {
        outcome.expect("put");
    }
    for n in 0..20 {
        assert_eq!(get(&*settings, &format!("ROLE{n}_EXPIRATION")).await, json!(n));
    }
}

async fn several_fields_are_seen_whole<S: Settings>(open: impl AsyncFn() -> S) {
    let settings = open().await;
    let write = async {
        for n in 0..50 {
            settings.put(fields([("A", json!(n)), ("B", json!(n))])).await.expect("put");
        }
    };
    let watch = async {
        loop {
            let all = settings.all().await.expect("read");
            assert_eq!(all.get("A"), all.get("B"));
            if all.get("A") == Some(&json!(49)) {
                break;
            }
        }
    };
    tokio::join!(write, watch);
}

async fn a_swap_asks_for_what_is_there<S: Settings>(open: impl AsyncFn() -> S) {
    let settings = open().await;
    let swap = async |expected: Value, new: Value| settings.swap(BOOTSTRAP, &expected, new).await.expect("swapped");
    assert!(!swap(json!("pre-1"), json!("1")).await, "absent is not pre-1");
    assert_eq!(get(&settings, BOOTSTRAP).await, Value::Null);
    assert!(swap(Value::Null, json!("pre-1")).await, "absent is null");
    assert!(!swap(Value::Null, json!("pre-2")).await);
    assert_eq!(get(&settings, BOOTSTRAP).await, json!("pre-1"));
    assert!(swap(json!("pre-1"), Value::Null).await);
    assert!(swap(Value::Null, json!("pre-3")).await, "set to null is null");
    assert_eq!(get(&settings, BOOTSTRAP).await, json!("pre-3"));
}

async fn of_many_swaps_one_wins<S: Settings + 'static>(open: impl AsyncFn() -> S) {
    let settings = Arc::new(open().await);
    let mut racers = JoinSet::new();
    for n in 0..20 {
        let settings = Arc::clone(&settings);
        racers.spawn(async move {
            let won = settings.swap(BOOTSTRAP, &Value::Null, json!(format!("pre-{n}"))).await.expect("swapped");
            won.then(|| json!(format!("pre-{n}")))
        });
    }
    let winners: Vec<_> = racers.join_all().await.into_iter().flatten().collect();
    assert_eq!(winners.len(), 1);
    assert_eq!(get(&*settings, BOOTSTRAP).await, winners[0]);
}
