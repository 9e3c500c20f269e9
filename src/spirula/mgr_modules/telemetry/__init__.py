"""The manager module `telemetry`: `report` is what would be told, `module` shows it to people."""
