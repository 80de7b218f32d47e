"""On-policy training of TF-Agents' agents by their drivers, and TensorBoard's logs of any training."""

import numpy as np
import pytest

from banditloop.rl_core.agents import STATISTICS, Batch, read_arrays
from banditloop.rl_core.agents.tf_agents_algorithms import AlgorithmSection
from banditloop.rl_core.config import Config
from banditloop.rl_core.errors import InvalidInput
from banditloop.rl_core.policies.saved_policy import SavedPolicy
from banditloop.rl_core.promotion.on_policy import on_policy_step
from banditloop.rl_core.training.on_policy import Curve, simulate, train_on_policy
from banditloop.rl_core.training.on_policy.simulation import Simulation

pytest.importorskip("banditloop.rl_core.tf", exc_type=ImportError)
pytest.importorskip("tf_agents.trajectories.trajectory")

from banditloop.rl_core.tf import tf
from banditloop.rl_core.training.on_policy.drivers import DriverLearner
from banditloop.rl_core.training.on_policy.tensorboard import summaries

# isort: split
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

LINEAR = {"name": "linear", "dim": 3, "actions": 3, "contexts": 50}
GOOGLE = {"alpha": 10.0, "tikhonov_weight": 0.001}  # of its step-by-step demo


def config(environment=LINEAR, **settings):
    agent = {"name": "linucb", "alpha": GOOGLE["alpha"], "l2": GOOGLE["tikhonov_weight"]}
    return Config.parse({"environment": environment, "agent": agent, "on_policy": settings})


def learner(settings, algorithm, hyperparameters=None):
    section = AlgorithmSection(algorithm=algorithm, hyperparameters=hyperparameters or {}, seed=1)
    return DriverLearner(settings, section, Simulation(settings))


def test_linucb_of_tf_agents_has_the_curve_of_ours_on_the_same_contexts():
    """Where it explores, the same; of actions that were never tried, ours knows more."""
    settings = config({"name": "movielens", "movies": 4})
    theirs, curve = learner(settings, "lin_ucb", GOOGLE), Curve()
    theirs.begin(0)
    for number in range(settings.on_policy.training_loops):
        curve.add(theirs.run(number))
    for their_loop, our_loop in zip(curve.loops, simulate(settings).loops, strict=True):
        assert their_loop.row() == pytest.approx(our_loop.row(), rel=1e-5, abs=1e-5)
    assert theirs.statistics["counts"].sum() == curve.interactions == 80


@pytest.mark.slow
@pytest.mark.parametrize("algorithm", ["neural_epsilon_greedy", "lin_ts", "exp3"])
def test_a_random_agent_goes_on_from_a_checkpoint_as_if_nothing_had_happened(algorithm):
    settings = config()
    whole = learner(settings, algorithm)
    whole.begin(0)
    before = [whole.run(loop) for loop in range(2)]
    kept = whole.statistics
    whole.begin(2)
    after = [whole.run(loop) for loop in range(2, 4)]
    resumed = learner(settings, algorithm)
    resumed.restore(kept, 2)
    resumed.begin(2)
    assert [resumed.run(loop) for loop in range(2, 4)] == after
    assert len({loop.average_return for loop in [*before, *after]}) == 4  # new random numbers in every loop
    assert {loop.interactions for loop in (*before, *after)} == {16}


@pytest.mark.parametrize("algorithm", ["lin_ts", "exp3"])
@pytest.mark.parametrize("ended", [2, 3])
def test_a_longer_training_goes_on_in_an_environment_with_a_clock(algorithm, ended, tmp_path):
    """From the end of a shorter one, whether or not a checkpoint is due there."""
    environment = {"name": "delayed", "environment": {"name": "drifting", "dim": 3, "actions": 3, "period": 5}}
    agent = {"name": "tf_agents", "algorithm": algorithm}
    settings, shorter = (
        Config.parse(
            {"environment": environment, "agent": agent}
            | {"on_policy": {"training_loops": loops, "checkpoint_loops": 2, "batch_size": 3}}
        )
        for loops in (5, ended)
    )
    statistics, whole = train_on_policy(settings, Simulation(settings))
    train_on_policy(shorter, Simulation(shorter), tmp_path)
    resumed, curve = train_on_policy(settings, Simulation(settings), tmp_path, resume=True)
    assert curve == whole
    for name, array in statistics.items():
        np.testing.assert_array_equal(resumed[name], array)


@pytest.mark.slow
def test_the_policy_of_an_agent_of_tf_agents_is_served_and_trained_further(tmp_path):
    agent = {"name": "tf_agents", "algorithm": "lin_ucb", "hyperparameters": {"alpha": 0.5}}
    values = {"environment": LINEAR, "agent": agent, "policy": {"saved_model": False}}
    settings, more = (Config.parse(values | {"on_policy": {"training_loops": loops}}) for loops in (4, 8))
    on_policy_step(settings, None, tmp_path / "policy", tmp_path, resume=False)
    trained = on_policy_step(more, None, tmp_path / "policy", tmp_path)
    assert [loop.interactions for loop in trained.curve.loops] == list(range(16, 129, 16))
    policy = SavedPolicy.load(tmp_path / "policy")
    observations = more.environment.population()["observation"]
    chosen = policy.model.probabilities(observations)
    assert (chosen * more.environment.expected_rewards()).sum(axis=1).mean() > trained.baselines["best_fixed"]
    statistics = read_arrays(tmp_path / "policy" / STATISTICS)
    batch = Batch(observations, np.zeros(50, int), np.ones(50))
    assert more.agent.update(statistics, [batch])["counts"].sum() == 128 + 50


@pytest.mark.parametrize(
    ("environment", "settings", "message"),
    [
        (LINEAR, {"exploration": 0.1}, "on_policy.exploration = 0.1: TF-Agents' agents explore by their own"),
        ({"name": "movielens", "movies": 6, "available": 3}, {}, "environment: not every action may always be chosen"),
    ],
)
def test_what_tf_agents_cannot_do_is_refused(environment, settings, message):
    with pytest.raises(InvalidInput, match=message):
        learner(config(environment, **settings), "exp3")


def test_tensorboard_has_the_scalars_of_every_loop_and_a_trace(tmp_path):
    settings = config(training_loops=3)
    with summaries(tmp_path, profile=True) as summarise:
        curve = simulate(settings, on_loop=summarise)
    logs = EventAccumulator(str(tmp_path)).Reload()
    read = {
        tag: [(event.step, float(tf.make_ndarray(event.tensor_proto))) for event in logs.Tensors(f"Metrics/{tag}")]
        for tag in ("AverageReturn", "RegretMetric", "NumberOfEpisodes")
    }
    assert read["AverageReturn"] == [(loop.interactions, pytest.approx(loop.average_return)) for loop in curve.loops]
    assert read["RegretMetric"] == [(loop.interactions, pytest.approx(loop.regret)) for loop in curve.loops]
    assert read["NumberOfEpisodes"] == [(16, 16), (32, 32), (48, 48)]
    assert len(list(tmp_path.glob("plugins/profile/*/*.xplane.pb"))) == 1
