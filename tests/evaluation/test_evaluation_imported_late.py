"""What is imported before workers are forked."""

import subprocess
import sys

# As where there are a GPU and nvcc: torch's extensions ask for the GPU where they find a compiler.
IMPORTING = """
import sys
import torch
from pytest_kernelbench.evaluation.worker import imported_late

def asked(*_):
    raise SystemExit("CUDA was started")

torch.cuda._is_compiled = lambda: True
torch.version.cuda = "13.0"
torch._C._cuda_getDeviceCount = asked
asks = torch.cuda.is_available
imported_late.import_them()
assert torch.cuda.is_available is asks
assert set(imported_late.MODULES) <= set(sys.modules)
torch.utils.cpp_extension._find_cuda_home()
"""


def test_modules_are_imported_and_cuda_is_not_started(tmp_path):
    environment = {"CUDA_HOME": str(tmp_path), "PATH": "/usr/bin:/bin"}
    done = subprocess.run(
        [sys.executable, "-c", IMPORTING], env=environment, capture_output=True, text=True, timeout=120
    )
    # Asked afterwards, as torch asks by itself, it would be.
    assert (done.returncode, done.stderr.splitlines()[-1:]) == (1, ["CUDA was started"])
