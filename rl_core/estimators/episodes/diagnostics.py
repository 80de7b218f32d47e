"""Diagnostics of the weights of episodes: up to which step the log can support an estimate."""

from typing import Any

from banditloop.rl_core.estimators.episodes.estimate import effective_sizes
from banditloop.rl_core.estimators.episodes.logged_episodes import LoggedEpisodes

FEW = 30.0  # effective episodes, below which the weights alone say little
LEAST_SIZES = {  # effective episodes that the interval of an estimator needs, as measured by `make bench-sequential`
    "weighted_dr": 2.0,
    "per_decision_weighted_is": 10.0,
    "sequential_dr": FEW,
    "weighted_is": FEW,
    "per_decision_is": FEW,
}


def has_interval(name: str, episodes: LoggedEpisodes) -> bool:
    """Whether the interval of an estimator keeps its level on these episodes.

    Those of FQE and MAGIC never do: they do not contain the model's bias.
    """
    return name in LEAST_SIZES and bool(effective_sizes(episodes.normalised).min() >= LEAST_SIZES[name])


def diagnostics(episodes: LoggedEpisodes) -> dict[str, Any]:
    """Numbers by name; `steps_with_support` are those up to which at least `FEW` episodes are effective."""
    sizes, lengths = effective_sizes(episodes.normalised), episodes.lengths
    return {
        "effective_episodes": float(sizes[-1]),
        "steps_with_support": int((sizes >= FEW).argmin()) if (sizes < FEW).any() else len(sizes),
        "largest_share": float(episodes.normalised[:, -1].max()),
        "without_overlap": float(episodes.shares @ (episodes.weights[:, -1] == 0)),
        "mean_length": float(episodes.shares @ lengths),
        "longest": int(lengths.max()),
    }


def warnings(
    numbers: dict[str, Any], count: int, cut_off: int, gaps: int, has_model: bool, depends_on_step: bool
) -> list[str]:
    """What an operator should know before relying on the estimates, one line each.

    numbers: the diagnostics of `count` episodes. cut_off: the number of episodes that did not end. gaps: the number of
    episodes of which the log lacks steps. has_model: whether values were fitted; depends_on_step: to the step, too.
    """
    lines, support, longest = [], numbers["steps_with_support"], numbers["longest"]
    if support < longest:
        rest = ": estimates rely on the model from there" if has_model else ", and there is no model to rely on"
        lines.append(
            f"horizon: from step {support} of {longest} on, the weights leave fewer than {FEW:.0f} effective episodes "
            f"({numbers['effective_episodes']:.1f} at the end){rest}"
        )
    if gaps:
        lines.append(f"{gaps:,} of {count:,} episodes lack steps: weights know nothing of what was decided in these")
    if cut_off:
        lines.append(
            f"{cut_off:,} of {count:,} episodes were cut off: rewards count up to there, what follows does not"
        )
    if depends_on_step:
        lines.append("values depend on the step, which is therefore among the model's features")
    return lines
