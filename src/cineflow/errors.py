"""The errors that cineflow raises on purpose.

Catch `CineflowError` to catch all of them. The commands turn them into exit code 2. Each error says
what was wanted, what came, and what to do about it.
"""

from __future__ import annotations


class CineflowError(Exception):
    """Root of cineflow's typed errors.

    Args:
        wanted: What the code needed, in plain words ("a frame of 240x320 pixels").
        got: What it received instead ("240x319").
        remedy: What the user can do about it, as a command where one exists.
    """

    def __init__(self, wanted: str, got: str, remedy: str = "") -> None:
        self.wanted = _printable(wanted)
        self.got = _printable(got)
        self.remedy = _printable(remedy)
        message = f"wanted {self.wanted}; got {self.got}"
        super().__init__(f"{message}. {self.remedy}" if remedy else message)


def _printable(text: str) -> str:
    """Without control characters: a file's content could otherwise command the terminal."""
    return "".join(
        letter if letter.isprintable() or letter in "\n\t" else "?" for letter in str(text)
    )


class ArgumentError(CineflowError, ValueError):
    """An argument has the wrong rank, shape, dtype, device or value."""


class CineError(CineflowError):
    """A clip cannot be read, or does not contain a cine."""


class FrameError(CineflowError, ValueError):
    """A frame of a stream has the wrong size or type, or is not finite."""


class SpecError(CineflowError, ValueError):
    """A model specification contradicts itself or the model it describes."""


class BundleError(CineflowError):
    """A bundle is missing or incomplete, or does not match its manifest."""


class EngineError(CineflowError):
    """No runtime can execute a model, or the one chosen failed."""


class ProfileError(EngineError):
    """A TensorRT engine was built for other sizes than the one that came."""


class DeviceError(EngineError):
    """A card failed, not the model. A server's clients see it as an `EngineError`."""


class DeviceMemoryError(DeviceError):
    """A card has too little memory for a model, or for frames of this size."""


class DeviceLostError(DeviceError):
    """Nothing runs on the card any more in this process. It must end; another one may use it."""


class ExportError(CineflowError):
    """A model cannot be exported, or the exported graph does not match the model."""


class ServerError(CineflowError):
    """The inference server cannot be installed, started or reached."""


class MissingDependencyError(CineflowError, ImportError):
    """An optional package is needed but not installed."""
