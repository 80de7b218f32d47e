"""The evaluation of a candidate on held-out interactions or episodes, and the verdict on it."""

from datetime import datetime
from pathlib import Path
from typing import Any

from banditloop.rl_core.config import Config
from banditloop.rl_core.errors import InvalidInput
from banditloop.rl_core.evaluation.comparison import candidate_line
from banditloop.rl_core.evaluation.kinds import kind_of
from banditloop.rl_core.evaluation.summary import Summary
from banditloop.rl_core.evidence.anytime_valid import BettingTest
from banditloop.rl_core.policies.manifest import Manifest, Window
from banditloop.rl_core.policies.release import Verdict
from banditloop.rl_core.policies.saved_policy import SavedPolicy
from banditloop.rl_core.ports import Endpoint, Platform
from banditloop.rl_core.promotion.begun_episodes import begun_episodes
from banditloop.rl_core.promotion.decision import Thresholds, decide_heldout


def evaluate_candidate(platform: Platform, config: Config, folder: Path, run_id: str) -> tuple[Verdict, Summary]:
    """The verdict on the policy in `folder` compared with the champion, and the evaluation's summary.

    The evidence that it is better continues that of the candidates before it (one line of candidates per champion),
    with the interactions or episodes held out since their evaluation.

    Raises:
        InvalidInput: there is no champion yet.
    """
    release = platform.endpoint.release()
    if release is None:
        raise InvalidInput("endpoint: has no champion to compare with yet; run `banditloop serve` first")
    candidate = SavedPolicy.load(folder)
    champion = SavedPolicy.load(platform.endpoint.policy(release.champion))
    verdicts = platform.endpoint.verdicts()
    margin = config.gate.noninferiority_margin
    until, before = candidate_line(verdicts, release.champion, candidate.manifest.version, margin)
    end = _evaluated_until(platform, candidate.manifest)
    window = Window(since=champion.manifest.window.until, until=end, interactions=0)
    kind = kind_of(config)
    heldout, end = _held_out(platform, config, window, [champion, candidate])
    better, worse = kind.compare(heldout, champion, candidate, before, BettingTest())
    if until:
        unseen = _since(platform, config, heldout, window, until, [champion, candidate])
        better, _ = kind.compare(unseen, champion, candidate, before, BettingTest())
    evaluation = kind.evaluate(heldout, champion, candidate)
    decision, reason = decide_heldout(config, better, worse, release.champion, kind.evidence(evaluation, worse.count))
    verdict = Verdict(
        version=candidate.manifest.version,
        champion=release.champion,
        decision=decision,
        by="evaluator",
        reason=reason,
        run=run_id,
        until=end,
        better=better,
    )
    totals = platform.warehouse.policy_totals()
    needed = Thresholds.of(config).heldout_better
    names = candidate.encoding.context.names
    return verdict, kind.summary(config, heldout, evaluation, verdict, worse, verdicts, totals, needed, names)


def _held_out(platform: Platform, config: Config, window: Window, compared: list[SavedPolicy]) -> tuple[Any, datetime]:
    """The held-out interactions of a window, or held-out episodes that began in it, and the log time up to which it is.

    The sample of episodes ends before the first that is not complete: which are depends on what was done in them.
    """
    sample = kind_of(config).read(platform, config, window, compared, "held_out")
    if config.episodes is None:
        return sample, window.until
    begun = begun_episodes(platform, config, window, compared, sample.read, config.gate.holdout_fraction)
    return sample.only(begun.ids), begun.until


def _since(
    platform: Platform, config: Config, heldout: Any, window: Window, until: datetime, compared: list[SavedPolicy]
) -> Any:
    """The held-out interactions of a window, or episodes that began in it, since an earlier evaluation of its log.

    Episodes are of the same sample, which two searches for the first incomplete one would end at different times.
    """
    if config.episodes is None:
        later = window.model_copy(update={"since": until})
        return kind_of(config).read(platform, config, later, compared, "held_out")
    return heldout.without(platform.warehouse.episode_ids(window.model_copy(update={"until": until})))


def _evaluated_until(platform: Platform, candidate: Manifest) -> datetime:
    """The log time up to which a candidate is evaluated: that of its training; now, if it learned nothing."""
    learned = candidate.window.interactions or candidate.parent
    return candidate.window.until if learned else platform.warehouse.window(None).until


def save_verdict(endpoint: Endpoint, folder: Path, verdict: Verdict) -> None:
    """Add a verdict to the endpoint, and a refused policy too, which is never deployed and would be lost."""
    if verdict.decision == "refuse":
        endpoint.add(folder)
    endpoint.add_verdict(verdict)
