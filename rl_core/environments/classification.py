"""Classification as a bandit: the actions are the classes, and the right one earns 1."""

from functools import cached_property
from typing import Annotated, Literal

import numpy as np
from pydantic import Field

from banditloop.rl_core.environments.environment import Environment, draw
from banditloop.rl_core.environments.labelled_table import DIGITS, PIXELS, LabelledTable, digits, labelled_table
from banditloop.rl_core.environments.synthetic import vector_task
from banditloop.rl_core.events.contexts import Contexts
from banditloop.rl_core.settings.section import Line, RelativePath
from banditloop.rl_core.settings.task import Task

ROW = "_row"  # a hidden column, by which the reward knows the right class


class Classification(Environment):
    """Any labelled table: a context is a row without its label, and the reward is 1 for the label, else 0.

    digits: scikit-learn's handwritten digits. The context is a vector of 64 pixels from 0 to 1, and the ten actions are
    numbered.

    A table of yours: its columns are the features (numbers, booleans and texts; in their names, whatever is no letter
    or digit becomes _), and the labels that occur are the actions. To know them, its task reads the file.
    """

    name: Literal["classification"] = "classification"
    dataset: Annotated[Line, RelativePath(DIGITS)] = Field(
        DIGITS, description="digits, or the path or gs:// URI of a CSV or Parquet file"
    )
    label: Line = Field("label", description="column of the right class in a table of yours")

    @property
    def task(self) -> Task:
        if self.dataset == DIGITS:
            return vector_task(PIXELS, 10, 0.0, 1.0)
        return Task.parse({"actions": self._table.classes, "context": self._table.kinds}, "environment.dataset")

    def observe(self, batch: int, random: np.random.Generator) -> Contexts:
        return draw(self.population(), batch, random)

    def reward(self, contexts: Contexts, actions: np.ndarray, event_ids: list[str]) -> np.ndarray:
        chosen = [str(action) for action in actions]
        right = [self._table.classes[label] for label in self._table.labels[np.asarray(contexts[ROW])]]
        return np.array([float(one == other) for one, other in zip(chosen, right, strict=True)])

    def population(self) -> Contexts:
        return {**self._table.contexts, ROW: np.arange(len(self._table.labels))}

    def expected_rewards(self) -> np.ndarray:
        return np.eye(len(self._table.classes))[self._table.labels]

    @cached_property
    def _table(self) -> LabelledTable:
        return digits() if self.dataset == DIGITS else labelled_table(self.dataset, self.label)
