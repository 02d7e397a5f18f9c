"""Stream ultrasound frames to a cineflow server and get motion back."""

from __future__ import annotations

from cineflow_client.client import Client
from cineflow_client.errors import (
    CineflowClientError,
    FrameRejected,
    ModelNotFound,
    ServerDied,
    ServerRefused,
    ServerUnavailable,
    SharedMemoryUnavailable,
    StreamBroken,
    StreamBusy,
    StreamClosed,
    StreamExpired,
    StreamTimeout,
)
from cineflow_client.latency import LatencyLog, LatencySummary
from cineflow_client.metadata import ModelInfo
from cineflow_client.result import BeatInfo, Cause, QualityParts, Result, Rhythm
from cineflow_client.stream import Pending, Stream

__all__ = [
    "BeatInfo",
    "Cause",
    "CineflowClientError",
    "Client",
    "FrameRejected",
    "LatencyLog",
    "LatencySummary",
    "ModelInfo",
    "ModelNotFound",
    "Pending",
    "QualityParts",
    "Result",
    "Rhythm",
    "ServerDied",
    "ServerRefused",
    "ServerUnavailable",
    "SharedMemoryUnavailable",
    "Stream",
    "StreamBroken",
    "StreamBusy",
    "StreamClosed",
    "StreamExpired",
    "StreamTimeout",
]
