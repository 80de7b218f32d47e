"""The on_policy section: training in simulation."""

from pydantic import Field

from banditloop.rl_core.settings.section import MAX_INTEGER, Section


class OnPolicySection(Section):
    """Training in the config's environment, by loops: the policy takes steps in it, then the agent learns from them."""

    training_loops: int = Field(5, ge=1, le=10_000_000, description="number of loops")
    steps_per_loop: int = Field(
        2,
        ge=1,
        le=100_000,
        description="steps in the environment between two trainings; whole episodes are played until there "
        "are at least steps_per_loop × batch_size decisions",
    )
    batch_size: int = Field(8, ge=1, le=100_000, description="decisions in a step: episodes are played side by side")
    exploration: float = Field(
        0.0, ge=0, le=1, description="fraction of decisions drawn uniformly, besides what the agent itself explores"
    )
    checkpoint_loops: int = Field(100, ge=1, description="loops between two checkpoints, from which training resumes")
    seed: int = Field(0, ge=0, le=MAX_INTEGER, description="seed of contexts, decisions and rewards")

    @property
    def interactions_per_loop(self) -> int:
        """Decisions between two trainings; of episodes, the least number of them."""
        return self.steps_per_loop * self.batch_size
