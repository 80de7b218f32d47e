"""The product's own steps in one process: a loop on this machine whose every policy is evaluated before it serves."""

import tempfile
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

import numpy as np

from banditloop.rl_core.backends import connect
from banditloop.rl_core.config import Config
from banditloop.rl_core.environments import Environment
from banditloop.rl_core.environments.history import chosen_actions
from banditloop.rl_core.events.contexts import context_array
from banditloop.rl_core.events.rows import decision_table, reward_table
from banditloop.rl_core.policies.saved_policy import SavedPolicy
from banditloop.rl_core.ports import Platform
from banditloop.rl_core.promotion.candidate import save_verdict
from banditloop.rl_core.promotion.monitor import check_canary
from banditloop.rl_core.promotion.steps import evaluate_step, export_step, train_step
from banditloop.rl_core.promotion.transitions import deploy, ensure_champion, promote
from tests.benchmarks.learning.tasks import TASKS, LearningTask, Users

FLOOR = 0.01
VISITS = 50  # at most between two looks of trigger and monitor


def loop_regret(name: str, interactions: int, is_gated: bool, seed: int) -> float:
    """The mean regret of an interaction in a loop with the default agent; ungated: every policy is promoted at once."""
    [task] = (replace(task, interactions=interactions) for task in TASKS if task.name == name)
    with tempfile.TemporaryDirectory() as root:
        environment = task.environment(seed)
        backend = {"name": "local", "root": root, "endpoint": "gate"}
        values = {"task": environment.task.model_dump(mode="json"), "backend": backend}
        config = Config.parse(values | {"policy": {"exploration": FLOOR, "saved_model": False}})
        loop = _Loop(config, is_gated, Users(environment, np.random.default_rng([seed, 1])), seed)
        return float(np.concatenate(list(loop.visits(task, seed))).mean())


class _Loop:
    def __init__(self, config: Config, is_gated: bool, users: Users, seed: int) -> None:
        self._config, self._is_gated, self._users = config, is_gated, users
        self._platform: Platform = connect(config)
        self._policies: dict[str, SavedPolicy] = {}
        self._random, self._learned_from = np.random.default_rng([seed, 2]), 0
        ensure_champion(config, self._platform.endpoint)

    def visits(self, task: LearningTask, seed: int) -> Iterator[np.ndarray]:
        """The regret of each visit, in parts."""
        environment, served, new = task.environment(seed), 0, 0
        while served < task.interactions:
            needed = self._config.retraining.needed(self._learned_from)
            count = min(VISITS, needed - new, task.interactions - served)
            yield self._visit(environment, count)
            served, new = served + count, new + count
            if self._is_gated:
                check_canary(self._config, self._platform)
            if new >= needed:
                self._retrain()
                new = 0

    def _visit(self, environment: Environment, count: int) -> np.ndarray:
        """Decide for visitors, each by a version of the release, and log decisions and rewards; return the regret."""
        task, traffic = self._config.task, self._platform.endpoint.release().traffic()
        contexts, means = self._users.draw(count)
        versions = self._random.choice(list(traffic), size=count, p=np.array(list(traffic.values())) / 100)
        actions, probabilities = np.zeros(count, int), np.zeros(means.shape)
        for version in traffic:
            rows = versions == version
            policy, array = self._policy(version), context_array(task, contexts)
            decisions = policy.decide(policy.observations(array), self._random.random(count))
            actions[rows], probabilities[rows] = decisions.actions[rows], decisions.probabilities[rows]
        rows, now, ids = np.arange(count), datetime.now(UTC), [uuid4().hex for _ in range(count)]
        chosen = [task.action_ids[action] for action in actions]
        rewards = environment.reward(contexts, chosen_actions(task, chosen), ids)
        events = {"event_id": ids, "timestamp": [now] * count}
        self._platform.warehouse.append("rewards", reward_table(**events, value=task.rewards.clip(rewards)))
        table = decision_table(
            task,
            **events,
            policy_version=versions.tolist(),
            context=context_array(task, contexts),
            action=chosen,
            candidates=[[]] * count if task.numbered else [list(task.action_ids)] * count,
            candidate_features=[[]] * count,
            propensity=probabilities[rows, actions].tolist(),
            probabilities=probabilities.tolist(),
            assignment_share=[traffic[version] / 100 for version in versions],
        )
        self._platform.warehouse.append("decisions", table)
        return means.max(axis=1) - means[rows, actions]

    def _retrain(self) -> None:
        """The retraining pipeline's steps."""
        config, platform = self._config, self._platform
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            export = export_step(config, platform, None, folder / "examples", folder / "held_out.parquet", {}, "", "")
            trained = train_step(config, platform, folder / "examples", folder / "policy", export.metadata, "run")
            self._learned_from = trained.metadata["interactions"]
            if not self._is_gated:
                promote(platform.endpoint, platform.endpoint.add(folder / "policy"))
                return
            verdict, _ = evaluate_step(config, platform, folder / "policy", None, {}, None, 0.0, "run")
            save_verdict(platform.endpoint, folder / "policy", verdict)
            if verdict.decision != "refuse":
                deploy(config, platform.endpoint, folder / "policy", verdict.decision)

    def _policy(self, version: str) -> SavedPolicy:
        if version not in self._policies:
            self._policies[version] = SavedPolicy.load(self._platform.endpoint.policy(version))
        return self._policies[version]
