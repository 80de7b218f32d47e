"""The off-policy value of settings on a log: doubly robust, cross-validated, tested on interactions held out."""

import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pyarrow as pa

from banditloop.rl_core.config import Config
from banditloop.rl_core.errors import InvalidInput
from banditloop.rl_core.estimators import Estimator
from banditloop.rl_core.estimators.difference import Difference
from banditloop.rl_core.evaluation.estimates import PolicyEstimates, evaluate
from banditloop.rl_core.evaluation.log_window import LoggedWindow, logged_window
from banditloop.rl_core.events.holdout import is_held_out
from banditloop.rl_core.features.encoding import Encoding
from banditloop.rl_core.logs.artifact import artifact_events
from banditloop.rl_core.logs.events import interactions
from banditloop.rl_core.policies.saved_policy import SavedPolicy
from banditloop.rl_core.ports import Platform
from banditloop.rl_core.promotion.logged_candidate import unknown_window
from banditloop.rl_core.settings.reward_range import RewardRange
from banditloop.rl_core.training.export import parse_time
from banditloop.rl_core.tuning.comparison import LEVEL, Comparison, Estimate
from banditloop.rl_core.tuning.trained import encoding_of, train_policy

LEAST = 20  # interactions of a fold
FOLD_SALT = "fold-"  # so that folds are independent of the hold-out


def window_of_loop(config: Config, platform: Platform, as_of: str) -> LoggedWindow:
    """The loop's log up to a time, ISO 8601."""
    window = platform.warehouse.window(None)
    if as_of:
        window = window.model_copy(update={"until": min(window.until, parse_time(as_of))})
    if not window.interactions:
        raise InvalidInput("warehouse: no interactions logged yet, by which settings could be compared")
    return logged_window(platform, config, window)


def window_of_file(config: Config, log: Path, columns: Mapping[str, str]) -> LoggedWindow:
    """A log in a file."""
    events = artifact_events(log, config.task, columns, config.reward.name)
    return unknown_window(config, interactions(events, config.task, config.reward.of_missing), 0.0)


@dataclass
class OffPolicy:
    """A log in folds, by the hash of the event ids, and apart from them the interactions held out."""

    folds: list[LoggedWindow]
    held_out: LoggedWindow
    metric: str = "off-policy value (doubly robust)"
    _encodings: dict[int, Encoding] = field(default_factory=dict)

    @classmethod
    def of(cls, config: Config, window: LoggedWindow) -> "OffPolicy":
        """The log in `tuning.seeds` folds. InvalidInput: it has too few interactions."""
        ids, count = window.table["event_id"].to_pylist(), config.tuning.seeds
        held_out = np.array([is_held_out(event_id, config.gate.holdout_fraction) for event_id in ids], bool)
        fold = np.array([zlib.crc32(f"{FOLD_SALT}{event_id}".encode()) % count for event_id in ids], int)
        folds = [_rows(window, ~held_out & (fold == number)) for number in range(count)]
        if min(part.table.num_rows for part in folds) < LEAST:
            raise InvalidInput(
                f"log: {(~held_out).sum():,} interactions to learn from; tuning by it needs {LEAST * count:,}"
            )
        return cls(folds, _rows(window, held_out))

    def value(self, config: Config, seed: int) -> float:
        """The value on one fold of a policy trained on the others."""
        training_folds = [part.table for number, part in enumerate(self.folds) if number != seed]
        policy = self._train(config, seed, training_folds)
        value = evaluate(self.folds[seed], None, policy).candidate.estimators["dr"].value()
        return config.task.rewards.unscale(value)

    def compare(self, present: Config, best: Config) -> Comparison:
        """Policies trained on all folds, on the interactions held out, of which no trial has seen any."""
        rows = self.held_out.table.num_rows
        if not rows:
            raise InvalidInput("log: no interactions are held out, by which the best settings could be tested")
        folds = [part.table for part in self.folds]
        best_policy, present_policy = (self._train(config, -1, folds) for config in (best, present))
        evaluation, rewards = evaluate(self.held_out, present_policy, best_policy), present.task.rewards
        evaluated = _estimate(evaluation.champion, rewards), _estimate(evaluation.candidate, rewards)
        gain = _in_units(evaluation.difference, RewardRange(0.0, rewards.span))
        return Comparison(*evaluated, gain, f"{rows:,} interactions held out")

    def _train(self, config: Config, key: int, tables: list[pa.Table]) -> SavedPolicy:
        """The policy trained on these folds. Their encoding, cached by the key, does not depend on the settings."""
        if key not in self._encodings:
            self._encodings[key] = encoding_of(config, tables)
        return train_policy(config, self._encodings[key], tables)


def _rows(window: LoggedWindow, chosen: np.ndarray) -> LoggedWindow:
    return replace(window, table=window.table.filter(pa.array(chosen)))


def _estimate(side: PolicyEstimates, rewards: RewardRange) -> Estimate:
    return _in_units(side.estimators["dr"], rewards)


def _in_units(estimator: Estimator | Difference, scale: RewardRange) -> Estimate:
    low, high = estimator.interval(LEVEL)
    return Estimate(scale.unscale(estimator.value()), scale.unscale(low), scale.unscale(high))
