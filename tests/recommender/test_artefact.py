"""The file of a model: what is saved comes back, and nothing else is ever taken for it."""

from __future__ import annotations

import dataclasses
import io
import json
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st

from recommender import artefact
from recommender.artefact import ArtefactError
from recommender.fitted import SCHEMA, Fitted
from recommender.scoring import Scorer, Who
from tests.recommender.arrays import fitted


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("artefact") / "model.npz"
    artefact.save(fitted(members=4, items=5, dims=3), path)
    return path.read_bytes()


def same(one: Any, other: Any) -> bool:
    if sp.issparse(one):
        return bool(one.shape == other.shape and abs(one - other).nnz == 0)
    if isinstance(one, np.ndarray):
        return bool(one.shape == other.shape and one.dtype == other.dtype and (one == other).all())
    return bool(one == other)


@pytest.mark.parametrize("sizes", [(20, 30, 8), (0, 0, 0), (1, 1, 1), (0, 4, 2)])
def test_what_is_saved_comes_back(tmp_path: Path, sizes: tuple[int, int, int]) -> None:
    model = fitted(3, *sizes)
    checksum = artefact.save(model, tmp_path / "deep" / "m.npz")
    back = artefact.load(tmp_path / "deep" / "m.npz", checksum)
    for field in dataclasses.fields(Fitted):
        assert same(getattr(model, field.name), getattr(back, field.name)), field.name
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["m.npz"]


def test_large_arrays_stay_in_the_file_and_score_the_same(tmp_path: Path) -> None:
    # Two million numbers are a large array: 8 MB.
    model = dataclasses.replace(
        fitted(items=30, members=0, dims=8),
        members=np.arange(270_000, dtype=np.int64),
        member_vectors=np.tile(np.arange(8, dtype=np.float32) / 8, (270_000, 1)),
        features_of_members=sp.csr_matrix((270_000, 6), dtype=np.float32),
    )
    artefact.save(model, tmp_path / "m.npz")
    back = artefact.load(tmp_path / "m.npz")
    assert isinstance(back.member_vectors, np.memmap)
    assert back.member_vectors.ctypes.data % 64 == 0
    who = Who(77, (), ("i-1",), (1.0,))
    assert (Scorer(back).scores(who) == Scorer(model).scores(who)).all()
    with pytest.raises(ValueError, match="read-only"):
        back.member_vectors[0] = 1.0
    # A new file in its place does not disturb the one that serves.
    artefact.save(fitted(), tmp_path / "m.npz")
    assert (back.member_vectors[-1] == model.member_vectors[-1]).all()


def test_it_tells_of_itself_without_the_arrays(tmp_path: Path) -> None:
    artefact.save(fitted(items=5), tmp_path / "m.npz")
    told = artefact.describe(tmp_path / "m.npz")
    assert told["schema"] == SCHEMA
    assert told["data"]["until"] == 1_795_000_000.0
    assert told["items"] == [f"i-{at}" for at in range(5)]
    assert told["arrays"]["item_vectors"] == ["<f4", [5, 8]]


def test_saving_the_same_again_gives_the_same_file(tmp_path: Path) -> None:
    assert artefact.save(fitted(), tmp_path / "a.npz") == artefact.save(fitted(), tmp_path / "b")
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b").read_bytes()


def test_another_file_under_its_name_is_refused(tmp_path: Path) -> None:
    checksum = artefact.save(fitted(1), tmp_path / "m.npz")
    artefact.save(fitted(2), tmp_path / "m.npz")
    with pytest.raises(ArtefactError, match=r"checksum differs.*roll back"):
        artefact.load(tmp_path / "m.npz", checksum)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ArtefactError, match=r"gone\.npz cannot be read"):
        artefact.load(tmp_path / "gone.npz")
    with pytest.raises(ArtefactError, match="cannot be read"):
        artefact.describe(tmp_path)


def changed(good: bytes, change: Callable[[dict[str, bytes]], None], packed: bool = False) -> bytes:
    """The file with other parts in it."""
    with zipfile.ZipFile(io.BytesIO(good)) as pack:
        parts = {name: pack.read(name) for name in pack.namelist()}
    change(parts)
    out = io.BytesIO()
    way = zipfile.ZIP_DEFLATED if packed else zipfile.ZIP_STORED
    with zipfile.ZipFile(out, "w", way) as pack:
        for name, data in parts.items():
            pack.writestr(name, data)
    return out.getvalue()


def about(**values: object) -> Callable[[dict[str, bytes]], None]:
    def change(parts: dict[str, bytes]) -> None:
        told = json.loads(parts["about.json"])
        parts["about.json"] = json.dumps({**told, **values}).encode()

    return change


def array(name: str, value: Any) -> Callable[[dict[str, bytes]], None]:
    """Another array, described as it is."""

    def change(parts: dict[str, bytes]) -> None:
        out = io.BytesIO()
        np.lib.format.write_array(out, value, allow_pickle=value.dtype.hasobject)
        parts[f"{name}.npy"] = out.getvalue()
        told = json.loads(parts["about.json"])
        told["arrays"][name] = [value.dtype.str, list(value.shape)]
        parts["about.json"] = json.dumps(told).encode()

    return change


def without(name: str) -> Callable[[dict[str, bytes]], None]:
    def change(parts: dict[str, bytes]) -> None:
        del parts[name]

    return change


F4, I4, I8 = np.float32, np.int32, np.int64


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (about(kind="a cake"), "something else"),
        (about(schema=SCHEMA + 1), "Update this program"),
        (about(schema=0), "Train a new one"),
        (about(schema="1"), "schema '1'"),
        (about(schema=None), "schema None"),
        (about(parts=["lightfm"]), "way of its own"),
        (about(items=[1, 2, 3, 4, 5]), "way of its own"),
        (about(items=["a"] * 5), "twice"),
        (about(items=["a"]), "shape"),
        (about(segments=[]), "shape"),
        (about(data=[]), "way of its own"),
        (about(arrays={}), "missing"),
        (about(arrays={"members": ["<f4"]}), "damaged"),
        (about(arrays={"members": ["<f4", "x"]}), "shape"),
        (about(arrays={"members": ["<f4", [10**15, 10**15]]}), "shape"),
        (without("about.json"), "does not describe itself"),
        (without("item_vectors.npy"), "damaged"),
        (array("item_vectors", np.full((5, 3), np.nan, F4)), "no numbers"),
        (array("popular", np.full((3, 5), np.inf, F4)), "no numbers"),
        (array("scale", np.zeros(5, F4)), "above 0"),
        (array("scale", np.ones(4, F4)), "shape"),
        (array("item_vectors", np.ones((5, 4), F4)), "shape"),
        (array("item_vectors", np.ones((5, 3), np.float64)), "way of its own"),
        (array("item_vectors", np.array([["x"] * 3] * 5, object)), "way of its own"),
        (array("members", np.array([3, 3, 5, 6], I8)), "order"),
        (array("members", np.array([[3, 4]], I8)), "shape"),
        (array("members", np.int64(3)), "shape"),
        (array("sequel.indices", np.array([99], I4)), "hold together"),
        (array("sequel.indptr", np.array([0, -1, 0, 0, 0, 0], I4)), "hold together"),
        (array("sequel.indptr", np.zeros(0, I4)), "hold together"),
        (array("sequel.shape", np.array([7, 7], I8)), "hold together"),
        (array("extra", np.zeros(1, F4)), "extra is missing or too much"),
    ],
)
def test_a_foreign_file_is_refused_with_the_reason(
    tmp_path: Path, good: bytes, change: Callable[[dict[str, bytes]], None], says: str
) -> None:
    (tmp_path / "m.npz").write_bytes(changed(good, change))
    with pytest.raises(ArtefactError, match=says) as found:
        artefact.load(tmp_path / "m.npz")
    assert "m.npz" in str(found.value)
    assert "Train a new one" in str(found.value) or "train a new one" in str(found.value)


def test_a_packed_file_is_no_way_to_fill_the_memory(tmp_path: Path, good: bytes) -> None:
    def swell(parts: dict[str, bytes]) -> None:
        parts["about.json"] = b"[" * (1 << 20)

    (tmp_path / "m.npz").write_bytes(changed(good, swell, packed=True))
    with pytest.raises(ArtefactError, match="describe itself"):
        artefact.load(tmp_path / "m.npz")
    (tmp_path / "m.npz").write_bytes(changed(good, swell))
    with pytest.raises(ArtefactError, match="describe itself"):
        artefact.load(tmp_path / "m.npz")


@settings(max_examples=80, deadline=None)
@given(data=st.data())
def test_a_damaged_file_is_refused_or_reads_as_it_was(good: bytes, data: st.DataObject) -> None:
    hurt = bytearray(good)
    if data.draw(st.booleans(), "cut off"):
        hurt = hurt[: data.draw(st.integers(0, len(good) - 1), "length")]
    for _ in range(data.draw(st.integers(0, 4), "hits")):
        if hurt:
            hurt[data.draw(st.integers(0, len(hurt) - 1))] ^= data.draw(st.integers(1, 255))
    _refused_or_whole(bytes(hurt))


@settings(max_examples=60, deadline=None)
@given(st.binary(max_size=300))
def test_any_bytes_are_refused(raw: bytes) -> None:
    _refused_or_whole(raw)
    _refused_or_whole(b"PK\x03\x04" + raw)


def _refused_or_whole(raw: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "m.npz"
        path.write_bytes(raw)
        try:
            found = artefact.load(path)
        except ArtefactError:
            return
    who = Who(3, ("tag:写作",), ("i-1",), (1.0,))
    assert np.isfinite(Scorer(found).scores(who)).all()


def test_what_could_not_be_loaded_is_not_saved(tmp_path: Path) -> None:
    path = tmp_path / "m.npz"
    artefact.save(fitted(), path)
    before = path.read_bytes()
    nan = np.full_like(fitted().item_vectors, np.nan)
    for broken in (
        dataclasses.replace(fitted(), item_vectors=nan),
        dataclasses.replace(fitted(), item_biases=np.zeros(3, np.float32)),
        dataclasses.replace(fitted(), data={"loss": float("nan")}),
        dataclasses.replace(fitted(), data={"set": {1}}),
    ):
        with pytest.raises(ArtefactError):
            artefact.save(broken, path)
    assert path.read_bytes() == before
    assert [one.name for one in tmp_path.iterdir()] == ["m.npz"]


def stays(*gone: int) -> Callable[[Any], Any]:
    return lambda members: ~np.isin(members, gone)


def test_a_member_is_taken_out_and_all_else_scores_the_same(tmp_path: Path) -> None:
    path = tmp_path / "m.npz"
    model = fitted(members=4, items=9)
    was = artefact.save(model, path)
    fresh = artefact.without(path, was, stays(6))
    assert fresh != was
    assert artefact.members_of(path).tolist() == [3, 6, 9, 12], "not before it is registered"
    assert artefact.settle(path, fresh)
    smaller = artefact.load(path, fresh)
    assert smaller.members.tolist() == [3, 9, 12]
    assert smaller.data == model.data
    for member in (3, 9, 12):
        who = Who(member, ("tag:写作",), ("i-1",), (1.0,))
        assert np.array_equal(Scorer(smaller).scores(who), Scorer(model).scores(who))
    gone, stranger = (Scorer(smaller).vector(Who(one, ("tag:写作",))) for one in (6, -1))
    assert np.array_equal(gone, stranger), "somebody it never met"
    assert model.member_vectors[1].tobytes() not in path.read_bytes()
    assert [file.name for file in tmp_path.iterdir()] == ["m.npz"]
    assert artefact.without(path, fresh, stays(6)) == "", "done is done"
    assert artefact.without(path, fresh, stays(3, 9, 12)), "nobody left is a model, too"


def test_killed_anywhere_only_the_registered_file_serves(tmp_path: Path) -> None:
    path, beside = tmp_path / "m.npz", tmp_path / "m.npz.next"
    was = artefact.save(fitted(members=4), path)
    fresh = artefact.without(path, was, stays(6))
    # Killed before the new sum was registered.
    assert len(artefact.load(path, was).members) == 4
    assert artefact.without(path, was, stays()) == ""
    assert not beside.exists(), "what nobody took up goes"
    # Killed after it, before the file was put in place.
    fresh = artefact.without(path, was, stays(6))
    assert len(artefact.load(path, fresh).members) == 3
    assert not beside.exists()
    # Half a file beside it, or somebody else's.
    beside.write_bytes(path.read_bytes()[:900])
    assert len(artefact.load(path, fresh).members) == 3
    with pytest.raises(ArtefactError, match="checksum"):
        artefact.load(path, was)
    assert not artefact.settle(path, was)
    assert artefact.without(path, fresh, stays()) == ""
    path.write_bytes(path.read_bytes()[:900])
    with pytest.raises(ArtefactError):
        artefact.without(path, fresh, stays(9))


@pytest.mark.parametrize("name", ["half_life_s", "half_rank", "fold", "until"])
@pytest.mark.parametrize("value", ["abc", None, True, -1.0, [1]])
def test_what_serving_counts_with_is_a_number(tmp_path: Path, name: str, value: Any) -> None:
    model = fitted(members=2, items=3)
    model = dataclasses.replace(model, data={**model.data, name: value})
    artefact.save(model, tmp_path / "m.npz")
    with pytest.raises(ArtefactError, match="of its own"):
        artefact.load(tmp_path / "m.npz")
