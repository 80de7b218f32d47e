"""Ray, which is not in the lock for its size: installed into build/ray by the first test that needs it."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from filelock import FileLock

from tests.support.emulators import skip_missing

ROOT = Path(__file__).parents[2]
HOME = ROOT / "build" / "ray"
VERSION = "2.60.0"


def install_ray(variables: pytest.MonkeyPatch) -> None:
    """Make Ray importable in this process and in those that it starts; skip the test where no index has it."""
    HOME.parent.mkdir(exist_ok=True)
    with FileLock(HOME.with_suffix(".lock")):
        if not (HOME / f"ray-{VERSION}.dist-info").exists():
            command = [Path(sys.executable).parent / "uv", "pip", "install", "--quiet", "--python", sys.executable]
            command += ["--target", HOME, "--constraint", ROOT / "requirements.lock", f"ray=={VERSION}"]
            if subprocess.run(command).returncode:
                skip_missing(f"ray {VERSION}")
    variables.syspath_prepend(str(HOME))
    sys.path.append(sys.path.pop(sys.path.index(str(HOME))))  # the lock's packages come first
    paths = [os.environ.get("PYTHONPATH"), str(ROOT / "src"), str(ROOT), str(HOME)]
    variables.setenv("PYTHONPATH", os.pathsep.join(path for path in paths if path))
