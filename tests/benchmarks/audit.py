"""The propensity audit and the sample-ratio check: false alarms, and decisions until something wrong is seen."""

import math

import numpy as np

from banditloop.rl_core.evidence.propensity_audit import PropensityAudit
from banditloop.rl_core.evidence.sample_ratio import SampleRatioTest
from tests.benchmarks.ratio import Row, at_least, at_most
from tests.unit.test_propensity_audit import audit_of, drawn, greedy_vectors, rows_until_failure

AUDITS, LEVEL, LOOKS = 10_000, 0.01, 5
MAX_RATE = LEVEL + 3 * math.sqrt(LEVEL / AUDITS)  # three standard errors above the level
CASES = ((20, 2, 0.01), (20, 2, 0.2), (50, 20, 0.05), (200, 20, 0.01), (200, 100, 0.05), (200, 100, 0.2))
LOGS, ROWS, ACTIONS, EXPLORATION = 200, 60_000, 20, 0.05


def rows() -> list[Row]:
    random = np.random.default_rng(0)
    misstated = [_misstated(random) for _ in range(LOGS)]
    replaced = [_replaced(random, lambda actions: 3) for _ in range(LOGS)]
    swapped = [_replaced(random, lambda actions: np.roll(actions, 1)) for _ in range(LOGS)]
    within = sum(count <= 30_000 for count in misstated) / LOGS
    return [
        *(_false_alarms(random, *case) for case in CASES),
        at_most("audit: exploration .06 logged as .05", misstated, "decisions", 20_000),
        at_least("audit: the same within 30,000", [within], "of logs", 0.95),
        at_most("audit: 1 % replaced by one action", replaced, "decisions", 6_000),
        at_most("audit: 1 % swapped between users", swapped, "decisions", 20_000),
        at_most("canary: gets 12 % where 20 are due", [_canary(random) for _ in range(LOGS)], "decisions", 15_000),
    ]


def _false_alarms(random: np.random.Generator, decisions: int, actions: int, exploration: float) -> Row:
    """The fraction of audits of correct propensities that fail at any of LOOKS looks."""
    failures = 0
    for _ in range(AUDITS):
        vectors, audit = greedy_vectors(random, decisions, actions, exploration), PropensityAudit()
        chosen, passes = drawn(random, vectors), True
        for look in np.array_split(np.arange(decisions), LOOKS):
            audit = audit_of(vectors[look], chosen[look], audit)
            passes = passes and audit.passes(LEVEL)
        failures += not passes
    name = f"audit: false alarms, {decisions} decisions, {actions} actions, ε {exploration}"
    return at_most(name, [failures / AUDITS], "of audits", MAX_RATE)


def _misstated(random: np.random.Generator) -> float:
    """Decisions until the audit fails where exploration is .06."""
    greedy = np.eye(ACTIONS)[random.integers(ACTIONS, size=ROWS)]
    actions = drawn(random, 0.94 * greedy + 0.06 / ACTIONS)
    return rows_until_failure((1 - EXPLORATION) * greedy + EXPLORATION / ACTIONS, actions)


def _replaced(random: np.random.Generator, others) -> float:
    """Decisions until the audit fails where one action in a hundred is another."""
    vectors = greedy_vectors(random, ROWS, ACTIONS, EXPLORATION)
    actions = drawn(random, vectors)
    return rows_until_failure(vectors, np.where(random.random(ROWS) < 0.01, others(actions), actions))


def _canary(random: np.random.Generator) -> float:
    """Decisions until a canary at 20 % that gets 12 % is told."""
    test = SampleRatioTest()
    while not test.rejects():
        test = test.add(random.random(500) < 0.12, np.full(500, 0.2))
    return test.count
