//! Whose turn it is where not all streams fit into a step.

use std::ops::Range;
use std::sync::{Mutex, mpsc};

use super::tests::*;
use super::*;

/// Notes each of its steps; says something in some of them, and waits in one until it is let go on.
struct Noting {
    name: char,
    notes: Arc<Mutex<String>>,
    step: usize,
    steps: usize,
    says: Range<usize>,
    waits: Option<(usize, mpsc::Receiver<()>)>,
}

impl Noting {
    fn new(name: char, notes: &Arc<Mutex<String>>, steps: usize) -> Self {
        Self { name, notes: Arc::clone(notes), step: 0, steps, says: 0..0, waits: None }
    }
}

impl Cursor for Noting {
    type Chunk = ();

    fn first(&mut self) -> i64 {
        0
    }

    fn advance(&mut self, _logits: &[f32]) -> Result<Step<()>, EngineError> {
        self.notes.lock().unwrap().push(self.name);
        if let Some((step, waits)) = &self.waits
            && *step == self.step
        {
            let _ = waits.recv();
        }
        let emit = self.says.contains(&self.step).then_some(());
        self.step += 1;
        Ok(if self.step == self.steps { Step::Done { emit } } else { Step::Next { token: 0, emit } })
    }
}

async fn to_the_end(mut stream: Stream<()>) {
    while let Some(chunk) = stream.next().await {
        chunk.unwrap();
    }
}

#[tokio::test]
async fn two_streams_of_which_one_fits_a_step_take_turns() {
    let bench = Bench::new(3, &[1]);
    let open = bench.gate().await;
    let notes = Arc::<Mutex<String>>::default();
    let streams = ['a', 'b'].map(|name| bench.decoder.stream(Noting::new(name, &notes, 20), None).unwrap());
    open.send(()).unwrap();
    for stream in streams {
        to_the_end(stream).await;
    }
    assert_eq!(*notes.lock().unwrap(), "ab".repeat(20));
    bench.finish();
}

/// What is noted once both can go on: by one that speaks in the last four of its first `said` steps and is parked
/// thereby, and by one that comes then and takes so many steps `before` the first is read from.
async fn after_a_pause(said: usize, before: usize) -> String {
    let bench = Bench::new(2, &[1]);
    let (notes, (go_on, waits)) = (Arc::<Mutex<String>>::default(), mpsc::channel());
    let parked = Noting { says: said - 4..said, ..Noting::new('a', &notes, said + 40) };
    let mut parked = bench.decoder.stream(parked, None).unwrap();
    bench.until("the first is parked", |stats| stats.steps == said as u64).await;
    let late = Noting { waits: Some((before - 1, waits)), ..Noting::new('b', &notes, before + 40) };
    let late = bench.decoder.stream(late, None).unwrap();
    bench.until("the second is on its way", |stats| stats.steps == (said + before) as u64).await;
    parked.next().await.unwrap().unwrap();
    go_on.send(()).unwrap();
    to_the_end(parked).await;
    to_the_end(late).await;
    bench.finish();
    let notes = notes.lock().unwrap();
    assert_eq!(notes.len(), said + before + 80);
    notes[said + before..].to_owned()
}

#[tokio::test]
async fn one_who_comes_while_all_others_are_parked_has_no_claim_on_the_steps_it_was_not_there_for() {
    let notes = after_a_pause(100, 1).await;
    assert!((28..=32).contains(&notes[..60].matches('a').count()), "{notes}");
}

#[tokio::test]
async fn one_who_was_parked_has_no_claim_on_the_steps_it_was_not_there_for() {
    let notes = after_a_pause(4, 100).await;
    assert!((28..=32).contains(&notes[..60].matches('a').count()), "{notes}");
}
