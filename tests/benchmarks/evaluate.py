"""The evaluator on a million decisions with 20 actions: policies, estimators, gates; compared with obp's approach."""

import resource
import tempfile
from pathlib import Path

import numpy as np
import pyarrow as pa

from banditloop.rl_core.config import Config
from banditloop.rl_core.estimators import ESTIMATORS
from banditloop.rl_core.evaluation.comparison import compare
from banditloop.rl_core.evaluation.estimates import evaluate
from banditloop.rl_core.evaluation.log_window import LoggedWindow
from banditloop.rl_core.events.contexts import context_array
from banditloop.rl_core.events.rows import decision_table
from banditloop.rl_core.events.schema import interaction_schema
from banditloop.rl_core.evidence.anytime_valid import BettingTest
from banditloop.rl_core.policies.saved_policy import SavedPolicy
from banditloop.rl_core.training.train import contexts
from tests.benchmarks.ratio import Row, seconds, times_faster
from tests.conftest import START, make_config, make_policy

ROWS, ACTIONS, BATCH, GIGABYTE = 1_000_000, 20, 65_536, 1 << 20  # ru_maxrss counts kilobytes


def rows() -> list[Row]:
    with tempfile.TemporaryDirectory() as folder:
        config = make_config(Path(folder))
        for seed in range(2):
            make_policy(Path(folder) / str(seed), 1 + seed, seed)
        champion, candidate = (SavedPolicy.load(Path(folder) / str(seed)) for seed in range(2))
    table = _log(config, champion)
    policies = {champion.manifest.version: champion}
    window = LoggedWindow.of(config, policies.get, table.to_batches(BATCH))

    def ours() -> None:
        evaluate(window, champion, candidate)

    fastest, median, slowest = sorted(seconds(ours) for _ in range(3))
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / GIGABYTE
    gates = sorted(
        seconds(lambda: compare(window, champion, candidate, BettingTest(), BettingTest())) for _ in range(3)
    )
    return [
        Row("evaluate: a million decisions, all", median, "seconds", fastest, slowest, 20.0, median <= 20),
        Row("evaluate: the gates", gates[1], "seconds", gates[0], gates[-1], 20.0, gates[1] <= 20),
        Row("evaluate: memory, the log included", memory, "GB", memory, memory, 2.0, memory <= 2),
        times_faster("evaluate: without batches", ours, _unbatched(table, champion, candidate), 0.5, repeats=3),
    ]


def _log(config: Config, policy: SavedPolicy) -> pa.Table:
    random, tables = np.random.default_rng(0), []
    observations = random.normal(size=(ROWS, policy.manifest.dim)).astype(np.float32)
    for start in range(0, ROWS, BATCH):
        batch = observations[start : start + BATCH]
        decided, count = policy.decide(batch, random.random(len(batch))), len(batch)
        decisions = decision_table(
            config.task,
            event_id=[f"{start + row:x}" for row in range(count)],
            timestamp=START,
            policy_version=policy.manifest.version,
            context=context_array(config.task, {"observation": batch}),
            action=list(map(str, decided.actions.tolist())),
            propensity=decided.propensities,
            probabilities=list(decided.probabilities),
        )
        tables.append(decisions.append_column("reward", pa.array(5.0 * (random.random(count) < 0.3))))
    return pa.concat_tables(tables).cast(interaction_schema(config.task))


def _unbatched(table: pa.Table, champion: SavedPolicy, candidate: SavedPolicy):
    """Whole arrays; each estimator recomputes weights and baseline for both policies. The reward model is given."""
    observations = champion.observations(contexts(table))
    actions, rewards = table["action"].cast(pa.int32()).to_numpy(), table["reward"].to_numpy() / 5
    propensities, row = table["propensity"].to_numpy(), np.arange(ROWS)
    predictions = np.random.default_rng(0).random((ROWS, ACTIONS), dtype=np.float32)

    def theirs() -> None:
        for policy in (champion, candidate):
            target = policy.probabilities(observations)
            for _estimator in ESTIMATORS:
                weight = target[row, actions] / propensities
                baseline = np.average(predictions, weights=target, axis=1)
                (baseline + weight * (rewards - predictions[row, actions])).mean()

    return theirs
