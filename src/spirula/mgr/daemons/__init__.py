"""The daemons that report to a manager: their sessions, metadata and counters."""
