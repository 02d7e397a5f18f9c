"""A model that is not cineflow's is recognised before a frame is sent."""

from __future__ import annotations

import pytest
from tritonclient.grpc.model_config_pb2 import ModelConfig, ModelParameter

from cineflow_client import ModelNotFound
from cineflow_client.metadata import read_model_info
from cineflow_client.served import CONTRACT


def config(spec: str, contract: int = CONTRACT) -> ModelConfig:
    """The configuration of a cineflow model with any text as its spec."""
    return ModelConfig(
        name="ours",
        parameters={
            "spec": ModelParameter(string_value=spec),
            "contract": ModelParameter(string_value=str(contract)),
        },
    )


@pytest.mark.parametrize("broken", ["{", "[]", '{"inputs": []}', '{"inputs": [{"shape": 3}]}'])
def test_a_model_without_a_readable_spec(broken: str) -> None:
    with pytest.raises(ModelNotFound, match="a ModelSpec") as error:
        read_model_info("ours", config(broken))
    assert "`cineflow repo" in error.value.remedy


def test_another_version_of_the_contract() -> None:
    with pytest.raises(ModelNotFound, match="version 4 of the contract; got version 1"):
        read_model_info("ours", config('{"feed": {"kind": "pair"}}', 1))


def test_a_foreign_model() -> None:
    with pytest.raises(ModelNotFound, match="as cineflow models have") as error:
        read_model_info("identity", ModelConfig(name="identity"))
    assert "`cineflow repo" in error.value.remedy
