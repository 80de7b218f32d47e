"""Python with certain installed packages only, as where nothing else was installed."""

import json
import re
import sys
from collections.abc import Iterable
from importlib.metadata import Distribution, distributions
from pathlib import Path

# Without `site`, so that links of editable installations are not followed.
BOOTSTRAP = """
import json, runpy, sys
folder, unlisted = json.load(open(sys.argv[1]))
class Unlisted:
    def find_spec(self, name, path=None, target=None):
        if name in unlisted:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
unlisted = set(unlisted)
sys.meta_path.insert(0, Unlisted())
sys.path.append(folder)
del sys.argv[:2]
runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
"""


def command(requirements: Iterable[str], folder: Path) -> list[str]:
    """A command that runs the module named after it, in a Python that has these packages; writes into the folder."""
    wanted = {_normal(re.split("[=<>\\[]", line)[0]) for line in requirements}
    listed, unlisted = set(), set()
    for distribution in distributions():
        (listed if _normal(distribution.name) in wanted else unlisted).update(_modules(distribution))
    shared = listed & unlisted  # functions-framework and google-cloud-functions write the same files
    unlisted = {name for name in unlisted - listed if not any(name.startswith(f"{package}.") for package in shared)}
    site = next(str(d.locate_file("")) for d in distributions() if d.name == "functions-framework")
    (folder / "python.json").write_text(json.dumps([site, sorted(unlisted)]))
    (folder / "python.py").write_text(BOOTSTRAP.strip())
    return [sys.executable, "-S", "-P", str(folder / "python.py"), str(folder / "python.json")]


def _modules(distribution: Distribution) -> set[str]:
    """The packages and top-level modules of a distribution."""
    paths = [file for file in distribution.files or () if file.suffix == ".py" and ".." not in file.parts]
    packages = {".".join(path.parent.parts) for path in paths if path.name == "__init__.py"}
    return packages | {path.stem for path in paths if len(path.parts) == 1}


def _normal(name: str) -> str:
    return re.sub("[-_.]+", "-", name).lower()
