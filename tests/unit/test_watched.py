"""What is watched goes on as it would unwatched: logs can be copied, and what is logged to be counted is not shown."""

import copy
import logging

import pytest

from banditloop.pipelines.cli.watched import TRAINING, watched_platform, watched_training
from banditloop.rl_core.backends import connect
from banditloop.rl_core.backends.retries import RetryPolicy, with_retries
from tests.conftest import make_config


def test_a_log_that_is_watched_or_retried_can_be_copied(tmp_path):
    config = make_config(tmp_path)
    platform = connect(config)
    policy = RetryPolicy("the platform", (), lambda error: False)
    for log in watched_platform(platform, config, print).warehouse, with_retries(platform.warehouse, policy):
        assert copy.copy(log).policy_totals() == []
        with pytest.raises(AttributeError, match="no_such"):
            _ = log.no_such


@pytest.mark.parametrize("level", [logging.INFO, logging.DEBUG])
def test_what_training_logs_is_shown_only_at_the_level_that_was_asked_for(level, caplog):
    shown = []
    caplog.set_level(level, TRAINING)
    caplog.handler.setLevel(logging.NOTSET)  # as those of a process, which log whatever their loggers let through
    with watched_training(10, lambda *done: shown.append(done)):
        logging.getLogger(TRAINING).debug("%d rows", 5)
        logging.getLogger(TRAINING).warning("a warning")
    assert shown == [("training", 0, 10, "rows"), ("training: 5 rows", 5, 10, "rows")]
    expected = ["a warning"] if level == logging.INFO else ["5 rows", "a warning"]
    assert [record.getMessage() for record in caplog.records] == expected
    assert (logging.getLogger(TRAINING).level, logging.getLogger(TRAINING).filters) == (level, [])
