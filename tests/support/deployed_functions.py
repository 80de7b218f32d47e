"""The functions of a stand-in project as they run on Google Cloud: from the source archive, or from the image."""

import io
import os
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path
from zipfile import ZipFile

from google.cloud import functions_v2, run_v2

from tests.support.isolated import command
from tests.support.processes import free_port, listening, own_state, wait_until
from tests.support.project import Project

StartContainer = Callable[[list[str], dict[str, str]], "subprocess.Popen[bytes]"]


class DeployedFunctions:
    """Runs what is deployed in a project: each function is a process of functions-framework, or a container."""

    def __init__(self, project: Project, folder: Path, environment: dict[str, str], start: StartContainer) -> None:
        project.run_function, project.run_service = self._run_function, self._run_service  # type: ignore[method-assign]
        self._project, self._folder, self._environment, self._start = project, folder, environment, start
        self._running: dict[int, subprocess.Popen[bytes]] = {}  # by port

    def wait(self) -> None:
        """Wait until all are listening."""
        for port, process in self._running.items():
            wait_until(lambda port=port, process=process: listening(port) or process.poll() is not None)
            assert process.poll() is None

    def close(self) -> None:
        for process in self._running.values():
            process.send_signal(signal.SIGINT)  # gunicorn stops at once
        for process in self._running.values():
            process.wait(120)

    def _run_function(self, function: functions_v2.Function) -> str:
        """Run a function's archive with nothing installed but its requirements."""
        target = function.build_config.entry_point
        workspace = self._folder / target / "workspace"
        ZipFile(io.BytesIO(self._project.archives[function.name])).extractall(workspace)
        python = command((workspace / "requirements.txt").read_text().splitlines(), workspace.parent)
        variables = self._environment | own_state() | dict(function.service_config.environment_variables)
        options = [f"--target={target}", "--source=main.py"]

        def start(address: dict[str, str]) -> "subprocess.Popen[bytes]":
            environment = os.environ | variables | address | {"PYTHONPATH": str(workspace)}
            return subprocess.Popen([*python, "functions_framework", *options], cwd=workspace, env=environment)

        return self._listen(start)

    def _run_service(self, service: run_v2.Service) -> str:
        """Run a service's container."""
        [container] = service.template.containers
        variables = self._environment | {variable.name: variable.value for variable in container.env}
        return self._listen(lambda address: self._start([*container.command, *container.args], variables | address))

    def _listen(self, start: Callable[[dict[str, str]], "subprocess.Popen[bytes]"]) -> str:
        port = free_port()
        self._running[port] = start({"PORT": str(port), "HOST": "127.0.0.1"})
        return f"http://127.0.0.1:{port}"
