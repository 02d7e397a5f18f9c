"""A model that is not cineflow's is recognised before a frame is sent."""

from __future__ import annotations

import pytest
from tritonclient.grpc.model_config_pb2 import ModelConfig, ModelInput, ModelOutput, ModelParameter

from cineflow.export.triton import STREAM_INPUTS, STREAM_OUTPUTS
from cineflow_client import ModelNotFound
from cineflow_client.metadata import read_model_info


def config(spec: str) -> ModelConfig:
    """The configuration of a cineflow model with any text as its spec."""
    return ModelConfig(
        name="ours",
        input=[ModelInput(name=name) for name, *_ in STREAM_INPUTS],
        output=[ModelOutput(name=name) for name, *_ in STREAM_OUTPUTS],
        parameters={"spec": ModelParameter(string_value=spec)},
    )


@pytest.mark.parametrize("broken", ["{", "[]", '{"inputs": []}', '{"inputs": [{"shape": 3}]}'])
def test_a_model_without_a_readable_spec(broken: str) -> None:
    with pytest.raises(ModelNotFound, match="a ModelSpec") as error:
        read_model_info("ours", config(broken))
    assert "`cineflow repo" in error.value.remedy


def test_a_foreign_model() -> None:
    with pytest.raises(ModelNotFound, match="a cineflow model") as error:
        read_model_info("identity", ModelConfig(name="identity"))
    assert "`cineflow repo" in error.value.remedy
