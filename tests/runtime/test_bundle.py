"""Nothing is parsed or played that is not byte for byte what the manifest says."""

from __future__ import annotations

import json
import shutil
import zipfile

import pytest

from a2po.errors import BundleError
from a2po.runtime import Team, read_bundle
from a2po.runtime.archive import pack


@pytest.fixture
def bundle(uneven, tmp_path):
    return shutil.copytree(uneven[1], tmp_path / "bundle")


def edit(bundle, change):
    manifest = json.loads((bundle / "manifest.json").read_text())
    change(manifest)
    (bundle / "manifest.json").write_text(json.dumps(manifest))


@pytest.mark.parametrize("name", ["agents/row.onnx", "weights/column.safetensors", "MODEL_CARD.md"])
@pytest.mark.parametrize("place", [0, 20, -1])
def test_one_flipped_bit_is_found(bundle, name, place):
    content = bytearray((bundle / name).read_bytes())
    content[place] ^= 1
    (bundle / name).write_bytes(content)
    with pytest.raises(BundleError, match=rf"{name} was altered \(SHA-256 .*the manifest says"):
        Team.load(bundle)


def test_missing_and_unknown_files_are_found(bundle):
    (bundle / "agents" / "row.onnx").rename(bundle / "agents" / "roww.onnx")
    with pytest.raises(BundleError) as caught:
        Team.load(bundle)
    assert "agents/row.onnx is missing" in str(caught.value)
    assert "agents/roww.onnx is not in the manifest; did you mean 'agents/row.onnx'?" in str(caught.value)


def test_swapped_actors_are_found(bundle):
    row, column = (bundle / "agents" / f"{name}.onnx" for name in ("row", "column"))
    content = row.read_bytes()
    row.write_bytes(column.read_bytes())
    column.write_bytes(content)
    with pytest.raises(BundleError, match=r"column.onnx was altered.*row.onnx was altered"):
        Team.load(bundle)


@pytest.mark.parametrize(("version", "mend"), [(2, "update a2po"), (0, "export the run again"), ("1", "export the run again")])
def test_other_formats_are_refused(bundle, version, mend):
    edit(bundle, lambda manifest: manifest.update(format=version))
    with pytest.raises(BundleError, match=rf"format .*this a2po reads 1: {mend}"):
        Team.load(bundle)


def break_size(manifest):
    manifest["agents"]["row"]["observation"]["size"] = 3


def break_file(manifest):
    manifest["agents"]["row"]["file"] = "../../etc/passwd"


def break_kind(manifest):
    manifest["agents"]["row"]["action"]["kind"] = "quantum"


def break_agents(manifest):
    manifest["agents"] = {}


def break_task(manifest):
    del manifest["task"]


@pytest.mark.parametrize("change", [break_size, break_file, break_kind, break_agents, break_task])
def test_malformed_manifests_are_refused(bundle, change):
    edit(bundle, change)
    with pytest.raises(BundleError, match="malformed"):
        Team.load(bundle)


def test_manifest_that_is_no_json(bundle):
    (bundle / "manifest.json").write_text('{"format": 1, ')
    with pytest.raises(BundleError, match="cannot be read"):
        Team.load(bundle)


def test_graph_that_is_not_the_manifests(bundle):
    """Both files are whole, but each agent is given the other's."""

    def swap(manifest):
        row, column = manifest["agents"]["row"], manifest["agents"]["column"]
        row["file"], column["file"] = column["file"], row["file"]

    edit(bundle, swap)
    with pytest.raises(BundleError, match=r"has ports .* needs"):
        Team.load(bundle)


def test_no_bundle(tmp_path, bundle):
    with pytest.raises(BundleError, match=r"there is no bundle .*did you mean .*bundle'\?"):
        Team.load(tmp_path / "bundel")
    (tmp_path / "empty").mkdir()
    with pytest.raises(BundleError, match=r"is no bundle: it has no manifest\.json"):
        Team.load(tmp_path / "empty")
    (tmp_path / "text").write_text("hello")
    with pytest.raises(BundleError, match="cannot be read"):
        Team.load(tmp_path / "text")


def test_zip_with_and_without_the_folder_in_front(bundle, tmp_path):
    files = {file.relative_to(bundle).as_posix(): file.read_bytes() for file in bundle.rglob("*") if file.is_file()}
    (tmp_path / "flat.zip").write_bytes(pack(files))
    shutil.make_archive(str(tmp_path / "nested"), "zip", tmp_path, "bundle")
    prints = {read_bundle(path).fingerprint for path in (bundle, tmp_path / "flat.zip", tmp_path / "nested.zip")}
    assert len(prints) == 1
    assert Team.load(tmp_path / "nested.zip").agents == ("row", "column")
    with zipfile.ZipFile(tmp_path / "flat.zip", "a") as archive:
        archive.writestr("agents/extra.onnx", b"surprise")
    with pytest.raises(BundleError, match=r"extra\.onnx is not in the manifest"):
        Team.load(tmp_path / "flat.zip")


def test_archives_that_unpack_to_too_much_are_refused(tmp_path, monkeypatch):
    from a2po.runtime import bundle as module

    (tmp_path / "bomb.zip").write_bytes(pack({"manifest.json": b"0" * 100_000}))
    monkeypatch.setattr(module, "MAX_BYTES", 10_000)
    with pytest.raises(BundleError, match="a bundle is at most"):
        Team.load(tmp_path / "bomb.zip")


def test_pack_is_deterministic():
    assert pack({"b": b"2", "a": b"1"}) == pack({"a": b"1", "b": b"2"})


def test_run_folder_stands_for_its_bundle(uneven):
    policy, path = uneven
    assert read_bundle(policy.run).path == path


def test_fingerprint_does_not_change_with_a_noted_evaluation(bundle):
    before = read_bundle(bundle)
    edit(bundle, lambda manifest: manifest.update(evaluation={"mean": 1.0}))
    after = read_bundle(bundle)
    assert after.fingerprint == before.fingerprint
    assert after.manifest_sha256 != before.manifest_sha256
