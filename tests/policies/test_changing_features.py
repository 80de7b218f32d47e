"""A task that gains and drops features: serving, training, evaluation and reports go on, with the same propensities."""

import numpy as np
import pytest

from banditloop.rl_core.backends import connect
from banditloop.rl_core.config import Config
from banditloop.rl_core.evaluation.log_window import logged_window
from banditloop.rl_core.policies.saved_policy import SavedPolicy
from banditloop.rl_core.reports.release_report import report
from tests.policies.test_growing_actions import Site

FEATURES = {"age": ["young", "old"], "device": "category", "hour": "number"}
DEVICES = ["phone", "tablet"]


class ChangingSite(Site):
    """A site that knows more or less of its visitors."""

    def set_features(self, *names: str) -> None:
        """Change the task's features."""
        values = self.config.to_dict()
        values["task"]["context"] = {name: FEATURES[name] for name in names}
        # With a width above 0 or little shrinkage, it would explore actions that were rarely seen with a new feature.
        values["agent"] = {"name": "linucb", "alpha": 0.0, "l2": 10.0}
        self.connect(Config.parse(values))

    def context(self, age: str) -> dict:
        """A visitor, as far as the task knows."""
        visitor = {"age": age, "device": str(self.random.choice(DEVICES)), "hour": float(self.random.integers(24))}
        return {name: visitor[name] for name in self.config.task.context}


@pytest.mark.parametrize(
    ("before", "after"),
    [(("age", "device"), ("age",)), (("age",), ("age", "hour")), (("age", "hour"), ("age", "device"))],
)
def test_everything_goes_on_with_other_features(tmp_path, before, after):
    site = ChangingSite(tmp_path)
    site.set_features(*before)
    site.visit(400)
    first = site.retrain()
    site.visit(400)
    site.set_features(*after)
    site.visit(400)  # served by the policy of before
    second = site.retrain()
    assert second.manifest.parent is None  # other features: trained on the whole log
    assert second.manifest.generation == 2
    assert second.manifest.interactions == pytest.approx(1080, abs=60)
    shown = site.visit(400)
    assert sum(action in ("article 3", "article 5") for action in shown) > 150

    platform = connect(site.config)
    window = platform.warehouse.window(None)
    logged = logged_window(platform, site.config, window, [first, second])
    assert logged.unknown_version_rows == 0
    for batch in logged.batches():
        for version in (first, second):
            own = batch.logged_by == list(logged.policies).index(version.manifest.version)
            probabilities = SavedPolicy.probabilities(
                version, version.observations(batch.interactions.contexts), batch.interactions.candidates
            )
            chosen = probabilities[np.arange(len(own)), batch.interactions.actions]
            np.testing.assert_allclose(chosen[own], logged.table["propensity"].to_numpy()[: len(own)][own])
    assert report(site.config, platform)["versions"]
