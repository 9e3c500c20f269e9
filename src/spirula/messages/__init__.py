"""The messages, one module per conversation. `base` says what a message is; see there."""

from __future__ import annotations
