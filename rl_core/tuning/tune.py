"""A tuning from its start, or from where it was interrupted, to the settings that the next trainings use."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from banditloop.rl_core.config import Config
from banditloop.rl_core.errors import InvalidInput
from banditloop.rl_core.policies.tuned import Tuned
from banditloop.rl_core.ports import Platform, Trial
from banditloop.rl_core.settings.section import Section, digest
from banditloop.rl_core.training.tuned import tuned_base, with_tuned
from banditloop.rl_core.tuning.attempt import attempt
from banditloop.rl_core.tuning.comparison import Comparison
from banditloop.rl_core.tuning.objective import Objective, Source, objective_of, with_source
from banditloop.rl_core.tuning.trial import arguments_of
from banditloop.rl_core.tuning.trials import best_first, runs_of, tried
from banditloop.rl_core.tuning.workers import Workers, in_this_process

OnTrial = Callable[[Trial], None]
Summary = dict[str, Any]


def tune(
    config: Config,
    platform: Platform | None,
    folder: Path,
    source: Source | None = None,
    run_id: str = "",
    on_trial: OnTrial = lambda trial: None,
) -> Summary:
    """Try settings, test the best ones against those in use, and save them in the loop if they are better.

    folder: of attempts; one that was killed goes on there. source: of the log; None: the loop's.

    Raises:
        InvalidInput: there is nothing to tune, no log, or no trial could be trained.
    """
    if not list(config.tuning.parameters()):
        raise InvalidInput(
            "tuning.search_space: is empty; name settings to try, as agent.alpha = {low = 0.1, high = 10, log = true}"
        )
    used = with_tuned(config, platform.endpoint.tuned()) if platform else config
    source = with_source(config, platform, source or Source())
    with attempt(folder / _identity(used, source), source) as source:
        objective = objective_of(used, platform, source)
        trials = best_first(_trials(used, platform, source, objective, folder / _identity(used, source), on_trial))
        if not trials or trials[0].state != "complete":
            raise InvalidInput("tuning: no trial could be trained; the log of this process says why")
        best = tried(used, trials[0].parameters)
        changed = (best.agent, best.policy, best.on_policy) != (used.agent, used.policy, used.on_policy)
        comparison = objective.compare(used, best) if changed else None
        tuned = _tuned(config, best, run_id) if comparison and comparison.is_better else None
        if tuned and platform:
            platform.endpoint.set_tuned(tuned)
    page = platform.record_runs("tuning", runs_of(trials, run_id or "tuning")) if platform else ""
    return _summary(config, objective, trials, comparison, tuned) | {"experiment": page}


def _identity(config: Config, source: Source) -> str:
    """The name of an attempt: other settings have another one. More trials, or more at a time, continue the attempt."""
    tuning = config.tuning.model_dump(mode="json", exclude={"trials", "parallel", "test_seeds"})
    trained_by = config.on_policy.model_dump(mode="json") if config.tuning.objective != "log" else None
    return digest([tuned_base(config), tuning, trained_by, source.log, dict(source.columns)])


def _trials(
    config: Config, platform: Platform | None, source: Source, objective: Objective, folder: Path, on_trial: OnTrial
) -> Sequence[Trial]:
    """The trials, on machines of the platform, or here."""
    if platform and (trials := platform.runner.trials(config, arguments_of(source))) is not None:
        return trials
    try:
        from banditloop.rl_core.tuning.study import search
    except ModuleNotFoundError as error:
        raise InvalidInput(f"tuning: {error.name} is not installed; pip install 'banditloop[tune]'") from None
    if config.tuning.parallel == 1:
        return search(config, in_this_process(config, objective), folder, on_trial)
    with Workers(config, source, platform is not None) as workers:
        return search(config, workers, folder, on_trial)


def _tuned(config: Config, best: Config, run_id: str) -> Tuned:
    """The settings to save, for the config as it is written."""
    changed = {
        "policy": _changed(config.policy, best.policy),
        "on_policy": _changed(config.on_policy, best.on_policy),
    }
    agent = best.agent.model_dump(mode="json")
    return Tuned(base=tuned_base(config), agent=agent, at=datetime.now(UTC), run=run_id, **changed)


def _changed(written: Section, best: Section) -> dict[str, Any]:
    """The settings of a section that differ from those written."""
    before = written.model_dump(mode="json")
    return {key: value for key, value in best.model_dump(mode="json").items() if value != before[key]}


def _summary(
    config: Config, objective: Objective, trials: Sequence[Trial], comparison: Comparison | None, tuned: Tuned | None
) -> Summary:
    """The result as plain numbers, in units of the reward."""
    compared = {name: part._asdict() for name, part in comparison.estimates().items()} if comparison else None
    return {
        "metric": objective.metric,
        "trials": [trial._asdict() for trial in trials],
        "best": trials[0].parameters,
        "comparison": compared,
        "tested_on": comparison.data if comparison else "",
        "better": tuned is not None,
        "settings": tuned.model_dump(mode="json", include={"agent", "policy", "on_policy"}) if tuned else None,
        "finding": _finding(comparison),
    }


def _finding(comparison: Comparison | None) -> str:
    if comparison is None:
        return "No trial was better than the settings in use; these stay."
    gain = comparison.difference
    text = f"On {comparison.data}, the best settings earn {gain.value:+.4g} [{gain.low:.4g}, {gain.high:.4g}] against"
    return f"{text} those in use: " + ("they are used from now on." if comparison.is_better else "those stay.")
