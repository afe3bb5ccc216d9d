"""Emulated APIs of shops and carriers, for what is asked of them: strict, and read-only."""
