"""That a model is untrained is said wherever it appears."""

from __future__ import annotations

import pytest

from cineflow.runtime import Bundle
from cineflow_client import Client, UntrainedWeights


def require_said(client: Client, bundle: Bundle) -> None:
    """Fail unless the bundle, the server's metadata and the client say it."""
    assert bundle.spec.weights.describe() == "seed 0 (untrained)"
    weights = client.model(bundle.served_name).spec["weights"]
    assert weights == {"source": "seed 0", "licence": "Apache-2.0", "trained": False}
    with (
        pytest.warns(UntrainedWeights, match="outputs are meaningless"),
        client.stream(bundle.served_name) as stream,
    ):
        assert stream.untrained
