"""Off-policy evaluation of a table of logged episodes, without a loop or a config.

>>> log = {"episode_id": ["a", "a", "b", "b"], "step": [0, 1, 0, 1], "reward": [0, 1, 1, 1]}
>>> log |= {"propensity": [0.5] * 4, "target": [0.9, 0.1, 0.9, 0.9]}
>>> reward = evaluate_episodes(log, discount=1.0).summary["returns"]["reward"]
>>> round(reward["estimates"]["weighted_is"]["value"], 3)
1.9
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from banditloop.rl_core.agents.transitions import Transitions
from banditloop.rl_core.errors import InvalidInput
from banditloop.rl_core.estimators import frames
from banditloop.rl_core.estimators.episodes.evaluation import Side, evaluation
from banditloop.rl_core.estimators.episodes.log_steps import check_one_weight, sorted_rows, transitions
from banditloop.rl_core.estimators.episodes.step_features import observed_features
from banditloop.rl_core.estimators.episodes.table import table
from banditloop.rl_core.estimators.log_inputs import logged_actions, observed
from banditloop.rl_core.estimators.lower_bound import check_level


@dataclass(frozen=True)
class EpisodeEvaluation:
    """What logged episodes say about a policy, in units of the reward. `print` shows it in 80 columns."""

    summary: dict[str, Any]

    def __str__(self) -> str:
        return table(self.summary)


def evaluate_episodes(
    log: Any,
    *,
    episode_id: frames.Column = "episode_id",
    step: frames.Column = "step",
    reward: frames.Column = "reward",
    propensity: frames.Column = "propensity",
    target: frames.Probabilities = "target",
    baseline: frames.Probabilities | None = None,
    action: frames.Column | None = None,
    features: Sequence[str] | np.ndarray = (),
    metrics: Sequence[str] | Mapping[str, frames.Column] = (),
    terminal: frames.Column | None = None,
    truncated: frames.Column | None = None,
    sample_weight: frames.Column | None = None,
    discount: float = 0.99,
    level: float = 0.95,
) -> EpisodeEvaluation:
    """What a log of episodes says about a policy: its mean return, and the difference to a baseline.

    log: a table as `evaluate` takes it, whose rows are single decisions, in any order. `reward`, `propensity`,
        `target`, `baseline`, `action` and `features` are as there, but rewards may be any numbers. With features,
        values of actions are fitted, and weighted DR is the estimate to look at first.
    episode_id: of the episode that the decision belongs to. step: the decision's number in its episode; the discount
        counts steps that are missing, too.
    metrics: columns of other rewards, each of which is evaluated on its own.
    terminal: whether the episode ended with this decision; one that never did was cut off, and its rewards count up to
        there. truncated: whether it was cut off after this decision, where `terminal` is not known. Without both, all
        ended.
    sample_weight: inverse probability with which the episode was logged, the same in all of its rows, if not all were.
    discount: what a reward of 1 is worth one step before it is earned, above 0 and at most 1.

    Raises:
        InvalidInput: the log has no such column, or a value is missing or outside its range; names it and its row.
    """
    check_level(level)
    if not 0 < discount <= 1:
        raise InvalidInput(f"discount = {discount:g}: must be above 0 and at most 1, such as 0.99")
    order, episodes, steps = sorted_rows(log, episode_id, step)
    columns = {"reward": reward, "propensity": propensity, "sample_weight": sample_weight}
    columns |= {"terminal": terminal, "truncated": truncated}
    values = {name: _numbers(log, each, name, order) for name, each in columns.items() if each is not None}
    if "sample_weight" in values:
        check_one_weight(order, episodes, values["sample_weight"])
    logged = transitions(episodes, steps, discount, **values)
    metric_columns = frames.columns(metrics).items()
    rewards = {name: _numbers(log, each, f"metrics.{name}", order) for name, each in metric_columns}
    given = {"target": target, "baseline": baseline, "action": action, "features": features}
    sides = _sides(log, logged, order, given)
    summary = evaluation(*sides, rewards, level)
    if len(features) and sides[0].features is None:
        summary["warnings"].append("there is no model of values: actions times features are too many")
    baseline_name = "the log" if baseline is None else "the baseline"
    return EpisodeEvaluation({"discount": discount, "baseline": baseline_name} | summary)


def _numbers(log: Any, given: frames.Column, key: str, order: np.ndarray) -> np.ndarray:
    """The numbers of a column in an order of rows, of which there must be as many."""
    checked = {"propensity": frames.propensities, "sample_weight": frames.sample_weights}
    values = checked[key](log, given) if key in checked else frames.numbers(log, given, key)
    frames.check_rows(len(order), {key: values})
    return values[order]


def _sides(log: Any, logged: Transitions, order: np.ndarray, given: dict[str, Any]) -> tuple[Side, Side | None]:
    """The episodes with the target's probabilities, and with the baseline's if there is one."""
    ids = frames.action_ids(given["target"])
    policies = {
        key: frames.probabilities(log, given[key], key, ids) for key in ("target", "baseline") if given[key] is not None
    }
    frames.check_rows(len(order), policies)
    actions, step_features = logged_actions(log, given, policies, ids), None
    if actions is not None:
        logged = logged._replace(actions=actions[order])
    if len(given["features"]):
        logged = logged._replace(observations=observed(log, given["features"], len(order))[order])
        step_features = observed_features(logged, policies["target"].shape[1])
    sides = {key: Side(logged, probabilities[order], step_features) for key, probabilities in policies.items()}
    return sides["target"], sides.get("baseline")
