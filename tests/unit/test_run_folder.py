"""The tasks of a run on this machine, as its log tells them."""

from datetime import UTC, datetime, timedelta

from banditloop.rl_core.backends.local.run_folder import LOG, tasks


def test_the_tasks_of_a_run_of_days_end_after_they_have_started(tmp_path):
    """The log's lines have a time of the day only."""
    started = datetime(2026, 3, 1, 20, tzinfo=UTC)
    moments = [started + timedelta(hours=hours) for hours in (0, 20, 21, 43)]  # less than a day from line to line
    clocks = [f"{moment.astimezone():%H:%M:%S}.000" for moment in moments]
    (tmp_path / LOG).write_text(
        f"{clocks[0]} - INFO - Executing task 'ingester'\n"
        f"{clocks[1]} - INFO - Task 'ingester' finished with status SUCCESS\n"
        f"{clocks[2]} - INFO - Executing task 'trainer'\n"
        f"{clocks[3]} - INFO - Task 'trainer' finished with status FAILURE\n"
    )
    ingester, trainer = tasks(tmp_path, started, running=False)
    assert [ingester.started, ingester.ended, trainer.started, trainer.ended] == moments
    assert (ingester.state, trainer.state) == ("succeeded", "failed")
