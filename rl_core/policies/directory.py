"""Policy directories: written with checksums, and verified.

A policy directory holds manifest.json (written last, so a directory without one is incomplete), encoding.json, which
says what the numbers stand for, statistics.npz for the next training, audits.npz of the log that it was trained on, the
agent's own files, such as weights.npz, and if the config asks for it the files of a TF-Agents SavedModel.
"""

import hashlib
import shutil
from pathlib import Path

from banditloop.rl_core.agents import (
    SAVED_MODEL,
    SAVED_MODEL_PARTS,
    STATISTICS,
    WEIGHTS,
    Statistics,
    write_arrays,
)
from banditloop.rl_core.errors import InvalidInput
from banditloop.rl_core.events.schema import RANDOM
from banditloop.rl_core.evidence.propensity_audit import Audits
from banditloop.rl_core.features.encoding import ENCODING, Encoding
from banditloop.rl_core.policies.audits import AUDITS, write_audits
from banditloop.rl_core.policies.manifest import MANIFEST, Manifest, agent_of, read_manifest


def verify_policy(folder: Path) -> Manifest:
    """Check every file of a policy directory against the manifest's checksums; return the manifest. Loads no model.

    Raises:
        InvalidInput: a file is missing, changed or not in the manifest; names it.
    """
    manifest = read_manifest(folder)
    for name in sorted({STATISTICS, *_loaded_files(folder), *manifest.files}):
        if not (folder / name).is_file():
            raise InvalidInput(f"policy {folder}: {name} is missing")
        if name not in manifest.files:
            raise InvalidInput(f"policy {folder}: {name} is not in {MANIFEST}")
        if _checksum(folder / name) != manifest.files[name]:
            raise InvalidInput(f"policy {folder}: {name} does not match its checksum in {MANIFEST}")
    return manifest


def write_policy(
    folder: Path,
    manifest: Manifest,
    statistics: Statistics,
    encoding: Encoding,
    saved_model: bool = False,
    audits: Audits | None = None,
    parent: Path | None = None,
) -> Manifest:
    """Write a policy directory, replacing any existing one, and return its manifest with checksums.

    saved_model: also write a TF-Agents SavedModel, unless the agent's own files have one. Imports TensorFlow.
    audits: the propensity audits of the versions that logged what the statistics were trained on.
    parent: the directory of the policy that they resume from.
    """
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    agent = agent_of(manifest)
    encoding.write(folder)
    write_arrays(folder / STATISTICS, statistics)
    if audits:
        write_audits(folder, audits)
    if manifest.version != RANDOM:
        if parent and agent_of(read_manifest(parent)) == agent:
            agent.save_next(statistics, folder, parent)
        else:
            agent.save(statistics, folder)
        if saved_model and not (folder / SAVED_MODEL).exists():
            agent.export_saved_model(folder, manifest.dim, manifest.actions)
    manifest = manifest.model_copy(
        update={"files": {name: _checksum(folder / name) for name in _relative_paths(folder)}}
    )
    (folder / MANIFEST).write_text(manifest.model_dump_json(indent=2))
    return manifest


def _loaded_files(folder: Path) -> list[str]:
    """The files that are loaded. Others, say of the operating system, are ignored."""
    loaded = {ENCODING, STATISTICS, AUDITS, WEIGHTS, *SAVED_MODEL_PARTS}
    return [name for name in _relative_paths(folder) if name.partition("/")[0] in loaded]


def _relative_paths(folder: Path) -> list[str]:
    """All files below a folder except hidden ones, as relative POSIX paths."""
    paths = (path.relative_to(folder) for path in folder.rglob("*") if path.is_symlink() or not path.is_dir())
    return sorted(path.as_posix() for path in paths if not any(part.startswith(".") for part in path.parts))


def _checksum(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
