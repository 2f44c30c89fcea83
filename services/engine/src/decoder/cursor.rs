//! What a stream does with its steps.

use crate::EngineError;

/// What a stream does with its logits. Called on the decoder's thread: it must compute little and never wait. Dropped
/// when the stream is over, however it ends and whether or not its client has read it all.
///
/// Streams are counted when they are let in, not weighed: whoever makes one bounds what its cursor holds. (The text
/// service takes at most 100,000 characters each of prompt, context and text, the audio service 64 digits.)
pub trait Cursor: Send + 'static {
    /// What the stream's client gets: text, samples, scores.
    type Chunk: Send + 'static;

    /// The first token to go into the graph, with the state at 0.
    fn first(&mut self) -> i64;

    /// Fills the row of an input of the graph that is neither the token nor remembered (a condition) for the
    /// step that is next: after [`first`](Cursor::first), and after each [`advance`](Cursor::advance) that
    /// goes on. The row has what the step before left in it; in a stream's first step anything. An error ends
    /// this stream and no other; a stream for graphs that take nothing but tokens need not say anything.
    fn fill(&mut self, input: &str, row: &mut [f32]) -> Result<(), EngineError> {
        let message =
            format!("the graph takes {} numbers a step, which this stream does not give", row.len());
        Err(EngineError::invalid(input, message))
    }

    /// What to do after a step that gave `logits` for the token after the last one. An error ends this stream
    /// and no other.
    fn advance(&mut self, logits: &[f32]) -> Result<Step<Self::Chunk>, EngineError>;
}

/// How a stream goes on after a step.
#[derive(Debug, Clone, PartialEq)]
pub enum Step<T> {
    /// With another step.
    Next {
        /// The token that goes into the graph.
        token: i64,
        /// For the client, if there is something.
        emit: Option<T>,
    },
    /// With another step, as if it were its first: what it remembers is forgotten. So one stream can make
    /// several things, one after the other, each from its start.
    Restart {
        /// The token that goes into the graph.
        token: i64,
        /// For the client, if there is something.
        emit: Option<T>,
    },
    /// Not at all.
    Done {
        /// For the client, if there is something left.
        emit: Option<T>,
    },
}
