"""Fixtures of the contract suites that the tests of Google Cloud use too."""

from tests.ports.conftest import own_vertex

__all__ = ["own_vertex"]
