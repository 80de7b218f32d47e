"""The contest of a candidate with the champion: evidence, and the verdict it comes to."""

import math
from datetime import datetime

import numpy as np

from rl_core.config import Config
from rl_core.estimators import Logged
from rl_core.estimators.sequential import Gate
from rl_core.evaluation.stretch import Stretch, expected
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
        guesses = expected(candidate, stretch.config, batch.interactions.observations)
        (challenging, _), (defending, _) = stretch.beside(batch, [candidate, champion], guesses)
        better = better.add(challenging, defending)
        worse = worse.add(challenging.losses(), defending.losses())
    return better, worse


def dropped(stretch: Stretch, champion: str, challenger: str, gate: Gate) -> Gate:
    """The evidence that those whom the challenger answers earn less than the champion's, with a stretch added.

    A plain comparison of the versions' users. It needs more of them than the actions' comparison, and sees what that
    cannot: a version that does harm though it takes the same actions.
    """
    versions = list(stretch.policies)
    if champion not in versions or challenger not in versions:
        return gate
    rivals = [versions.index(version) for version in (challenger, champion)]
    for batch in stretch.batches():
        both = (batch.shares[:, rivals] > 0).all(axis=1)  # eras in which either answered
        rewards, logger, shares = batch.interactions.rewards[both], batch.logger[both], batch.shares[both]
        propensity = shares[np.arange(len(logger)), logger]
        sides = [Logged(rewards, propensity, (logger == rival) * 1.0, largest=1 / shares[:, rival]) for rival in rivals]
        gate = gate.add(*(side.losses() for side in sides))
    return gate


def lineage(verdicts: list[Verdict], champion: str, version: str, margin: float) -> tuple[datetime | None, Gate]:
    """Where the evidence for candidates for this champion's place stands: until when, and what it is.

    It goes on from the evaluator's last verdict on another candidate. Where that promoted, it is used up.
    """
    line = [
        verdict
        for verdict in verdicts
        if verdict.by == "evaluator"
        and verdict.champion == champion
        and verdict.version != version
        and verdict.better.margin == margin
    ]
    if not line:
        return None, Gate(margin=margin)
    return line[-1].until, Gate(margin=margin) if line[-1].judgement == "promote" else line[-1].better


def judge(config: Config, better: Gate, worse: Gate, champion: str) -> tuple[Judgement, str]:
    """What the evidence from held-out interactions comes to, and why.

    Thin evidence never promotes. The error of a refusal is α for each candidate.
    """
    needed, against = PLACES / config.gate.alpha, 1 / config.gate.alpha
    if worse.promotes(1 / against):
        return "refuse", f"earns less than {champion}: {odds(worse)} against chance, {against:,.0f} needed"
    claim = claims(better, champion)
    if better.promotes(1 / needed):
        return "promote", f"{claim}: {odds(better)} against chance, {needed:,.0f} needed"
    seen = f"{worse.count:,} held-out interactions tell too little"
    return "canary", f"{seen}: {odds(better)} that it {claim}, {needed:,.0f} needed"


def claims(better: Gate, champion: str) -> str:
    """What a gate that promotes has proved."""
    return f"earns more than {champion}" + (f" less {better.margin:.1%} of the reward's range" if better.margin else "")


def odds(gate: Gate) -> str:
    """A gate's wealth as people say it."""
    return f"{math.exp(min(gate.wealth(), 30)):,.3g} to 1"
