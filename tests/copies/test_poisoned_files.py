"""Files that are made to cost much time or memory are read within bounds, and do not hide other files."""

import io
import json
import pickle
import struct
import time
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from soundsright.copies.tensors import tensor_fingerprint

LEVELS = 40


def string(text: str) -> bytes:
    return b"X" + struct.pack("<I", len(text)) + text.encode()


def doubled(levels: int = LEVELS) -> bytes:
    """The pickle of a tuple of 2^levels parts: each level contains the one below twice."""
    code = string("x")
    for level in range(levels):
        code += b"r" + struct.pack("<I", level) + b"j" + struct.pack("<I", level) + b"\x86"
    return code


def storage(type_of: bytes, key: bytes) -> bytes:
    return b"(" + string("storage") + type_of + key + string("cpu") + b"K\x04tQ"


FLOATS = b"ctorch\nFloatStorage\n"
WEIGHTS = np.random.default_rng(0).standard_normal((6, 500)).astype("<f4")


def torch_zip(before: bytes) -> bytes:
    """A torch file with six storages, and a pickle that starts with `before`."""
    code = b"\x80\x02]" + before + b"".join(storage(FLOATS, string(str(i))) for i in range(6)) + b"."
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("m/data.pkl", code)
        for i, values in enumerate(WEIGHTS):
            archive.writestr(f"m/data/{i}", values.tobytes())
    return file.getvalue()


def doubled_name() -> bytes:
    """A global whose name doubles with each level."""
    code = string("x")
    for level in range(LEVELS):
        code += b"r" + struct.pack("<I", level) + b"j" + struct.pack("<I", level) + b"\x93"
    return code


@pytest.mark.parametrize(
    "before",
    [
        storage(doubled(), string("9")),
        storage(FLOATS, doubled()),
        doubled() + string("a") + b"\x93",
        doubled_name(),
        doubled() + doubled() + b"R",
        string("x") + b"\x85" * 5_000,
        b"cnumpy\ndtype\n" + doubled() + b"R",
        b"c_codecs\nencode\n" + doubled() + string("latin1") + b"\x86R",
        b"Nq\x00" + b"h\x00" + doubled() + b"b",
    ],
)
def test_a_poisoned_pickle_does_not_hide_the_tensors_of_its_file(before: bytes, tmp_path: Path) -> None:
    (tmp_path / "a.pt").write_bytes(torch_zip(before))
    start = time.process_time()
    fingerprint = tensor_fingerprint([tmp_path / "a.pt"])
    assert time.process_time() - start < 1
    assert len(fingerprint.summaries) == 6


def overlapping_safetensors() -> bytes:
    data = WEIGHTS.tobytes() * 200
    header = {f"t{i}": {"dtype": "F32", "shape": [1], "data_offsets": [0, len(data)]} for i in range(19_000)}
    text = json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + data


def repeated_array() -> bytes:
    """A pickle with one array's bytes, which it sets as the state of 19,000 arrays."""
    raw = WEIGHTS.tobytes() * 200
    dtype = b"cnumpy\ndtype\n" + string("f4") + b"\x85R"
    state = b"(K\x01K\x01\x85" + dtype + b"\x89" + b"B" + struct.pack("<I", len(raw)) + raw + b"t"
    return b"\x80\x04]" + state + b"r\x00\x00\x00\x00" + b"Nj\x00\x00\x00\x00b" * 19_000 + b"."


def repeated_text() -> bytes:
    """A pickle of protocol 2 that encodes one long text many times."""
    call = b"c_codecs\nencode\n(h\x00X\x06\x00\x00\x00latin1tR"
    return b"\x80\x02" + string("x" * 1_000_000) + b"q\x00" + call * 10_000 + b"."


def zip_of(count: int, name: str, content: bytes) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for i in range(count):
            archive.writestr(name.format(i), content)
    return file.getvalue()


def npy(shape: str) -> bytes:
    text = f"{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}}}".encode().ljust(1_000) + b"\n"
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text


_FACTS: tuple[object, ...] = (0x1950A86A20F9469CFC6C, 1001, {})
OLD_TORCH = b"".join(pickle.dumps(fact, protocol=2) for fact in _FACTS)


POISONED: dict[str, tuple[Callable[[], bytes], str]] = {
    "nested type name": (lambda: torch_zip(storage(doubled(), string("9"))), "a tuple of over"),
    "deep tuple": (lambda: torch_zip(string("x") + b"\x85" * 5_000), "a tuple of over"),
    "many steps": (lambda: b"\x80\x02" + b"N0" * 1_000_000 + b".", "steps"),
    "long line": (lambda: b"\x80\x02V" + b"x" * 10_000_000 + b"\n.", "a line of over"),
    "repeated text": (repeated_text, "encodes more text"),
    "repeated array": (repeated_array, "overlap"),
    "overlapping tensors": (overlapping_safetensors, "overlap"),
    "long header": (lambda: (20_000_000).to_bytes(8, "little") + b"{".ljust(20_000_000), "a header of over"),
    "many pickles": (lambda: zip_of(20, "{}/data.pkl", b"\x80\x02" + b"]" * 2_000_000), "of over"),
    "bomb": (lambda: zip_of(8, "{}.npy", npy("(5000000,)") + bytes(20_000_000)), "unpacks to more"),
    "many members": (lambda: zip_of(30_000, "m/" + "x" * 100 + "{}", b""), "a part of over"),
    "old torch": (lambda: OLD_TORCH + b"\x80\x02" + b"N0" * 1_000_000 + b".", "steps"),
    "encrypted": (lambda: np.random.default_rng(0).bytes(1_000_000), "no tensors were found"),
    "many fields": (lambda: b"\x08\x01" * 5_000_000, "fields"),
}


@pytest.mark.parametrize("poison", POISONED)
def test_a_poisoned_file_ends_soon_with_a_reason_and_hides_no_other_file(poison: str, tmp_path: Path) -> None:
    make, reason = POISONED[poison]
    (tmp_path / "a").write_bytes(make())
    np.savez(tmp_path / "b.npz", *WEIGHTS)
    start = time.process_time()
    fingerprint = tensor_fingerprint([tmp_path / "a", tmp_path / "b.npz"])
    assert time.process_time() - start < 5
    assert len(fingerprint.summaries) >= 6
    (line,) = fingerprint.unread
    assert line.startswith(f"{tmp_path / 'a'}: ")
    assert reason in line


@pytest.mark.parametrize("shape", ["(2,) * 9", "(" + "0x" + "f" * 900 + ",)", "(-1,)", "(" * 400 + ")" * 400])
def test_a_hostile_shape_gives_no_tensor(shape: str, tmp_path: Path) -> None:
    (tmp_path / "a.npy").write_bytes(npy(shape))
    assert tensor_fingerprint([tmp_path / "a.npy"]).summaries == ()


def test_an_unexpected_error_in_one_file_does_not_hide_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from soundsright.copies import containers

    def fail(_content: memoryview) -> None:
        raise AssertionError("unforeseen")

    np.savez(tmp_path / "b.npz", *WEIGHTS)
    (tmp_path / "a.npy").write_bytes(npy("(4,)") + bytes(16))
    npy_reader = containers._npy
    monkeypatch.setattr(containers, "_npy", lambda c: fail(c) if len(c) < 1_500 else npy_reader(c))
    fingerprint = tensor_fingerprint([tmp_path / "a.npy", tmp_path / "b.npz"])
    assert len(fingerprint.summaries) == 6
    assert fingerprint.unread == (f"{tmp_path / 'a.npy'}: it cannot be read (AssertionError)",)


def test_the_third_version_of_npy_is_read(tmp_path: Path) -> None:
    with (tmp_path / "a.npy").open("wb") as file:
        np.lib.format.write_array(file, WEIGHTS, (3, 0))
    assert len(tensor_fingerprint([tmp_path / "a.npy"]).summaries) == 1


def test_text_and_small_files_without_tensors_are_not_suspicious(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text("{" + "ä" * 100_000 + "}", encoding="utf-8")
    (tmp_path / "b.png").write_bytes(np.random.default_rng(0).bytes(20_000))
    assert tensor_fingerprint([tmp_path / "a.json", tmp_path / "b.png"]).unread == ()


def test_a_storage_that_ends_past_its_file_hides_none_before_it(tmp_path: Path) -> None:
    code = b"\x80\x02]" + b"".join(storage(FLOATS, string(str(i))) for i in range(6)) + b"."
    keys = pickle.dumps([str(i) for i in range(6)], protocol=2)
    storages = [(500).to_bytes(8, "little") + values.tobytes() for values in WEIGHTS]
    storages[4] = (2**62).to_bytes(8, "little") + storages[4][8:]
    (tmp_path / "a.pt").write_bytes(b"".join([OLD_TORCH, code, keys, *storages]))
    assert len(tensor_fingerprint([tmp_path / "a.pt"]).summaries) == 4
