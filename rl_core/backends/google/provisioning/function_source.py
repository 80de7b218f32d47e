"""The source archive from which Cloud Functions builds the functions: main.py, the package, and its requirements."""

import io
import re
from collections.abc import Iterator, Sequence
from importlib.resources import files
from pathlib import Path
from zipfile import ZipFile, ZipInfo

RUNTIME = "python311"  # functions/requirements.lock is resolved for it
FUNCTIONS = ("logger", "monitor", "simulator", "trigger")
EARLIEST = (1980, 1, 1, 0, 0, 0)  # a zip file's earliest date: equal files make equal archives
UNIX, READABLE = 3, 0o100644 << 16


def archive(packages: Sequence[str] = ()) -> bytes:
    """A zip file with the functions. `packages` are pip requirements with parts of your own, installed too."""
    content = io.BytesIO()
    with ZipFile(content, "w") as zip_file:  # not compressed: zlib's versions differ in their output
        for name, text in sorted([*_package(), ("main.py", main()), ("requirements.txt", requirements(packages))]):
            info = ZipInfo(name, EARLIEST)
            info.create_system, info.external_attr = UNIX, READABLE
            zip_file.writestr(info, text)
    return content.getvalue()


def main() -> str:
    """The text of main.py, which Cloud Functions requires: the entry points."""
    return "".join(f"from banditloop.functions.{name} import {name} as {name}\n" for name in FUNCTIONS)


def requirements(packages: Sequence[str] = ()) -> str:
    """The text of requirements.txt: versions without hashes, as pip wants a hash for each package or for none."""
    lock = (_root() / "functions" / "requirements.lock").read_text()
    return "\n".join([*re.findall(r"^[\w.-]+==[^\s;]+", lock, re.MULTILINE), *packages, ""])


def _package() -> Iterator[tuple[str, str]]:
    """The names and texts of the package's files that functions import."""
    root = _root()
    folders = [path for name in ("functions", "rl_core") for path in (root / name).rglob("*.py")]
    for path in (root / "__init__.py", *folders):
        yield f"banditloop/{path.relative_to(root).as_posix()}", path.read_text()


def _root() -> Path:
    return Path(str(files("banditloop")))
