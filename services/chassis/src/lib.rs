//! What every Atelier service shares: listener, health, errors, telemetry, configuration, shutdown.
