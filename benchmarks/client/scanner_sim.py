"""Run the example client/cpp/examples/scanner_sim.cpp against a server that this starts.

python -m benchmarks.client.scanner_sim [SECONDS]
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

from cineflow.export import write_repository
from cineflow.runtime import Bundle
from cineflow.serving import TritonServer, install_server

PROGRAM = Path(__file__).resolve().parents[2] / "build" / "client_cpp" / "scanner_sim"


def main(seconds: str = "5") -> int:
    """Returns the exit status of the example."""
    with tempfile.TemporaryDirectory() as folder:
        models = write_repository([Bundle.load("lucas_kanade")], Path(folder) / "models")
        with TritonServer(models, binary=install_server()) as server:
            command = [str(PROGRAM), server.url, "lucas_kanade", seconds]
            return subprocess.run(command, check=False).returncode


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
