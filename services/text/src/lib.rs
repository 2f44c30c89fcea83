//! The text service: character-level generation and scoring.

mod stop;
mod vocabulary;
