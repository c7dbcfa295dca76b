"""A trained model in a file: one zip of plain arrays, checked before a single one is used.

No pickle: a file can be wrong, it can never run anything. What describes it stands in a part of
its own, readable without the arrays. Large arrays are mapped, not read: a model that takes over
from another never needs the memory of both.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
import os
import struct
import zipfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, BinaryIO, TypeAlias

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

from recommender.fitted import BANDS, PARTS, SCHEMA, Fitted, Ints

Array: TypeAlias = npt.NDArray[Any]
Mask: TypeAlias = npt.NDArray[np.bool_]

KIND = "zhiqun recommender model"
NEXT = ".next"
"""Behind the name of a file: what is to take its place."""
_ABOUT = "about.json"
_MOST_ABOUT = 64 << 20
_MOST_BYTES = 8 << 30
_MAPPED = 8 << 20
"""Arrays of so many bytes stay in the file."""
_PIECE = 1 << 20
_ALIGNED = 64
_MAGIC = b"\x93NUMPY\x01\x00"
_SPARSE = ("features_of_members", "features_of_items", "sequel", "alike", "content")
_FLOATS = (
    *("member_vectors", "item_vectors", "item_biases", "member_feature_vectors"),
    *("item_feature_vectors", "item_feature_biases", "popular", "weights", "scale"),
)
_NAMES = ("items", "member_features", "item_features", "segments")
_NUMBERS = ("half_life_s", "half_rank", "fold", "until")
"""In `data`, which serving and the gate count with; at least 0."""
_TYPES = ("<f4", "<i4", "<i8")
_TRAIN = "Train a new one or roll back."


class ArtefactError(Exception):
    """The file of a model cannot be used; the message says what is wrong and what to do."""


def save(fitted: Fitted, path: Path) -> str:
    """Write a model; gives the SHA-256 of the file, hexadecimal.

    The file is there whole or not at all, also when the machine stops meanwhile. Errors: OSError;
    ArtefactError for a model that could not be loaded again.
    """
    parts = dict(_parts(fitted))
    about = {
        "kind": KIND,
        "schema": SCHEMA,
        "parts": list(PARTS),
        "bands": list(BANDS),
        **{name: list(getattr(fitted, name)) for name in _NAMES},
        "arrays": {name: [array.dtype.str, list(array.shape)] for name, array in parts.items()},
        "data": dict(fitted.data),
    }
    try:
        described = json.dumps(about, ensure_ascii=False, allow_nan=False).encode()
    except (TypeError, ValueError) as error:
        raise ArtefactError(f"what describes the model is no JSON: {error}") from error
    _shaped(about, {name: array.shape for name, array in parts.items()})
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_name(f"{path.name}.{os.getpid()}.new")
    try:
        with fresh.open("wb") as file:
            # Stored, not packed: vectors do not shrink, and only so can they be mapped.
            with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED, allowZip64=True) as pack:
                pack.writestr(zipfile.ZipInfo(_ABOUT), described)
                for name, array in parts.items():
                    with pack.open(zipfile.ZipInfo(f"{name}.npy"), "w", force_zip64=True) as part:
                        _written(part, file.tell(), array)
            file.flush()
            os.fsync(file.fileno())
        with fresh.open("rb") as file:
            checksum = _hashed(file)
        fresh.replace(path)
    finally:
        with contextlib.suppress(FileNotFoundError):
            fresh.unlink()
    return checksum


def _parts(fitted: Fitted) -> Iterator[tuple[str, Array]]:
    yield "members", np.ascontiguousarray(fitted.members, "<i8")
    for name in _FLOATS:
        array = np.ascontiguousarray(getattr(fitted, name), "<f4")
        if not _finite(array):
            raise ArtefactError(f"{name} has values that are no numbers. The old model stays.")
        yield name, array
    for name in _SPARSE:
        matrix = sp.csr_matrix(getattr(fitted, name))
        if not matrix.has_canonical_format:
            matrix = matrix.copy()
            matrix.sum_duplicates()
        data = np.ascontiguousarray(matrix.data, "<f4")
        if not _finite(data):
            raise ArtefactError(f"{name} has values that are no numbers. The old model stays.")
        kind = "<i4" if max(matrix.nnz, *matrix.shape) < 2**31 else "<i8"
        yield f"{name}.data", data
        yield f"{name}.indices", np.ascontiguousarray(matrix.indices, kind)
        yield f"{name}.indptr", np.ascontiguousarray(matrix.indptr, kind)
        yield f"{name}.shape", np.array(matrix.shape, "<i8")


def _written(part: Any, begins: int, array: Array) -> None:
    """Write an array as numpy does. begins: where in the file, so that it can be mapped aligned."""
    about = np.lib.format.header_data_from_array_1_0(array)
    text = repr(about).encode("latin1")
    pad = -(begins + len(_MAGIC) + 2 + len(text) + 1) % _ALIGNED
    text += b" " * pad + b"\n"
    part.write(_MAGIC + struct.pack("<H", len(text)) + text)
    flat = array.reshape(-1).view(np.uint8)
    for at in range(0, len(flat), _PIECE):
        part.write(flat[at : at + _PIECE].tobytes())


def _hashed(file: BinaryIO) -> str:
    file.seek(0)
    found = hashlib.sha256()
    for piece in iter(lambda: file.read(_PIECE), b""):
        found.update(piece)
    return found.hexdigest()


def describe(path: Path) -> dict[str, Any]:
    """What the file says of itself, without the arrays: schema, names, data, arrays by shape.

    Errors: ArtefactError.
    """
    with _opened(path) as (_, pack):
        return _about(path, pack)


def without(path: Path, checksum: str, stays: Callable[[Ints], Mask]) -> str:
    """Write a model without some of its members beside it; the checksum of that, "" when all stay.

    stays: which of these members (sorted numbers). The file itself is left as it is: first what is
    registered changes from the one checksum to the other, then `settle` puts the new file in its
    place. Killed in between, `load` does that. Who is taken out is to the model somebody whom it
    never met. Errors: ArtefactError, OSError.
    """
    beside = _beside(path)
    settle(path, checksum)
    if bool(stays(members_of(path)).all()):
        beside.unlink(missing_ok=True)
        return ""
    fitted = load(path, checksum)
    kept = np.flatnonzero(stays(fitted.members))
    smaller = replace(
        fitted,
        members=fitted.members[kept],
        member_vectors=fitted.member_vectors[kept],
        features_of_members=fitted.features_of_members[kept],
    )
    return save(smaller, beside)


def settle(path: Path, checksum: str) -> bool:
    """Put the file that `without` made in the place of the one before, when it has this checksum;
    whether it did. Errors: OSError."""
    beside = _beside(path)
    try:
        with beside.open("rb") as file:
            if _hashed(file) != checksum.lower():
                return False
        beside.replace(path)
    except FileNotFoundError:
        return False
    return True


def _beside(path: Path) -> Path:
    return path.with_name(path.name + NEXT)


def members_of(path: Path) -> Ints:
    """Whom a file knows, sorted; the rest of it is not looked at. Errors: ArtefactError."""
    with _opened(path) as (file, pack):
        try:
            kind, shape = _about(path, pack)["arrays"]["members"]
            return np.array(_array(path, file, pack, "members", kind, tuple(shape)))
        except ArtefactError as error:
            raise ArtefactError(f"{path.name}: {error} {_TRAIN}") from error
        except _BROKEN as error:
            raise ArtefactError(f"{path.name} is damaged: {error}. {_TRAIN}") from error


def load(path: Path, checksum: str = "") -> Fitted:
    """The model of a file. checksum: as `save` gave it; "" for any.

    Errors: ArtefactError, which says what is wrong with it; nothing half read is ever given.
    """
    if checksum and _beside(path).exists():
        with contextlib.suppress(OSError):
            settle(path, checksum)
    with _opened(path) as (file, pack):
        if checksum and _hashed(file) != checksum.lower():
            raise ArtefactError(
                f"{path.name} is not the file that was registered: its checksum differs. {_TRAIN}"
            )
        about = _about(path, pack)
        try:
            arrays = {
                name: _array(path, file, pack, name, kind, tuple(shape))
                for name, (kind, shape) in about["arrays"].items()
            }
            shapes = {name: array.shape for name, array in arrays.items()}
            _shaped(about, shapes)
            return _fitted(about, arrays)
        except ArtefactError as error:
            raise ArtefactError(f"{path.name}: {error} {_TRAIN}") from error
        except _BROKEN as error:
            raise ArtefactError(
                f"{path.name} is damaged: {error or 'cut off'}. {_TRAIN}"
            ) from error


_BROKEN = (
    *(ValueError, TypeError, KeyError, IndexError, OSError, EOFError, AttributeError),
    *(zipfile.BadZipFile, NotImplementedError, RuntimeError, MemoryError, OverflowError),
    *(struct.error, RecursionError),
)
"""What the standard library and numpy make of bytes that are no such file."""


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[tuple[BinaryIO, zipfile.ZipFile]]:
    try:
        file = path.open("rb")
    except OSError as error:
        raise ArtefactError(
            f"{path.name} cannot be read: {error.strerror or 'no file'}. {_TRAIN}"
        ) from error
    with file:
        size = os.fstat(file.fileno()).st_size
        if size > _MOST_BYTES:
            raise ArtefactError(f"{path.name} has {size} bytes, too many for a model. {_TRAIN}")
        try:
            pack = zipfile.ZipFile(file)
        except _BROKEN as error:
            raise ArtefactError(
                f"{path.name} is no file of a model, or its end is missing. {_TRAIN}"
            ) from error
        with pack:
            yield file, pack


def _about(path: Path, pack: zipfile.ZipFile) -> dict[str, Any]:
    try:
        inside = pack.getinfo(_ABOUT)
        if inside.file_size > _MOST_ABOUT or inside.compress_type != zipfile.ZIP_STORED:
            raise ValueError("the description is too long")
        about = json.loads(pack.read(inside))
        kind, schema = about["kind"], about["schema"]
    except _BROKEN as error:
        raise ArtefactError(
            f"{path.name} is no model of ours: it does not describe itself. {_TRAIN}"
        ) from error
    if kind != KIND:
        raise ArtefactError(f"{path.name} is something else than a model of ours. {_TRAIN}")
    if type(schema) is not int or schema != SCHEMA:
        newer = type(schema) is int and schema > SCHEMA
        do = "Update this program, or train a new one." if newer else "Train a new one."
        raise ArtefactError(f"{path.name} has schema {schema!r}, this program reads {SCHEMA}. {do}")
    fine = (
        about.get("parts") == list(PARTS)
        and about.get("bands") == list(BANDS)
        and isinstance(about.get("data"), dict)
        and all(_number(about["data"].get(name, 0.0)) for name in _NUMBERS)
        and isinstance(about.get("arrays"), dict)
        and all(
            isinstance(about.get(name), list) and all(isinstance(one, str) for one in about[name])
            for name in _NAMES
        )
    )
    if not fine:
        raise ArtefactError(f"{path.name} describes itself in a way of its own. {_TRAIN}")
    checked: dict[str, Any] = about
    return checked


def _number(value: object) -> bool:
    return type(value) in (int, float) and 0 <= value < 1e18  # type: ignore[operator]


def _array(
    path: Path,
    file: BinaryIO,
    pack: zipfile.ZipFile,
    name: str,
    kind: str,
    shape: tuple[int, ...],
) -> Array:
    inside = pack.getinfo(f"{name}.npy")
    if inside.compress_type != zipfile.ZIP_STORED or kind not in _TYPES:
        raise ArtefactError(f"{name} is stored in a way of its own.")
    if not all(isinstance(one, int) and 0 <= one < 2**40 for one in shape):
        raise ArtefactError(f"{name} has the shape {shape}.")
    size = math.prod(shape) * np.dtype(kind).itemsize
    with pack.open(inside) as part:
        if np.lib.format.read_magic(part) != (1, 0):
            raise ArtefactError(f"{name} is no array that we wrote.")
        written, by_column, stored = np.lib.format.read_array_header_1_0(part)
        head = part.tell()
        if written != shape or by_column or stored.str != kind or inside.file_size != head + size:
            raise ArtefactError(f"{name} is not what the description says.")
        if size < _MAPPED:
            # To the end, so that the zip's own sum of it is checked.
            array = np.frombuffer(part.read() if size else b"", kind).reshape(shape)
            if not _finite(array):
                raise ArtefactError(f"{name} has values that are no numbers.")
            return array
        for piece in iter(lambda: part.read(_PIECE), b""):
            if kind == "<f4" and not _finite(np.frombuffer(piece[: len(piece) // 4 * 4], kind)):
                raise ArtefactError(f"{name} has values that are no numbers.")
    return np.memmap(file, kind, "r", _begins(file, inside) + head, shape)


def _begins(file: BinaryIO, inside: zipfile.ZipInfo) -> int:
    """Where the bytes of a part begin: behind its own header, which may be longer than the one in
    the list."""
    file.seek(inside.header_offset)
    head = file.read(30)
    name, extra = struct.unpack("<HH", head[26:30])
    return inside.header_offset + 30 + int(name) + int(extra)


def _finite(array: Array) -> bool:
    if array.dtype.kind != "f":
        return True
    flat = array.reshape(-1)
    return all(
        bool(np.isfinite(flat[at : at + _PIECE]).all()) for at in range(0, len(flat), _PIECE)
    )


def _shaped(about: Mapping[str, Any], shapes: Mapping[str, tuple[int, ...]]) -> None:
    """Whether all arrays are there and fit each other. Errors: ArtefactError."""
    expected = {"members", *_FLOATS}
    for name in _SPARSE:
        expected |= {f"{name}.{part}" for part in ("data", "indices", "indptr", "shape")}
    if set(shapes) != expected:
        wrong = sorted(expected ^ set(shapes))[0]
        raise ArtefactError(f"{wrong} is missing or too much.")
    items, features = len(about["items"]), len(about["member_features"])
    traits, segments = len(about["item_features"]), len(about["segments"])
    members = shapes["members"][0] if len(shapes["members"]) == 1 else -1
    depth = shapes["item_vectors"][-1] if len(shapes["item_vectors"]) == 2 else -1
    wanted = {
        "members": (members,),
        "member_vectors": (members, depth),
        "item_vectors": (items, depth),
        "item_biases": (items,),
        "member_feature_vectors": (features, depth),
        "item_feature_vectors": (traits, depth),
        "item_feature_biases": (traits,),
        "popular": (segments, items),
        "weights": (len(BANDS) + 1, len(PARTS)),
        "scale": (len(PARTS),),
    }
    for name, shape in wanted.items():
        if shapes[name] != shape:
            raise ArtefactError(f"{name} has the shape {shapes[name]} instead of {shape}.")
    if not segments:
        raise ArtefactError("there is no segment for everybody.")
    for name in _NAMES:
        if len(set(about[name])) != len(about[name]):
            raise ArtefactError(f"{name} has the same name twice.")


def _fitted(about: Mapping[str, Any], arrays: Mapping[str, Array]) -> Fitted:
    members = arrays["members"]
    if len(members) > 1 and not bool((members[1:] > members[:-1]).all()):
        raise ArtefactError("members are not in order.")
    if not bool((arrays["scale"] > 0).all()):
        raise ArtefactError("scale is not above 0.")
    items = len(about["items"])
    shapes = {
        "features_of_members": (len(members), len(about["member_features"])),
        "features_of_items": (items, len(about["item_features"])),
        "sequel": (items, items),
        "alike": (items, items),
        "content": (items, items),
    }
    fields: dict[str, Any] = {name: tuple(about[name]) for name in _NAMES}
    fields.update({name: arrays[name] for name in ("members", *_FLOATS)})
    fields.update({name: _matrix(name, arrays, shape) for name, shape in shapes.items()})
    return Fitted(**fields, data=about["data"])


def _matrix(name: str, arrays: Mapping[str, Array], shape: tuple[int, int]) -> sp.csr_matrix:
    data, indices = arrays[f"{name}.data"], arrays[f"{name}.indices"]
    indptr, kept = arrays[f"{name}.indptr"], arrays[f"{name}.shape"]
    fine = (
        kept.tolist() == list(shape)
        and data.ndim == indices.ndim == indptr.ndim == 1
        and len(data) == len(indices)
        and len(indptr) == shape[0] + 1
        and int(indptr[0]) == 0
        and int(indptr[-1]) == len(data)
        and bool((indptr[1:] >= indptr[:-1]).all())
        and (not len(indices) or (int(indices.min()) >= 0 and int(indices.max()) < shape[1]))
    )
    if not fine:
        raise ArtefactError(f"{name} does not hold together.")
    found = sp.csr_matrix(shape, dtype=np.float32)
    # Put in place, not handed to the constructor, which would copy what is mapped.
    found.data, found.indices, found.indptr = data, indices, indptr
    return found
