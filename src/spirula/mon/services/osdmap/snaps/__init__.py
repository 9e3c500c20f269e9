"""Snapshots of pools: commands, messages, and what is gone for good."""
