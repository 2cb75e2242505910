"""Nothing is parsed or played that is not byte for byte what the manifest says."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tracemalloc
import warnings
import zipfile

import numpy as np
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


def test_many_unknown_files_are_found_at_once(bundle):
    """Names are compared for the hint, but not thousands with thousands: that took a minute."""
    manifest = json.loads((bundle / "manifest.json").read_text())
    entry = {"sha256": "0", "bytes": 1}
    manifest["files"].update({f"agents/agent_{number:05}_a.onnx": entry for number in range(2000)})
    (bundle / "manifest.json").write_text(json.dumps(manifest))
    for number in range(2000):
        (bundle / "agents" / f"agent_{number:05}_b.onnx").touch()
    with pytest.raises(BundleError) as caught:
        read_bundle(bundle)
    assert "more are not in the manifest" in str(caught.value) or "; and 2" in str(caught.value)
    assert len(str(caught.value)) < 2000


def test_a_link_to_a_folder_is_not_walked(bundle, tmp_path):
    (bundle / "more").symlink_to("/")
    with pytest.raises(BundleError, match="'more' is a link to a folder"):
        read_bundle(bundle)


def test_names_that_steer_a_terminal(bundle):
    (bundle / "agents" / "\x1b[2J.onnx").touch()
    with pytest.raises(BundleError, match="cannot be printed") as caught:
        read_bundle(bundle)
    assert str(caught.value).isprintable()


def test_swapped_actors_are_found(bundle):
    row, column = (bundle / "agents" / f"{name}.onnx" for name in ("row", "column"))
    content = row.read_bytes()
    row.write_bytes(column.read_bytes())
    column.write_bytes(content)
    with pytest.raises(BundleError, match=r"column.onnx was altered.*row.onnx was altered"):
        Team.load(bundle)


@pytest.mark.parametrize(("version", "mend"), [(3, "update a2po"), (1, "export the run again"), ("1", "export the run again")])
def test_other_formats_are_refused(bundle, version, mend):
    edit(bundle, lambda manifest: manifest.update(format=version))
    with pytest.raises(BundleError, match=rf"format .*this a2po reads 2: {mend}"):
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


@pytest.mark.parametrize(
    ("place", "value"),
    [
        (("agents", "row", "observation", "size"), float("inf")),
        (("agents", "row", "observation", "size"), 2.0),
        (("agents", "row", "observation", "size"), True),
        (("agents", "row", "observation", "features"), [None, None]),
        (("agents", "row", "observation", "features"), "ab"),
        (("agents", "row", "action", "names"), [1, 2]),
        (("agents", "row", "action", "names"), ["a"]),
        (("agents", "row", "action", "low"), ["x"]),
        (("agents", "row", "action", "low"), [float("nan")]),
        (("agents", "row", "action", "low"), [10**400]),
        (("agents", "row", "state", "hidden_size"), -1),
        (("agents", "row", "index"), 1),
        (("agents", "row"), 5),
        (("agents",), []),
        (("files", "agents/row.onnx", "bytes"), None),
        (("files", "agents/row.onnx", "bytes"), "12"),
        (("task",), 5),
        (("task", "name"), None),
        (("task", "agents"), ["row", "row", "column"]),
        (("task", "options"), {"num_envs": 5}),
        (("task", "options"), [1]),
        (("task", "options"), 5),
        (("task", "obs_width"), float("inf")),
        (("task", "obs_width"), 1),
        (("task", "action_width"), 10**30),
        (("training",), 5),
        (("parity",), [1]),
        (("evaluation",), "good"),
        (("export",), 1.5),
    ],
)
def test_every_part_of_a_manifest_has_its_form(bundle, place, value):
    def change(manifest):
        for key in place[:-1]:
            manifest = manifest[key]
        manifest[place[-1]] = value

    edit(bundle, change)
    with pytest.raises(BundleError, match=r"manifest\.json is malformed"):
        read_bundle(bundle)


@pytest.mark.parametrize("depth", [100, 100_000])
def test_deep_nesting_is_refused(bundle, depth):
    text = (bundle / "manifest.json").read_text().replace('"evaluation": null', f'"evaluation": {"[" * depth}{"]" * depth}')
    (bundle / "manifest.json").write_text(text)
    with pytest.raises(BundleError, match="nested too deeply"):
        read_bundle(bundle)


@pytest.mark.parametrize("change", [{"note": ["\ud800"]}, {"\ud800": 1}])
def test_text_that_cannot_be_written_is_refused(bundle, change):
    edit(bundle, lambda manifest: manifest.update(change))
    with pytest.raises(BundleError, match=r"manifest\.json cannot be read .*surrogates not allowed"):
        read_bundle(bundle)


def test_numbers_that_are_not_finite_may_stand_where_nothing_hangs_on_them(bundle):
    edit(bundle, lambda manifest: manifest.update(evaluation={"mean": float("nan")}))
    assert read_bundle(bundle).agents


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


def rename_task(manifest):
    manifest["task"]["name"] = "matrix/climbing"


def rename_agents(manifest):
    manifest["agents"]["left"] = manifest["agents"].pop("row")
    manifest["task"]["agents"] = ["left", "column"]


def rename_feature(manifest):
    manifest["agents"]["row"]["observation"]["features"].reverse()


def rename_action(manifest):
    manifest["agents"]["row"]["action"]["names"].reverse()


@pytest.mark.parametrize(
    ("change", "what"),
    [(rename_task, "task"), (rename_agents, "agents"), (rename_feature, "observation"), (rename_action, "action")],
)
def test_manifest_that_is_not_the_graphs(bundle, change, what):
    """The files are whole, but the manifest, which no hash covers, was altered."""
    edit(bundle, change)
    with pytest.raises(BundleError, match=rf"manifest\.json says something else than agents/row\.onnx itself about {what}\."):
        Team.load(bundle)


@pytest.mark.parametrize("change", ["swap", "share", "high", "low of one"])
def test_altered_continuous_manifests(make_policy, build, shared_cheetah, change):
    path = build(shared_cheetah if change == "low of one" else make_policy("mamujoco/HalfCheetah-2x3"))

    def alter(manifest):
        first, second = (manifest["agents"][f"agent_{index}"] for index in range(2))
        if change == "swap":
            first["file"], second["file"] = second["file"], first["file"]
        elif change == "share":
            second["file"], second["row"] = first["file"], 1
        elif change == "high":
            first["action"]["high"][0] = 100.0
        else:
            second["action"]["low"][0] = -100.0

    assert Team.load(path).agents
    edit(path, alter)
    with pytest.raises(BundleError, match=r"manifest\.json says something else than"):
        Team.load(path)


@pytest.fixture
def shared_cheetah(make_policy):
    """Both agents play by one file."""
    policy = make_policy("mamujoco/HalfCheetah-2x3")
    policy.team.actors.values[1] = policy.team.actors.values[0]
    for name in ("exact_mean", "m2"):
        getattr(policy.team.obs_norm, name)[1] = getattr(policy.team.obs_norm, name)[0]
    policy.team.obs_norm._refresh()
    return policy


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


@pytest.mark.parametrize(
    "name", ["evil.py", "agents/evil.pkl", "agents/deep/a.onnx", "weights/a.bin", "manifest.json/x", "weights\\a.safetensors"]
)
def test_files_of_other_kinds_are_refused_even_if_listed(bundle, tmp_path, name):
    files = {file.relative_to(bundle).as_posix(): file.read_bytes() for file in bundle.rglob("*") if file.is_file()}
    manifest = json.loads(files["manifest.json"])
    manifest["files"][name] = {"sha256": hashlib.sha256(b"x").hexdigest(), "bytes": 1}
    (tmp_path / "more.zip").write_bytes(pack({**files, name: b"x", "manifest.json": json.dumps(manifest).encode()}))
    with pytest.raises(BundleError, match="is no file of a bundle"):
        read_bundle(tmp_path / "more.zip")


def test_hidden_files_at_the_top_are_no_part_of_it(bundle, tmp_path):
    before = read_bundle(bundle)
    (bundle / ".gitattributes").write_text("*.onnx filter=lfs")
    (bundle / ".git").mkdir()
    (bundle / ".git" / "HEAD").write_text("ref")
    os.mkfifo(bundle / ".git" / "pipe")
    assert read_bundle(bundle).files == before.files
    (bundle / ".git" / "pipe").unlink()
    shutil.make_archive(str(tmp_path / "team"), "zip", bundle)
    assert read_bundle(tmp_path / "team.zip").files == before.files
    (bundle / "agents" / ".hidden").write_text("x")
    with pytest.raises(BundleError, match=r"agents/\.hidden is not in the manifest"):
        read_bundle(bundle)


@pytest.mark.timeout(20)
@pytest.mark.parametrize("name", ["agents/row.onnx", "agents/more.onnx"])
def test_what_is_no_regular_file_is_never_opened(bundle, name):
    (bundle / name).unlink(missing_ok=True)
    os.mkfifo(bundle / name)
    with pytest.raises(BundleError, match=rf"{name} is no regular file"):
        read_bundle(bundle)
    (bundle / name).unlink()
    (bundle / name).symlink_to("/dev/zero")
    with pytest.raises(BundleError, match=rf"{name} is no regular file"):
        read_bundle(bundle)
    os.mkfifo(bundle.parent / "pipe.zip")
    with pytest.raises(BundleError, match=r"neither a folder nor a \.zip"):
        read_bundle(bundle.parent / "pipe.zip")


def test_links_to_files_are_followed(bundle, tmp_path):
    """As the cache of Hugging Face keeps them."""
    shutil.move(bundle / "agents" / "row.onnx", tmp_path / "blob")
    (bundle / "agents" / "row.onnx").symlink_to(tmp_path / "blob")
    assert Team.load(bundle).agents == ("row", "column")


def test_paths_that_are_too_long(tmp_path):
    with pytest.raises(BundleError, match="cannot be read"):
        read_bundle(tmp_path / ("long" * 100))


def test_damaged_archives(bundle, tmp_path):
    """Whatever byte is damaged: a bundle or a BundleError."""
    files = {file.relative_to(bundle).as_posix(): file.read_bytes() for file in bundle.rglob("*") if file.is_file()}
    whole, rng = pack(files), np.random.default_rng(0)
    before = len(read_bundle(bundle).files)
    damages = [whole[:length] for length in (0, 100, len(whole) // 2, len(whole) - 10)]
    for place in [*rng.integers(0, len(whole), 200), *range(20, 60), *range(len(whole) - 500, len(whole))]:
        damages.append(whole[:place] + bytes([whole[place] ^ int(rng.integers(1, 256))]) + whole[place + 1 :])
    refused = 0
    for content in damages:
        (tmp_path / "damaged.zip").write_bytes(content)
        try:
            assert len(read_bundle(tmp_path / "damaged.zip").files) == before
        except BundleError:
            refused += 1
    assert refused > len(damages) // 3
    with zipfile.ZipFile(tmp_path / "lzma.zip", "w", zipfile.ZIP_LZMA) as archive:
        archive.writestr("manifest.json", "{}")
    with pytest.raises(BundleError, match="its compression is not deflate"):
        read_bundle(tmp_path / "lzma.zip")


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


def zipped(path, entries):
    """An archive of (name, content) as somebody may write it, with names twice."""
    with warnings.catch_warnings(), zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        warnings.simplefilter("ignore")
        for name, content in entries:
            archive.writestr(name, content)
    return path


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("agents/row.onnx", "two files of one name"),
        ("./agents/row.onnx", "two files of one name"),
        ("agents//row.onnx", "two files of one name"),
        ("../evil.onnx", "leads out of it"),
        ("agents/../../evil.onnx", "leads out of it"),
        ("/etc/evil.onnx", "leads out of it"),
        ("agents\\..\\..\\evil.onnx", "leads out of it"),
    ],
)
def test_names_in_archives(bundle, tmp_path, name, words):
    files = {file.relative_to(bundle).as_posix(): file.read_bytes() for file in bundle.rglob("*") if file.is_file()}
    with pytest.raises(BundleError, match=words):
        read_bundle(zipped(tmp_path / "team.zip", [*files.items(), (name, b"evil")]))
    with pytest.raises(BundleError, match="two files of one name"):  # beside and inside of the folder that holds the manifest
        read_bundle(
            zipped(tmp_path / "team.zip", [*((f"team/{name}", content) for name, content in files.items()), ("agents/row.onnx", b"")])
        )


def test_an_archive_that_expands_to_more_than_it_claims(bundle, tmp_path):
    """The size in the archive's directory is a lie: 300 MB of zeros claim to be 100 bytes."""
    path = zipped(
        tmp_path / "bomb.zip", [("agents/row.onnx", bytes(300_000_000)), ("manifest.json", (bundle / "manifest.json").read_bytes())]
    )
    content = bytearray(path.read_bytes())
    entry = content.index(b"PK\x01\x02")
    content[entry + 24 : entry + 28] = (100).to_bytes(4, "little")
    path.write_bytes(content)
    tracemalloc.start()
    with pytest.raises(BundleError):
        read_bundle(path)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 5_000_000


def test_a_manifest_that_is_too_long_is_not_parsed(bundle):
    text = (bundle / "manifest.json").read_text()
    (bundle / "manifest.json").write_text(text.replace("{", '{"more": [' + "0," * 20_000_000 + "0],", 1))
    with pytest.raises(BundleError, match=r"manifest\.json has 40 MB, at most 34 MB are read"):
        read_bundle(bundle)


def test_rows_of_a_folded_file_are_in_their_order(shared_policy, build, tmp_path):
    shared_policy.team.obs_norm.mean[1] += 1.0
    bundle = build(shared_policy)
    files = {entry["file"] for entry in json.loads((bundle / "manifest.json").read_text())["agents"].values()}
    assert len(files) == 1 and "agent" in read_bundle(bundle).agents[0].inputs

    def swap(manifest):
        for entry in manifest["agents"].values():
            entry["row"] = 1 - entry["row"]

    edit(bundle, swap)
    with pytest.raises(BundleError, match="other rows than their order"):
        read_bundle(bundle)
