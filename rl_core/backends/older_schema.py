"""Decisions of schema version 2, with one unnamed context vector and numbered actions: what all upgrades share."""

from banditloop.rl_core.errors import InvalidInput
from banditloop.rl_core.settings.task import Task

OLD_DECISIONS = "decisions"  # name of their table
NOT_UPGRADED = "warehouse: holds decisions of schema version 2; stop the loop and run `banditloop upgrade`"


def upgraded_feature(task: Task) -> str:
    """The name of the feature that the contexts of version 2 become.

    Raises:
        InvalidInput: the task has other features, or actions with names.
    """
    if task.plain is None or not task.numbered:
        raise InvalidInput(
            "task: the warehouse holds decisions of schema version 2, whose context is one vector and whose "
            "actions are numbers; upgrade it with a task such as actions = 20, context = {observation = {vector = 20}}"
        )
    return task.plain
