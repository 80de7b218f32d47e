"""An agent for configs of episodes that learns nothing from them."""

from banditloop.rl_core.agents import SequentialAgent
from banditloop.rl_core.agents.uniform import Uniform


class Idle(Uniform, SequentialAgent):
    name: str = f"{__name__}:Idle"
