"""The contest of a candidate with the champion: evidence, and the verdict it comes to."""

import math

import numpy as np

from rl_core.config import Config
from rl_core.estimators import Logged
from rl_core.estimators.sequential import Gate
from rl_core.evaluation.stretch import Stretch, beside, expected
from rl_core.policy import SavedPolicy
from rl_core.release import Judgement, Verdict

PLACES = 2  # the error α of a lineage is shared by held-out and by served interactions
LOOKS = 100  # in which a challenger that is no worse is rolled back with probability at most α
WAYS = 2  # by its actions' rewards or by its users'


def contest(
    stretch: Stretch, champion: SavedPolicy, candidate: SavedPolicy, better: Gate, worse: Gate
) -> tuple[Gate, Gate]:
    """The evidence that the candidate earns more, and less, with a stretch added that neither was trained on.

    Its model of the reward is the candidate's own, which was there before.
    """
    for batch in stretch.batches():
        guesses = expected(candidate, stretch.config, batch.observations)
        (challenging, _), (defending, _) = beside(stretch, batch, [candidate, champion], guesses)
        better = better.add(challenging, defending)
        worse = worse.add(challenging.losses(), defending.losses())
    return better, worse


def dropped(stretch: Stretch, champion: str, challenger: str, gate: Gate) -> Gate:
    """The evidence that those whom the challenger answers earn less than the champion's, with a stretch added.

    A plain comparison of the versions' users. It needs more of them than the actions' comparison, and sees what that
    cannot: a version that does harm though it takes the same actions.
    """
    shares = stretch.shares
    if not {champion, challenger} <= shares.keys():
        return gate
    for batch in stretch.batches():
        propensity = np.array([shares[version] for version in batch.versions])
        sides = [
            Logged(batch.rewards, propensity, (batch.versions == version) * 1.0, largest=1 / shares[version])
            for version in (challenger, champion)
        ]
        gate = gate.add(*(side.losses() for side in sides))
    return gate


def lineage(verdicts: list[Verdict], champion: str, version: str, margin: float) -> Verdict | None:
    """The evaluator's last verdict on another candidate for this champion's place, whose evidence goes on."""
    line = [
        verdict
        for verdict in verdicts
        if verdict.by == "evaluator"
        and verdict.champion == champion
        and verdict.version != version
        and verdict.better.margin == margin
    ]
    return line[-1] if line else None


def judge(config: Config, better: Gate, worse: Gate, champion: str) -> tuple[Judgement, str]:
    """What the evidence from held-out interactions comes to, and why.

    Thin evidence never promotes. The error of a refusal is α for each candidate.
    """
    alpha = config.gate.alpha / PLACES
    if better.promotes(alpha):
        return "promote", f"earns more than {champion}: {odds(better)} against chance, {1 / alpha:,.0f} needed"
    if worse.promotes(config.gate.alpha):
        return (
            "refuse",
            f"earns less than {champion}: {odds(worse)} against chance, {1 / config.gate.alpha:,.0f} needed",
        )
    return "canary", (
        f"neither more nor less than {champion} is proved by {worse.count:,} held-out interactions: "
        f"{odds(better)} that it is more, {1 / alpha:,.0f} needed"
    )


def odds(gate: Gate) -> str:
    """A gate's wealth as people say it."""
    return f"{math.exp(min(gate.wealth(), 30)):,.3g} to 1"
