"""The search on one machine: an Optuna study in a file, which goes on where it ended.

Akiba, Sano, Yanase, Ohta, Koyama: Optuna: A Next-generation Hyperparameter Optimization Framework, KDD 2019. Trials are
proposed by tree-structured Parzen estimators (Bergstra, Bardenet, Bengio, Kégl: Algorithms for Hyper-Parameter
Optimization, NeurIPS 2011); the first trial has the present settings. Where there are no more combinations of settings
than trials, each is tried once.
"""

import logging
import math
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal

import optuna
from optuna.exceptions import ExperimentalWarning
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import FrozenTrial, TrialState

from banditloop.rl_core.config import Config
from banditloop.rl_core.errors import InvalidInput
from banditloop.rl_core.ports import Trial
from banditloop.rl_core.settings.search_space import Dimension
from banditloop.rl_core.settings.tuning import AGENT_NAME, TuningSection
from banditloop.rl_core.tuning.trials import Parameters, measured

JOURNAL = "journal.log"
VALUES, ERROR = "values", "error"  # attributes of a trial
log = logging.getLogger("banditloop.tuning")


def search(
    config: Config,
    evaluate: Callable[[Parameters, int], float],
    folder: Path,
    on_trial: Callable[[Trial], None] = lambda trial: None,
) -> list[Trial]:
    """Run `tuning.trials` trials, and return them by number. Those that ended in an earlier call are not repeated.

    evaluate: the value of settings with one seed; `tuning.parallel` calls at a time, in threads.
    """
    tuning = config.tuning
    study = _open(tuning, folder)
    _enqueue(study, config)

    def objective(trial: optuna.Trial) -> float:
        parameters, values = _suggested(trial, config), []
        for seed in range(tuning.seeds):
            values.append(evaluate(parameters, seed))
            trial.set_user_attr(VALUES, values)
            trial.report(sum(values) / len(values), seed)
            if seed + 1 < tuning.seeds and trial.should_prune():
                raise optuna.TrialPruned
        return sum(values) / len(values)

    def ended(study: optuna.Study, trial: FrozenTrial) -> None:
        on_trial(_trial(trial))

    remaining = tuning.trials - len(_ended(study))
    if remaining > 0:
        study.optimize(_refused(objective), remaining, n_jobs=tuning.parallel, catch=InvalidInput, callbacks=[ended])
    return [_trial(trial) for trial in _ended(study)]


def _open(tuning: TuningSection, folder: Path) -> optuna.Study:
    """The study in a folder, with its trials so far."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    folder.mkdir(parents=True, exist_ok=True)
    storage = JournalStorage(JournalFileBackend(str(folder / JOURNAL)))
    pruners: dict[str, Callable[[], optuna.pruners.BasePruner]] = {
        "median": optuna.pruners.MedianPruner,
        "hyperband": lambda: optuna.pruners.HyperbandPruner(1, tuning.seeds),
        "none": optuna.pruners.NopPruner,
    }
    study = optuna.create_study(
        storage=storage,
        study_name="tuning",
        direction="maximize",
        pruner=pruners[tuning.pruning](),
        load_if_exists=True,
    )
    seed = tuning.seed + len(study.trials)  # a resumed study draws other settings
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)  # of the BruteForceSampler
        kind = optuna.samplers.BruteForceSampler if _lists_few(tuning) else optuna.samplers.TPESampler
        study.sampler = kind(seed=seed)
    return study


def _lists_few(tuning: TuningSection) -> bool:
    """Whether the trials suffice for all combinations of settings, which are then tried once each."""
    numbers = [len(parameter.values) for _, parameter in tuning.parameters()]
    return all(numbers) and math.prod(numbers) <= tuning.trials


def _enqueue(study: optuna.Study, config: Config) -> None:
    """Enqueue the present settings as the first trial, and again those that a killed process was trying."""
    if not study.trials and (present := present_parameters(config)):
        study.enqueue_trial(present)
    for trial in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
        study.tell(trial.number, state=TrialState.FAIL)
        study.enqueue_trial(trial.params)


def present_parameters(config: Config) -> Parameters:
    """The config's own settings as a trial; empty if the search space has not all of them."""
    present = {key: _setting(config, key) for key, _, agents, _ in config.search_space() if config.agent.name in agents}
    allowed = (key not in present or parameter.allows(present[key]) for key, parameter, _, _ in config.search_space())
    return present if all(allowed) else {}


def _setting(config: Config, key: str) -> Any:
    section, _, setting = key.partition(".")
    return getattr(getattr(config, section), setting)


def _suggested(trial: optuna.Trial, config: Config) -> Parameters:
    """The settings of a trial, by key; those of other agents than the one it chose are not among them."""
    parameters: Parameters = {}
    for dimension in config.search_space():
        if dimension.key == AGENT_NAME or parameters.get(AGENT_NAME, config.agent.name) in dimension.agents:
            parameters[dimension.key] = _suggest(trial, dimension)
    return parameters


def _suggest(trial: optuna.Trial, dimension: Dimension) -> Any:
    key, parameter, _, whole = dimension
    if parameter.values:
        return trial.suggest_categorical(key, parameter.values)
    low, high = parameter.range()
    if whole:
        return trial.suggest_int(key, int(low), int(high), log=parameter.log)
    return trial.suggest_float(key, low, high, log=parameter.log)


def _refused(objective: Callable[[optuna.Trial], float]) -> Callable[[optuna.Trial], float]:
    """The objective; the reason why settings were refused is kept with their trial."""

    def call(trial: optuna.Trial) -> float:
        try:
            return objective(trial)
        except InvalidInput as error:
            trial.set_user_attr(ERROR, str(error))
            log.warning("trial %d is left out: %s", trial.number, error)
            raise

    return call


def _ended(study: optuna.Study) -> Sequence[FrozenTrial]:
    """The trials that ended by themselves: a killed one has failed without an error."""
    states = TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL
    trials = study.get_trials(deepcopy=False, states=states)
    return [trial for trial in trials if trial.state != TrialState.FAIL or ERROR in trial.user_attrs]


def _trial(trial: FrozenTrial) -> Trial:
    states: dict[TrialState, Literal["complete", "pruned"]] = {
        TrialState.COMPLETE: "complete",
        TrialState.PRUNED: "pruned",
    }
    return measured(trial.number, trial.params, states.get(trial.state, "failed"), trial.user_attrs.get(VALUES, []))
