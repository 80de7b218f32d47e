"""Array files of policies: what is not the finite numbers that it announces is refused before it takes memory."""

import io
import re
import tracemalloc
import zipfile

import numpy as np
import pytest

from banditloop.rl_core.agents import arrays, check_shapes, read_arrays, write_arrays
from banditloop.rl_core.agents.linucb import LinUCB
from banditloop.rl_core.errors import InvalidInput
from tests.conftest import AGENTS

MEGABYTE = 1 << 20


def member(array, shape=None):
    """The content of an .npy file, whose header announces the shape."""
    file = io.BytesIO()
    np.lib.format.write_array_header_1_0(file, {"descr": array.dtype.str, "fortran_order": False, "shape": shape})
    return file.getvalue() + array.tobytes()


def write(path, content, compression=zipfile.ZIP_STORED):
    with zipfile.ZipFile(path, "w", compression) as archive:
        archive.writestr("theta.npy", content)


def compressed(path):
    """64 MB in a file of 64 kB."""
    np.savez_compressed(path, theta=np.zeros(8 * MEGABYTE))


def huge_header(path):
    write(path, member(np.zeros(4), (1 << 50,)))


def long_content(path):
    write(path, member(np.zeros(4), (2,)))


def objects(path):
    np.savez(path, theta=np.array([{}], object))


def texts(path):
    np.savez(path, theta=np.array(["text"]))


def lying_directory(path):
    """The zip's own directory announces 2 GB."""
    write(path, member(np.zeros(4), (4,)))
    sizes = zipfile.ZipFile(path).infolist()[0].file_size.to_bytes(4, "little")
    path.write_bytes(path.read_bytes().replace(sizes, (2 << 30).to_bytes(4, "little")))


def overlapping(path):
    """Two entries of the directory that share one content."""
    write(path, member(np.zeros(1000), (1000,)))
    content = path.read_bytes()
    start, end = content.index(b"PK\x01\x02"), content.index(b"PK\x05\x06")
    entry, ending = content[start:end], bytearray(content[end:])
    ending[8:12] = (2).to_bytes(2, "little") * 2
    ending[12:16] = (2 * len(entry)).to_bytes(4, "little")
    path.write_bytes(content[:start] + entry + entry.replace(b"theta", b"thetb") + ending)


def truncated(path):
    np.savez(path, theta=np.ones(1000))
    path.write_bytes(path.read_bytes()[:4000])


@pytest.mark.parametrize(
    "damage", [compressed, huge_header, long_content, objects, texts, lying_directory, overlapping, truncated]
)
def test_other_content_is_refused_in_one_line_and_little_memory(tmp_path, damage):
    path = tmp_path / "weights.npz"
    damage(path)
    tracemalloc.start()
    with pytest.raises(InvalidInput, match=r"weights\.npz: .*; not the arrays of a policy") as error:
        read_arrays(path)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < MEGABYTE
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_numbers_that_are_not_finite_are_refused(tmp_path, value):
    write_arrays(tmp_path / "weights.npz", {"counts": np.zeros(2, int), "theta": np.array([0, value])})
    with pytest.raises(InvalidInput, match="theta has numbers that are not finite"):
        read_arrays(tmp_path / "weights.npz")


@pytest.mark.parametrize("agent", AGENTS, ids=repr)
def test_statistics_are_those_of_the_policy(tmp_path, agent):
    path, right = tmp_path / "statistics.npz", agent.initial_statistics(3, 2)
    write_arrays(path, right)
    check_shapes(path, read_arrays(path), right)
    for wrong in (agent.initial_statistics(3, 4), agent.initial_statistics(2, 2), right | {"counts": np.zeros(2)}):
        with pytest.raises(InvalidInput, match=rf"{re.escape(str(path))}: \w+ is \w+ \([\d, ]+\); the policy's is"):
            check_shapes(path, wrong, right)
    with pytest.raises(InvalidInput, match="counts is missing"):
        check_shapes(path, {name: array for name, array in right.items() if name != "counts"}, right)


@pytest.mark.parametrize("shapes", [((2,), (2, 2)), ((2, 3), (2, 2, 3)), ((2, 3, 1), (3, 2, 3))])
def test_weights_of_linucb_that_do_not_belong_together_are_refused(tmp_path, shapes):
    write_arrays(tmp_path / "weights.npz", dict(zip(("theta", "whitening"), map(np.zeros, shapes), strict=True)))
    with pytest.raises(InvalidInput, match="theta and whitening differ in shape"):
        LinUCB().load(tmp_path)


def test_an_array_is_read_some_rows_at_a_time(tmp_path, monkeypatch):
    monkeypatch.setattr(arrays, "BLOCK_NUMBERS", 20)
    cube, rows_at_a_time = np.arange(120.0).reshape(15, 4, 2), {}
    written = {"cube": cube, "transposed": cube.T, "number": np.array(3), "empty": np.zeros((2, 0)), "matrix": cube[0]}
    write_arrays(tmp_path / "a.npz", written)
    for name, shape, blocks in arrays.stored_arrays(tmp_path / "a.npz"):
        assert shape == written[name].shape
        rows, contents = zip(*blocks, strict=True)
        assert [row for some in rows for row in some] == [*range(len(written[name]) if shape else 1)]
        np.testing.assert_array_equal(np.concatenate(contents) if shape else contents[0], written[name])
        rows_at_a_time[name] = len(rows[0])
    assert rows_at_a_time == {"cube": 2, "transposed": 2, "number": 1, "empty": 2, "matrix": 4}
