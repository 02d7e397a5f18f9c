"""Shared by several folders: moving frames, clips as DICOM, a Triton with the default bundle."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest


def pytest_configure() -> None:
    """A run in the background ignores SIGINT, and so would every process that it starts."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """A folder's tests run in one process, which makes its bundles and servers once."""
    from xdist.scheduler import LoadScopeScheduling

    class OneProcessPerFolder(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return nodeid.partition("::")[0].rpartition("/")[0]

    return OneProcessPerFolder(config, log)


@pytest.fixture(scope="session")
def operator_table_read_once() -> Iterator[None]:
    """torch's exporter reads the source of its 500 operators for each export, which takes a second.

    The list is the same each time, so the tests keep it.
    """
    try:
        from torch.onnx._internal._lazy_import import onnxscript_apis as exporter

        read = exporter.get_torchlib_ops
    except (ImportError, AttributeError):  # a different torch: its exports are slower
        yield
        return
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(exporter, "get_torchlib_ops", cache(read))
        yield


@pytest.fixture(scope="session")
def moving_frames() -> np.ndarray:
    """A smooth texture that moves by (+1, +0.5) px per frame, uint8 [12, 128, 160]."""
    import cv2

    noise = np.random.default_rng(7).random((160, 192)).astype(np.float32)
    texture = cv2.GaussianBlur(noise, (0, 0), 2.5)
    texture = 255 * (texture - texture.min()) / np.ptp(texture)
    frames = []
    for step in range(12):
        shift = np.float32([[1, 0, step - 16], [0, 1, 0.5 * step - 16]])
        frames.append(cv2.warpAffine(texture, shift, (160, 128), flags=cv2.INTER_LINEAR))
    return np.round(frames).astype(np.uint8)


@pytest.fixture
def write_dicom(tmp_path: Path) -> Callable[..., Path]:
    """Write frames [T, H, W] or [T, H, W, 3] as a DICOM clip of 20 ms per frame.

    Keywords set tags; None deletes a tag.
    """

    import pydicom
    from pydicom.dataset import Dataset, FileMetaDataset
    from pydicom.uid import ExplicitVRLittleEndian, UltrasoundMultiFrameImageStorage, generate_uid

    def write(frames: np.ndarray, name: str = "clip.dcm", **tags: object) -> Path:
        meta = FileMetaDataset()
        meta.MediaStorageSOPClassUID = UltrasoundMultiFrameImageStorage
        meta.MediaStorageSOPInstanceUID = generate_uid()
        meta.TransferSyntaxUID = ExplicitVRLittleEndian
        header = Dataset()
        header.file_meta = meta
        header.SOPClassUID = UltrasoundMultiFrameImageStorage
        header.SOPInstanceUID = meta.MediaStorageSOPInstanceUID
        header.PatientName = "Doe^John"
        header.PatientID = "12345"
        header.Modality = "US"
        header.NumberOfFrames = len(frames)
        header.Rows, header.Columns = frames.shape[1:3]
        header.SamplesPerPixel = 3 if frames.ndim == 4 else 1
        header.PhotometricInterpretation = "RGB" if frames.ndim == 4 else "MONOCHROME2"
        if frames.ndim == 4:
            header.PlanarConfiguration = 0
        header.BitsAllocated = header.BitsStored = 8 * frames.dtype.itemsize
        header.HighBit = header.BitsStored - 1
        header.PixelRepresentation = 0
        header.FrameIncrementPointer = 0x00181063
        header.FrameTime = 20.0
        header.PixelData = frames.tobytes()
        for keyword, value in tags.items():
            if value is None:
                delattr(header, keyword)
            else:
                setattr(header, keyword, value)
        path = tmp_path / name
        pydicom.dcmwrite(path, header, enforce_file_format=True)
        return path

    return write


@pytest.fixture(scope="session")
def server_binary():
    """The real server; installed with pip if this machine does not have it."""
    from cineflow.serving import ServerNotFoundError, find_server, install_server

    try:
        return find_server()
    except ServerNotFoundError:
        return install_server()


@pytest.fixture(scope="session")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model repository with the built-in default bundle."""
    from cineflow.export import write_repository
    from cineflow.runtime import Bundle

    return write_repository(
        [Bundle.load("lucas_kanade")], tmp_path_factory.mktemp("repository") / "models"
    )


@pytest.fixture(scope="session")
def other_bundle(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The default model with another hash, because its graph has another description."""
    import json
    import shutil

    import onnx

    from cineflow.runtime import Bundle
    from cineflow.runtime.bundle import file_sha256

    place = tmp_path_factory.mktemp("other") / "bundle"
    folder = shutil.copytree(Bundle.load("lucas_kanade").path, place)
    graph = onnx.load(folder / "model.onnx")
    graph.doc_string = "another"
    onnx.save(graph, folder / "model.onnx")
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["files"]["model.onnx"]["sha256"] = file_sha256(folder / "model.onnx")
    (folder / "manifest.json").write_text(json.dumps(manifest))
    return Bundle.load(folder)


@pytest.fixture(scope="session")
def server(server_binary, repository: Path) -> Iterator:
    """A running server with the default bundle, shared by tests that do not disturb it."""
    from cineflow.serving import TritonServer

    with TritonServer(repository, binary=server_binary) as running:
        yield running


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of certificates for mutual TLS; tests do not change it."""
    from cineflow.serving.certs import make_test_certificates

    folder = tmp_path_factory.mktemp("certificates") / "certs"
    make_test_certificates(folder)
    return folder


@pytest.fixture(scope="session")
def left_behind() -> Callable[[str], list[str]]:
    """Processes and memory of the server called `name` that remain after ten seconds at most.

    Only those with that server's own mark count, because other servers may run during the tests.
    """

    def remains(name: str) -> list[str]:
        found = [f"/dev/shm/{entry}" for entry in os.listdir("/dev/shm") if name in entry]
        for folder in Path("/proc").glob("[0-9]*"):
            try:
                if f"CINEFLOW_SERVER_ID={name}".encode() in (folder / "environ").read_bytes():
                    found.append((folder / "cmdline").read_text().replace("\0", " "))
            except OSError:  # it ended meanwhile, or belongs to another user
                continue
        return found

    def wait(name: str) -> list[str]:
        assert name, "the server never started, so the check would be empty"
        deadline = time.monotonic() + 10
        while (found := remains(name)) and time.monotonic() < deadline:
            time.sleep(0.1)
        return found

    return wait
