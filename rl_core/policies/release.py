"""The release of an endpoint: its champion, challenger, traffic split and canary evidence; and verdicts on versions."""

import hashlib
from datetime import UTC, datetime
from typing import Literal, Self

from pydantic import Field

from banditloop.rl_core.events.schema import RANDOM
from banditloop.rl_core.evidence.anytime_valid import BettingTest
from banditloop.rl_core.evidence.sample_ratio import SampleRatioTest
from banditloop.rl_core.settings.section import Section

VerdictDecision = Literal["promote", "canary", "refuse", "rollback"]


class CanaryEvidence(Section):
    """Evidence from served decisions on the challenger against the champion."""

    until: datetime = Field(strict=False, description="log time up to which decisions are included")
    better: BettingTest = Field(BettingTest(), description="evidence that this champion's challengers earn more")
    worse: BettingTest = Field(
        BettingTest(), description="evidence that this challenger's actions earn less, since any moment"
    )
    worse_by_user: BettingTest = Field(
        BettingTest(),
        description="evidence that this challenger's users or episodes earn less, by version instead of by action",
    )
    shares: SampleRatioTest = Field(
        SampleRatioTest(), description="evidence that this challenger does not get its share of the traffic"
    )
    wealth: list[float] = Field([], description="log wealth of `better` after every check")
    unknown_shares: int = Field(
        0,
        ge=0,
        description="decisions or episodes left out by version: their version's share of the traffic is unknown",
    )


class Release(Section):
    """The versions behind the endpoint. At 0 % of the traffic the challenger is a shadow: logged, but not shown."""

    champion: str = Field(description="version that serves")
    challenger: str | None = Field(None, description="version that is tried as the next champion")
    challenger_percent: int = Field(0, ge=0, le=99, description="percent of the traffic that the challenger serves")
    evidence: CanaryEvidence | None = Field(None, description="canary evidence against this champion so far")

    def traffic(self) -> dict[str, int]:
        """Percent of the traffic per version; a shadow's is 0."""
        return {self.champion: 100 - self.challenger_percent} | (
            {self.challenger: self.challenger_percent} if self.challenger else {}
        )

    def traffic_warning(self) -> str:
        """One line if the challenger does not get its share of the traffic, else empty."""
        return self.evidence.shares.warning(self.challenger) if self.challenger and self.evidence else ""

    def without_challenger(self) -> Self:
        """The release without its challenger."""
        return self.model_copy(update={"challenger": None, "challenger_percent": 0})

    def role(self, version: str) -> str:
        """The role of a version: champion, canary or shadow; empty if it has none."""
        if version == self.champion:
            return "champion"
        if version != self.challenger:
            return ""
        return "canary" if self.challenger_percent else "shadow"


class Verdict(Section):
    """A decision on a version, with its time, source and reason. The endpoint keeps all verdicts."""

    at: datetime = Field(default_factory=lambda: datetime.now(UTC), strict=False, description="time of the decision")
    version: str = Field(description="version that was decided on")
    champion: str = Field(description="version that it was compared with")
    decision: VerdictDecision = Field(
        description="promote: becomes champion; canary: is tried on live traffic; refuse, rollback: does not serve"
    )
    by: Literal["evaluator", "monitor", "operator", "platform"] = Field(description="source of the decision")
    reason: str = Field("", description="reason of the decision")
    run: str = Field("", description="id of the pipeline run that decided")
    until: datetime | None = Field(
        None, strict=False, description="log time up to which held-out interactions were used"
    )
    better: BettingTest = Field(BettingTest(), description="held-out evidence of the line of candidates")


def hash_to_unit(key: str, salt: str) -> float:
    """A deterministic hash of a key to [0, 1), e.g. to assign a user to a version. Salts give independent values."""
    return int.from_bytes(hashlib.sha256(f"{salt} {key}".encode()).digest()[:6]) / 2**48


def version_status(version: str, release: Release | None, last: Verdict | None) -> str:
    """The role of a version in the release, or else the outcome of its last verdict; empty if it has neither."""
    if release and (role := release.role(version)):
        return role
    outcomes = {"promote": "was champion", "canary": "replaced", "refuse": "refused", "rollback": "rolled back"}
    return outcomes[last.decision] if last else ("was champion" if version == RANDOM else "")
