"""The log's stretches as a platform holds them, and the evaluation of a candidate on the held-out one."""

from pathlib import Path

from rl_core.backends import Endpoint, Platform
from rl_core.config import Config
from rl_core.errors import InvalidInput
from rl_core.estimators.sequential import Gate
from rl_core.evaluation.contest import contest, judge, lineage
from rl_core.evaluation.evaluate import evaluate
from rl_core.evaluation.figures import Figures, figures
from rl_core.evaluation.stretch import Stretch
from rl_core.manifest import Window
from rl_core.policy import SavedPolicy
from rl_core.release import Verdict
from rl_core.split import Part


def stretch(platform: Platform, config: Config, window: Window, part: Part | None = None) -> Stretch:
    """A window of the log, or a part of it, with the policies that wrote it and are still known."""

    known = {manifest.version for manifest in platform.endpoint.versions()}

    def load(version: str) -> SavedPolicy | None:  # whatever stands in the log: it names no path of its own
        return SavedPolicy.load(platform.endpoint.policy(version)) if version in known else None

    return Stretch.of(config, load, platform.warehouse.interactions(window, part))


def evaluate_candidate(platform: Platform, config: Config, folder: Path, run_id: str) -> tuple[Verdict, Figures]:
    """Compare the policy of a directory with the champion.

    Its evidence goes on from that of the candidates before it, with the interactions held out since then.
    """
    release = platform.endpoint.release()
    if release is None:
        raise InvalidInput("endpoint: nobody answers yet, so there is no champion to compare with; run startup first")
    candidate = SavedPolicy.load(folder)
    version = candidate.manifest.version
    champion = SavedPolicy.load(platform.endpoint.policy(release.champion))
    verdicts = platform.endpoint.verdicts()
    until, before = lineage(verdicts, release.champion, version, config.gate.margin)
    window = Window(since=champion.manifest.window.until, until=candidate.manifest.window.until, interactions=0)
    held_out = stretch(platform, config, window, "held_out")
    better, worse = contest(held_out, champion, candidate, before, Gate())
    if until:
        new = stretch(platform, config, window.model_copy(update={"since": until}), "held_out")
        better, _ = contest(new, champion, candidate, before, Gate())
    judgement, reason = judge(config, better, worse, release.champion)
    verdict = Verdict(
        version=version,
        champion=release.champion,
        judgement=judgement,
        by="evaluator",
        reason=reason,
        run=run_id,
        until=candidate.manifest.window.until,
        better=better,
    )
    evaluation = evaluate(held_out, champion, candidate)
    return verdict, figures(config, held_out, evaluation, verdict, worse, verdicts, platform.warehouse.totals())


def keep(endpoint: Endpoint, folder: Path, verdict: Verdict) -> None:
    """Keep a verdict and, where that refuses it, the policy, which nobody else will keep."""
    if verdict.judgement == "refuse":
        endpoint.add(folder)
    endpoint.record(verdict)
