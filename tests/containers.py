"""The image, for tests: built by `make image` with podman, on a base of Debian's packages, for there is no registry.

It is kept in build/containers, and built anew where something of it has changed. Where podman is missing, its tests are
skipped with the reason; with $CI they fail instead.
"""

import contextlib
import functools
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

from filelock import FileLock

from tests.emulators import missing
from tests.processes import wait_until

ROOT = Path(__file__).parents[1]
HOME = ROOT / "build" / "containers"
BASE, IMAGE = "localhost/banditloop-base", "registry.test/banditloop:test"
INCLUDED = "python3,python3-pip,python3-venv,ca-certificates"
SETTINGS = {
    "containers.conf": """
[containers]
default_ulimits = ["nofile=20000:20000", "nproc=16384:16384"]
netns = "host"
[engine]
runtime = "runc"
cgroup_manager = "cgroupfs"
events_logger = "file"
""",
    "storage.conf": f"""
[storage]
driver = "overlay"
graphroot = "{HOME / "graph"}"
runroot = "{HOME / "run"}"
""",
}
OF_THE_HOST = ("/etc/ssl/certs/ca-certificates.crt", "/etc/pip.conf")  # how this machine reaches packages


@functools.cache
def image() -> str:
    """The image's name, when it is there."""
    for program in ("podman", "runc", "mmdebstrap"):
        shutil.which(program) or missing(program)
    os.geteuid() and missing("root, for containers without a daemon")
    HOME.mkdir(parents=True, exist_ok=True)
    for name, settings in SETTINGS.items():
        (HOME / name).write_text(settings)
    with FileLock(HOME / "lock"):
        if _podman("image", "exists", BASE).returncode:
            base = HOME / "base.tar"
            _podman("rmi", "--all", "--force")
            subprocess.run(
                ["mmdebstrap", "--quiet", "--variant=minbase", f"--include={INCLUDED}", "bookworm", base], check=True
            )
            _podman("import", base, BASE).check_returncode()
            base.unlink()
        options = ["--network=host", f"--build-arg=BASE={BASE}"]
        options += [f"--volume={path}:{path}:ro" for path in OF_THE_HOST if Path(path).exists()]
        made = f"make image ENGINE=podman IMAGE={IMAGE} BUILD='{' '.join(options)}'"
        subprocess.run(made, shell=True, cwd=ROOT, env=environment(), check=True)
    return IMAGE


def environment() -> dict[str, str]:
    """The variables by which podman finds what is ours."""
    return os.environ | {
        "CONTAINERS_CONF": str(HOME / "containers.conf"),
        "CONTAINERS_STORAGE_CONF": str(HOME / "storage.conf"),
    }


@contextlib.contextmanager
def docker_host(folder: Path) -> Iterator[str]:
    """Docker's API, as podman answers it: the value of $DOCKER_HOST."""
    socket = folder / "podman.sock"
    command = ["podman", "system", "service", "--time=0", f"unix://{socket}"]
    with subprocess.Popen(command, env=environment()) as service:
        try:
            wait_until(socket.exists)
            yield f"unix://{socket}"
        finally:
            service.terminate()


def start(command: list[str], variables: dict[str, str]) -> subprocess.Popen[bytes]:
    """A container of the image; what ends the process ends it."""
    options = [part for key, value in variables.items() for part in ("--env", f"{key}={value}")]
    return subprocess.Popen(["podman", "run", "--rm", *options, image(), *command], env=environment())


def _podman(*arguments: str | Path) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(["podman", *arguments], env=environment())
