"""An image is fetched as a folder with a file that names it."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from soundsright.adapters.hubs import FolderHub, HubBySource, ImageFolders
from soundsright.adapters.hubs.model_cache import model_in_cache
from soundsright.cli.shared.opening import opened_hub
from soundsright.config import Settings
from soundsright.copies import without_duplicates
from soundsright.core.competition import PUBLISHED
from soundsright.core.content import content_hash, image_digests
from soundsright.core.errors import EntryRefused
from soundsright.core.fetch_limits import FetchLimits
from soundsright.core.ports import ModelHub
from soundsright.core.sources import ImageRef, ModelRef, Source, SourceRef
from soundsright.core.submission import Submission

IMAGE = "reg.example:5000/lab/gate@sha256:" + "0" * 64
COMMIT = "c" * 40


def test_an_image_is_fetched_as_a_folder_with_one_file(tmp_path: Path) -> None:
    hub = ImageFolders(tmp_path / "cache")
    entry = Submission(0, "hk", PUBLISHED[0], ImageRef.of_text(IMAGE), 1)
    fetched = hub.fetch(entry, limits=FetchLimits())
    assert {path.name: path.read_text() for path in fetched.path.iterdir()} == {"IMAGE": IMAGE + "\n"}
    assert hub.fetch(entry, limits=FetchLimits()) == fetched
    assert hub.cached(entry, fetched.content_hash) == fetched
    other = Submission(0, "hk", PUBLISHED[0], ModelRef("me", "gate", COMMIT), 1)
    with pytest.raises(EntryRefused):
        hub.fetch(other, limits=FetchLimits())
    assert hub.forget(()) == 1
    assert hub.cached(entry, fetched.content_hash) is None


def test_each_source_is_fetched_by_the_hub_for_its_type(tmp_path: Path) -> None:
    cache, model = tmp_path / "cache", tmp_path / "gate"
    model.mkdir()
    (model / "Dockerfile").write_text("FROM base")
    folders = FolderHub(tmp_path / "hub", cache)
    source = folders.publish("me", "gate", model)
    hub: ModelHub = HubBySource({ModelRef: folders, ImageRef: ImageFolders(cache)})
    entries = [Submission(0, "hk", PUBLISHED[0], each, 1) for each in (source, ImageRef.of_text(IMAGE))]
    fetched = [hub.fetch(entry, limits=FetchLimits()) for entry in entries]
    assert [sorted(path.name for path in each.path.iterdir()) for each in fetched] == [["Dockerfile"], ["IMAGE"]]
    assert [each.submission for each in fetched] == entries
    assert fetched[1].checkpoint_hashes == ("0" * 64,)
    hashes = [each.content_hash for each in fetched]
    assert [hub.cached(e, h) for e, h in zip(entries, hashes, strict=True)] == fetched
    assert hub.forget(hashes[:1]) == 1
    assert hub.cached(entries[1], hashes[1]) is None
    assert hub.cached(entries[0], hashes[0]) == fetched[0]


@pytest.mark.parametrize(
    ("source", "code"),
    [
        (ModelRef("me", "gate", COMMIT), "bad_reference"),
        (ImageRef.of_text(IMAGE), "bad_image_ref"),
        (SourceRef("https://git.example/lab/gate", COMMIT), "bad_source"),
    ],
)
def test_a_source_without_a_hub_is_refused_by_the_code_of_its_type(source: Source, code: str) -> None:
    entry = Submission(0, "hk", PUBLISHED[0], source, 1)
    with pytest.raises(EntryRefused) as refused:
        HubBySource({}).fetch(entry, limits=FetchLimits())
    assert refused.value.code == code
    assert HubBySource({}).cached(entry, "0" * 64) is None


def test_the_hub_of_a_validator_fetches_images_too(tmp_path: Path) -> None:
    (tmp_path / "hub").mkdir()
    settings = Settings(state_folder=tmp_path / "state", soundsright_hub=tmp_path / "hub")
    entry = Submission(0, "hk", PUBLISHED[0], ImageRef.of_text(IMAGE), 1)
    fetched = opened_hub(settings).fetch(entry, limits=FetchLimits())
    assert [path.name for path in fetched.path.iterdir()] == ["IMAGE"]


def test_repositories_that_name_one_image_are_copies(tmp_path: Path) -> None:
    """The README, the white space and the registry do not count, only the digest."""
    digest = "ab" * 32
    models = []
    for uid, line in enumerate((f"lab/gate@sha256:{digest}", f" reg.example/other@sha256:{digest}\n", IMAGE)):
        files = {"IMAGE": line, "README.md": f"My model {uid}"}
        digests = {name: hashlib.sha256(text.encode()).hexdigest() for name, text in files.items()}
        folder = tmp_path / content_hash(digests)
        folder.mkdir()
        for name, text in files.items():
            (folder / name).write_text(text)
        entry = Submission(uid, f"hk{uid}", PUBLISHED[0], ModelRef("lab", f"m{uid}", COMMIT), 10 + uid)
        model = model_in_cache(tmp_path, entry, folder.name)
        assert model is not None
        models.append(model)
    unique = without_duplicates(models)
    assert [model.submission.uid for model in unique.kept] == [0, 2]
    (copy,) = unique.duplicates
    refusal = copy.refusal()
    assert refusal.code == "shared_checkpoint"
    assert refusal.evidence["shared"] == digest
    assert refusal.evidence["original_uid"] == "0"


@pytest.mark.parametrize("text", ["lab/gate:latest", "", "x" * 2_000, "lab/gate@sha256:" + "g" * 64])
def test_a_file_that_names_no_image_is_no_mark(text: str, tmp_path: Path) -> None:
    (tmp_path / "IMAGE").write_text(text)
    assert image_digests(tmp_path) == ()


DIGEST = "ab" * 32


@pytest.mark.parametrize(
    ("dockerfile", "digests"),
    [
        (f'FROM lab/gate@sha256:{DIGEST}\nCMD ["run"]', (DIGEST,)),
        (f"FROM reg.example/lab/gate:1@sha256:{DIGEST}\nENV A=1\nWORKDIR /x", (DIGEST,)),
        (f"FROM python@sha256:{'0' * 64}\nCOPY --from=lab/gate@sha256:{DIGEST} / /", (DIGEST,)),
        (f'FROM docker.io/library/python@sha256:{DIGEST}\nCMD ["run"]', ()),
        (f"FROM lab/base@sha256:{DIGEST}\nCOPY app /app", ()),
        (f"FROM lab/base@sha256:{DIGEST}\nRUN make", ()),
        ("FROM lab/gate:latest", ()),
        ("FROM $UNKNOWN", ()),
    ],
)
def test_an_image_that_a_dockerfile_pins_and_adds_nothing_to_is_a_mark(
    dockerfile: str, digests: tuple[str, ...], tmp_path: Path
) -> None:
    (tmp_path / "Dockerfile").write_text(dockerfile)
    assert image_digests(tmp_path) == digests


@pytest.mark.parametrize(
    "repository",
    [
        *("127.0.0.1:5000/a/b", "10.1.2.3/a/b", "127.1:80/a/b", "localhost/a", "registry:5000/a/b"),
        *("metadata.google.internal/a/b", "nas.local:5000/a", "soundsright/model", "docker.io/soundsright/pulled"),
    ],
)
def test_an_image_that_others_cannot_pull_is_refused(repository: str, tmp_path: Path) -> None:
    entry = Submission(0, "hk", PUBLISHED[0], ImageRef(repository, "0" * 64), 1)
    with pytest.raises(EntryRefused) as refused:
        ImageFolders(tmp_path, ("127.0.0.1:1",)).fetch(entry, limits=FetchLimits())
    assert refused.value.code == "image_not_public"


@pytest.mark.parametrize(
    ("repository", "registries"),
    [
        ("lab/gate", ()),
        ("docker.io/lab/gate", ()),
        ("ghcr.io/lab/gate", ()),
        ("reg.example:5000/lab/gate", ()),
        ("127.0.0.1:5000/lab/gate", ("127.0.0.1:5000",)),
    ],
)
def test_an_image_of_a_public_or_a_trusted_registry_is_taken(
    repository: str, registries: tuple[str, ...], tmp_path: Path
) -> None:
    entry = Submission(0, "hk", PUBLISHED[0], ImageRef(repository, "0" * 64), 1)
    assert ImageFolders(tmp_path, registries).fetch(entry, limits=FetchLimits()).submission == entry
