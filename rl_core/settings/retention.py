"""The config section of what is kept, and for how long."""

from pydantic import Field

from banditloop.rl_core.settings.section import Section


class RetentionSection(Section):
    """What is kept besides what serves, what training resumes from, and what evaluation needs."""

    versions: int = Field(100, ge=10, description="newest policy versions that are kept, needed or not")
    runs: int = Field(
        100, ge=10, description="newest ended runs that are kept on this machine, with their artifacts and logs"
    )
    dead_letter_days: float = Field(30.0, gt=0, le=3660, description="days that dead letters are kept")
    log_megabytes: float = Field(
        10.0,
        gt=0,
        le=10_000,
        description="size at which the log of a service on this machine is rotated; one older is kept",
    )
