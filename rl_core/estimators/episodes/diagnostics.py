"""Diagnostics of the weights of episodes: up to which step the log can support an estimate."""

from typing import Any

import numpy as np

from banditloop.rl_core.estimators.episodes.logged_episodes import LoggedEpisodes

FEW = 30.0  # effective episodes, below which the weights alone say little
FEWEST = 3.0  # below which weighted DR says little, too: what it says is the model's word
LEAST_SIZES = {
    "weighted_dr": FEWEST,
    "sequential_dr": FEW,
    "per_decision_weighted_is": FEW,
    "weighted_is": FEW,
    "per_decision_is": FEW,
}


def effective_sizes(episodes: LoggedEpisodes) -> np.ndarray:
    """The effective sample size at each step [T]: 1 / Σ W², the number of on-policy episodes with the same information.

    0 where no episode has a weight. Kish: Survey Sampling, 1965.
    """
    squares = (episodes.normalised**2).sum(axis=0)
    return np.where(squares > 0, 1 / np.where(squares > 0, squares, 1.0), 0.0)


def has_interval(name: str, episodes: LoggedEpisodes) -> bool:
    """Whether the interval of an estimator keeps its level on these episodes, as measured (docs/guarantees.md).

    Those of FQE and MAGIC do not, on whatever episodes: they do not contain the model's bias.
    """
    return name in LEAST_SIZES and bool(effective_sizes(episodes).min() >= LEAST_SIZES[name])


def diagnostics(episodes: LoggedEpisodes) -> dict[str, Any]:
    """Numbers by name; `steps_with_support` are those up to which at least `FEW` episodes are effective."""
    sizes, lengths = effective_sizes(episodes), episodes.lengths
    return {
        "effective_episodes": float(sizes[-1]),
        "steps_with_support": int((sizes >= FEW).argmin()) if (sizes < FEW).any() else len(sizes),
        "largest_share": float(episodes.normalised[:, -1].max()),
        "without_overlap": float(episodes.shares @ (episodes.weights[:, -1] == 0)),
        "mean_length": float(episodes.shares @ lengths),
        "longest": int(lengths.max()),
    }


def warnings(numbers: dict[str, Any], count: int, cut_off: int, depends_on_step: bool, has_model: bool) -> list[str]:
    """What an operator should know before relying on the estimates, one line each.

    numbers: the diagnostics of `count` episodes. cut_off: the number of those that did not end. has_model: whether
    values were fitted; then `depends_on_step` tells that the step is among the model's features.
    """
    found, support, longest = [], numbers["steps_with_support"], numbers["longest"]
    if support < longest:
        rest = "weighted DR relies on its model from there on" if has_model else "a model would need the features"
        found.append(
            f"horizon: from step {support} of {longest} on, weights are worth fewer than {FEW:.0f} of {count:,} "
            f"episodes ({numbers['effective_episodes']:.1f} at the end); {rest}"
        )
    if cut_off:
        found.append(
            f"{cut_off:,} of {count:,} episodes were cut off: rewards count up to there, what follows does not"
        )
    if depends_on_step and has_model:
        found.append("values depend on the step, which is among the model's features")
    return found
