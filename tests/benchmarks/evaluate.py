"""All estimators on a million decisions of 20 arms, streaming, beside the same in one piece as obp does it."""

import numpy as np

from rl_core.estimators import ESTIMATORS, Estimator, Logged
from rl_core.estimators.diagnostics import Diagnostics
from rl_core.estimators.sequential import Gate
from tests.benchmarks.ratio import Row, seconds, times_faster

ROWS, ARMS, BATCH = 1_000_000, 20, 65_536


def rows() -> list[Row]:
    random = np.random.default_rng(0)
    target = random.dirichlet(np.ones(ARMS), size=ROWS).astype(np.float32)
    guesses = random.random((ROWS, ARMS), dtype=np.float32)
    actions, rewards = random.integers(ARMS, size=ROWS), (random.random(ROWS) < 0.3).astype(float)

    def batches() -> list[Logged]:
        found = []
        for start in range(0, ROWS, BATCH):
            part = slice(start, start + BATCH)
            row, chosen = np.arange(len(actions[part])), actions[part]
            expected = np.einsum("ij,ij->i", guesses[part], target[part])
            propensity = np.full(len(row), 1 / ARMS)
            found.append(
                Logged(rewards[part], propensity, target[part][row, chosen], guesses[part][row, chosen], expected)
            )
        return found

    def ours() -> list[float]:
        estimators: list[Estimator] = [kind() for kind in ESTIMATORS.values()]
        gate, diagnostics = Gate(), Diagnostics()
        for batch in batches():
            for estimator in estimators:
                estimator.add(batch)
            gate = gate.add(batch, Logged(batch.reward, batch.propensity, batch.propensity))
            diagnostics = diagnostics + Diagnostics.of(batch)
        return [estimator.value() for estimator in estimators]

    def in_one_piece() -> list[float]:
        row, weight = np.arange(ROWS), target[np.arange(ROWS), actions] * ARMS
        found = []
        for _estimator in ESTIMATORS:  # each of obp's estimators computes its weights and its baseline anew
            weight = target[row, actions] * ARMS
            baseline = np.average(guesses, weights=target, axis=1)
            found.append(float((baseline + weight * (rewards - guesses[row, actions])).mean()))
        return found

    took = sorted(seconds(ours) for _ in range(3))
    return [
        Row("evaluate: a million decisions, all", took[1], "seconds", took[0], took[-1], 20.0, took[1] <= 20),
        times_faster("evaluate: in one piece", ours, in_one_piece, 0.5, repeats=3),
    ]
