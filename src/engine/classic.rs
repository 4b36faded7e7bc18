//! Reads the classic builder's output: `Step 2/3 : RUN npm ci`, ` ---> Using cache`, and what the step printed in between.

use std::time::Instant;

use super::line::Lines;
use super::progress::{BuildLine, Progress, Step};

/// Follows the classic builder step by step.
#[derive(Default)]
pub(super) struct Transcript {
    lines: Lines,
    current: Option<Current>,
}

struct Current {
    step: Step,
    started: Instant,
    is_cached: bool,
}

// === impl Transcript ===

impl Transcript {
    pub(super) fn feed<F: FnMut(BuildLine)>(&mut self, text: &str, progress: &mut Progress<F>) {
        for line in self.lines.push(text.as_bytes()) {
            self.line(line, progress);
        }
        // A step's title comes without a line end, its line end as a piece of its own.
    }

    /// The build ended well: the last step is done.
    pub(super) fn finish<F: FnMut(BuildLine)>(&mut self, progress: &mut Progress<F>) {
        self.finish_step(progress);
    }

    fn line<F: FnMut(BuildLine)>(&mut self, line: String, progress: &mut Progress<F>) {
        if let Some(step) = parse_step(&line) {
            self.finish_step(progress);
            if is_ours(&step) {
                return;
            }
            progress.suspect = Some(step.clone());
            progress.missing_image = image_of(&step);
            self.current = Some(Current { step, started: Instant::now(), is_cached: false });
        } else if line == " ---> Using cache" {
            self.current.iter_mut().for_each(|current| current.is_cached = true);
        } else if line.starts_with(" ---> ") {
            progress.missing_image = None;
        } else if !is_talk(&line) {
            progress.output(line);
        }
    }

    fn finish_step<F: FnMut(BuildLine)>(&mut self, progress: &mut Progress<F>) {
        if let Some(done) = self.current.take() {
            progress.step(&done.step, (!done.is_cached).then(|| done.started.elapsed()));
        }
    }
}

fn parse_step(line: &str) -> Option<Step> {
    let (number, instruction) = line.strip_prefix("Step ")?.split_once(" : ")?;
    number.contains('/').then(|| Step::new(number, instruction))
}

/// The classic builder makes a step of each label that mini adds.
fn is_ours(step: &Step) -> bool {
    step.instruction.starts_with("LABEL mini.")
}

fn image_of(step: &Step) -> Option<String> {
    let words = step.instruction.strip_prefix("FROM ")?;
    words.split_whitespace().find(|word| !word.starts_with("--")).map(str::to_owned)
}

fn is_talk(line: &str) -> bool {
    line.is_empty()
        || ["Removing intermediate container ", "Successfully built ", "Successfully tagged "].iter().any(|talk| line.starts_with(talk))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_classic_builder_is_told_in_the_same_lines() {
        let mut shown = Vec::new();
        let mut progress = Progress::new(|line: BuildLine| shown.push(line.text().to_owned()));
        let mut transcript = Transcript::default();

        for piece in [
            "Step 1/2 : FROM busybox",
            "\n",
            " ---> 9540f53bb776\n",
            "Step 2/2 : RUN echo hi",
            "\n",
            " ---> Using cache\n",
            "hi\n",
            " ---> f0afadd8c44e\n",
        ] {
            transcript.feed(piece, &mut progress);
        }
        transcript.finish(&mut progress);

        assert_eq!((progress.steps, progress.cached), (2, 1));
        assert_eq!(shown, ["[1/2] FROM busybox  0.0s", "hi", "[2/2] echo hi  cached"]);
    }

    #[test]
    fn a_base_image_is_suspected_until_it_is_there() {
        let mut progress = Progress::new(|_| {});
        let mut transcript = Transcript::default();

        transcript.feed("Step 1/2 : FROM --platform=linux/amd64 nosuch:1 AS x\n", &mut progress);

        assert_eq!(progress.missing_image.as_deref(), Some("nosuch:1"));
    }
}
