"""T1 scans of data sets of OpenNeuro (openneuro.org): all are CC0, laid as a corpus by their names in BIDS."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from urllib.parse import quote
from xml.etree import ElementTree

from ssl_bench.data.open_sets.declaration import OpenSet, RemoteFile
from ssl_bench.data.open_sets.downloading import read_text
from ssl_bench.errors import UserError

SERVER = "https://s3.amazonaws.com/openneuro.org"
"""The public bucket behind it, which lists what it holds (Amazon S3, ListObjectsV2)."""


def t1_files(dataset: str, mirror: str) -> list[RemoteFile]:
    """The T1 scans that the bucket lists. Raises UserError where it does not answer, or lists none."""
    server = (mirror or SERVER).rstrip("/")
    scan = re.compile(rf"{dataset}/sub-[A-Za-z0-9]+/(ses-[A-Za-z0-9]+/)?anat/(?P<name>[A-Za-z0-9_-]+_T1w\.nii\.gz)")
    matches = [match for key in _keys(server, f"{dataset}/sub-") if (match := scan.fullmatch(key))]
    if not matches:
        raise UserError(f"{server}: lists no T1 scan of {dataset}; name another server with --mirror URL")
    return [RemoteFile(match["name"], f"{server}/{match[0]}") for match in matches]


def lay(files: Mapping[str, Path], folder: Path, most_bytes: int) -> None:
    """One folder for each subject."""
    if sum(file.stat().st_size for file in files.values()) > most_bytes:
        raise UserError(f"{folder.name}: the scans take more than {most_bytes / 10**9:g} GB, which is not as declared")
    for name, file in files.items():
        subject = folder / name.partition("_")[0]
        subject.mkdir(exist_ok=True)
        file.rename(subject / name)


def _keys(server: str, prefix: str) -> Iterator[str]:
    """Names of the files that begin with `prefix`, page by page."""
    by_hand = f"download {prefix}*/anat/*_T1w.nii.gz by hand into a folder, which is a corpus as it is: --corpus DIR"
    token: str | None = ""
    while token is not None:
        page_of = f"&continuation-token={quote(token, safe='')}" if token else ""
        url = f"{server}/?list-type=2&prefix={quote(prefix)}{page_of}"
        try:
            page = ElementTree.fromstring(read_text(url, by_hand))
        except ElementTree.ParseError as error:
            raise UserError(
                f"{url}: is no listing of files ({error}); name another server with --mirror URL"
            ) from error
        yield from (key.text or "" for key in page.iterfind("{*}Contents/{*}Key"))
        token = page.findtext("{*}NextContinuationToken")


SETS = (
    OpenSet(
        name="openneuro-ds002748",
        title="OpenNeuro ds002748, T1",
        laid_as="corpus",
        modality="MR (T1)",
        cases=72,
        subjects=72,
        licence="CC0",
        non_commercial=False,
        source="https://openneuro.org/datasets/ds002748",
        good_for="a small corpus of whole heads for tasks on brain MR, free for any use",
        known=(
            "51 people with mild depression and 21 without, one scanner: no sample of the population",
            "its server publishes no hash of a file: what the first download brings is recorded",
        ),
        download_gb=1.5,
        disk_gb=2,
        folder="ds002748",
        remote=lambda mirror: t1_files("ds002748", mirror),
        lay=lay,
        settings=("data.corpus.intensity=mr",),
    ),
)
