"""Hot loops: what is native, and beside it a pure twin with the same signature and the same tests."""
