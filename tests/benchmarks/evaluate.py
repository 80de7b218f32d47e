"""The evaluator's work on a million decisions of 20 arms: policies, estimators, gates; beside it, obp's way."""

import resource
import tempfile
from pathlib import Path

import numpy as np
import pyarrow as pa

from rl_core.config import Config
from rl_core.estimators import ESTIMATORS
from rl_core.estimators.sequential import Gate
from rl_core.evaluation.contest import contest
from rl_core.evaluation.evaluate import evaluate
from rl_core.evaluation.stretch import Stretch
from rl_core.policy import SavedPolicy
from rl_core.schema import INTERACTION
from tests.benchmarks.ratio import Row, seconds, times_faster
from tests.conftest import START, make_config, make_policy

ROWS, ARMS, BATCH, GIGABYTE = 1_000_000, 20, 65_536, 1 << 20  # ru_maxrss counts kilobytes


def rows() -> list[Row]:
    with tempfile.TemporaryDirectory() as folder:
        config = make_config(Path(folder))
        for seed in range(2):
            make_policy(Path(folder) / str(seed), 1 + seed, seed)
        champion, candidate = (SavedPolicy.load(Path(folder) / str(seed)) for seed in range(2))
    table = _log(config, champion)
    known = {champion.manifest.version: champion}
    stretch = Stretch.of(config, known.get, table.to_batches(BATCH))

    def ours() -> None:
        evaluate(stretch, champion, candidate)

    took = sorted(seconds(ours) for _ in range(3))
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / GIGABYTE
    gates = sorted(seconds(lambda: contest(stretch, champion, candidate, Gate(), Gate())) for _ in range(3))
    return [
        Row("evaluate: a million decisions, all", took[1], "seconds", took[0], took[-1], 20.0, took[1] <= 20),
        Row("evaluate: the gates", gates[1], "seconds", gates[0], gates[-1], 20.0, gates[1] <= 20),
        Row("evaluate: memory, the log included", most, "GB", most, most, 2.0, most <= 2),
        times_faster("evaluate: in one piece", ours, _in_one_piece(table, champion, candidate), 0.5, repeats=3),
    ]


def _log(config: Config, policy: SavedPolicy) -> pa.Table:
    random = np.random.default_rng(0)
    observations = random.normal(size=(ROWS, config.environment.dim)).astype(np.float32)
    parts = []
    for start in range(0, ROWS, BATCH):
        seen = observations[start : start + BATCH]
        decided, many = policy.decide(seen, random.random(len(seen))), len(seen)
        columns = [
            pa.array([f"{start + row:x}" for row in range(many)]),
            pa.array([START] * many, INTERACTION.field("timestamp").type),
            pa.array([policy.manifest.version] * many),
            pa.FixedSizeListArray.from_arrays(pa.array(seen.ravel()), seen.shape[1]).cast(INTERACTION.field(3).type),
            pa.array(decided.actions.astype(np.int32)),
            pa.array(decided.propensities),
            pa.array([[]] * many, INTERACTION.field("probabilities").type),
            pa.array(["online"] * many),
            pa.array([1.0] * many),
            pa.array(5.0 * (random.random(many) < 0.3)),
        ]
        parts.append(pa.table(columns, schema=INTERACTION))
    return pa.concat_tables(parts)


def _in_one_piece(table: pa.Table, champion: SavedPolicy, candidate: SavedPolicy):
    """Whole arrays, and weights and baseline computed anew by each estimator, for either policy; the model is given."""
    observations = table["observation"].combine_chunks().flatten().to_numpy().reshape(ROWS, -1)
    actions, rewards = table["action"].to_numpy(), table["reward"].to_numpy() / 5
    propensities, row = table["propensity"].to_numpy(), np.arange(ROWS)
    guesses = np.random.default_rng(0).random((ROWS, ARMS), dtype=np.float32)

    def theirs() -> None:
        for policy in (champion, candidate):
            target = policy.probabilities(observations)
            for _estimator in ESTIMATORS:
                weight = target[row, actions] / propensities
                baseline = np.average(guesses, weights=target, axis=1)
                (baseline + weight * (rewards - guesses[row, actions])).mean()

    return theirs
