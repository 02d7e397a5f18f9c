"""Stream frames to a cineflow server, or call one, and get typed results back."""

from __future__ import annotations

from cineflow_client.certificates import Certificates
from cineflow_client.client import Client
from cineflow_client.errors import (
    CardUnavailable,
    CertificateUnusable,
    CineflowClientError,
    FrameDropped,
    FrameRejected,
    ModelNotFound,
    ModelUnloaded,
    OtherProcess,
    ServerBusy,
    ServerDied,
    ServerRefused,
    ServerStopping,
    ServerUnavailable,
    SharedMemoryUnavailable,
    StreamBroken,
    StreamBusy,
    StreamClosed,
    StreamExpired,
    StreamTimeout,
    UntrainedWeights,
)
from cineflow_client.latency import LatencyLog, LatencySummary, ServerTimes
from cineflow_client.metadata import ModelInfo
from cineflow_client.pending import Pending
from cineflow_client.served import (
    BeatInfo,
    Cause,
    Deadline,
    Output,
    Quality,
    Result,
    Rhythm,
    Times,
)
from cineflow_client.stream import Stream

__all__ = [
    "BeatInfo",
    "CardUnavailable",
    "Cause",
    "CertificateUnusable",
    "Certificates",
    "CineflowClientError",
    "Client",
    "Deadline",
    "FrameDropped",
    "FrameRejected",
    "LatencyLog",
    "LatencySummary",
    "ModelInfo",
    "ModelNotFound",
    "ModelUnloaded",
    "OtherProcess",
    "Output",
    "Pending",
    "Quality",
    "Result",
    "Rhythm",
    "ServerBusy",
    "ServerDied",
    "ServerRefused",
    "ServerStopping",
    "ServerTimes",
    "ServerUnavailable",
    "SharedMemoryUnavailable",
    "Stream",
    "StreamBroken",
    "StreamBusy",
    "StreamClosed",
    "StreamExpired",
    "StreamTimeout",
    "Times",
    "UntrainedWeights",
]
