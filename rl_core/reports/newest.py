"""The newest part of the log that a report reads, so that its time does not grow with the log."""

from datetime import timedelta

from banditloop.rl_core.policies.manifest import Window
from banditloop.rl_core.ports import Warehouse
from banditloop.rl_core.promotion.begun_episodes import BEGINNING

MAX_STEPS = 25


def newest(warehouse: Warehouse, window: Window, at_most: int) -> Window:
    """The latest part of a window with at most `at_most` interactions, and more than half of that where possible.

    Interactions that were logged at one time stay together: where these alone are too many, the part is empty.
    """
    after = warehouse.window(window.until).interactions
    all_of_it = _part(warehouse, window, window.until - (window.since or BEGINNING), after)
    if all_of_it.interactions <= at_most:
        return all_of_it
    best = Window(since=window.until, until=window.until, interactions=0)
    too_much, enough = all_of_it.until - (all_of_it.since or BEGINNING), timedelta(0)
    count = all_of_it.interactions
    for _ in range(MAX_STEPS):
        if best.interactions > at_most / 2:
            break
        guess = too_much * min(0.5, at_most / count) if enough == timedelta(0) else (enough + too_much) / 2
        part = _part(warehouse, window, guess, after)
        if part.interactions > at_most:
            too_much, count = guess, part.interactions
        else:
            best, enough = part, guess
    return best


def _part(warehouse: Warehouse, window: Window, duration: timedelta, after: int) -> Window:
    """The last part of a window; after: the number of interactions that follow the window."""
    since = window.until - duration
    begins = window.since if since <= (window.since or BEGINNING) else since
    interactions = warehouse.window(begins).interactions - after
    return Window(since=begins, until=window.until, interactions=interactions)
