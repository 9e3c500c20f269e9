"""OSDs: how they boot, report, fail and are made; commands about their states."""
