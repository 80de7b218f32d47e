"""The propensity audits in a policy directory: those of the versions that logged what the policy was trained on.

A training resumes from a policy's statistics and from its audits, which cover the same interactions: none is counted
twice, whatever fails or is repeated, and a training that reads the whole log anew audits it anew.
"""

from dataclasses import fields
from pathlib import Path

import numpy as np
import orjson

from banditloop.rl_core.agents import read_arrays, write_arrays
from banditloop.rl_core.evidence.propensity_audit import Audits, PropensityAudit

AUDITS = "audits.npz"
MAX_VERSIONS = 20  # whose audits are kept, the latest in the log; one that returns later starts anew
FIELDS = tuple(field.name for field in fields(PropensityAudit))


def read_audits(folder: Path) -> Audits:
    """The audits in a folder, by version; none if they were not kept."""
    if not (folder / AUDITS).exists():
        return {}
    arrays = read_arrays(folder / AUDITS)
    columns = [arrays[name] for name in FIELDS]
    versions = orjson.loads(arrays["versions"].tobytes())
    return {version: PropensityAudit(*row) for version, *row in zip(versions, *columns, strict=True)}


def write_audits(folder: Path, audits: Audits) -> None:
    """Write the audits of the latest versions into a folder."""
    latest = dict(list(audits.items())[-MAX_VERSIONS:])
    columns = {name: np.array([getattr(audit, name) for audit in latest.values()]) for name in FIELDS}
    versions = np.frombuffer(orjson.dumps(list(latest)), np.uint8)  # array files hold numbers only
    write_arrays(folder / AUDITS, {"versions": versions} | columns)
