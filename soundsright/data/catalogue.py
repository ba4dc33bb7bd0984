"""Corpora that `soundsright datasets fetch` knows: their addresses and licences. Sizes in bytes.

You fetch them yourself, under their licences. Checksums come from the publisher or a widely used loader. If there
is none, the first fetch records the one that it computes.
"""

from __future__ import annotations

from dataclasses import dataclass

from soundsright.core.errors import UsageError


@dataclass(frozen=True)
class RemoteFile:
    """One archive. `checksum` is `md5:…` or `sha256:…`, or None if no publisher states one."""

    url: str
    checksum: str | None = None
    size_bytes: int | None = None

    @property
    def name(self) -> str:
        return self.url.rpartition("/")[2].partition("?")[0]


@dataclass(frozen=True)
class CorpusEntry:
    """A corpus that can be fetched by name. `default_parts` are the parts fetched by default; empty means all."""

    name: str
    title: str
    kind: str
    licence: str
    homepage: str
    files: tuple[RemoteFile, ...]
    default_parts: tuple[str, ...] = ()

    @property
    def non_commercial(self) -> bool:
        return "NC" in self.licence.split("-")

    def chosen(self, parts: tuple[str, ...]) -> tuple[RemoteFile, ...]:
        """The archives of these parts, or of the default ones, or all. A part is a file name without its ending.

        Raises:
            UsageError: the corpus lacks a part.
        """
        names = parts or self.default_parts
        if not names:
            return self.files
        by_part = {part_of(f.name): f for f in self.files}
        for part in names:
            if part not in by_part:
                raise UsageError(f"{self.name} has no part {part!r}", f"Choose from {', '.join(sorted(by_part))}.")
        return tuple(by_part[part] for part in names)


def part_of(file_name: str) -> str:
    """An archive's name without its ending.

    >>> part_of("dev-clean.tar.gz")
    'dev-clean'
    """
    for ending in (".tar.gz", ".tgz", ".zip"):
        if file_name.endswith(ending):
            return file_name.removesuffix(ending)
    return file_name


_OPENSLR = "https://www.openslr.org/resources"
_DEMAND_SCENES = (
    "DKITCHEN", "DLIVING", "DWASHING", "NFIELD", "NPARK", "NRIVER", "OHALLWAY", "OMEETING", "OOFFICE",
    "PCAFETER", "PRESTO", "PSTATION", "SCAFE", "SPSQUARE", "STRAFFIC", "TBUS", "TCAR", "TMETRO",
)  # fmt: skip
_ARNI_RANGES = ("0-5", "6-15", "16-25", "26-35", "36-45", "46-55")
_LIBRISPEECH = {
    "dev-clean": ("76f87d090650617fca0cac8f88b9416e0ebf80350acb97b343a85fa903728ab3", 337_926_286),
    "test-clean": ("39fde525e59672dc6d1551919b1478f724438a95aa55f874b576be21967e6c23", 346_663_984),
    "train-clean-100": ("d4ddd1d5a6ab303066f14971d768ee43278a5f2a0aa43dc716b0e64ecbbbf6e2", None),
    "train-clean-360": ("146a56496217e96c14334a160df97fffedd6e0a04e66b9c5af0d40be3c792ecf", None),
}

CATALOGUE = (
    CorpusEntry(
        "librispeech", "LibriSpeech: read English, 16 kHz", "speech", "CC-BY-4.0", "https://www.openslr.org/12",
        tuple(
            RemoteFile(f"{_OPENSLR}/12/{part}.tar.gz", f"sha256:{digest}", size)
            for part, (digest, size) in _LIBRISPEECH.items()
        ),
        ("train-clean-100",),
    ),
    CorpusEntry(
        "vctk", "VCTK 0.92: read English, 48 kHz", "speech", "CC-BY-4.0",
        "https://datashare.ed.ac.uk/handle/10283/3443",
        (
            RemoteFile(
                "https://datashare.ed.ac.uk/bitstream/handle/10283/3443/VCTK-Corpus-0.92.zip",
                "sha256:f96258be9fdc2cbff6559541aae7ea4f59df3fcaf5cf963aae5ca647357e359c", 11_747_302_977,
            ),
        ),
    ),
    CorpusEntry(
        "ears", "EARS: anechoic expressive English, 48 kHz", "speech", "CC-BY-NC-4.0",
        "https://sp-uhh.github.io/ears_dataset",
        tuple(
            RemoteFile(f"https://github.com/facebookresearch/ears_dataset/releases/download/dataset/p{n:03d}.zip")
            for n in range(1, 108)
        ),
    ),
    CorpusEntry(
        "wham", "WHAM! noise: cafes, restaurants, bars, 16 kHz", "noise", "CC-BY-NC-4.0", "http://wham.whisper.ai",
        (RemoteFile("https://my-bucket-a8b4b49c25c811ee9a7e8bba05fa24c7.s3.amazonaws.com/wham_noise.zip"),),
    ),
    CorpusEntry(
        "demand", "DEMAND: eighteen scenes, 48 kHz", "noise", "CC-BY-SA-3.0", "https://zenodo.org/records/1227121",
        tuple(RemoteFile(f"https://zenodo.org/records/1227121/files/{s}_48k.zip") for s in _DEMAND_SCENES),
    ),
    CorpusEntry(
        "musan", "MUSAN: noise, music and speech, 16 kHz", "noise", "CC-BY-4.0", "https://www.openslr.org/17",
        (RemoteFile(f"{_OPENSLR}/17/musan.tar.gz", "md5:0c472d4fc0c5141eca47ad1ffeb2a7df", 11_086_114_085),),
    ),
    CorpusEntry(
        "arni", "Arni: a room of variable acoustics, 44.1 kHz", "rir", "CC-BY-4.0",
        "https://zenodo.org/records/6985104",
        tuple(
            RemoteFile(f"https://zenodo.org/records/6985104/files/IR_Arni_upload_numClosed_{r}.zip")
            for r in _ARNI_RANGES
        ),
    ),
    CorpusEntry(
        "openslr28", "OpenSLR 28: real and simulated responses, 16 kHz", "rir", "Apache-2.0",
        "https://www.openslr.org/28",
        (RemoteFile(f"{_OPENSLR}/28/rirs_noises.zip", "md5:e6f48e257286e05de56413b4779d8ffb"),),
    ),
)  # fmt: skip


def corpus_entry(name: str) -> CorpusEntry:
    """The corpus of that name.

    Raises:
        UsageError: the catalogue has none of that name.
    """
    for entry in CATALOGUE:
        if entry.name == name.lower():
            return entry
    raise UsageError(f"Unknown corpus {name!r}", f"Choose one of {', '.join(e.name for e in CATALOGUE)}.")
