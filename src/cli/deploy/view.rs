//! What a deploy looks like: three steps, the build's own lines, and the URL.

use std::io::IsTerminal;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::packing::Progress;
use crate::cli::transport::Shown;
use crate::cli::{print_to, say, screen, talk};
use crate::command::{Event, Look, RECEIVING, Released};
use crate::model::size::in_words;
use crate::model::{AppName, Stage};

const PACKING: &str = "[1/3] Packing source code…";
const STARTING: &str = "[3/3] Starting container…";
/// How often the bar moves.
const TICK: Duration = Duration::from_millis(100);

/// The steps as they are shown.
pub struct View {
    app: AppName,
    /// `37 files, 120 KiB`
    amount: String,
    look: Look,
    step: Step,
    bar: Option<Bar>,
    /// What was said while a line was open; shown only when that step fails.
    withheld: Vec<String>,
    released: Option<Released>,
    /// The switch has begun: from here on the server goes through with it.
    is_switching: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Step {
    Packing,
    Sent,
    Building,
    Starting,
    Started,
}

/// A bar that follows the packing from a thread of its own.
struct Bar {
    shown: ProgressBar,
    is_over: Arc<AtomicBool>,
    painter: Option<JoinHandle<()>>,
}

// === impl View ===

impl View {
    pub fn new(app: AppName, files: usize, bytes: u64, progress: &Arc<Progress>, look: Look) -> Self {
        let files = if files == 1 { "1 file".to_owned() } else { format!("{files} files") };
        let bar = std::io::stderr().is_terminal().then(|| Bar::start(bytes, progress.clone()));
        View {
            app,
            amount: format!("{files}, {}", in_words(bytes)),
            look,
            step: Step::Packing,
            bar,
            withheld: Vec::new(),
            released: None,
            is_switching: false,
        }
    }

    pub fn show(&mut self, shown: Shown) {
        match shown {
            Shown::Sent => self.reach(Step::Building),
            Shown::Event(Event::Stage(stage)) => self.stage(stage),
            Shown::Event(Event::Talk(text)) => self.talk(text),
            Shown::Event(Event::Released(released)) => {
                self.is_switching = true;
                self.reach(Step::Started);
                self.released = Some(released);
            }
            other => screen::show(other, &self.look),
        }
    }

    fn stage(&mut self, stage: Stage) {
        self.is_switching |= matches!(stage, Stage::Stored | Stage::Live | Stage::Draining | Stage::Done);
        match stage {
            Stage::Building | Stage::Built => self.reach(Step::Building),
            Stage::Starting | Stage::Probing => self.reach(Step::Starting),
            Stage::Live | Stage::Draining | Stage::Done => self.reach(Step::Started),
            Stage::Queued | Stage::Sourced | Stage::Stored | Stage::Failed => {}
        }
    }

    /// Goes on to a step, through all before it: a server may leave one out.
    fn reach(&mut self, step: Step) {
        while self.step < step {
            self.step = match self.step {
                Step::Packing => {
                    self.bar = None;
                    talk(&format!("{PACKING} done ({})", self.amount));
                    Step::Sent
                }
                Step::Sent => {
                    talk(&format!("[2/3] Building image \"{}\"…", self.app));
                    Step::Building
                }
                Step::Building => {
                    open_line();
                    Step::Starting
                }
                Step::Starting | Step::Started => {
                    self.withheld.clear();
                    close_line("done");
                    Step::Started
                }
            };
        }
    }

    fn talk(&mut self, text: String) {
        if text.ends_with(RECEIVING) {
            return;
        }
        match self.step {
            Step::Packing => match &self.bar {
                Some(bar) => bar.shown.suspend(|| talk(&text)),
                None => talk(&text),
            },
            Step::Sent | Step::Building => talk(&text),
            Step::Starting => self.withheld.push(text),
            Step::Started => {}
        }
    }

    /// Ends the picture of a deploy that did not succeed; tells whether anything was switched.
    pub fn fail(&mut self) -> bool {
        self.bar = None;
        if self.step == Step::Starting {
            close_line("failed");
        }
        for text in self.withheld.drain(..) {
            talk(&text);
        }
        self.is_switching
    }

    /// Shows the URL: for people on a terminal, bare for programs. Tells whether there is one.
    pub fn finish(&mut self) -> bool {
        self.bar = None;
        let Some(released) = self.released.take() else { return false };
        if self.look.json || !std::io::stdout().is_terminal() {
            screen::show(Shown::Event(Event::Released(released)), &self.look);
        } else {
            say(&format!("🚀 Your app is live at: {}", released.url));
        }
        true
    }
}

/// Where nobody watches, a line comes whole.
fn open_line() {
    if std::io::stderr().is_terminal() {
        print_to(&mut std::io::stderr(), STARTING);
    }
}

fn close_line(how: &str) {
    let head = if std::io::stderr().is_terminal() { "" } else { STARTING };
    talk(&format!("{head} {how}"));
}

// === impl Bar ===

impl Bar {
    fn start(bytes: u64, progress: Arc<Progress>) -> Self {
        let style = ProgressStyle::with_template("{msg} [{bar:24}] {binary_bytes}/{binary_total_bytes} {binary_bytes_per_sec}, {eta} left");
        let bar = ProgressBar::with_draw_target(Some(bytes), ProgressDrawTarget::stderr()).with_message(PACKING);
        bar.set_style(style.expect("the template is right").progress_chars("=> "));
        let is_over = Arc::new(AtomicBool::new(false));
        let painter = std::thread::spawn({
            let (bar, is_over) = (bar.clone(), is_over.clone());
            move || {
                while !is_over.load(Ordering::Relaxed) {
                    bar.set_position(progress.bytes());
                    std::thread::park_timeout(TICK);
                }
            }
        });
        Bar { shown: bar, is_over, painter: Some(painter) }
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
        if let Some(painter) = self.painter.take() {
            painter.thread().unpark();
            let _ = painter.join();
        }
        self.shown.finish_and_clear();
    }
}
