//! The log of an app through its life: rotation, tails, followers, garbage, a disk that takes nothing.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::PathBuf;

use tempfile::TempDir;
use tokio_stream::StreamExt;

use super::{LogLine, Logs, RequestLines, Shape, Source};
use crate::error::Kind;
use crate::model::{AppId, Stamp};

struct Trial {
    dir: TempDir,
    logs: Logs,
    app: AppId,
}

impl Trial {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let logs = Logs::with_shape(dir.path(), Shape { segment_bytes: 1000, segments: 3 }).unwrap();
        Trial { dir, logs, app: AppId::random() }
    }

    fn folder(&self) -> PathBuf {
        self.dir.path().join("logs").join(self.app.as_str())
    }

    async fn append(&self, text: &str) {
        self.logs.append(self.app.clone(), line(text)).await.unwrap();
    }

    async fn tail(&self, n: usize) -> Vec<String> {
        texts(&self.logs.tail(self.app.clone(), n).await.unwrap())
    }
}

fn line(text: &str) -> LogLine {
    LogLine::new(Stamp::from_millis(1_769_860_800_123), Source::app("web.1"), text)
}

fn texts(lines: &[LogLine]) -> Vec<String> {
    lines.iter().map(|line| line.text().to_owned()).collect()
}

#[tokio::test]
async fn a_tail_reaches_over_segments_and_old_ones_go() {
    let trial = Trial::new();
    let lines = (0..200).map(|number| line(&number.to_string())).collect();

    trial.logs.append_all(trial.app.clone(), lines).await.unwrap();

    let files: Vec<_> = fs::read_dir(trial.folder()).unwrap().map(|entry| entry.unwrap().metadata().unwrap().len()).collect();
    assert_eq!(files.len(), 3);
    assert!(files.iter().all(|size_bytes| *size_bytes <= 1000), "{files:?}");
    let expected: Vec<String> = (160..200).map(|number| number.to_string()).collect();
    assert_eq!(trial.tail(40).await, expected);
    assert!((40..120).contains(&trial.tail(1000).await.len()));
    assert!(trial.tail(0).await.is_empty());
}

#[tokio::test]
async fn a_long_log_is_read_from_its_end() {
    let dir = tempfile::tempdir().unwrap();
    let logs = Logs::open(dir.path()).unwrap();
    let app = AppId::random();
    let lines = (0..3000).map(|number| line(&format!("{number} {}", "x".repeat(100)))).collect();
    logs.append_all(app.clone(), lines).await.unwrap();

    for n in [1, 400, 2000, 3000, 5000] {
        let tail = logs.tail(app.clone(), n).await.unwrap();
        assert_eq!(tail.len(), n.min(3000));
        assert!(tail[0].text().starts_with(&format!("{} ", 3000 - tail.len())), "{n}");
    }
}

#[tokio::test]
async fn a_log_goes_on_after_a_restart() {
    let trial = Trial::new();
    trial.append("before").await;

    let again = Logs::open(trial.dir.path()).unwrap();
    again.append(trial.app.clone(), line("after")).await.unwrap();

    assert_eq!(trial.tail(10).await, ["before", "after"]);
}

#[tokio::test]
async fn a_cut_line_and_garbage_are_skipped() {
    let trial = Trial::new();
    trial.append("good").await;
    let newest = trial.folder().join("00000001.log");
    let garbage: [&[u8]; 4] = [b"\xff\xfe\0\n", b"no line\n\n", b"2026-01-31T12:00:00.123Z root[x]: y\n", b"2026-01-31T12:00:00.1"];
    for bytes in garbage {
        OpenOptions::new().append(true).open(&newest).unwrap().write_all(bytes).unwrap();
    }
    fs::write(trial.folder().join("notes.txt"), "x").unwrap();

    let again = Logs::open(trial.dir.path()).unwrap();
    assert_eq!(texts(&again.tail(trial.app.clone(), 10).await.unwrap()), ["good"]);
    again.append(trial.app.clone(), line("next")).await.unwrap();

    assert_eq!(texts(&again.tail(trial.app.clone(), 10).await.unwrap()), ["good", "next"]);
}

#[tokio::test]
async fn a_follower_sees_what_comes_and_ends_with_the_log() {
    let trial = Trial::new();
    trial.append("past").await;
    let mut follow = trial.logs.follow(trial.app.clone());

    trial.append("one").await;
    trial.append("two").await;
    trial.logs.remove(trial.app.clone()).await.unwrap();

    assert_eq!(follow.next().await, Some(line("one")));
    assert_eq!(follow.next().await, Some(line("two")));
    assert_eq!(follow.next().await, None);
    assert!(!trial.folder().exists());
}

#[tokio::test]
async fn a_tail_joins_its_follower_without_a_gap() {
    let trial = Trial::new();
    trial.append("past").await;
    let writer = async {
        for number in 0..20 {
            trial.append(&number.to_string()).await;
        }
    };

    let reader = async {
        tokio::task::yield_now().await;
        trial.logs.tail_and_follow(trial.app.clone(), 100, |_| true).await.unwrap()
    };
    let ((), (tail, follow)) = tokio::join!(writer, reader);

    let mut seen = texts(&tail);
    let rest: Vec<LogLine> = follow.take(21 - seen.len()).collect().await;
    seen.extend(texts(&rest));
    let expected: Vec<String> = std::iter::once("past".to_owned()).chain((0..20).map(|number| number.to_string())).collect();
    assert_eq!(seen, expected);
}

#[tokio::test]
async fn a_tail_counts_only_what_is_wanted_over_all_segments() {
    let trial = Trial::new();
    let rare = |number: i64| LogLine::new(Stamp::from_millis(number), Source::mini("build"), &number.to_string());
    let lines = (0..60).map(|number| if number % 20 == 7 { rare(number) } else { line("often") }).collect();
    trial.logs.append_all(trial.app.clone(), lines).await.unwrap();

    let wanted = |line: &LogLine| line.source.process() == "build";
    let (two, _) = trial.logs.tail_and_follow(trial.app.clone(), 2, wanted).await.unwrap();
    let (none, _) = trial.logs.tail_and_follow(trial.app.clone(), 2, |_| false).await.unwrap();

    assert_eq!(texts(&two), ["27", "47"]);
    assert!(none.is_empty());
}

#[tokio::test]
async fn a_slow_reader_sees_what_it_missed_and_holds_nobody_up() {
    let trial = Trial::new();
    let mut follow = trial.logs.follow(trial.app.clone());
    let lines = (0..1034).map(|number| line(&number.to_string())).collect();

    trial.logs.append_all(trial.app.clone(), lines).await.unwrap();

    let mark = follow.next().await.unwrap();
    assert_eq!((mark.source.to_string().as_str(), mark.text()), ("mini[logs]", "(skipped 10 lines)"));
    assert_eq!(follow.next().await, Some(line("10")));
}

#[tokio::test]
async fn a_disk_that_takes_nothing_is_said_once_and_counted() {
    let trial = Trial::new();
    let mut follow = trial.logs.follow(trial.app.clone());
    fs::write(trial.folder(), "a file in the way").unwrap();
    let append = |text: &'static str| trial.logs.append(trial.app.clone(), line(text));

    let first = append("one").await.unwrap_err();
    append("two").await.expect("it was said already");
    fs::remove_file(trial.folder()).unwrap();
    let three = LogLine::new(Stamp::now(), Source::app("web.1"), "three");
    trial.logs.append(trial.app.clone(), three).await.unwrap();

    assert_eq!(first.kind(), Kind::Unavailable);
    assert_eq!(trial.tail(10).await, ["(skipped 2 lines)", "three"]);
    assert_eq!(follow.next().await, Some(line("one")), "followers see it all the same");
}

#[tokio::test]
async fn a_removed_log_does_not_come_back_with_a_late_writer() {
    let trial = Trial::new();
    trial.append("old").await;

    trial.logs.remove(trial.app.clone()).await.unwrap();
    trial.logs.remove(trial.app.clone()).await.unwrap();
    assert!(trial.tail(10).await.is_empty());
    trial.append("late").await;

    assert!(trial.tail(10).await.is_empty());
    assert_eq!(std::fs::read_dir(trial.dir.path().join("logs")).unwrap().count(), 0);
}

#[tokio::test]
async fn the_tail_goes_by_time_whatever_was_archived_last() {
    let trial = Trial::new();
    let at = |millis, text| LogLine::new(Stamp::from_millis(millis), Source::app("web.1"), text);
    trial.logs.append(trial.app.clone(), at(20, "released")).await.unwrap();

    trial.logs.archive(trial.app.clone(), vec![at(10, "old"), at(15, "older than the release")]).await.unwrap();

    assert_eq!(trial.tail(2).await, ["older than the release", "released"]);
}

#[tokio::test]
async fn a_flood_of_requests_takes_no_other_line_away_and_no_more_than_its_own_room() {
    let trial = Trial::new();
    trial.append("v1 is live").await;
    let mut follow = trial.logs.follow(trial.app.clone());

    for at in 0..100 {
        let mut requests = RequestLines::default();
        (0..50).for_each(|_| requests.push(Stamp::from_millis(at), "method=GET"));
        trial.logs.append_requests(trial.app.clone(), requests).await.unwrap();
    }
    trial.append("v2 is live").await;

    let size = |folder: PathBuf| fs::read_dir(folder).unwrap().map(|file| file.unwrap().metadata().unwrap().len()).sum::<u64>();
    assert!(size(trial.folder().join("requests")) < 2 * 4000, "two segments, each of one piece");
    let lines = trial.tail(100_000).await;
    let of_requests = lines.iter().filter(|text| *text == "method=GET").count();
    assert!((50..=100).contains(&of_requests) && lines.len() == of_requests + 2, "{of_requests} of {}", lines.len());
    assert_eq!(follow.next().await.unwrap().text(), "v2 is live", "what was said comes first, and is not skipped");
    assert!(follow.next().await.unwrap().text().starts_with("(skipped "));
    let only_said = |line: &LogLine| line.source.process() != "router";
    let (said, _) = trial.logs.tail_and_follow(trial.app.clone(), 10, only_said).await.unwrap();
    assert_eq!(texts(&said), ["v1 is live", "v2 is live"]);
    trial.logs.remove(trial.app.clone()).await.unwrap();
    assert!(!trial.folder().exists());
}
