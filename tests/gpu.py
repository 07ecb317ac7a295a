"""What the tests that need a GPU share. Elsewhere they are skipped. `pytest -k gpu` selects them.

Their names contain "gpu". tests/bench/bench_gpu.py runs them on a machine with a GPU.
"""

import pytest
import torch

GPU = torch.device("cuda:0")
needs_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")


def exact():
    """Let convolutions compute in float32. By default a GPU rounds their inputs to 10 bits."""
    return torch.backends.cudnn.flags(enabled=True, deterministic=True, allow_tf32=False)
