//! Access lines on their way from the cores to whoever keeps them: gathered apart, fetched together, and never waited for.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;
use tokio::time::timeout;

use super::Meter;
use crate::model::Stamp;
use crate::model::limits::{ACCESS_BACKLOG_BYTES, ACCESS_BATCH_BYTES, ACCESS_DELAY};

/// Where all cores' access lines come together. While nobody reads, none are written.
#[derive(Clone, Default)]
pub struct AccessLog {
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    is_read: AtomicBool,
    buffers: Mutex<Vec<Arc<Buffer>>>,
    /// There is something to fetch.
    arrived: Notify,
    /// There is so much of it that it is fetched at once.
    full: Notify,
}

/// The end at which one core writes; a cheap clone.
#[derive(Clone)]
pub struct AccessWriter {
    shared: Arc<Shared>,
    buffer: Arc<Buffer>,
}

/// The one end at which lines are read. Dropped, it ends the writing.
pub struct AccessReader {
    shared: Arc<Shared>,
    /// There may be lines of which nobody will be told again.
    has_some: bool,
}

/// The lines of one core that nobody has fetched. Its lock is the core's own but for the moment of a fetch.
#[derive(Default)]
struct Buffer {
    batch: Mutex<Batch>,
}

/// Lines of one core, in their order.
#[derive(Default)]
pub struct Batch {
    text: String,
    lines: Vec<Entry>,
    /// Whose lines these are: one after the other of one app's need it once.
    meters: Vec<Arc<Meter>>,
    lost: Vec<(Arc<Meter>, u64)>,
}

struct Entry {
    /// An index.
    meter: usize,
    at: Stamp,
    end: usize,
}

/// One request, in a line without its time.
#[derive(Clone, Copy)]
pub struct AccessLine<'a> {
    pub meter: &'a Meter,
    /// When it ended.
    pub at: Stamp,
    pub text: &'a str,
}

// === impl AccessLog ===

impl AccessLog {
    /// Whether somebody reads: what is written else would be work for nothing.
    #[must_use]
    pub fn is_read(&self) -> bool {
        self.shared.is_read.load(Ordering::Relaxed)
    }

    /// Begins to read.
    #[must_use]
    pub fn read(&self) -> AccessReader {
        self.shared.is_read.store(true, Ordering::Relaxed);
        AccessReader { shared: Arc::clone(&self.shared), has_some: true }
    }

    /// Makes a writer for one core.
    #[must_use]
    pub fn writer(&self) -> AccessWriter {
        let buffer = Arc::<Buffer>::default();
        lock(&self.shared.buffers).push(Arc::clone(&buffer));
        AccessWriter { shared: Arc::clone(&self.shared), buffer }
    }
}

// === impl AccessWriter ===

impl AccessWriter {
    /// Whether somebody reads.
    #[must_use]
    pub fn is_read(&self) -> bool {
        self.shared.is_read.load(Ordering::Relaxed)
    }

    /// Writes what `tell` appends as one line of the app that `meter` counts; it must hold no control characters. Never waits: when
    /// [`ACCESS_BACKLOG_BYTES`] were not fetched, the line is counted as lost.
    pub fn write(&self, meter: &Arc<Meter>, at: Stamp, tell: impl FnOnce(&mut String)) {
        let mut batch = lock(&self.buffer.batch);
        let before = batch.text.len();
        if before >= ACCESS_BACKLOG_BYTES {
            batch.lose(meter);
            return;
        }
        tell(&mut batch.text);
        let end = batch.text.len();
        let meter = batch.index_of(meter);
        batch.lines.push(Entry { meter, at, end });
        drop(batch);
        if before == 0 {
            self.shared.arrived.notify_one();
        }
        if before < ACCESS_BATCH_BYTES && end >= ACCESS_BATCH_BYTES {
            self.shared.full.notify_one();
        }
    }
}

// === impl AccessReader ===

impl AccessReader {
    /// Waits for lines and returns those of each core that has some: [`ACCESS_DELAY`] after the first, or as soon as they are many.
    /// Cancel-safe: what is not returned is there for the next call.
    ///
    /// It waits each time, whatever is there: a reader that fetched each line as it comes would cost as much as the requests.
    pub async fn next(&mut self) -> Vec<Batch> {
        loop {
            if !self.has_some {
                self.shared.arrived.notified().await;
                self.has_some = true;
            }
            let _ = timeout(ACCESS_DELAY, self.shared.full.notified()).await;
            let batches = self.take();
            if !batches.is_empty() {
                return batches;
            }
        }
    }

    /// Returns what there is.
    pub fn take(&mut self) -> Vec<Batch> {
        self.has_some = false;
        let buffers = lock(&self.shared.buffers).clone();
        buffers.iter().filter_map(|buffer| lock(&buffer.batch).take()).collect()
    }
}

impl Drop for AccessReader {
    fn drop(&mut self) {
        self.shared.is_read.store(false, Ordering::Relaxed);
    }
}

// === impl Batch ===

impl Batch {
    pub fn lines(&self) -> impl Iterator<Item = AccessLine<'_>> {
        let mut begin = 0;
        self.lines.iter().map(move |entry| {
            let text = &self.text[begin..entry.end];
            begin = entry.end;
            AccessLine { meter: &self.meters[entry.meter], at: entry.at, text }
        })
    }

    /// Returns how many lines of which apps found no place behind these.
    pub fn lost(&self) -> impl Iterator<Item = (&Meter, u64)> {
        self.lost.iter().map(|(meter, count)| (&**meter, *count))
    }

    /// Takes the lines out, if there are any, and leaves room for as many: growing to it again would copy them several times.
    fn take(&mut self) -> Option<Batch> {
        let next = Batch {
            text: String::with_capacity(self.text.len()),
            lines: Vec::with_capacity(self.lines.len()),
            meters: Vec::with_capacity(self.meters.len()),
            lost: Vec::new(),
        };
        (!self.lines.is_empty()).then(|| std::mem::replace(self, next))
    }

    fn index_of(&mut self, meter: &Arc<Meter>) -> usize {
        if !self.meters.last().is_some_and(|last| Arc::ptr_eq(last, meter)) {
            self.meters.push(Arc::clone(meter));
        }
        self.meters.len() - 1
    }

    fn lose(&mut self, meter: &Arc<Meter>) {
        meter.line_lost();
        match self.lost.iter_mut().find(|(known, _)| Arc::ptr_eq(known, meter)) {
            Some((_, count)) => *count += 1,
            None => self.lost.push((Arc::clone(meter), 1)),
        }
    }
}

/// A panic elsewhere leaves nothing half done in here.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use tokio::time::Instant;

    use super::*;
    use crate::model::AppId;

    fn meter() -> Arc<Meter> {
        Arc::new(Meter::new(AppId::random()))
    }

    fn say(writer: &AccessWriter, meter: &Arc<Meter>, text: &str) {
        writer.write(meter, Stamp::from_millis(7), |line| line.push_str(text));
    }

    fn texts(batches: &[Batch]) -> Vec<String> {
        batches.iter().flat_map(|batch| batch.lines().map(|line| line.text.to_owned())).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn lines_of_all_cores_come_together_after_a_moment() {
        let (log, meter) = (AccessLog::default(), meter());
        assert!(!log.is_read(), "nobody reads");
        let (mut reader, one, other) = (log.read(), log.writer(), log.writer());
        let begun = Instant::now();

        say(&one, &meter, "a");
        say(&other, &meter, "b");
        say(&one, &meter, "c");
        let batches = reader.next().await;

        assert!(begun.elapsed() <= ACCESS_DELAY);
        assert_eq!(texts(&batches), ["a", "c", "b"]);
        let line = batches[0].lines().next().unwrap();
        assert_eq!((line.meter.app(), line.at), (meter.app(), Stamp::from_millis(7)));
        assert!(reader.take().is_empty());
        drop(reader);
        assert!(!one.is_read());
    }

    #[tokio::test(start_paused = true)]
    async fn lines_that_keep_coming_are_fetched_together() {
        let (log, meter) = (AccessLog::default(), meter());
        let (mut reader, writer) = (log.read(), log.writer());
        let (lines, apart) = (100, ACCESS_DELAY / 10);
        let writing = async {
            for _ in 0..lines {
                say(&writer, &meter, "a");
                tokio::time::sleep(apart).await;
            }
        };
        let reading = async {
            let (mut fetches, mut seen) = (0, 0);
            while seen < lines {
                seen += texts(&reader.next().await).len();
                fetches += 1;
            }
            fetches
        };

        let (fetches, ()) = tokio::join!(reading, writing);

        assert!((8..=12).contains(&fetches), "{fetches}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_wait_that_is_given_up_loses_no_line() {
        let (log, meter) = (AccessLog::default(), meter());
        let (mut reader, writer) = (log.read(), log.writer());
        let short = ACCESS_DELAY / 2;
        assert!(timeout(ACCESS_DELAY * 2, reader.next()).await.is_err(), "there is none");
        say(&writer, &meter, "a");

        assert!(timeout(short, reader.next()).await.is_err(), "too soon");

        assert_eq!(texts(&reader.next().await), ["a"]);
    }

    #[tokio::test(start_paused = true)]
    async fn many_lines_are_not_waited_with() {
        let (log, meter) = (AccessLog::default(), meter());
        let (mut reader, writer) = (log.read(), log.writer());
        say(&writer, &meter, "before");
        let _ = reader.next().await;
        let begun = Instant::now();

        let (batches, ()) = tokio::join!(reader.next(), async {
            tokio::task::yield_now().await;
            say(&writer, &meter, &"x".repeat(ACCESS_BATCH_BYTES));
        });

        assert_eq!(batches.len(), 1);
        assert!(begun.elapsed() < ACCESS_DELAY, "{:?}", begun.elapsed());
    }

    #[test]
    fn lines_that_nobody_fetches_are_counted_and_take_no_more_room() {
        let (log, meter, other) = (AccessLog::default(), meter(), meter());
        let (mut reader, writer) = (log.read(), log.writer());
        let line = "x".repeat(1024);

        for _ in 0..ACCESS_BACKLOG_BYTES / 1024 + 10 {
            say(&writer, &meter, &line);
        }
        say(&writer, &other, "lost, too");

        let batches = reader.take();
        assert_eq!(batches[0].lines().count(), ACCESS_BACKLOG_BYTES / 1024);
        let lost: Vec<_> = batches[0].lost().map(|(meter, count)| (meter.app().clone(), count)).collect();
        assert_eq!(lost, [(meter.app().clone(), 10), (other.app().clone(), 1)]);
        assert_eq!(meter.read().lost_lines, 10);
        say(&writer, &meter, "there is room again");
        assert_eq!(texts(&reader.take()), ["there is room again"]);
    }
}
