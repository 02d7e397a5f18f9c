"""What the server needs from this Python to run Python models with it.

Triton's Python backend starts a small program, the stub, which embeds an interpreter. The stub is
linked to `libpython3.X.so`, so X must be the version of this Python, and the library must exist.
Static builds of Python do not have it.
"""

from __future__ import annotations

import re
import site
import sys
import sysconfig
from pathlib import Path

from cineflow.serving.errors import ServerInstallError

_LINKED_PYTHON = re.compile(rb"libpython3(?:-[0-9a-f]+)?\.(\d+)m?\.so")


def running_version() -> str:
    """The version of the running Python as the stubs are named ("3.11")."""
    return f"{sys.version_info.major}.{sys.version_info.minor}"


def stub_version(stub: Path) -> str | None:
    """The Python version that a stub is linked to ("3.11"), or None if it does not name one."""
    found = _LINKED_PYTHON.search(stub.read_bytes())
    return f"3.{int(found.group(1))}" if found else None


def libpython_folder() -> Path:
    """The folder of this Python's shared library.

    Raises:
        ServerInstallError: This Python has no shared library.
    """
    name = sysconfig.get_config_var("INSTSONAME") or ""
    if ".so" not in name:  # Debian installs a static build next to a shared one
        name = f"libpython{running_version()}.so.1.0"
    libdir = Path(sysconfig.get_config_var("LIBDIR") or "/usr/lib")
    multiarch = sysconfig.get_config_var("MULTIARCH") or ""
    tried = [libdir, libdir / multiarch, Path(sys.base_prefix, "lib"), Path("/usr/lib", multiarch)]
    for folder in dict.fromkeys(tried):
        if (folder / name).exists():
            return folder
    raise ServerInstallError(
        f"a Python with a shared library ({name}), to which the server links its Python models",
        f"{sys.executable} without one in {', '.join(map(str, dict.fromkeys(tried)))}",
        f"Install it (Debian: apt install libpython{running_version()}) or use another Python "
        "(conda, uv and pyenv with --enable-shared have it): make PYTHON=...",
    )


def site_folders() -> list[str]:
    """The package folders of this interpreter, in order. The isolated stub does not know them."""
    standard = {sysconfig.get_path(name) for name in ("stdlib", "platstdlib")}
    standard |= {str(Path(path, "lib-dynload")) for path in standard}
    user = [site.getusersitepackages()] if site.ENABLE_USER_SITE else []
    candidates = [*sys.path, *site.getsitepackages(), *user]
    return [
        path for path in dict.fromkeys(candidates) if path not in standard and Path(path).is_dir()
    ]
