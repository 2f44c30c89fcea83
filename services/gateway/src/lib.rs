//! The gateway: the one door of the fleet.
