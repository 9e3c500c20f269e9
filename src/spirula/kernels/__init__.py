"""Hot loops: native ones, each beside a pure twin with the same signature and the same tests."""
