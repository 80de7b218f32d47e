"""How often 95 % intervals contain the truth on hard logs, and how wide they are beside Cressie-Read intervals."""

from dataclasses import replace

import numpy as np

from banditloop.rl_core.estimators import DR, IPS
from banditloop.rl_core.estimators.difference import Difference
from banditloop.rl_core.estimators.value_interval import MAX_SPAN
from tests.benchmarks.cressie_read import cressie_read
from tests.benchmarks.hard_logs import HARD_LOGS, HardLog
from tests.benchmarks.ratio import Row, at_least, at_most
from tests.unit.test_anytime_valid import misses_and_width

ROWS, REPEATS = (20, 100, 1_000, 10_000), 400
SEQUENCES = 1_000  # confidence sequences, looked at 100 times each
MIN_COVERAGE, MAX_WIDTH_RATIO, MIN_TRUSTED = 0.93, 1.5, 0.93
KINDS = IPS, DR  # every other estimator has the interval of one of them


def rows() -> list[Row]:
    result = []
    for name in HARD_LOGS:
        cells = [measure(name, count, REPEATS) for count in ROWS]
        covered, ratios, silent = (np.concatenate(parts) for parts in zip(*cells, strict=True))
        result.append(at_least(f"coverage: {name}", covered.tolist(), "of 1", MIN_COVERAGE, worst=True))
        if len(ratios):
            result.append(at_most(f"coverage: width, {name}", ratios.tolist(), "× theirs", MAX_WIDTH_RATIO, worst=True))
            result.append(at_most(f"coverage: says nothing, {name}", silent.tolist(), "of 1", 0.0, worst=True))
    missed, _ = misses_and_width(SEQUENCES)
    result.append(at_most("coverage: misses of a confidence sequence", [missed / SEQUENCES], "of 1", 0.05))
    return result


def measure(name: str, count: int, repeats: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Of logs of `count` decisions: coverage by estimator, known and unknown bound of the weights.

    Beside Cressie-Read intervals, where they cover the truth: the ratios of mean widths, and the fractions of logs in
    which ours says nothing and theirs spans less than half of the range; both with and without the bound.
    """
    random = np.random.default_rng(seed)
    logs = [HARD_LOGS[name](count, random) for _ in range(repeats)]
    covered, ratios, silent = [], [], []
    for known in (True, False):
        ours = np.array([_ours(log, known) for log in logs])  # [repeats, kinds, 2]
        truth = logs[0].truth
        covered += ((ours[..., 0] <= truth + 1e-12) & (truth <= ours[..., 1] + 1e-12)).mean(axis=0).tolist()
        if logs[0].champion is None and logs[0].target.sample_weight is None:
            theirs = np.array([_theirs(log, known) for log in logs])
            if ((theirs[:, 0] <= truth + 1e-6) & (truth <= theirs[:, 1] + 1e-6)).mean() >= MIN_TRUSTED:
                widths, their_widths = ours[:, 0, 1] - ours[:, 0, 0], theirs[:, 1] - theirs[:, 0]
                ratios.append(widths.mean() / their_widths.mean())
                silent.append(((widths > MAX_SPAN) & (their_widths <= 0.5)).mean())
    return np.array(covered), np.array(ratios), np.array(silent)


def _ours(log: HardLog, known: bool) -> list[tuple[float, float]]:
    """The interval of every estimator, or of the difference."""
    target = log.target if known else replace(log.target, max_weight=1e-9)  # every weight exceeds it: not known
    if log.champion is not None:
        return [Difference().add(target, log.champion).interval()]
    intervals = []
    for kind in KINDS:
        estimator = kind()
        estimator.add(target)
        intervals.append(estimator.interval())
    return intervals


def _theirs(log: HardLog, known: bool) -> tuple[float, float]:
    limit = float(log.target.max_weight) if known else np.inf
    return cressie_read(log.target.weight, log.target.reward, limit)
