"""Fixtures of the pipeline tests: the world of real processes is the chaos tests' own."""

from tests.chaos.conftest import make_world  # noqa: F401
