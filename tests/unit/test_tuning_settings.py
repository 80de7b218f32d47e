"""The search space of a tuning: what it accepts, and what it refuses in one line."""

import json

import pytest

from banditloop.rl_core.config import Config
from banditloop.rl_core.errors import InvalidInput
from banditloop.rl_core.settings.search_space import with_parameters

TWO_AGENTS = {"values": ["linucb", "neural_epsilon_greedy"]}
ALPHA = {"low": 0.01, "high": 10, "log": True}


def tuned(agent=(), policy=(), **settings):
    space = {"agent": dict(agent), "policy": dict(policy)}
    values = {"environment": {"name": "linear"}, "agent": {"name": "linucb"}}
    return Config.parse(values | {"tuning": {"search_space": space} | settings})


def test_settings_are_tried_with_the_agents_that_have_them():
    config = tuned({"alpha": ALPHA, "hidden_units": {"low": 8, "high": 64}, "name": TWO_AGENTS})
    name, alpha, units = config.search_space()
    assert (name.key, name.agents) == ("agent.name", ("linucb", "neural_epsilon_greedy"))
    assert (alpha.key, alpha.agents, alpha.whole) == ("agent.alpha", ("linucb",), False)
    assert (units.key, units.agents, units.whole) == ("agent.hidden_units", ("neural_epsilon_greedy",), True)


def test_settings_of_on_policy_training_are_tried_where_policies_come_of_it():
    space = {"on_policy": {"training_loops": {"values": [4, 16]}, "exploration": {"low": 0, "high": 0.5}}}
    values = {"environment": {"name": "linear"}, "agent": {"name": "linucb"}}
    config = Config.parse(values | {"tuning": {"search_space": space, "objective": "on_policy"}})
    loops, exploration = config.search_space()
    assert (loops.key, loops.agents, loops.whole) == ("on_policy.training_loops", ("linucb",), True)
    assert (exploration.key, exploration.whole) == ("on_policy.exploration", False)
    for objective, message in (("simulation", "is not tried by objective = 'simulation'"), ("on_policy", "batch_sise")):
        wrong = {"on_policy": {"batch_sise": {"values": [1]}}} if objective == "on_policy" else space
        with pytest.raises(InvalidInput, match=message):
            Config.parse(values | {"tuning": {"search_space": wrong, "objective": objective}})


def test_a_search_space_travels_as_json_in_which_all_numbers_are_floats():
    config = tuned({"alpha": ALPHA, "l2": {"values": [0.3, 1]}})
    assert Config.parse(json.loads(json.dumps(config.to_dict()), parse_int=float)) == config


@pytest.mark.parametrize(
    ("space", "message"),
    [
        ({"agent": {"alfa": ALPHA}}, r"search_space.agent.alfa = 0.01: is no key; did you mean 'alpha'"),
        ({"agent": {"alpha": {"low": -1, "high": 1}}}, r"search_space.agent.alpha = -1.0: .* greater than or equal"),
        ({"agent": {"l2": {"values": [0, 1]}}}, r"search_space.agent.l2 = 0: .* greater than 0"),
        ({"agent": {"alpha": {"low": 1, "high": 0.5}}}, r"agent.alpha = .*: give low and high, low < high"),
        ({"agent": {"alpha": {"low": 0, "high": 1, "log": True}}}, r"a logarithmic scale begins above 0"),
        ({"agent": {"alpha": ALPHA | {"values": [1]}}}, r"give either values, or low and high"),
        ({"agent": {"alpha": ALPHA | {"agents": ["linear"]}}}, r"agent.alpha.agents: 'linear' is not one of: linucb"),
        ({"agent": {"name": {"values": ["linucbb", "linucb"]}}}, r"search_space.agent.name = 'linucbb': is not one of"),
        (
            {"agent": {"name": TWO_AGENTS, "alpha": ALPHA | {"agents": ["neural_epsilon_greedy"]}}},
            r"search_space.agent.alpha = 0.01: is no key",
        ),
        ({"policy": {"exploration": {"values": [0.1]}}}, r"search_space.policy: a log shows .* 'simulation'"),
        ({"on_policy": {"batch_size": {"values": [4]}}}, r"search_space.on_policy: is not tried by objective = 'log'"),
        ({"release": {"canary_percent": {"values": [1]}}}, r"search_space.release = .*: is no key"),
    ],
)
def test_what_no_section_accepts_is_refused_in_one_line(space, message):
    values = {"environment": {"name": "linear"}, "agent": {"name": "linucb"}}
    with pytest.raises(InvalidInput, match=message) as error:
        Config.parse(values | {"tuning": {"search_space": space}})
    assert "\n" not in str(error.value)


def test_a_simulation_needs_an_environment():
    with pytest.raises(InvalidInput, match=r"tuning.objective = 'simulation': needs an environment"):
        Config.parse({"task": {"actions": 2}, "tuning": {"objective": "simulation"}})


def test_another_agent_has_none_of_the_settings_of_the_one_before():
    values = {"agent": {"name": "linucb", "alpha": 2.0}, "policy": {"exploration": 0.1}}
    assert with_parameters(values, {"agent.l2": 0.3})["agent"] == {"name": "linucb", "alpha": 2.0, "l2": 0.3}
    changed = with_parameters(values, {"agent.name": "neural_epsilon_greedy", "policy.exploration": 0.2})
    assert changed == {"agent": {"name": "neural_epsilon_greedy"}, "policy": {"exploration": 0.2}}
