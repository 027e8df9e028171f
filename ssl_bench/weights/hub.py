"""Weights by name from a hub: ``hf:ORG/NAME@REVISION[:FILE]``, through huggingface_hub.

A revision has to be named, and is resolved to the commit that it means now: the commit is what a cell keeps. Nothing of
a repository is run. Its card says the licence, and what the weights were trained on, if it says anything.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from os import environ
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, NamedTuple

from ssl_bench.errors import UserError
from ssl_bench.spec.specification import HubFile

if TYPE_CHECKING:
    from huggingface_hub import HfApi
    from huggingface_hub.hf_api import RepoSibling

SCHEME = "hf:"
FORM = "give hf:ORG/NAME@REVISION or hf:ORG/NAME@REVISION:FILE"
SUFFIXES = (".safetensors", ".pth", ".pt", ".ckpt", ".bin")
"""Of files that may hold weights, the ones that are preferred first."""
COMMIT = re.compile("[0-9a-f]{40}")
LARGEST_CARD = 1 << 20


class Address(NamedTuple):
    """A file of a repository at a revision."""

    repository: str
    revision: str
    file: str
    """Empty where the only file of weights is meant."""


class Fetched(NamedTuple):
    """A file of weights out of a repository."""

    path: Path
    hub: HubFile
    trained_on: tuple[str, ...]
    """The data sets that the repository's card names."""


def is_address(text: str) -> bool:
    """Whether `text` names a file of a hub, and none of this machine."""
    return text.startswith(SCHEME)


def parsed(text: str) -> Address:
    """The address in `text`. Raises UserError for what is none, and for one without a revision."""
    found = re.fullmatch(r"hf:([^@:]+)@([^@:]+)(?::(.+))?", text)
    if not found:
        lacks = "names no revision" if re.fullmatch(r"hf:[^@:]+/[^@:]+(:.+)?", text) else "is no address of a hub"
        raise UserError(f"{_shown(text)}: {lacks}; {FORM}")
    repository, revision, file = found[1], found[2], found[3] or ""
    names = [*repository.split("/"), *PurePosixPath(revision).parts, *file.split("/")]
    plain = re.fullmatch(r"[\w.-]+/[\w.-]+", repository, re.ASCII) and re.fullmatch(r"[\w./-]+", revision, re.ASCII)
    if not plain or {"..", "."} & set(names) or file.startswith("/") or "\\" in file or not file.isprintable():
        raise UserError(f"{_shown(text)}: holds a name that no repository has; {FORM}")
    return Address(repository, revision, file)


def fetch(text: str, say: Callable[[str], None]) -> Fetched:
    """The file at the address `text`, downloaded unless it is in the cache of huggingface_hub.

    `say` is told which commit is meant and the licence, before the file is fetched. Raises UserError, naming the
    address, for whatever stands in the way.
    """
    address = parsed(text)
    with _told_plainly(text):
        hub, expected = _at_commit(text, address)
        card = _card(hub)
        hub = hub.model_copy(update={"licence": _licence(card)})
        pinned = "" if address.revision == hub.commit else f"{_shown(text)}: {address.revision} is {hub.commit} now; "
        say(f"{pinned}{hub}: licence by its card: {hub.licence or 'none stated'}")
        path = Path(_api().hf_hub_download(hub.repository, hub.file, revision=hub.commit))
    if expected is not None:
        _check_whole(hub, path, expected)
    return Fetched(path, hub, _datasets(card))


def check_free(text: str, overwrite: bool) -> None:
    """Raise UserError, before any work, unless weights may go to the repository ``hf:ORG/NAME``."""
    name = _repository(text)
    with _told_plainly(text):
        from huggingface_hub.errors import RepositoryNotFoundError

        try:
            there = _api().file_exists(name, "model.safetensors")
        except RepositoryNotFoundError:
            there = False
    if there and not overwrite:
        raise UserError(f"{_shown(text)}: holds model.safetensors already; name another, or say --overwrite")


def upload(text: str, folder: Path, key: str) -> str:
    """Commit the files of `folder` to the repository ``hf:ORG/NAME``, made if it is not there; their address."""
    name = _repository(text)
    with _told_plainly(text):
        _api().create_repo(name, exist_ok=True)
        made = _api().upload_folder(repo_id=name, folder_path=folder, commit_message=f"Backbone {key} of ssl-bench")
        return f"{SCHEME}{name}@{made.oid}"


def _repository(text: str) -> str:
    if not re.fullmatch(r"hf:[\w.-]+/[\w.-]+", text, re.ASCII) or {"..", "."} & set(text[3:].split("/")):
        raise UserError(f"--to {_shown(text)}: is no repository; give hf:ORG/NAME")
    return text[len(SCHEME) :]


def _at_commit(text: str, address: Address) -> tuple[HubFile, RepoSibling | None]:
    """The file at its commit, and what the hub knows of it; None where all is in the cache, and nobody is asked."""
    from huggingface_hub import try_to_load_from_cache

    if COMMIT.fullmatch(address.revision) and address.file:
        kept = try_to_load_from_cache(address.repository, address.file, revision=address.revision)
        if isinstance(kept, str):
            return HubFile(repository=address.repository, commit=address.revision, file=address.file), None
    info = _api().model_info(address.repository, revision=address.revision, files_metadata=True)
    if not isinstance(info.sha, str) or not COMMIT.fullmatch(info.sha):
        raise UserError(f"{_shown(text)}: the hub names no commit for this revision; is it a hub?")
    files = {entry.rfilename: entry for entry in info.siblings or []}
    name = address.file or _only_weights(text, list(files))
    if name not in files:
        raise UserError(f"{_shown(text)}: has no such file, but {_listed(list(files))}")
    return HubFile(repository=address.repository, commit=info.sha, file=name), files[name]


def _only_weights(text: str, names: list[str]) -> str:
    """The file of weights that is meant where none is named: the only one, safetensors before others."""
    for suffixes in (SUFFIXES[:1], SUFFIXES[1:]):
        found = [name for name in names if name.endswith(suffixes)]
        if len(found) == 1:
            return found[0]
        if found:
            raise UserError(f"{_shown(text)}: holds several files of weights, {_listed(found)}; name one with :FILE")
    raise UserError(f"{_shown(text)}: holds no file of weights ({', '.join(SUFFIXES)}), but {_listed(names)}")


def _card(hub: HubFile) -> Mapping[str, Any]:
    """The entries at the head of the repository's card; none without a card, or with one that does not read."""
    from huggingface_hub.errors import EntryNotFoundError
    from huggingface_hub.repocard import metadata_load

    try:
        path = Path(_api().hf_hub_download(hub.repository, "README.md", revision=hub.commit))
    except EntryNotFoundError:
        return {}
    try:
        found = metadata_load(path) if path.stat().st_size <= LARGEST_CARD else None
    except Exception:  # YAML that anyone has written: the card states nothing then.
        return {}
    return found if isinstance(found, Mapping) else {}


def _licence(card: Mapping[str, Any]) -> str:
    named = [card.get(name) for name in ("license", "license_name", "license_link")]
    return _shown(", ".join(text for text in named if isinstance(text, str) and text))


def _datasets(card: Mapping[str, Any]) -> tuple[str, ...]:
    found = card.get("datasets")
    found = [found] if isinstance(found, str) else found
    return tuple(_shown(name) for name in found if isinstance(name, str))[:100] if isinstance(found, list) else ()


def _check_whole(hub: HubFile, path: Path, expected: RepoSibling) -> None:
    """Raise UserError unless the file has the size and, where the hub says it, the hash that it should have."""
    size, sha256 = path.stat().st_size, expected.lfs.sha256 if expected.lfs else None
    wrong = f"{size} bytes came of {expected.size}" if expected.size not in (None, size) else ""
    if sha256 and not wrong:
        with path.open("rb") as file:
            same = hashlib.file_digest(file, "sha256").hexdigest() == sha256
        wrong = "" if same else "its content is not what the hub says"
    if wrong:
        # Else the cache would give it out again.
        path.resolve().unlink(missing_ok=True)
        path.unlink(missing_ok=True)
        raise UserError(f"{hub}: {wrong}; fetch it again")


def _api() -> HfApi:
    """The user's hub: at ``$HF_ENDPOINT``, else the public one, with the user's own token if there is one."""
    from huggingface_hub import HfApi

    return HfApi(endpoint=environ.get("HF_ENDPOINT") or None, library_name="ssl-bench")


@contextmanager
def _told_plainly(text: str) -> Iterator[None]:
    """Whatever the library raises, in one line that names the address."""
    try:
        import huggingface_hub.errors as errors
    except ImportError as error:
        raise UserError(f"{_shown(text)}: needs a package that is not here; pip install 'ssl-bench[hub]'") from error
    try:
        yield
    except UserError:
        raise
    except errors.GatedRepoError as error:
        raise UserError(f"{_shown(text)}: accept its terms on its page, and log in with HF_TOKEN") from error
    except errors.RepositoryNotFoundError as error:
        raise UserError(f"{_shown(text)}: no such repository, or a private one; log in with HF_TOKEN") from error
    except errors.RevisionNotFoundError as error:
        raise UserError(f"{_shown(text)}: no such revision; give a branch, a tag or a commit that it has") from error
    except errors.LocalEntryNotFoundError as error:
        raise UserError(f"{_shown(text)}: the hub cannot be reached and the file is not in the cache") from error
    except errors.EntryNotFoundError as error:
        raise UserError(f"{_shown(text)}: has no such file at this revision") from error
    except errors.HfHubHTTPError as error:
        status = getattr(getattr(error, "response", None), "status_code", "an error")
        raise UserError(f"{_shown(text)}: the hub answers {status}; try again, or see $HF_ENDPOINT") from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(f"{_shown(text)}: what answers is no hub; see $HF_ENDPOINT") from error
    except Exception as error:  # Of whichever network library huggingface_hub stands on.
        said = _shown(str(error).splitlines()[0] if str(error) else type(error).__name__)
        raise UserError(f"{_shown(text)}: cannot be fetched ({said}); is there a network? see $HF_ENDPOINT") from error


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - 8} more" if len(names) > 8 else ""
    return (", ".join(map(_shown, sorted(names)[:8])) or "nothing") + more


def _shown(text: str) -> str:
    """Text of strangers without what a terminal would obey, and short."""
    return "".join(letter for letter in text[:120] if letter.isprintable())
