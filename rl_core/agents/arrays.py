"""Array files of a policy directory."""

import math
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import numpy as np
from numpy.lib.format import read_array_header_1_0, read_array_header_2_0, read_magic

from banditloop.rl_core.errors import InvalidInput

WEIGHTS, STATISTICS = "weights.npz", "statistics.npz"
SAVED_MODEL = "saved_model.pb"  # stands at a policy directory's top, as whoever serves SavedModels expects
SAVED_MODEL_PARTS = (SAVED_MODEL, "fingerprint.pb", "variables", "assets")
ACTION_FEATURES = "action_features"  # of statistics: encoded features [actions, k], where actions have any
Statistics = dict[str, np.ndarray]
BLOCK_NUMBERS = 1 << 20  # 8 MB: what is computed of many actions at a time takes some times that


def copied(arrays: Statistics) -> Statistics:
    """The arrays, which can be changed without a change to these."""
    return {name: array.copy() for name, array in arrays.items()}


def blocks(rows: int, numbers: int) -> Iterator[slice]:
    """Slices that rows of so many numbers are computed in, to bound the memory that it takes."""
    at_once = max(1, BLOCK_NUMBERS // numbers)
    return (slice(start, start + at_once) for start in range(0, rows, at_once))


def read_arrays(path: Path) -> Statistics:
    """The arrays of an .npz file, read without pickle, in no more memory than the file has bytes.

    Raises:
        InvalidInput: the file is missing, unreadable, not an .npz file as `write_arrays` writes them, or has numbers
            that are not finite.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            _check_sizes(archive, path.stat().st_size)
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
    except (OSError, ValueError, EOFError, NotImplementedError, RuntimeError, zipfile.BadZipFile) as error:
        raise InvalidInput(f"{path}: {error}; not the arrays of a policy") from None
    if infinite := [name for name, array in arrays.items() if not np.isfinite(array).all()]:
        raise InvalidInput(f"{path}: {infinite[0]} has numbers that are not finite; not the arrays of a policy")
    return arrays


def read_blocks(path: Path) -> Iterator[tuple[str, tuple[int, ...], Iterator[tuple[range, np.ndarray]]]]:
    """The names and shapes of the arrays that `write_arrays` wrote, and their content, some rows at a time."""
    with zipfile.ZipFile(path) as archive:
        for member in archive.infolist():
            with archive.open(member) as file:
                shape, dtype = _header(file)
                yield member.filename.removesuffix(".npy"), shape, _blocks(file, shape, dtype)


def _blocks(file: IO[bytes], shape: tuple[int, ...], dtype: np.dtype) -> Iterator[tuple[range, np.ndarray]]:
    (length, *row), numbers = shape or (1,), math.prod(shape[1:])
    for some in blocks(length, max(1, numbers)):
        rows = range(*some.indices(length))
        content = np.frombuffer(file.read(len(rows) * numbers * dtype.itemsize), dtype)
        yield rows, content.reshape(len(rows), *row) if shape else content.reshape(())


def check_shapes(path: Path, arrays: Statistics, expected: Statistics) -> None:
    """Compare the arrays of a file with others of the right names, shapes and kinds; any length fits an empty axis.

    Raises:
        InvalidInput: an array is missing or differs; names it.
    """
    for name, right in expected.items():
        if name not in arrays:
            raise InvalidInput(f"{path}: {name} is missing; not the arrays of this policy")
        array = arrays[name]
        fits = array.ndim == right.ndim and all(n in (0, m) for m, n in zip(array.shape, right.shape, strict=True))
        if not fits or array.dtype.kind != right.dtype.kind:
            raise InvalidInput(
                f"{path}: {name} is {array.dtype} {array.shape}; the policy's is {right.dtype} {right.shape}"
            )


def _check_sizes(archive: zipfile.ZipFile, file_bytes: int) -> None:
    """Compare what the headers of all arrays announce with the bytes that are there, before any memory is taken.

    Raises:
        ValueError: they differ, or the arrays are compressed or hold something else than numbers.
    """
    members = archive.infolist()
    if sum(member.file_size for member in members) > file_bytes:
        raise ValueError("its arrays are larger than the file")
    for member in members:
        if member.compress_type != zipfile.ZIP_STORED:
            raise ValueError(f"{member.filename} is compressed")
        with archive.open(member) as file:
            shape, dtype = _header(file)
            if dtype.kind not in "biuf" or file.tell() + math.prod(shape) * dtype.itemsize != member.file_size:
                raise ValueError(f"{member.filename} is {dtype} {shape}, which is not what the file holds")


def _header(file: IO[bytes]) -> tuple[tuple[int, ...], np.dtype]:
    """The shape and the type of the array that a file begins with."""
    header = {(1, 0): read_array_header_1_0, (2, 0): read_array_header_2_0}.get(read_magic(file))
    if header is None:
        raise ValueError("it is of an unknown version")
    shape, _, dtype = header(file)
    return shape, dtype


def write_arrays(path: Path, arrays: Statistics) -> None:
    """Write an .npz file, row by row and not compressed, so that its size bounds what it takes to read it."""
    np.savez(path, **{name: np.asarray(array, order="C") for name, array in arrays.items()})  # type: ignore[arg-type]
