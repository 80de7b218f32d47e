"""The formats of logs by name, and the reading of files of any of them."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow as pa

from banditloop.rl_core.errors import InvalidInput
from banditloop.rl_core.logs import open_bandit, reagent
from banditloop.rl_core.logs.batches import RawBatch
from banditloop.rl_core.logs.choices import LoggingPolicy
from banditloop.rl_core.logs.columns import RESERVED, Columns
from banditloop.rl_core.logs.dsjson import read_dsjson
from banditloop.rl_core.logs.episodes import EpisodeReader, LastStep, Steps, last_steps, sorted_steps
from banditloop.rl_core.logs.events import EventReader, LoggedEvents
from banditloop.rl_core.logs.files import read_csv, read_jsonl, read_parquet
from banditloop.rl_core.logs.vw_text import read_cb, read_cb_adf
from banditloop.rl_core.settings.task import Task

Positional = Callable[[Path, Sequence[str] | None, Counter[str]], Iterator[RawBatch]]
TABLES: dict[str, Callable[[Path], Iterator[RawBatch]]] = {
    "csv": read_csv,
    "parquet": read_parquet,
    "jsonl": read_jsonl,
    "obd": read_csv,
}
POSITIONAL: dict[str, Positional] = {"dsjson": read_dsjson, "cb": read_cb, "cb_adf": read_cb_adf}
SUFFIXES = {".csv": "csv", ".tsv": "csv", ".parquet": "parquet", ".jsonl": "jsonl", ".ndjson": "jsonl"}
SUFFIXES |= {".json": "jsonl", ".dsjson": "dsjson"}
FORMATS = (*TABLES, *POSITIONAL, "reagent")
MAPPINGS = {"obd": open_bandit.MAPPING, "reagent": reagent.MAPPING}


@dataclass
class LogFiles:
    """Files of one log, which can be read repeatedly; left_out, fields, others and absent tell of the last reading.

    mapping: columns by field or feature, as `columns.parse_mapping` reads them. format: one of FORMATS, by the suffix
    if empty. ignore_others: whether columns that are neither mapped nor features are left out. last_step: what the last
    step of an episode is where no column says how it ended; None: terminal in ReAgent's table, else truncated.
    """

    paths: Sequence[Path]
    task: Task
    mapping: Mapping[str, str] = field(default_factory=dict)
    format: str = ""
    ignore_others: bool = False
    rewards: Sequence[str] = ()  # names of further rewards
    last_step: LastStep | None = None
    left_out: Counter[str] = field(default_factory=Counter, init=False)  # lines that are no decisions, by reason
    fields: dict[str, str] = field(default_factory=dict, init=False)  # columns that were read as fields, by the field
    others: set[str] = field(default_factory=set, init=False)  # columns that were left out
    absent: set[str] = field(default_factory=set, init=False)  # features that no column has
    _names: dict[str, None] = field(default_factory=dict, init=False)  # of all columns so far, in order

    def batches(self) -> Iterator[tuple[RawBatch, Columns]]:
        """All rows in the order of the files, and which column is what.

        Raises:
            InvalidInput: a file cannot be read, is given twice, or has columns that are not known.
        """
        self.left_out.clear()
        self.fields, self.others, self.absent, self._names = {}, set(), set(self.task.context), {}
        resolved = [path.resolve() for path in self.paths]
        for path in resolved:
            if resolved.count(path) > 1:
                raise InvalidInput(f"{path}: is given twice")
            self._names = {}
            yield from self._file(path)

    def events(
        self, reward_name: str = "reward", source: str = "", logging_policy: LoggingPolicy | None = None
    ) -> Iterator[LoggedEvents]:
        """Decisions and rewards of all rows; the arguments are those of EventReader."""
        reader = self.reader(reward_name, source, logging_policy)
        return (reader.read(batch, columns) for batch, columns in self.batches())

    def reader(self, reward_name: str, source: str, logging_policy: LoggingPolicy | None) -> EventReader:
        """The reader of events for one pass over `batches`; to see how episodes end, it reads the files once before."""
        default: LastStep = "terminal" if self.format == "reagent" else "truncated"
        prefix, how = f"{source}-" if source else "", self.last_step or default
        if self.steps_are_places:
            numbers = sorted_steps(self.batches())
            last, steps = {episode: len(places) - 1 for episode, places in numbers.items()}, Steps(numbers)
        else:
            last, steps = last_steps(self.batches()), Steps()
        episodes = EpisodeReader(prefix, last, how, steps)
        return EventReader(self.task, reward_name, source, logging_policy or self.logging_policy, episodes)

    @property
    def logging_policy(self) -> LoggingPolicy | None:
        """How actions without a logged propensity were chosen, by default; None: a row without one is wrong."""
        return "unknown" if self.format == "reagent" else None

    @property
    def steps_are_places(self) -> bool:
        """Whether a step counts as its position in its episode: in ReAgent's table, unless it is mapped."""
        return self.format == "reagent" and "step" not in self.mapping

    def _file(self, path: Path) -> Iterator[tuple[RawBatch, Columns]]:
        rows = 0
        try:
            for batch in self._read(path):
                rows += batch.table.num_rows
                yield batch, self._columns(batch)
        except OSError as error:
            raise InvalidInput(f"{path}: {error.strerror or error}") from None
        except (pa.ArrowException, UnicodeDecodeError) as error:
            raise InvalidInput(f"{path}: {error}") from None
        if not rows:
            raise InvalidInput(f"{path}: has no decisions")

    def _read(self, path: Path) -> Iterator[RawBatch]:
        name = self.format if self.format not in ("", "reagent") else SUFFIXES.get(path.suffix.lower(), "")
        if name not in FORMATS:
            raise InvalidInput(f"{path}: its format is not known by its name; give --format: {', '.join(FORMATS)}")
        if name in TABLES:
            return TABLES[name](path)
        return POSITIONAL[name](path, None if self.task.numbered else self.task.action_ids, self.left_out)

    def _columns(self, batch: RawBatch) -> Columns:
        self._names |= dict.fromkeys(batch.table.column_names)
        names = list(self._names)  # a batch of JSON may lack columns that earlier batches had
        defaults = MAPPINGS.get(self.format, {})
        usable = {name: column for name, column in defaults.items() if column in names}
        columns = Columns.of(names, usable | dict(self.mapping), self.task.context, self.rewards)
        if not self.ignore_others:
            columns.check_others(self.task.context)
        self.fields |= {name: column for name, column in columns.fields.items() if not column.startswith(RESERVED)}
        self.others |= set(columns.others)
        self.absent &= set(columns.absent)
        return columns
