"""The command `import`: logs of other systems as decisions and rewards."""

from collections import Counter
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc
import typer

from banditloop.pipelines.cli import display
from banditloop.pipelines.cli.options import ConfigOption, JsonOption, load_config
from banditloop.pipelines.cli.progress import progress, watched
from banditloop.rl_core.backends import connect
from banditloop.rl_core.config import Config
from banditloop.rl_core.errors import InvalidInput
from banditloop.rl_core.estimators.log_table import listed_columns
from banditloop.rl_core.events.propensities import has_unknown_propensity
from banditloop.rl_core.logs.choices import LoggingPolicy
from banditloop.rl_core.logs.columns import parse_mapping
from banditloop.rl_core.logs.episodes import LastStep
from banditloop.rl_core.logs.formats import LogFiles
from banditloop.rl_core.promotion.start import check_start

Format = Literal["csv", "parquet", "jsonl", "dsjson", "cb", "cb_adf", "obd", "reagent", "vertex-sample"]
FilesArgument = Annotated[
    list[Path], typer.Argument(metavar="FILE...", help="Files of one log; each row is a decision, with its reward.")
]
MapOption = Annotated[
    list[str],
    typer.Option(
        "--map",
        metavar="NAME=COLUMN",
        help="The column of a field (event_id, timestamp, action, propensity, probabilities, reward, candidates, "
        "candidate_features, logging_probability, episode_id, step, terminal, truncated), of a feature, or of a reward "
        "in [episodes]; may be repeated.",
    ),
]
FormatOption = Annotated[
    Format | None,
    typer.Option(
        "--format",
        help="Default: by the suffix. dsjson, cb, cb_adf: Vowpal Wabbit's; obd: Open Bandit Dataset; reagent: "
        "ReAgent's table of episodes, in any file; vertex-sample: the trajectory table of Google's MovieLens sample as "
        "JSON lines.",
    ),
]
LoggingPolicyOption = Annotated[
    LoggingPolicy | None,
    typer.Option(
        help="How actions without a logged propensity were chosen. Those of an unknown policy cannot evaluate others."
    ),
]
IgnoreOption = Annotated[
    bool, typer.Option("--ignore-others", help="Leave out columns that are neither mapped nor features of the task.")
]
LastStepOption = Annotated[
    LastStep | None,
    typer.Option(
        help="What the last step of an episode is where no column says how it ended. Default: truncated, and terminal "
        "in ReAgent's table."
    ),
]
SourceOption = Annotated[
    str, typer.Option(help="Name of this piece of the log. Ids are made of it where the log has none.")
]
SAMPLE_BATCH = 1000
Tables = tuple[pa.Table, pa.Table]  # decisions and rewards


class Read(NamedTuple):
    """The events of a log, to be read as often as needed, and counts and columns of it, known after reading."""

    tables: Callable[[], Iterator[Tables]]
    notes: Callable[[], dict[str, Any]]


def import_(
    files: FilesArgument,
    mapping: MapOption = [],
    format: FormatOption = None,
    source: SourceOption = "",
    logging_policy: LoggingPolicyOption = None,
    last_step: LastStepOption = None,
    ignore_others: IgnoreOption = False,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Import the log of another system: decisions with their propensities, and rewards. Importing again adds nothing.

    A log may come in pieces, and twice: a decision is known by its id. Equal rows of a log without ids are told apart
    by how often they have occurred, so name each piece that you import by `--source`. All rows are checked before any
    is imported.

    Features are read from columns of their name. A log in Vowpal Wabbit's formats names them as namespace.feature; its
    actions are those of the task, in their order, unless they have tags.

    Example: `banditloop import log.csv --map action=arm --map reward=clicked --map propensity=p --source june`

    Example: `banditloop import log.dsjson --ignore-others`

    Example: `banditloop import all.csv --format obd --source zozo-all --ignore-others`

    Decisions of episodes have columns episode_id and step, and terminal and truncated, or Gymnasium's terminated; give
    all rows of an episode at once.

    Example: `banditloop import episodes.parquet --format reagent --source may`

    Example: `banditloop import trajectories-*.json --format vertex-sample --logging-policy uniform`
    """
    settings = load_config(config)
    if format == "vertex-sample":
        read = _sample(files, settings, logging_policy)
    else:
        fields, others = parse_mapping(mapping), settings.other_rewards
        log = LogFiles(files, settings.task, fields, format or "", ignore_others, others, last_step)
        read = _log(log, settings, source, logging_policy)
    summary = _append(read, settings, quiet=as_json)
    display.json_or_call(summary, as_json, lambda: _show(summary))


def _append(read: Read, config: Config, quiet: bool) -> dict[str, Any]:
    """Import all events, after a check of all of them; returns their numbers and the notes on the log."""
    platform = connect(config)
    check_start(config, platform)
    with progress(quiet) as report:
        rows = sum(map(_decisions, watched(read.tables(), report, "checking", None, "decisions", _decisions)))
        added = 0
        for decisions, rewards in watched(read.tables(), report, "importing", rows, "decisions", _decisions):
            platform.warehouse.append("rewards", rewards)
            added += platform.warehouse.append("decisions", decisions)
    return {"added": added, "duplicate": rows - added} | read.notes()


def _decisions(tables: Tables) -> int:
    return tables[0].num_rows


def _log(files: LogFiles, config: Config, source: str, logging_policy: LoggingPolicy | None) -> Read:
    unknown = Counter[str]()

    def tables() -> Iterator[Tables]:
        unknown.clear()
        for decisions, rewards, _ in files.events(config.reward.name, source, logging_policy):
            unknown["without_propensity"] += pc.sum(has_unknown_propensity(decisions)).as_py() or 0
            yield decisions, rewards

    def notes() -> dict[str, Any]:
        columns = {"ignored_columns": sorted(files.others), "features_without_column": sorted(files.absent)}
        return {**unknown, "columns": files.fields, "left_out": dict(files.left_out), **columns}

    return Read(tables, notes)


def _sample(files: list[Path], config: Config, logging_policy: LoggingPolicy | None) -> Read:
    from banditloop.pipelines.cli.vertex_sample import read_interactions, to_tables

    if logging_policy is None:
        raise InvalidInput(
            "--logging-policy: rows of the sample's generator are uniform; those of its logger are of an unknown "
            "policy, and carry the rewards of other users"
        )

    def tables() -> Iterator[Tables]:
        counts, interactions = Counter[str](), read_interactions(files, config)
        while batch := list(islice(interactions, SAMPLE_BATCH)):
            yield to_tables(batch, config, logging_policy, counts)

    return Read(tables, dict)


def _show(summary: dict[str, Any]) -> None:
    repeated = f"; {summary['duplicate']:,} had been imported before, or have the id of another"
    display.line(f"imported {summary['added']:,} decisions{repeated if summary['duplicate'] else ''}")
    if unknown := summary.get("without_propensity"):
        display.line(
            f"{unknown:,} have no propensity: they are learned from, and left out where policies are evaluated"
        )
    if renamed := listed_columns(summary.get("columns", {})):
        display.line(renamed)
    for key in ("left_out", "ignored_columns", "features_without_column"):
        if value := summary.get(key):
            listed = (
                ", ".join(f"{count:,} {name}" for name, count in value.items())
                if isinstance(value, dict)
                else ", ".join(value)
            )
            display.line(f"{key.replace('_', ' ')}: {listed}")
