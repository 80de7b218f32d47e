"""A release: which versions answer, for whom, and what their competition has shown so far; and the verdicts on them."""

import hashlib
from datetime import UTC, datetime
from typing import Literal, Self

from pydantic import Field

from rl_core.estimators.sequential import Gate
from rl_core.manifest import RANDOM
from rl_core.sections import Section

Judgement = Literal["promote", "canary", "refuse", "rollback"]


class Contest(Section):
    """What the served decisions have shown of the challenger beside the champion."""

    until: datetime = Field(strict=False, description="decisions logged up to this were looked at")
    better: Gate = Field(Gate(), description="evidence that the challengers of this champion earn more")
    worse: Gate = Field(Gate(), description="evidence that this challenger's actions earn less, whenever that began")
    dropped: Gate = Field(Gate(), description="evidence that its users are worse off, whatever its actions")
    wealth: list[float] = Field([], description="log wealth of `better` after every look")


class Release(Section):
    """The versions behind the endpoint. With a share of 0 % the challenger is a shadow: logged, but not shown."""

    champion: str = Field(description="version that answers")
    challenger: str | None = Field(None, description="version that wants to be the next champion")
    share: int = Field(0, ge=0, le=99, description="percent of the traffic that the challenger answers")
    contest: Contest | None = Field(None, description="the evidence so far, of this champion")

    def traffic(self) -> dict[str, int]:
        """Percent of the traffic per version; a shadow's is 0."""
        return {self.champion: 100 - self.share} | ({self.challenger: self.share} if self.challenger else {})

    def dismissed(self) -> Self:
        """The release without its challenger."""
        return self.model_copy(update={"challenger": None, "share": 0})

    def role(self, version: str) -> str:
        """champion, canary, shadow, or nothing."""
        if version == self.champion:
            return "champion"
        if version != self.challenger:
            return ""
        return "canary" if self.share else "shadow"


class Verdict(Section):
    """What was decided about a version, when, by whom and why. The endpoint keeps all verdicts."""

    at: datetime = Field(default_factory=lambda: datetime.now(UTC), strict=False, description="when")
    version: str = Field(description="the version it is about")
    champion: str = Field(description="the version it was compared with")
    judgement: Judgement = Field(
        description="promote: it answers; canary: it answers some; refuse, rollback: it answers nobody"
    )
    by: Literal["evaluator", "monitor", "hand"] = Field(description="who decided")
    reason: str = Field("", description="why")
    run: str = Field("", description="the pipeline run that decided it")
    until: datetime | None = Field(None, strict=False, description="held-out interactions logged up to this were used")
    better: Gate = Field(Gate(), description="the lineage's evidence from held-out interactions")


def sticky(key: str, salt: str) -> float:
    """The place of a key in [0, 1), the same whenever it comes: of a user, say, in the shares of the versions."""
    return int.from_bytes(hashlib.sha256(f"{salt} {key}".encode()).digest()[:6]) / 2**48


def state(version: str, release: Release | None, verdicts: list[Verdict]) -> str:
    """What a version is, or what became of it."""
    if release and (role := release.role(version)):
        return role
    about = [verdict for verdict in verdicts if verdict.version == version]
    became = {"promote": "was champion", "canary": "replaced", "refuse": "refused", "rollback": "rolled back"}
    return became[about[-1].judgement] if about else ("was champion" if version == RANDOM else "")
