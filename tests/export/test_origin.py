"""Where a bundle comes from: found by itself or requested from the user, never confused."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from cineflow.errors import BundleError, ExportError
from cineflow.export import Recipe, export_bundle, load_recipe
from cineflow.export.bundle.origin import manifest_entry
from cineflow.export.verify import verify_bundle
from cineflow.export.verify.reference import reference
from cineflow.runtime import Bundle
from cineflow.runtime.bundle import file_sha256


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    """Weights that fit the user's recipe."""
    file = tmp_path / "net.safetensors"
    save_file({"edges.weight": torch.full((2, 1, 3, 3), 0.25), "edges.bias": torch.ones(2)}, file)
    return file


@pytest.fixture
def recipe(write_recipe: Callable[[str], Path], recipe_text: str) -> Path:
    return write_recipe(recipe_text)


@pytest.fixture
def trained(recipe: Path, checkpoint: Path, tmp_path: Path) -> Bundle:
    return export_bundle(recipe, tmp_path / "bundle", weights=checkpoint)


def test_manifest_names_recipe_and_checkpoint(
    trained: Bundle, recipe: Path, checkpoint: Path
) -> None:
    assert trained.manifest["origin"] == {
        "recipe": {"name": "recipe", "built_in": False, "sha256": file_sha256(recipe)},
        "weights": {"name": "net.safetensors", "sha256": file_sha256(checkpoint)},
    }


@pytest.mark.parametrize(
    "origin",
    [
        "x",
        {"recipe": "x", "weights": None},
        {"recipe": {"name": "lucas_kanade", "sha256": ""}, "weights": None},
        {"recipe": None, "weights": {"name": 5, "sha256": "ab"}},
    ],
)
def test_origin_that_no_export_wrote_is_refused(origin: object) -> None:
    bundle = Bundle.load("lucas_kanade")
    strange = replace(bundle, manifest={**bundle.manifest, "origin": origin})
    with pytest.raises(BundleError, match="an origin") as caught:
        reference(strange, None, None)
    assert "cineflow export" in caught.value.remedy


def test_built_in_recipe_is_found_again(fresh_default: Bundle, tmp_path: Path) -> None:
    report = verify_bundle(fresh_default, write_to=tmp_path)
    assert (report.reference, report.recipe) == ("torch", "lucas_kanade")
    assert report.not_proven == []
    assert report.verdict.startswith("Verified")


def test_recipe_of_a_user_is_asked_for(smoother: Bundle, tmp_path: Path) -> None:
    report = verify_bundle(smoother, write_to=tmp_path)
    assert report.passed
    assert "but 1 was skipped" in report.verdict
    (missing,) = report.not_proven
    assert "torch was not compared: give --recipe FILE" in missing
    assert "my_model" in missing
    assert missing in (tmp_path / "report.html").read_text()
    assert json.loads((tmp_path / "report.json").read_text())["not_proven"] == [missing]


def test_user_s_recipe_is_not_the_built_in_one_of_that_name(
    recipe: Path, recipe_text: str, tmp_path: Path
) -> None:
    recipe.write_text(recipe_text.replace('name="smoother"', 'name="lucas_kanade"'))
    report = verify_bundle(export_bundle(recipe, tmp_path / "bundle"))
    assert report.reference != "torch"
    assert report.not_proven


def test_checkpoint_is_asked_for(trained: Bundle, recipe: Path, checkpoint: Path) -> None:
    without = verify_bundle(trained, recipe)
    assert without.reference != "torch"
    (missing,) = without.not_proven
    assert "give --weights FILE, the checkpoint net.safetensors (SHA-256" in missing
    whole = verify_bundle(trained, recipe, weights=checkpoint)
    assert whole.reference == "torch"
    assert whole.passed
    assert whole.not_proven == []


def test_another_checkpoint_is_refused(trained: Bundle, recipe: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.safetensors"
    save_file({"edges.weight": torch.zeros(2, 1, 3, 3), "edges.bias": torch.zeros(2)}, other)
    with pytest.raises(ExportError, match=r"net\.safetensors \(SHA-256") as caught:
        verify_bundle(trained, recipe, weights=other)
    assert file_sha256(other)[:12] in caught.value.got
    assert caught.value.remedy
    with pytest.raises(ExportError, match="--weights"):
        verify_bundle(trained, recipe, weights=tmp_path / "absent.safetensors")


def test_checkpoint_for_a_bundle_without_one_is_refused(
    smoother: Bundle, recipe: Path, checkpoint: Path
) -> None:
    with pytest.raises(ExportError, match="Leave --weights out"):
        verify_bundle(smoother, recipe, weights=checkpoint)


def test_recipe_that_was_edited_since_is_said(
    smoother: Bundle, recipe: Path, recipe_text: str, tmp_path: Path
) -> None:
    recipe.write_text(recipe_text + "\n# reviewed\n")
    report = verify_bundle(smoother, recipe, write_to=tmp_path)
    assert report.passed
    assert "changed since the export" in report.recipe
    assert "changed since the export" in (tmp_path / "report.html").read_text()


def test_tolerance_is_the_bundle_s_own(smoother: Bundle, recipe: Path, recipe_text: str) -> None:
    recipe.write_text(recipe_text.replace("tolerance=1e-2", "tolerance=1e3"))
    report = verify_bundle(smoother, recipe)
    assert {row.tolerance for row in report.parity} == {1e-2}


def test_recipe_without_a_file_is_known_by_its_kind(recipe: Path, tmp_path: Path) -> None:
    read = load_recipe(recipe)
    made = Recipe(read.spec, read.build, read.example_inputs)
    bundle = export_bundle(made, tmp_path / "bundle")
    assert "a Recipe object" in verify_bundle(bundle).not_proven[0]
    assert verify_bundle(bundle, made).not_proven == []


def test_variants_of_a_recipe(recipe: Path, recipe_text: str) -> None:
    recipe.write_text(
        f"{recipe_text}\nfrom cineflow.export import Recipe\n\nVARIANTS = {{'one': 1, 'two': 2}}\n"
        "def recipe(number):\n    return Recipe(SPEC, lambda: number, example_inputs)\n"
    )
    first, same, second = (load_recipe(recipe, variant) for variant in ("", "one", "two"))
    name = first.spec.name
    assert [one.build() for one in (first, same, second)] == [1, 1, 2]
    assert [one.variant for one in (first, same, second)] == ["one", "one", "two"]
    assert [one.spec.name for one in (first, same, second)] == [name, name, f"{name}_two"]
    with pytest.raises(ExportError, match="one, two") as caught:
        load_recipe(recipe, "three")
    assert "--variant" in caught.value.remedy
    recipe.write_text(f"{recipe_text}\nVARIANTS = {{'one': 1}}\n")
    with pytest.raises(ExportError, match="recipe in"):
        load_recipe(recipe)


def test_a_built_in_variant_is_found_again() -> None:
    bundle = Bundle.load("lucas_kanade")
    made = load_recipe("flow4d", "paper")
    entry = manifest_entry(made, None)
    assert entry["recipe"] == {
        "name": "flow4d", "built_in": True, "sha256": made.sha256, "variant": "paper",
    }  # fmt: skip
    exported = replace(bundle, spec=made.spec, manifest={**bundle.manifest, "origin": entry})
    found = reference(exported, None, None)
    assert found.recipe is not None
    assert found.recipe.spec == made.spec
