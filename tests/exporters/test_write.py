"""Nothing but a bundle is ever replaced, and what is replaced is lost only when the new one stands in its place."""

from __future__ import annotations

import json
import os
import shutil
import zipfile
from pathlib import Path

import pytest

from a2po.errors import BundleError, UserError
from a2po.exporters.write import check_target
from a2po.files import complete_folder
from a2po.runtime import read_bundle

CHECKPOINT = {"format": 1, "step": 4096, "sha256": {}}
EXTENSION = {"manifest_version": 3, "name": "My extension", "version": "1.0"}


def listing(path: Path) -> dict[str, bytes]:
    return {file.relative_to(path).as_posix(): file.read_bytes() for file in path.rglob("*") if file.is_file()}


@pytest.fixture
def bundle(uneven, tmp_path):
    return shutil.copytree(uneven[1], tmp_path / "bundle")


@pytest.mark.parametrize("manifest", [CHECKPOINT, EXTENSION, [1], {"format": 1, "task": {}, "agents": [], "files": {}}])
def test_a_folder_with_another_manifest_is_left_alone(uneven, build, tmp_path, manifest):
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "manifest.json").write_text(json.dumps(manifest))
    before = listing(folder)
    with pytest.raises(BundleError, match="holds something else"):
        build(uneven[0], output=folder)
    assert listing(folder) == before


@pytest.mark.parametrize("name", ["notes.txt", "agents/row.onnx.bak", ".git/HEAD"])
def test_a_bundle_with_other_files_is_left_alone(uneven, build, bundle, name):
    (bundle / name).parent.mkdir(exist_ok=True)
    (bundle / name).write_text("mine")
    before = listing(bundle)
    with pytest.raises(BundleError, match="holds something else too"):
        build(uneven[0], output=bundle)
    assert listing(bundle) == before


def test_bundles_and_empty_folders_are_replaced(uneven, build, bundle, tmp_path):
    (bundle / ".DS_Store").write_text("litter")
    (bundle / "agents" / "row.onnx").write_bytes(b"damaged")
    (tmp_path / "empty").mkdir()
    for output in (bundle, tmp_path / "empty"):
        assert read_bundle(build(uneven[0], output=output)).fingerprint == read_bundle(uneven[1]).fingerprint


def test_the_runs_own_bundle_is_replaced_even_if_its_manifest_is_damaged(make_policy, build):
    policy = make_policy()
    path = build(policy)
    (path / "manifest.json").write_text("{")
    assert read_bundle(build(policy)).path == path
    (path / "manifest.json").write_text("{")
    with pytest.raises(BundleError, match="holds something else"):
        build(policy, output=path)


def test_only_a_zipped_bundle_is_replaced(uneven, build, bundle, tmp_path):
    photos, mixed = tmp_path / "photos.zip", tmp_path / "mixed.zip"
    with zipfile.ZipFile(photos, "w") as archive:
        archive.writestr("2001/summer.jpg", b"irreplaceable")
        archive.writestr("manifest.json", json.dumps(EXTENSION))
    shutil.make_archive(str(tmp_path / "mixed"), "zip", bundle)
    with zipfile.ZipFile(mixed, "a") as archive:
        archive.writestr("notes.txt", b"mine")
    (tmp_path / "text.zip").write_text("no archive")
    (tmp_path / "folder.zip").mkdir()
    for path in (photos, mixed, tmp_path / "text.zip", tmp_path / "folder.zip"):
        before = path.read_bytes() if path.is_file() else None
        with pytest.raises(BundleError, match="is no bundle and stays as it is"):
            build(uneven[0], output=path)
        assert (path.read_bytes() if path.is_file() else None) == before
    for name, root in (("flat", bundle), ("nested", tmp_path)):
        shutil.make_archive(str(tmp_path / name), "zip", root, None if root == bundle else "bundle")
        assert read_bundle(build(uneven[0], output=tmp_path / f"{name}.zip")).fingerprint == read_bundle(bundle).fingerprint


@pytest.mark.parametrize("place", [".", "", "..", "/"])
def test_the_working_folder_is_not_replaced(tmp_path, monkeypatch, place):
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    with pytest.raises(BundleError, match="holds the working folder"):
        check_target(Path(place))


def test_odd_places(uneven, build, bundle, tmp_path):
    with pytest.raises(BundleError, match="cannot be written"):
        check_target(tmp_path / ("long" * 100))
    (tmp_path / "link").symlink_to(bundle)
    build(uneven[0], output=tmp_path / "link")
    assert (tmp_path / "link").is_symlink()
    assert sorted(file.name for file in tmp_path.iterdir()) == ["bundle", "link"]


def test_some_agents_never_replace_the_teams_bundle(make_policy, build, tmp_path):
    policy = make_policy()
    path = build(policy)
    with pytest.raises(UserError, match=r"column alone would replace the whole team's bundle: .*--output"):
        build(policy, agents=["column"])
    assert len(read_bundle(path).agents) == 2
    assert build(policy, agents=["column", "row"]) == path


@pytest.mark.resilience
def test_the_old_folder_comes_back_when_the_new_one_cannot(tmp_path, monkeypatch):
    target, replace = tmp_path / "bundle", os.replace
    target.mkdir()
    (target / "old").write_text("old")

    def fail(source, place):
        if ".tmp" in str(source):
            raise OSError("torn")
        replace(source, place)

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(OSError, match="torn"), complete_folder(target) as temporary:
        (temporary / "new").write_text("new")
    assert listing(tmp_path) == {"bundle/old": b"old"}
    monkeypatch.setattr(os, "replace", replace)
    with complete_folder(target) as temporary:
        (temporary / "new").write_text("new")
    assert listing(tmp_path) == {"bundle/new": b"new"}
