"""The engine store: engines are found by key, checked, and shared safely between processes."""

from __future__ import annotations

import json
import multiprocessing
import shutil
import time
from dataclasses import replace
from pathlib import Path

import pytest

from cineflow.errors import EngineError
from cineflow.runtime.store import STORE_VARIABLE, EngineKey, EngineStore

KEY = EngineKey("net", "ab" * 32, "tensorrt-rtx", "1.7", "86", "fp32", {"height": (64, 128, 256)})


@pytest.fixture
def store(tmp_path: Path) -> EngineStore:
    return EngineStore(tmp_path / "engines")


def test_what_was_built_is_found_again(store: EngineStore) -> None:
    engine, built = store.get_or_build(KEY, lambda: b"plan")
    assert built
    assert engine.plan_path.read_bytes() == b"plan"
    again, built = store.get_or_build(KEY, lambda: pytest.fail("built twice"))
    assert not built
    assert again == engine


@pytest.mark.parametrize(
    "change",
    [
        {"onnx_sha256": "cd" * 32},
        {"flavour": "tensorrt"},
        {"version": "1.8"},
        {"capability": "89"},
        {"precision": "fp16"},
        {"profile": {"height": (64, 128, 512)}},
    ],
)
def test_an_engine_for_anything_else_is_not_found(
    store: EngineStore, change: dict[str, object]
) -> None:
    store.get_or_build(KEY, lambda: b"plan")
    with pytest.raises(EngineError, match="not in the store"):
        store.load(replace(KEY, **change))


def truncate(folder: Path) -> None:
    (folder / "engine.plan").write_bytes(b"pl")


def change(folder: Path) -> None:
    (folder / "engine.plan").write_bytes(b"plot")


def lose_plan(folder: Path) -> None:
    (folder / "engine.plan").unlink()


def damage_record(folder: Path) -> None:
    (folder / "engine.json").write_text("{")


def write_a_list_for_the_profile(folder: Path) -> None:
    record = json.loads((folder / "engine.json").read_text())
    record["key"]["profile"] = [1]
    (folder / "engine.json").write_text(json.dumps(record))


def take_other_key(folder: Path) -> None:
    record = json.loads((folder / "engine.json").read_text())
    record["key"]["version"] = "9.9"
    (folder / "engine.json").write_text(json.dumps(record))


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (truncate, "truncated"),
        (change, "changed"),
        (lose_plan, "no readable plan"),
        (damage_record, "unreadable record"),
        (write_a_list_for_the_profile, "unreadable record"),
        (take_other_key, "another folder"),
    ],
)
def test_unsound_engine_is_refused_then_rebuilt(store: EngineStore, damage, said: str) -> None:
    engine, _ = store.get_or_build(KEY, lambda: b"plan")
    damage(engine.folder)
    with pytest.raises(EngineError, match=said):
        store.load(KEY)
    assert store.engines()[0].fault
    healed, built = store.get_or_build(KEY, lambda: b"new plan")
    assert built
    assert healed.plan_path.read_bytes() == b"new plan"


def test_failed_build_leaves_nothing(store: EngineStore) -> None:
    def fail() -> bytes:
        raise EngineError("a build", "a fault")

    with pytest.raises(EngineError, match="a fault"):
        store.get_or_build(KEY, fail)
    assert store.engines() == []


def test_full_disk_is_a_typed_error_and_leaves_nothing(
    store: EngineStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_space(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", no_space)
    with pytest.raises(EngineError, match=STORE_VARIABLE):
        store.get_or_build(KEY, lambda: b"plan")
    monkeypatch.undo()
    assert store.engines() == []
    assert [f.name for f in store.root.iterdir()] == [f".{KEY.id}.lock"]


def test_place_that_cannot_be_written_is_a_typed_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(EngineError, match=STORE_VARIABLE):
        EngineStore(tmp_path / "file").get_or_build(KEY, lambda: b"plan")


def test_prune_takes_the_unsound_and_the_unwanted(store: EngineStore) -> None:
    kept, _ = store.get_or_build(KEY, lambda: b"plan")
    other, _ = store.get_or_build(replace(KEY, version="1.6"), lambda: b"plan")
    broken, _ = store.get_or_build(replace(KEY, capability="89"), lambda: b"plan")
    truncate(broken.folder)
    assert [e.folder for e in store.prune(dry_run=True)] == [broken.folder]
    assert len(store.engines()) == 3
    assert [e.folder for e in store.prune()] == [broken.folder]
    gone = store.prune(lambda engine: engine.key is not None and engine.key.version == "1.7")
    assert [e.folder for e in gone] == [other.folder]
    assert [e.folder for e in store.engines()] == [kept.folder]


def test_prune_leaves_what_the_store_did_not_make(store: EngineStore) -> None:
    """The variable may name a folder with other things, which are not engines."""
    store.get_or_build(KEY, lambda: b"plan")
    for name in ("documents", "ab" * 12 + ".old", ".mine.lock", ".mine.folder"):
        (store.root / name).mkdir() if "lock" not in name else (store.root / name).touch()
    before = sorted(store.root.iterdir())
    assert len(store.engines()) == 1
    assert store.prune() == []
    assert sorted(store.root.iterdir()) == before


def test_what_a_killed_build_left_is_cleared(store: EngineStore) -> None:
    store.get_or_build(KEY, lambda: b"plan")
    left = store.root / f".{KEY.id}.killed"
    left.mkdir()
    with store._lock(KEY):
        store.prune()
        assert left.is_dir(), "somebody builds it just now"
    store.prune()
    assert not left.exists()
    left.mkdir()
    store.get_or_build(KEY, lambda: b"plan", rebuild=True)
    assert not left.exists()
    assert store.load(KEY)


def test_a_store_that_is_not_a_folder_is_a_typed_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(EngineError, match="to read the engine store") as caught:
        EngineStore(tmp_path / "file").engines()
    assert STORE_VARIABLE in caught.value.remedy


def test_matching_takes_the_fields_that_are_given(store: EngineStore) -> None:
    newer, half = replace(KEY, version="1.8"), replace(KEY, precision="fp16")
    for key in (KEY, newer, half, replace(KEY, onnx_sha256="other")):
        store.get_or_build(key, lambda: b"plan")
    graph = {"model": KEY.model, "onnx_sha256": KEY.onnx_sha256, "flavour": KEY.flavour}

    def found(**fields: str) -> set[str]:
        return {engine.key.id for engine in store.matching(**graph, **fields) if engine.key}

    assert found() == {KEY.id, newer.id, half.id}
    assert found(precision=KEY.precision) == {KEY.id, newer.id}
    assert found(version=KEY.version, precision="fp16") == {half.id}
    assert found(capability="120") == set()
    (store.root / KEY.id / "engine.plan").write_bytes(b"x")
    assert found() == {newer.id, half.id}, "a faulty engine does not match"


def test_find_by_prefix(store: EngineStore) -> None:
    engine, _ = store.get_or_build(KEY, lambda: b"plan")
    assert store.find(KEY.id[:6]) == engine
    with pytest.raises(EngineError, match="0 of 1"):
        store.find("zz")


def test_environment_moves_the_store(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv(STORE_VARIABLE, str(tmp_path / "here"))
    assert EngineStore().root == tmp_path / "here"


def build_slowly(root: Path, log: Path) -> None:
    def build() -> bytes:
        with log.open("a") as stream:
            stream.write("built\n")
        time.sleep(0.3)
        return b"plan" * 1000

    EngineStore(root).get_or_build(KEY, build)


def test_processes_that_want_one_engine_build_it_once(store: EngineStore, tmp_path: Path) -> None:
    log = tmp_path / "log"
    context = multiprocessing.get_context("fork")
    processes = [context.Process(target=build_slowly, args=(store.root, log)) for _ in range(3)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(30)
        assert process.exitcode == 0
    assert log.read_text() == "built\n"
    assert store.load(KEY).bytes == 4000


def test_store_may_be_moved(store: EngineStore, tmp_path: Path) -> None:
    store.get_or_build(KEY, lambda: b"plan")
    shutil.move(store.root, tmp_path / "moved")
    assert EngineStore(tmp_path / "moved").load(KEY).bytes == 4
