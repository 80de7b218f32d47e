"""The container image for tests, built by `make image` with podman on a Debian base, without a registry.

It is cached in build/containers and rebuilt when its contents change, once in a run of tests; with $CI set, where
nothing is cached, without layers, which take a third of the time. Where podman is missing, tests that need the image
are skipped with the reason; with $CI set they fail instead.
"""

import contextlib
import functools
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

from filelock import FileLock

from tests.support.emulators import skip_missing
from tests.support.processes import wait_until

ROOT = Path(__file__).parents[2]
HOME = ROOT / "build" / "containers"
RATINGS = HOME / "ratings" / "u.data"  # written by tests that need it; mounted at the same path
BASE, IMAGE = "localhost/banditloop-base", "registry.test/banditloop:test"
BASE_PACKAGES = "python3,python3-venv,ca-certificates"
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
RUN = os.environ.get("PYTEST_XDIST_TESTRUNUID", "")  # the run of tests that all its processes belong to
HOST_FILES = ("/etc/ssl/certs/ca-certificates.crt", "/etc/pip.conf")  # how the host reaches package indexes


@functools.cache
def image() -> str:
    """Name of the image, built first if necessary."""
    for program in ("podman", "runc", "mmdebstrap"):
        shutil.which(program) or skip_missing(program)
    os.geteuid() and skip_missing("root, for containers without a daemon")
    HOME.mkdir(parents=True, exist_ok=True)
    for name, settings in SETTINGS.items():
        (HOME / name).write_text(settings)
    built_by = HOME / "built-by"
    with FileLock(HOME / "lock"):
        if not (RUN and built_by.exists() and built_by.read_text() == RUN):
            _build()
            built_by.write_text(RUN)
    return IMAGE


def _build() -> None:
    if _podman("image", "exists", BASE).returncode:
        base = HOME / "base.tar"
        _podman("rmi", "--all", "--force")
        subprocess.run(
            ["mmdebstrap", "--quiet", "--variant=minbase", f"--include={BASE_PACKAGES}", "bookworm", base],
            check=True,
        )
        _podman("import", base, BASE).check_returncode()
        base.unlink()
    options = ["--network=host", *(["--layers=false"] if os.environ.get("CI") else [])]
    options += [f"--volume={path}:{path}:ro" for path in HOST_FILES if Path(path).exists()]
    build_command = f"make image ENGINE=podman IMAGE={IMAGE} BASE={BASE} BUILD='{' '.join(options)}'"
    subprocess.run(build_command, shell=True, cwd=ROOT, env=environment(), check=True)


def environment() -> dict[str, str]:
    """The process environment, with podman pointed to the configuration and storage of these tests."""
    return os.environ | {
        "CONTAINERS_CONF": str(HOME / "containers.conf"),
        "CONTAINERS_STORAGE_CONF": str(HOME / "storage.conf"),
    }


@contextlib.contextmanager
def docker_host(folder: Path) -> Iterator[str]:
    """Serve Docker's API with podman; yields the value for $DOCKER_HOST."""
    socket = folder / "podman.sock"
    command = ["podman", "system", "service", "--time=0", f"unix://{socket}"]
    with subprocess.Popen(command, env=environment()) as service:
        try:
            wait_until(socket.exists)
            yield f"unix://{socket}"
        finally:
            service.terminate()


def start(command: list[str], variables: dict[str, str]) -> subprocess.Popen[bytes]:
    """Start a container of the image; it ends with the returned process."""
    options = [part for key, value in variables.items() for part in ("--env", f"{key}={value}")]
    options.append(f"--volume={RATINGS.parent}:{RATINGS.parent}:ro")
    return subprocess.Popen(["podman", "run", "--rm", *options, image(), *command], env=environment())


def _podman(*arguments: str | Path) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(["podman", *arguments], env=environment())
