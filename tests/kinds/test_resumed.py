"""A stream of any kind that was interrupted says what an uninterrupted one says, bit for bit."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import fields

import pytest

from cineflow.runtime import Bundle, open_engine
from cineflow.runtime.state_bytes import state_from_bytes, state_to_bytes
from cineflow.runtime.stream import Stream
from cineflow.served import Result
from cineflow_client import Client
from tests.kinds.test_in_process import SEQUENCES, require_same


@pytest.mark.parametrize("name", SEQUENCES)
def test_a_state_of_any_kind_travels_as_bytes(bundles: Mapping[str, Bundle], name: str) -> None:
    """Before every frame, another stream goes on from the bytes of the last one's state."""
    sequence = SEQUENCES[name]
    bundle = bundles[sequence.model]
    engine = open_engine(bundle)
    whole = Stream(engine, bundle.spec, **sequence.settings)
    parts = Stream(engine, bundle.spec, **sequence.settings)
    for frame, more in sequence.pushes[:24]:
        require_same_results(whole.push(frame, **more), parts.push(frame, **more))
        state = parts.state()
        assert state is not None
        parts = Stream(
            engine, bundle.spec, state_from_bytes(state_to_bytes(state)), **sequence.settings
        )


@pytest.mark.parametrize("name", SEQUENCES)
def test_a_stream_that_is_cut_goes_on(
    client: Client, bundles: Mapping[str, Bundle], name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The call ends under it before, at and after the frames whose results bring a state."""
    monkeypatch.setattr("cineflow_client.history.STATE_EVERY", 4)
    sequence = SEQUENCES[name]
    bundle = bundles[sequence.model]
    stream = Stream(open_engine(bundle), bundle.spec, **sequence.settings)
    cuts = {1, 3, 4, 5, 10}
    with client.stream(sequence.model, **sequence.settings) as served:
        for k, (frame, more) in enumerate(sequence.pushes[:24]):
            if k in cuts:
                before = served.sequence_id
                served._resumer.session.link.responses.cancel()
                while served.sequence_id == before:  # until it has noticed and gone on
                    time.sleep(0.005)
            require_same_results(stream.push(frame, **more), served.push(frame, **more))
        assert served.resumed == len([k for k in cuts if k < len(sequence.pushes)])


def require_same_results(here: Result, there: Result) -> None:
    for part in fields(Result):
        if part.name not in ("latency_ms", "times"):
            require_same(part.name, getattr(here, part.name), getattr(there, part.name))
