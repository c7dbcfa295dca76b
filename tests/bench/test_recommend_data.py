"""What the bench reads: any folder in the layout of the shared data, with or without its extras."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from bench.recommend_data import sets
from recommender.dataset import weights


def write(folder: Path, name: str, text: str) -> None:
    (folder / name).write_text(text, "utf-8")


def test_ratings_items_and_users(tmp_path: Path) -> None:
    write(
        tmp_path,
        "films_interactions.csv",
        "user,item,rating,ts,part\nu1,a,5,10,train\nu1,b,2,11,train\nu2,a,4,12,dev\n",
    )
    write(
        tmp_path, "films_items.csv", 'item,title,genres\na,"One Day",Drama|War\nb,Two Nights,War\n'
    )
    write(tmp_path, "films_users.csv", "user,age\nu1,31\nu2,44\n")
    data = next(sets(tmp_path))
    assert data.name == "films"
    assert data.dev.tolist() == [False, False, True]
    assert weights(data.log).tolist() == [1.5, 0.0, 1.0]
    assert data.things.ids == ("a", "b")
    assert {"genres:Drama", "genres:War", "word:one"} <= set(data.things.features[0])
    assert data.people.features == (("age:31",), ("age:44",))


def test_nothing_but_who_and_what(tmp_path: Path) -> None:
    write(tmp_path, "interactions.csv", "user,item,part\n1,x,train\n1,y,dev\n2,z,\n")
    data = next(sets(tmp_path))
    assert data.name == "data"
    assert weights(data.log).tolist() == [1.0, 1.0, 1.0]
    # The order of the file stands for time.
    assert np.all(np.diff(data.log.at) > 0)
    assert data.things.features == ((), (), ())
    assert data.dev.tolist() == [False, True, False]


def test_scales_other_than_five_stars_and_broken_numbers(tmp_path: Path) -> None:
    write(
        tmp_path,
        "books_interactions.csv",
        "user,item,rating,ts,part\n1,a,10,1,train\n1,b,8,2,train\n1,c,x,3,train\n1,d,4,never,train\n",
    )
    data = next(sets(tmp_path))
    assert len(data.log) == 3
    assert weights(data.log).tolist() == [1.5, 1.0, 0.0]


def test_how_much_was_done_is_not_how_much_it_was_liked(tmp_path: Path) -> None:
    write(
        tmp_path,
        "courses_interactions.csv",
        "user,item,strength,seq,part\n1,a,0.3,0,train\n1,b,7,1,train\n1,c,0,2,dev\n",
    )
    assert weights(next(sets(tmp_path)).log).tolist() == [1.0, 1.0, 0.0]


def test_a_folder_without_data_and_a_set_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        next(sets(tmp_path))
    write(tmp_path, "one_interactions.csv", "user,item\n1,a\n")
    with pytest.raises(FileNotFoundError, match="two"):
        next(sets(tmp_path, "two"))
