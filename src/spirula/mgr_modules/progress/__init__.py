"""The manager module `progress`: `events` is what it tells of, `module` what follows them."""
