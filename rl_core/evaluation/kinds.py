"""The two kinds of evaluation: on single decisions and on episodes; what differs between them."""

from collections.abc import Callable
from typing import Any, NamedTuple

from banditloop.rl_core.config import Config
from banditloop.rl_core.evaluation.comparison import compare
from banditloop.rl_core.evaluation.episodes.comparison import compare_episodes
from banditloop.rl_core.evaluation.episodes.estimates import episode_estimates
from banditloop.rl_core.evaluation.episodes.summary import episode_summary
from banditloop.rl_core.evaluation.episodes.window import episode_window
from banditloop.rl_core.evaluation.estimates import Evaluation, evaluate
from banditloop.rl_core.evaluation.log_window import logged_window
from banditloop.rl_core.evaluation.summary import Summary, evaluation_summary
from banditloop.rl_core.evidence.anytime_valid import BettingTest


class EvaluationKind(NamedTuple):
    """How a log is read, compared, evaluated and summarised, with windows and evaluations of its own type.

    evidence: how much there is, in words for the reason of a verdict, given the evaluation and the number of
        interactions or episodes that were compared.
    """

    read: Callable[..., Any]
    compare: Callable[..., tuple[BettingTest, BettingTest]]
    evaluate: Callable[..., Any]
    evidence: Callable[[Any, int], str]
    summary: Callable[..., Summary]


def kind_of(config: Config) -> EvaluationKind:
    """The kind of evaluation of a config: on episodes, if it has that section."""
    return INTERACTIONS if config.episodes is None else EPISODES


def _held_out_interactions(evaluation: Evaluation, compared: int) -> str:
    """The number of interactions; those of unknown policies are in the estimates only."""
    others = evaluation.interactions - compared
    return f"{compared:,} held-out interactions" + (f", beside {others:,} of unknown policies," if others else "")


def _held_out_episodes(evaluation: Summary, compared: int) -> str:
    """The number of episodes, and what their weights leave of them."""
    episodes = f"{evaluation['episodes']:,} held-out episodes"
    if not evaluation["episodes"]:
        return episodes
    effective = evaluation["diagnostics"]["candidate"]["effective_episodes"]
    return f"{episodes}, worth {effective:,.3g} of the candidate's own by their weights,"


INTERACTIONS = EvaluationKind(logged_window, compare, evaluate, _held_out_interactions, evaluation_summary)
EPISODES = EvaluationKind(episode_window, compare_episodes, episode_estimates, _held_out_episodes, episode_summary)
