//! Protocol buffers of the Atelier fleet: generated types and the descriptor set.
