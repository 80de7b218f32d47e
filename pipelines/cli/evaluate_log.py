"""A log and the policies to evaluate on it, as the estimators take them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa

from banditloop.pipelines.cli.evaluated_policies import UNIFORM, Policy, probabilities_of
from banditloop.pipelines.cli.known_propensities import rows_with_propensity
from banditloop.pipelines.cli.log_columns import LogColumns
from banditloop.pipelines.cli.progress import Report
from banditloop.pipelines.cli.watched import watched_batches
from banditloop.rl_core.errors import InvalidInput
from banditloop.rl_core.estimators import LogEvaluation, evaluate
from banditloop.rl_core.events.candidates import action_positions, logged_candidates, logged_ids, logged_probabilities
from banditloop.rl_core.logs import values
from banditloop.rl_core.logs.batches import RawBatch
from banditloop.rl_core.logs.choices import LoggingPolicy
from banditloop.rl_core.logs.columns import Columns
from banditloop.rl_core.logs.events import EventReader
from banditloop.rl_core.logs.formats import LogFiles
from banditloop.rl_core.policies.saved_policy import SavedPolicy
from banditloop.rl_core.settings.task import OPEN
from banditloop.rl_core.training.train import contexts

NO_PROPENSITIES = "a log without propensities says nothing about other policies than its own"


@dataclass
class LogToEvaluate:
    """The rows of a log, in memory, and the probabilities that policies have on them."""

    files: LogFiles
    logging_policy: LoggingPolicy | None = None
    default_reward: float | None = None  # of decisions without one
    report: Report = field(default_factory=lambda: Report(None))  # of what is done with the rows
    batches: list[tuple[RawBatch, Columns]] = field(default_factory=list, init=False)
    without_propensity: int = field(default=0, init=False)  # rows left out of the evaluation

    def __post_init__(self) -> None:
        self.batches = list(watched_batches(self.files.batches(), self.report, "reading"))

    @cached_property
    def columns(self) -> LogColumns:
        """The columns, by the name of a field, of a feature, or their own."""
        return LogColumns(self.batches)

    @cached_property
    def decisions(self) -> pa.Table:
        """The decisions, for policies that read their contexts and candidates."""
        reader = EventReader(self.files.task, "reward", "evaluated", self.logging_policy)
        batches = watched_batches(self.batches, self.report, "reading contexts")
        return pa.concat_tables([reader.read(*batch).decisions for batch in batches])

    @cached_property
    def ids(self) -> list[str]:
        """The ids of all candidates."""
        return logged_ids(self.decisions)

    def evaluate(
        self, target: Policy, baseline: Policy | None, by: Sequence[str], detect: float | None, least_propensity: float
    ) -> LogEvaluation:
        """The evaluation of a policy; the arguments are those of the command.

        Raises:
            InvalidInput: the log or the policies do not allow for it; names the row or the column.
        """
        inputs = self._inputs(target, baseline) | {"by": {name: self.columns.values(name) for name in by}}
        inputs, self.without_propensity = rows_with_propensity(inputs, self.logging_policy)
        self.report("estimating")
        evaluation = evaluate(
            {},
            **inputs,
            reward_range=self.files.task.rewards,
            max_weight=1 / least_propensity if least_propensity else np.inf,
            detect=detect,
        )
        return replace(evaluation, summary=self.described(target) | evaluation.summary)

    def _inputs(self, target: Policy, baseline: Policy | None) -> dict[str, Any]:
        """The log as arguments of `estimators.evaluate`."""
        weights = 1 / self.columns.numbers("logging_probability", 1.0)
        inputs: dict[str, Any] = {
            "reward": self.columns.rewards(self.files.task.rewards, self.default_reward),
            "propensity": self.propensities(),
            "target": self.probabilities(target),
            "baseline": None if baseline is None else self.probabilities(baseline),
            "sample_weight": None if (weights == 1).all() else weights,
        }
        sides = [inputs[name] for name in ("target", "baseline") if inputs[name] is not None]
        if self.reads_decisions:
            inputs |= {"action": self.actions(), "probabilities": self.logged_probabilities()}
        if isinstance(target, SavedPolicy) and all(side.ndim == 2 for side in sides):
            inputs["features"] = target.observations(contexts(self.decisions))
        return inputs

    def described(self, policy: Policy) -> dict[str, Any]:
        """The names of policy and files, their columns, and the rows and features that were not used."""
        name = policy.manifest.version if isinstance(policy, SavedPolicy) else policy
        files = ", ".join(path.name for path in self.files.paths)
        if policy == UNIFORM and not self.reads_decisions and "candidates" not in self.fields:
            name = f"uniform among the {len(set(self.columns.values('action').tolist()))} actions that occur"
        left_out, absent = dict(self.files.left_out), sorted(self.files.absent)
        if self.without_propensity:
            left_out[f"{'in episodes ' * self.has_episodes}without a propensity"] = self.without_propensity
        described = {"policy": f"{name}, on {files}", "columns": dict(self.files.fields)}
        return described | {"left_out": left_out, "features_without_column": absent}

    def probabilities(self, policy: Policy) -> np.ndarray:
        """A policy's probabilities of all candidates [B, K]; for one in a column, of the logged actions alone [B]."""
        if isinstance(policy, SavedPolicy):
            return probabilities_of(policy, self.decisions, self.ids, self.report)
        return self._uniform() if policy == UNIFORM else self.columns.numbers(policy)

    def actions(self) -> np.ndarray:
        """The positions of the actions among `ids` [B]."""
        return action_positions(self.decisions, self.ids)

    def logged_probabilities(self) -> np.ndarray | None:
        """The logged probabilities of all candidates [B, K]; None if only the action's was logged."""
        known = self.reads_decisions and "probabilities" in self.fields
        return logged_probabilities(self.decisions, self.ids) if known else None

    def propensities(self) -> np.ndarray:
        """The logged propensities [B], NaN where one is missing. InvalidInput: nothing tells them."""
        if self.logging_policy == UNIFORM and self.reads_decisions:
            return self.decisions["propensity"].to_numpy()
        logged = (
            self.columns.numbers("propensity") if "propensity" in self.fields else np.full(self.columns.rows, np.nan)
        )
        if self._has_probabilities and np.isnan(logged).any():
            logged = np.where(np.isnan(logged), self._of_probabilities(), logged)
        if self.logging_policy == UNIFORM:
            return np.where(np.isnan(logged), self._uniform(), logged)
        if "propensity" in self.fields or self._has_probabilities:
            return logged
        if self.logging_policy == "unknown":
            raise InvalidInput(NO_PROPENSITIES)
        raise InvalidInput(
            "--map propensity=COLUMN: which column has the probability of the action? If actions were chosen "
            "uniformly, say --logging-policy uniform"
        )

    @property
    def _has_probabilities(self) -> bool:
        """Whether the action's probability can be found: in a column named after it, or in a list beside candidates."""
        column = self.fields.get("probabilities", "")
        return "*" in column or bool(column and self.reads_decisions)

    def _of_probabilities(self) -> np.ndarray:
        """The actions' probabilities by those of all candidates [B], NaN where there are none."""
        by_action = "*" in self.fields["probabilities"]
        if by_action and not self.reads_decisions:
            return np.concatenate([columns.of_action(batch) for batch, columns in self.batches])
        logged = self.decisions["propensity"].to_numpy()
        return logged if by_action else np.where(self.columns.are_given("probabilities"), logged, np.nan)

    @property
    def fields(self) -> Mapping[str, str]:
        """The columns of fields."""
        return self.columns.fields

    @property
    def has_episodes(self) -> bool:
        """Whether the decisions belong to episodes."""
        return "episode_id" in self.fields

    @cached_property
    def reads_decisions(self) -> bool:
        """Whether candidates are known, by a policy's actions or row by row, so that rows are read as decisions."""
        has_both = {"candidates", "probabilities"} <= self.fields.keys()
        return self.files.task.actions != OPEN or bool(self.files.task.context) or has_both

    def _uniform(self) -> np.ndarray:
        """The uniform policy's probability of the logged action [B], or of all candidates [B, K]."""
        if self.reads_decisions:
            mask = logged_candidates(self.decisions, self.ids).mask(self.decisions.num_rows)
            return mask / mask.sum(axis=1, keepdims=True)
        if "candidates" in self.fields:
            cells = [batch.cells(self.fields["candidates"]) for batch, _ in self.batches]
            return 1 / np.array([len(ids or ()) for each in cells for ids in values.lists(each, "give a list of ids")])
        actions = self.columns.values("action")
        return np.full(len(actions), 1 / len(set(actions.tolist())))
