"""More like this, by the texts: a vector of hashed words on the real server, the queue of it and its preview."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from argilla_admap.errors import InputError
from argilla_admap.pipeline import push, run
from argilla_admap.review.argilla.argilla_api import Api, parse_address
from argilla_admap.review.argilla.properties import TEXTS
from argilla_admap.review.push import text_vectors as text_vectors_module
from argilla_admap.review.push.stored_records import lacks_text_vectors
from argilla_admap.review.push.text_vectors import DIMENSIONS, text_vectors
from argilla_admap.review.queues.overview import find_queues
from tests.doubles.argilla_server import Annotator
from tests.doubles.embeddings_server import Embeddings
from tests.doubles.judge_server import Judge
from tests.review.maps import data_map, row

TASKS = ("Translate the {} menu into French", "Write a sorting function in {} with tests", "Which {} planet has the most moons")


def batch(prompts: list[str], completions: list[list[str]] | None = None) -> pa.RecordBatch:
    given = completions or [["one", "two"]] * len(prompts)
    return pa.RecordBatch.from_pydict({"prompt": prompts, "completions": pa.array(given, pa.list_(pa.string()))})


def test_texts_that_share_words_are_near_and_the_vector_is_the_same_in_any_batch() -> None:
    prompts = [task.format(word) for task in TASKS for word in ("lunch", "Python", "outer", "long")]
    vectors = text_vectors(batch(prompts))
    assert vectors.shape == (12, DIMENSIONS)
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    alike = unit @ unit.T - 2 * np.eye(12)
    assert [int(i) // 4 for i in alike.argmax(axis=1)] == [i // 4 for i in range(12)]
    np.testing.assert_array_equal(text_vectors(batch(prompts[5:7])), vectors[5:7])


@given(
    st.lists(
        st.text(st.sampled_from("aA1_ .,-'\n\u0130\u00df\u0416\u4e2d\u0663\u00b2") | st.characters(), max_size=30), max_size=6
    )
)
def test_words_are_counted_as_scikit_learn_counts_them(texts: list[str]) -> None:
    from sklearn.feature_extraction.text import HashingVectorizer
    from sklearn.preprocessing import normalize

    texts = [text.encode("utf-8", "ignore").decode() for text in texts]
    ours = text_vectors_module._bag(pa.array([*texts, "the cat, the other cat"]), 1000)
    plain = HashingVectorizer(n_features=2**18, alternate_sign=False, norm=None, stop_words="english", dtype=np.float32)
    theirs = plain.transform([*texts, "the cat, the other cat"])
    theirs.data = 1 + np.log(theirs.data)
    assert (ours != normalize(theirs)).nnz == 0


def test_the_vectors_stay_those_of_data_sets_that_are_there() -> None:
    from scipy import sparse
    from sklearn.random_projection import SparseRandomProjection

    words = sparse.csr_matrix((1, 2**18), dtype=np.float32)
    fitted = SparseRandomProjection(DIMENSIONS, density=1 / 64, random_state=0).fit(words).components_
    ours = text_vectors_module._projection()
    assert ours.dtype == np.float32
    assert (ours != fitted.T.astype(np.float32).tocsr()).nnz == 0


def test_a_text_without_a_word_has_a_vector_of_zeros_which_is_never_sent() -> None:
    assert not text_vectors(batch(["", "?!"], [[], ["", "..."]])).any()


def test_the_vector_of_texts_does_not_tell_their_order_however_long_they_are() -> None:
    texts = [" ".join(f"{word}{i}" for i in range(400)) for word in ("apple", "pear", "plum")]
    there, back = text_vectors(batch(["a question", "a question"], [texts, texts[::-1]]))
    np.testing.assert_array_equal(there, back)
    assert there.any()


@pytest.mark.parametrize("blind", [False, True], ids=["open", "blind"])
def test_the_queue_of_similar_records_holds_those_of_its_task_first(argilla_client: Any, workspace: str, blind: bool) -> None:
    words = ("lunch", "Python", "outer", "long", "sour")
    rows = [row(f"{i}-{word}", prompt=task.format(word)) for i, task in enumerate(TASKS) for word in words]
    name = f"{workspace}/tasks"
    push(data_map(rows), name, argilla_client, blind=blind)
    api = Api(argilla_client)
    dataset = api.dataset(parse_address(name))
    assert int(dataset.vectors[TEXTS]["dimensions"]) == DIMENSIONS
    assert not lacks_text_vectors(api, dataset)
    (queue,) = find_queues(argilla_client, name, similar_to="1-Python", by="text")
    # Four share its task; of words so few, the projection may let one slip.
    assert [like["id"][0] for like in queue.preview[:4]].count("1") >= 3
    assert queue.preview[0]["prompt"].startswith("Write a sorting function")
    assert f"vector.{TEXTS}." in queue.url
    assert queue.json()["preview"] == list(queue.preview)
    with pytest.raises(InputError, match="neither text nor map"):
        find_queues(argilla_client, name, similar_to="1-Python", by="sound")


def test_a_data_set_without_the_vector_gets_it_for_every_record_and_later_only_new_texts_do(
    argilla_client: Any, workspace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [row(f"r{i}", prompt=f"What is the number {i}?") for i in range(5)]
    push(data_map(rows), f"{workspace}/late", argilla_client, text_vectors="none")
    api = Api(argilla_client)
    address = parse_address(f"{workspace}/late")
    assert TEXTS not in api.dataset(address).vectors
    assert push(data_map(rows), f"{workspace}/late", argilla_client).updated == 5
    found = [item for page in api.pages(api.dataset(address), ("vectors",)) for item in page]
    assert all(len(item["vectors"][TEXTS]) == DIMENSIONS for item in found)
    made: list[int] = []

    def counted(batch: pa.RecordBatch) -> npt.NDArray[np.float64]:
        made.append(batch.num_rows)
        return text_vectors(batch)

    monkeypatch.setattr(text_vectors_module, "text_vectors", counted)
    assert push(data_map(rows), f"{workspace}/late", argilla_client).updated == 0
    assert made == []
    again = [*rows[:4], row("r4", prompt="What is another number?"), row("r5", prompt="And what is this?")]
    assert push(data_map(again), f"{workspace}/late", argilla_client).added == 1
    assert made == [2]
    vectors = {
        item["external_id"]: item["vectors"][TEXTS] for page in api.pages(api.dataset(address), ("vectors",)) for item in page
    }
    expected = text_vectors(
        batch(["What is another number?", "And what is this?"], [list(one["completions"]) for one in again[4:]])
    )
    np.testing.assert_allclose([vectors["r4"], vectors["r5"]], expected, atol=1e-6)


def test_a_model_makes_the_vectors_once_and_another_push_leaves_them(
    argilla_client: Any, workspace: str, words: Embeddings, tmp_path: Path
) -> None:
    rows = [row(f"{i}-{word}", prompt=task.format(word)) for i, task in enumerate(TASKS) for word in ("lunch", "outer", "long")]
    name, api = f"{workspace}/embedded", Api(argilla_client)
    ask: dict[str, Any] = {
        "text_vectors": "endpoint", "embedding_model": "words", "embedding_base_url": words.url,
        "store": tmp_path / "store", "price": (1.0, 0.0),
    }  # fmt: skip

    def stored() -> list[list[float] | None]:
        dataset = api.dataset(parse_address(name))
        return [(item.get("vectors") or {}).get(TEXTS) for page in api.pages(dataset, ("vectors",)) for item in page]

    said = push(data_map(rows), name, argilla_client, dry_run=True, max_cost=1.0, **ask).notes
    assert [note for note in said if "vectors of the texts by words: " in note and "tokens, about $0.00" in note]
    with pytest.raises(InputError, match="the vectors of the texts cost about"):
        push(data_map(rows), name, argilla_client, max_cost=1e-6, **ask)
    assert words.requests == 0

    push(data_map(rows), name, argilla_client)
    assert all(len(vector or ()) == DIMENSIONS for vector in stored())
    push(data_map(rows), name, argilla_client, max_cost=1.0, **ask)
    assert all(len(vector or ()) == 64 for vector in stored())
    (queue,) = find_queues(argilla_client, name, similar_to="1-outer", by="text")
    assert [like["id"][0] for like in queue.preview[:2]] == ["1", "1"]
    paid, kept = words.requests, stored()
    more = push(data_map([*rows, row("new")]), name, argilla_client)
    assert [note for note in more.notes if note.startswith("1 new records have no vector of their texts")]
    assert sorted(filter(None, stored())) == sorted(filter(None, kept))
    assert words.requests == paid
    for sent in (len(rows) + 1, 0):
        assert push(data_map([*rows, row("new")]), name, argilla_client, **ask).updated == sent
        assert words.requests == paid + 1  # for the new one alone
        assert all(len(vector or ()) == 64 for vector in stored())
    push(data_map([*rows, row("new")]), name, argilla_client, text_vectors="hashed")
    assert all(len(vector or ()) == DIMENSIONS for vector in stored())


def test_a_run_asks_for_the_price_of_the_vectors_before_the_judge_is_paid(
    argilla_client: Any, workspace: str, judge: Judge, words: Embeddings, tmp_path: Path
) -> None:
    rows = [{"prompt": f"q {i}", "chosen": f"quality=5 {i}", "rejected": f"quality=2 {i}"} for i in range(3)]
    ask: dict[str, Any] = {
        "text_vectors": "endpoint", "embedding_base_url": words.url, "store": tmp_path / "store", "client": argilla_client,
        "base_url": judge.url, "price": (1.0, 1.0), "output": tmp_path / "x.map.parquet",
    }  # fmt: skip
    name = f"{workspace}/run"
    with pytest.raises(InputError, match="no price is listed for the model 'words'"):
        run(rows, name, max_cost=1.0, embedding_model="words", **ask)
    assert judge.counts()["paid"] == words.requests == 0
    run(rows, name, embedding_model="words", **ask)
    assert judge.counts()["paid"] == 6
    api = Api(argilla_client)
    found = [item for page in api.pages(api.dataset(parse_address(name)), ("vectors",)) for item in page]
    assert [len(item["vectors"][TEXTS]) for item in found] == [64] * 3


def test_a_data_set_of_somebody_else_gets_the_vector_too(argilla_client: Any, workspace: str) -> None:
    import argilla as rg

    fields = [rg.TextField(name=name) for name in ("prompt", "response_a", "response_b")]
    settings = rg.Settings(fields=fields, questions=[rg.LabelQuestion(name="best", labels=["a", "b"])])
    made = rg.Dataset(name="theirs", workspace=workspace, settings=settings, client=argilla_client).create()
    rows = [row(f"{i}-{word}", prompt=task.format(word)) for i, task in enumerate(TASKS) for word in ("lunch", "outer")]
    made.records.log(
        [
            rg.Record(
                id=one["id"],
                fields={"prompt": one["prompt"], "response_a": one["completions"][0], "response_b": one["completions"][1]},
            )
            for one in rows
        ]
    )
    name, api = f"{workspace}/theirs", Api(argilla_client)
    for sent in (len(rows), 0):
        assert push(data_map(rows), name, argilla_client).updated == sent
        found = [item for page in api.pages(api.dataset(parse_address(name)), ("vectors",)) for item in page]
        assert all(len(item["vectors"][TEXTS]) == DIMENSIONS for item in found)
    (queue,) = find_queues(argilla_client, name, similar_to="1-lunch", by="text")
    assert queue.preview[0]["id"] == "1-outer"


def test_people_who_share_the_queues_of_records_given_to_nobody_are_named(
    argilla_client: Any, workspace: str, annotator: Annotator, second_annotator: Annotator
) -> None:
    rows, name = [row("r1"), row("r2")], f"{workspace}/shared"
    said = [note for note in push(data_map(rows), name, argilla_client).notes if "the same record at once" in note]
    assert len(said) == 1
    assert annotator.username in said[0]
    assert second_annotator.username in said[0]
    people = (annotator.username, second_annotator.username)
    assert not [note for note in push(data_map(rows), name, argilla_client, reviewers=people).notes if "at once" in note]


def test_an_annotator_of_a_blind_review_finds_similar_texts_and_opens_them(
    argilla_client: Any, workspace: str, annotator: Annotator
) -> None:
    rows = [row(f"{i}-{word}", prompt=task.format(word)) for i, task in enumerate(TASKS) for word in ("lunch", "outer")]
    name = f"{workspace}/unseen"
    push(data_map(rows), name, argilla_client, blind=True)
    dataset = Api(argilla_client).dataset(parse_address(name))
    http = annotator.client.http_client
    search = f"/api/v1/me/datasets/{dataset.id}/records/search?limit=5"
    shown = http.post(search, json={}).json()["items"][0]["record"]
    query = {"vector": {"name": TEXTS, "record_id": shown["id"], "max_results": 5}}
    found = http.post(search, json={"query": query})
    assert found.status_code == 200, found.text
    assert len(found.json()["items"]) == 5
    assert http.get(f"/api/v1/records/{shown['id']}").status_code == 200
