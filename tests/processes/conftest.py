"""Fixtures of the tests with real processes."""

import json

import pytest


@pytest.fixture
def config_file(config, tmp_path):
    path = tmp_path / "config.json"
    path.write_text(json.dumps(config.to_dict()))
    return path
