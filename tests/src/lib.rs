//! The fleet as a whole, from outside.
