"""On which databases a test of `store_url` runs, where not on both with every run."""

import pytest

in_both = pytest.mark.parametrize(
    "store_url", ["sqlite", pytest.param("postgres", marks=pytest.mark.slow)], indirect=True
)
"""On SQLite with every run, on PostgreSQL with the slow tests."""
