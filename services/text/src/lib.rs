//! The text service: character-level generation and scoring.
