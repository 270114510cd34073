"""`steiner probe` on a real server: vLLM on the CPU as it is, and with eight completions billed together.

    make vllm-env
    python benchmarks/probe_vllm.py --output runs/probe-vllm

Both series stand in one report. The first must be linear (one token after another). The second bills eight
completions that are written in one batch, so that it must be sub-linear, though its points lie on a line.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests" / "integration"))
from vllm_server import MODEL, vllm_server  # noqa: E402


def probe(address: str, output: Path, n: int, requests: int, longest: int) -> None:
    """Run the command; its output is shown."""
    command = [
        *(sys.executable, "-m", "steiner.cli.main", "probe", "--base-url", f"{address}/v1", "--model", MODEL),
        *("--output", str(output), "--requests", str(requests), "--shortest", "8", "--longest", str(longest)),
        *("--prompts", "prose", "--exact", "--extra", '{"ignore_eos": true}', "--temperature", "1"),
        *("--n", str(n)),
    ]
    subprocess.run(command, check=True)


def main() -> None:
    """Start the server and probe it twice."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output", type=Path, default=Path("runs/probe-vllm"))
    parser.add_argument("--requests", type=int, default=40)
    parser.add_argument("--longest", type=int, default=800, help="tokens")
    given = parser.parse_args()
    home = ROOT / ".vllm"
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "vllm.log"
        with vllm_server(home / "bin" / "python", home / "smollm2", log) as server:
            for n in (1, 8):
                probe(server.address, given.output, n, given.requests, given.longest)


if __name__ == "__main__":
    main()
