"""Array files of a policy directory."""

import math
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, NamedTuple

import numpy as np
from numpy.lib.format import read_array_header_1_0, read_array_header_2_0, read_magic

from banditloop.rl_core.errors import InvalidInput

WEIGHTS, STATISTICS = "weights.npz", "statistics.npz"
SAVED_MODEL = "saved_model.pb"  # at the top of a policy directory, where servers of SavedModels expect it
SAVED_MODEL_PARTS = (SAVED_MODEL, "fingerprint.pb", "variables", "assets")
ACTION_FEATURES = "action_features"  # of statistics: encoded features [actions, k], where actions have any
Statistics = dict[str, np.ndarray]
UNREADABLE = (OSError, ValueError, EOFError, NotImplementedError, RuntimeError, zipfile.BadZipFile)  # of damaged files
BLOCK_NUMBERS = 1 << 20  # 8 MB: the size of a block, of which a computation takes a few times as much


def copied(arrays: Statistics) -> Statistics:
    """Copies of the arrays."""
    return {name: array.copy() for name, array in arrays.items()}


def blocks(rows: int, numbers: int) -> Iterator[slice]:
    """Slices of rows that have so many numbers each, to bound the memory that computing with them takes."""
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
    except UNREADABLE as error:
        raise InvalidInput(f"{path}: {error}; not the arrays of a policy") from None
    if infinite := [name for name, array in arrays.items() if not np.isfinite(array).all()]:
        raise InvalidInput(f"{path}: {infinite[0]} has numbers that are not finite; not the arrays of a policy")
    return arrays


class StoredArray(NamedTuple):
    """An array of a file: `blocks` reads some rows at a time, with their positions; a single number has row 0."""

    name: str
    shape: tuple[int, ...]
    blocks: Iterator[tuple[range, np.ndarray]]


def stored_arrays(path: Path) -> Iterator[StoredArray]:
    """The arrays that `write_arrays` wrote. Read the blocks of one before the next; a column-major one is one block."""
    with zipfile.ZipFile(path) as archive:
        for member in archive.infolist():
            with archive.open(member) as file:
                header = _header(file)
                yield StoredArray(member.filename.removesuffix(".npy"), header.shape, _blocks(file, header))


def stored_array(path: Path, name: str) -> np.ndarray:
    """One array of an .npz file; reads only this one."""
    with np.load(path, allow_pickle=False) as arrays:  # lazy
        return np.asarray(arrays[name])


def _blocks(file: IO[bytes], header: "_Header") -> Iterator[tuple[range, np.ndarray]]:
    (length, *row), numbers = header.shape or (1,), math.prod(header.shape[1:])
    if header.by_column or not header.shape:
        yield range(length), np.frombuffer(file.read(), header.dtype).reshape(header.shape, order="F")
        return
    for block in blocks(length, max(1, numbers)):
        rows = range(*block.indices(length))
        content = file.read(len(rows) * numbers * header.dtype.itemsize)
        yield rows, np.frombuffer(content, header.dtype).reshape(len(rows), *row)


def check_shapes(path: Path, arrays: Statistics, expected: Statistics) -> None:
    """Compare the arrays of a file with those expected, by name, shape and kind; any length fits an expected axis of 0.

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
    """Compare the sizes in the headers of all arrays with the bytes of the file, before any memory is taken.

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
            shape, _, dtype = _header(file)
            if dtype.kind not in "biuf" or file.tell() + math.prod(shape) * dtype.itemsize != member.file_size:
                raise ValueError(f"{member.filename} is {dtype} {shape}, which is not what the file holds")


class _Header(NamedTuple):
    shape: tuple[int, ...]
    by_column: bool
    dtype: np.dtype


def _header(file: IO[bytes]) -> _Header:
    """The header of an array in a file."""
    header = {(1, 0): read_array_header_1_0, (2, 0): read_array_header_2_0}.get(read_magic(file))
    if header is None:
        raise ValueError("it is of an unknown version")
    return _Header(*header(file))


def write_arrays(path: Path, arrays: Statistics) -> None:
    """Write an .npz file, not compressed, so that its size bounds the memory that reading it takes."""
    np.savez(path, **arrays)  # type: ignore[arg-type]
