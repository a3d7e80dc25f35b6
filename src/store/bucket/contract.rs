//! What every backend of the bucket is held to: one case for each promise of [`Bucket`].

use super::{Bucket, File};
use crate::store::StoreError;

/// Runs all cases. `fresh` names a place that is empty, and what it returns opens a bucket there, also again.
pub(crate) async fn all<B: Bucket, Open: AsyncFn() -> B>(fresh: impl Fn() -> Open) {
    files_are_read_back_and_stay(fresh()).await;
    the_same_bytes_again_change_nothing(fresh()).await;
    other_bytes_are_refused(fresh()).await;
    of_two_writers_one_wins(fresh()).await;
    a_large_batch_is_written_whole(fresh()).await;
    a_reader_sees_a_file_whole_or_not_at_all(fresh()).await;
    the_pointer_is_replaced_whole(fresh()).await;
    of_two_pointers_one_wins(fresh()).await;
    names_cannot_leave_the_bucket(fresh()).await;
}

const POINTER: &str = "timestamp.json";

fn file(name: &str, bytes: impl Into<Vec<u8>>) -> File {
    File { name: name.to_owned(), bytes: bytes.into() }
}

async fn read(bucket: &impl Bucket, name: &str) -> Option<Vec<u8>> {
    bucket.read(name).await.expect("read")
}

async fn files_are_read_back_and_stay<B: Bucket>(open: impl AsyncFn() -> B) {
    let bucket = open().await;
    assert_eq!(read(&bucket, "1.root.json").await, None);
    bucket.create(vec![]).await.expect("nothing to do");
    bucket.create(vec![file("1.root.json", "root"), file("1.bins-0f.json", "")]).await.expect("created");
    drop(bucket);
    let bucket = open().await;
    assert_eq!(read(&bucket, "1.root.json").await, Some(b"root".to_vec()));
    assert_eq!(read(&bucket, "1.bins-0f.json").await, Some(vec![]));
    assert_eq!(read(&bucket, "2.root.json").await, None);
}

async fn the_same_bytes_again_change_nothing<B: Bucket>(open: impl AsyncFn() -> B) {
    let bucket = open().await;
    bucket.create(vec![file("1.targets.json", "a")]).await.expect("created");
    bucket.create(vec![file("1.targets.json", "a"), file("1.snapshot.json", "b")]).await.expect("created");
    assert_eq!(read(&bucket, "1.targets.json").await, Some(b"a".to_vec()));
    assert_eq!(read(&bucket, "1.snapshot.json").await, Some(b"b".to_vec()));
}

async fn other_bytes_are_refused<B: Bucket>(open: impl AsyncFn() -> B) {
    let bucket = open().await;
    bucket.create(vec![file("1.targets.json", "first")]).await.expect("created");
    for other in ["other", "firs", "first and more", ""] {
        let outcome = bucket.create(vec![file("1.targets.json", other)]).await;
        assert!(matches!(outcome, Err(StoreError::Broken(_))), "{outcome:?}");
        assert_eq!(read(&bucket, "1.targets.json").await, Some(b"first".to_vec()));
    }
}

async fn of_two_writers_one_wins<B: Bucket>(open: impl AsyncFn() -> B) {
    let (one, two) = (open().await, open().await);
    for version in 1..=20 {
        let name = format!("{version}.snapshot.json");
        let (first, second) = tokio::join!(
            one.create(vec![file(&name, "one"), file(&format!("{version}.same.json"), "same")]),
            two.create(vec![file(&name, "two"), file(&format!("{version}.same.json"), "same")]),
        );
        let winner = read(&one, &name).await.expect("somebody wrote it");
        let (won, lost) = if winner == b"one" { (first, second) } else { (second, first) };
        won.expect("the winner is told so");
        assert!(matches!(lost, Err(StoreError::Broken(_))), "{lost:?}");
    }
}

async fn a_large_batch_is_written_whole<B: Bucket>(open: impl AsyncFn() -> B) {
    let bucket = open().await;
    let files: Vec<_> = (0..200).map(|n| file(&format!("1.bins-{n:02x}.json"), vec![n as u8; n])).collect();
    bucket.create(files.clone()).await.expect("created");
    for file in files {
        assert_eq!(read(&bucket, &file.name).await, Some(file.bytes), "{}", file.name);
    }
}

async fn a_reader_sees_a_file_whole_or_not_at_all<B: Bucket>(open: impl AsyncFn() -> B) {
    let bucket = open().await;
    let content = vec![b'x'; 1 << 20];
    for version in 1..=10 {
        let name = format!("{version}.targets.json");
        let write = bucket.create(vec![file(&name, content.clone())]);
        let watch = async {
            loop {
                if let Some(seen) = read(&bucket, &name).await {
                    break seen;
                }
            }
        };
        let (written, seen) = tokio::join!(write, watch);
        written.expect("created");
        assert!(seen == content, "saw {} of {} bytes", seen.len(), content.len());
    }
}

async fn the_pointer_is_replaced_whole<B: Bucket>(open: impl AsyncFn() -> B) {
    let bucket = open().await;
    assert_eq!(read(&bucket, POINTER).await, None);
    let content = |n: u8| vec![n; 1000 * usize::from(n)];
    let write = async {
        for n in 1..=50 {
            let seen = (n > 1).then(|| content(n - 1));
            assert!(bucket.point(seen, content(n)).await.expect("pointed"));
        }
    };
    let watch = async {
        let mut last = 0;
        while last < 50 {
            let Some(seen) = read(&bucket, POINTER).await else { continue };
            let n = seen[0];
            assert!(seen == content(n), "saw a mixture");
            assert!(n >= last, "went back from {last} to {n}");
            last = n;
        }
    };
    tokio::join!(write, watch);
    drop(bucket);
    assert_eq!(read(&open().await, POINTER).await, Some(content(50)));
}

async fn of_two_pointers_one_wins<B: Bucket>(open: impl AsyncFn() -> B) {
    let (one, two) = (open().await, open().await);
    let mut seen = None;
    for round in 0..20 {
        let (first, second) = (format!("one {round}").into_bytes(), format!("two {round}").into_bytes());
        let outcomes = tokio::join!(one.point(seen.clone(), first.clone()), two.point(seen.clone(), second.clone()));
        let (first_won, second_won) = (outcomes.0.expect("asked"), outcomes.1.expect("asked"));
        assert!(first_won != second_won, "one of them wins");
        let winner = if first_won { first } else { second };
        assert_eq!(read(&one, POINTER).await, Some(winner.clone()));
        assert!(!one.point(seen, b"late".to_vec()).await.expect("asked"), "what it saw is gone");
        assert_eq!(read(&two, POINTER).await, Some(winner.clone()));
        seen = Some(winner);
    }
}

async fn names_cannot_leave_the_bucket<B: Bucket>(open: impl AsyncFn() -> B) {
    let bucket = open().await;
    for name in ["", ".", "..", "../1.root.json", "a/1.root.json", ".hidden", "/1.root.json", "1.root.json\0", POINTER]
    {
        let outcome = bucket.create(vec![file(name, "a")]).await;
        assert!(matches!(outcome, Err(StoreError::Broken(_))), "{name:?}: {outcome:?}");
        assert_eq!(read(&bucket, name).await, None, "{name:?}");
    }
}
