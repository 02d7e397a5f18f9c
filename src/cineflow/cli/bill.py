"""The packages that cineflow runs with, their licences, and a bill of materials of them.

Everything comes from the metadata of the installed packages, so it describes this installation.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import re
import uuid
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

#: Extras that only the development of cineflow needs. They are not shipped.
DEVELOPMENT = {"bench", "dev", "peers"}

_NAME = re.compile(r"^\s*([A-Za-z0-9][A-Za-z0-9._-]*)\s*(?:\[([^\]]*)\])?")
_EXTRA = re.compile(r"extra\s*==\s*['\"]([^'\"]+)['\"]")
# GNU's General Public Licence and its network variant. The Lesser one has another name.
_GPL = re.compile(r"\bA?GPL|(?<!lesser )general public licen[cs]e", re.IGNORECASE)
_EXCEPTION = re.compile(r"\bexception\b", re.IGNORECASE)  # for example GCC's runtime libraries


@dataclass(frozen=True)
class Package:
    """One installed package.

    Attributes:
        name: Its normalised name.
        version: Its version.
        licence: Its licence, as its metadata states it; an SPDX expression where it has one.
        is_spdx: Whether `licence` is an SPDX expression.
        needs: Names of the packages that it needs here.
        is_gpl: Whether the licence is GPL or AGPL, without an exception for linking.
    """

    name: str
    version: str
    licence: str
    is_spdx: bool
    needs: tuple[str, ...] = field(default=())

    @property
    def is_gpl(self) -> bool:
        return bool(_GPL.search(self.licence)) and not _EXCEPTION.search(self.licence)


def packages_of(requirements: Iterable[str]) -> dict[str, Package]:
    """The installed packages that requirements lead to, by name. What is missing is left out.

    Args:
        requirements: Requirements without markers ("typer>=0.12").
    """
    found: dict[str, Package] = {}
    waiting = [parsed for text in requirements if (parsed := _parse(text, ()))]
    visited: set[tuple[str, tuple[str, ...]]] = set()
    while waiting:
        name, extras = waiting.pop()
        if (name, extras) in visited:
            continue
        visited.add((name, extras))
        try:
            distribution = importlib.metadata.distribution(name)
        except importlib.metadata.PackageNotFoundError:
            continue
        needs = [p for text in distribution.requires or () if (p := _parse(text, extras))]
        waiting += needs
        licence, is_spdx = _licence(distribution)
        before = found[name].needs if name in found else ()
        found[name] = Package(
            name,
            distribution.version,
            licence,
            is_spdx,
            tuple(sorted({*before, *(need for need, _ in needs)})),
        )
    return dict(sorted(found.items()))


def shipped() -> dict[str, Package]:
    """What this installation of cineflow runs with, development aside."""
    requires = importlib.metadata.distribution("cineflow").requires or ()
    return packages_of(
        text.partition(";")[0] for text in requires if not DEVELOPMENT & set(_EXTRA.findall(text))
    )


def cyclonedx(packages: dict[str, Package], version: str) -> dict[str, Any]:
    """A bill of materials, CycloneDX 1.5 as JSON.

    Equal packages give equal bills: the serial number is made from their names and versions.

    Args:
        packages: As `packages_of` returns them.
        version: Of cineflow.
    """
    references = {name: _purl(package) for name, package in packages.items()}
    digest = hashlib.sha256("\n".join([version, *references.values()]).encode()).digest()
    root = f"pkg:pypi/cineflow@{version}"
    return {
        "$schema": "http://cyclonedx.org/schema/bom-1.5.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "serialNumber": f"urn:uuid:{uuid.UUID(bytes=digest[:16], version=4)}",
        "version": 1,
        "metadata": {
            "component": {
                "type": "application",
                "bom-ref": root,
                "name": "cineflow",
                "version": version,
                "purl": root,
                "licenses": [{"license": {"id": "Apache-2.0"}}],
            }
        },
        "components": [
            {
                "type": "library",
                "bom-ref": references[name],
                "name": name,
                "version": package.version,
                "purl": references[name],
                "licenses": [
                    {"expression": package.licence}
                    if package.is_spdx
                    else {"license": {"name": package.licence}}
                ],
            }
            for name, package in packages.items()
        ],
        "dependencies": [
            {"ref": root, "dependsOn": sorted(references.values())},
            *(
                {
                    "ref": references[name],
                    "dependsOn": sorted(references[n] for n in package.needs if n in references),
                }
                for name, package in packages.items()
            ),
        ],
    }


def _parse(text: str, extras: tuple[str, ...]) -> tuple[str, tuple[str, ...]] | None:
    """(name, extras) of a requirement; None if it belongs to an extra that is not asked for."""
    wanted, _, marker = text.partition(";")
    of_extra = set(_EXTRA.findall(marker))
    if of_extra and not of_extra & set(extras):
        return None
    match = _NAME.match(wanted)
    if match is None:
        return None
    inner = tuple(sorted(part.strip() for part in (match[2] or "").split(",") if part.strip()))
    return re.sub(r"[-_.]+", "-", match[1]).lower(), inner


def _licence(distribution: importlib.metadata.Distribution) -> tuple[str, bool]:
    about = distribution.metadata
    if "License-Expression" in about:
        return str(about["License-Expression"]), True
    classified = [
        line.rpartition("::")[2].strip()
        for line in about.get_all("Classifier") or ()
        if line.startswith("License ::") and line != "License :: OSI Approved"
    ]
    stated = "\n".join(about.get_all("License") or ()).strip().splitlines()
    return "; ".join(classified) or (stated[0].strip() if stated else "not stated"), False


def _purl(package: Package) -> str:
    return f"pkg:pypi/{package.name}@{package.version.replace('+', '%2B')}"
