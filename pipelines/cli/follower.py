"""What happens in a loop, read from its ports: runs, versions, verdicts and changes of the release."""

from collections.abc import Iterator

from banditloop.pipelines.cli.events import Event
from banditloop.rl_core.policies.manifest import Manifest
from banditloop.rl_core.policies.release import Release, Verdict
from banditloop.rl_core.ports import Platform, Run, Runner


class Follower:
    """Tells what has happened since the last look. What was there before the first one is no event."""

    def __init__(self, platform: Platform) -> None:
        self._runner, self._endpoint = platform.runner, platform.endpoint
        self._running = [run.run_id for run in self._runner.runs() if run.state == "running"]
        self._known_runs = {run.run_id for run in self._runner.runs()}
        self._versions = {manifest.version for manifest in self._endpoint.versions()}
        self._verdicts, self._release = len(self._endpoint.verdicts()), self._endpoint.release()

    def events(self) -> list[Event]:
        """The events since the last look, in the order in which a run makes them. A look that fails changes nothing."""
        runs = {run.run_id: run for run in self._runner.runs()}  # read before their versions
        new = [run_id for run_id in runs if run_id not in self._known_runs]
        active = [run_id for run_id in [*self._running, *new] if run_id in runs]  # others were removed
        trained = self._new_versions(active)
        release, verdicts = self._endpoint.release(), self._endpoint.verdicts()
        decided = list(_decided(self._release, release, verdicts[self._verdicts :]))
        self._known_runs |= runs.keys()
        self._running = [run_id for run_id, run in runs.items() if run.state == "running"]
        self._versions |= {event.version for event in trained}
        self._verdicts, self._release = len(verdicts), release
        started = [Event("started", "", run=run_id) for run_id in new]
        ended = [_ended(runs[run_id]) for run_id in active if runs[run_id].state != "running"]
        return [*started, *trained, *decided, *ended]

    def _new_versions(self, run_ids: list[str]) -> list[Event]:
        """The new versions: at once, where the runner knows the artifacts of a run, or else when they are added."""
        by_version: dict[str, Event] = {}
        made = (event for run_id in run_ids for event in _policies(self._runner, run_id))
        for event in [*made, *map(_trained, self._endpoint.versions())]:
            by_version.setdefault(event.version, event)
        return [event for version, event in by_version.items() if version not in self._versions]


def _decided(before: Release | None, after: Release | None, verdicts: list[Verdict]) -> Iterator[Event]:
    """The evaluator's verdicts among new ones, and the changes of the release with the verdicts behind them."""
    for verdict in verdicts:
        if verdict.by == "evaluator":
            text = f"{verdict.decision}: {verdict.reason}"
            yield Event("judged", text, verdict.version, verdict.run, {"held_out": verdict.better.count})
    if before and after:
        yield from changes(before, after, {verdict.version: verdict for verdict in verdicts})


def changes(before: Release, after: Release, verdicts: dict[str, Verdict]) -> Iterator[Event]:
    """The events between two releases; `verdicts` are those in between, the last one by version."""
    if after.champion != before.champion:
        yield _new_champion(before.champion, after.champion, verdicts)
    if before.challenger and before.challenger not in (after.champion, after.challenger):
        verdict = verdicts.get(before.challenger)
        reason = _why(verdict) if verdict and verdict.decision == "rollback" else ""
        text = f"{after.champion} {'stays' if after.champion == before.champion else 'is'} champion{reason}"
        yield Event("rolled back" if reason else "replaced", text, before.challenger)
    percent = after.challenger_percent
    if after.challenger and (after.challenger, percent) != (before.challenger, before.challenger_percent):
        text = f"{percent} % of the users, beside {after.champion}{_why(verdicts.get(after.challenger))}"
        yield Event("canary" if percent else "shadow", text, after.challenger, numbers={"traffic_percent": percent})


def _new_champion(before: str, after: str, verdicts: dict[str, Verdict]) -> Event:
    verdict = verdicts.get(before)
    if verdict and verdict.decision == "rollback":
        return Event("rolled back", f"{after} is champion again{_why(verdict)}", before)
    return Event("promoted", f"champion instead of {before}{_why(verdicts.get(after))}", after)


def _why(verdict: Verdict | None) -> str:
    """The source and reason of a decision; empty for the evaluator's, which the event `judged` has told."""
    if verdict is None or verdict.by == "evaluator":
        return ""
    return f", by the {verdict.by}" + (f": {verdict.reason}" if verdict.reason else "")


def _policies(runner: Runner, run_id: str) -> Iterator[Event]:
    for artifact in runner.artifacts(run_id):
        if version := artifact.metadata.get("version"):
            learned = artifact.metadata.get("interactions")
            yield Event("trained", "", str(version), run_id, {"learned_from": learned} if learned is not None else {})


def _trained(manifest: Manifest) -> Event:
    return Event("trained", "", manifest.version, manifest.run, {"learned_from": manifest.interactions})


def _ended(run: Run) -> Event:
    seconds = {"seconds": round((run.ended - run.started).total_seconds(), 1)} if run.ended else {}
    if run.state == "failed":
        return Event("failed", run.reason, run=run.run_id, numbers=seconds)
    return Event("finished", "", run=run.run_id, numbers=seconds)
