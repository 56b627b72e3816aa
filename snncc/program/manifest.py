"""manifest.json: what a program says of itself, and the checksums of its files."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from types import UnionType
from typing import Any

from snncc.diagnostics import Finding, Location, SnnccError, refuse
from snncc.program.about import About
from snncc.program.parts import Parts
from snncc.verification.record import taken

FORMAT = "snncc program"
VERSION = 1
MANIFEST = "manifest.json"

_KINDS: Mapping[str, type | UnionType] = {
    "snncc": str, "target": str, "head": str, "keep_aap": bool, "auxiliary": list, "source": dict,
    "options": dict, "passes": list, "reports": dict, "stripped": dict,
    "verification": dict | None, "findings": list, "files": dict,
}  # fmt: skip
"""What a manifest holds."""

_FINDING: Mapping[str, type | UnionType] = {
    "code": str, "message": str, "help": str | None, "node": str | None, "module": str | None,
    "file": str | None, "line": int | None,
}  # fmt: skip

_MORE = frozenset({"format", "version", "sizes", "processes"})
"""What a manifest may hold beside these: those of older versions have no sizes."""


def write_manifest(parts: Parts, folder: Path, processes: Mapping[str, Any] | None) -> None:
    """Write the manifest of all that is in ``folder``; ``processes`` those of its package."""
    manifest = {
        "format": FORMAT,
        "version": VERSION,
        "snncc": version("snncc"),
        "target": parts.target,
        "head": parts.head,
        "keep_aap": parts.keep_aap,
        "auxiliary": list(parts.auxiliary),
        **parts.about.said,
        **({} if processes is None else {"processes": processes}),
        "findings": [_as_dict(finding) for finding in parts.findings],
        "files": digests(folder),
    }
    text = _canonical({**manifest, "checksum": _checksum(manifest)})
    (folder / MANIFEST).write_text(text, encoding="utf-8")


def read_manifest(path: Path) -> dict[str, Any]:
    """The manifest of a folder, all of whose parts are of their kinds. Raises SNN305."""
    if not path.is_dir():
        what = "is not a folder" if path.exists() else "does not exist"
        raise refuse("SNN305", f"{path} {what}", help="give a folder that snncc compile wrote")
    try:
        text = (path / MANIFEST).read_text(encoding="utf-8")
    except OSError:
        raise refuse(
            "SNN305",
            f"{path} is no compiled program: it has no readable {MANIFEST}",
            help="give a folder that snncc compile wrote",
        ) from None
    except ValueError:
        raise damaged(path, f"{MANIFEST} is not text") from None
    try:
        manifest = json.loads(text)
    except (ValueError, RecursionError):
        raise damaged(path, f"{MANIFEST} is not JSON") from None
    if not isinstance(manifest, dict) or manifest.get("format") != FORMAT:
        raise damaged(path, f"{MANIFEST} is not that of a compiled program")
    if manifest.get("version") != VERSION:
        raise refuse(
            "SNN305",
            f"{path} has format version {manifest.get('version')!r} and this snncc reads {VERSION}",
            help="compile the model again",
        )
    claimed = manifest.pop("checksum", None)
    if claimed != _checksum(manifest) or text != _canonical({**manifest, "checksum": claimed}):
        raise damaged(path, f"{MANIFEST} was changed")
    try:
        _check_shape(manifest)
    except ValueError as error:
        raise damaged(path, f"of {MANIFEST}, {error}") from None
    return manifest


def about_of(path: Path, manifest: Mapping[str, Any]) -> About:
    """`Parts.about` of the manifest of a folder. Raises SNN305."""
    try:
        return About.read(manifest)
    except ValueError as error:
        raise damaged(path, f"of {MANIFEST}, {error}") from None


def findings_of(manifest: Mapping[str, Any]) -> tuple[Finding, ...]:
    """The findings of a manifest."""
    return tuple(_from_dict(found) for found in manifest["findings"])


def _check_shape(manifest: Mapping[str, Any]) -> None:
    """Raises ValueError, with what is wrong, where a part is missing or of another kind."""
    part = {name: taken(manifest, name, kind) for name, kind in _KINDS.items()}
    if more := manifest.keys() - _KINDS.keys() - _MORE:
        raise ValueError(f"`{min(more)}` is not known")
    for each in part["auxiliary"]:
        taken({"auxiliary": each}, "auxiliary", str)
    for each in part["files"]:
        taken(part["files"], each, str)
    for found in part["findings"]:
        for name, kind in _FINDING.items():
            taken(found, name, kind)


def digests(folder: Path) -> dict[str, str]:
    """The checksum of each file of a folder."""
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def _checksum(manifest: Mapping[str, Any]) -> str:
    return hashlib.sha256(_canonical(manifest).encode()).hexdigest()


def _canonical(manifest: Mapping[str, Any]) -> str:
    return json.dumps(manifest, indent=1, ensure_ascii=False) + "\n"


def _as_dict(finding: Finding) -> dict[str, Any]:
    return {
        "code": finding.code,
        "message": finding.message,
        "help": finding.help,
        "node": finding.node,
        "module": finding.location.module,
        "file": finding.location.file,
        "line": finding.location.line,
    }


def _from_dict(found: Mapping[str, Any]) -> Finding:
    location = Location(found["module"], found["file"], found["line"])
    return Finding(found["code"], found["message"], location, found["node"], found["help"])


def damaged(path: Path, what: str) -> SnnccError:
    """The error of a folder that is not as it was written."""
    return refuse("SNN305", f"{path} is damaged: {what}", help="compile the model again")
