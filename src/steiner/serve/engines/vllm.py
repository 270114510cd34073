"""vLLM in this process: its `AsyncLLM` with our logits processor."""

from __future__ import annotations
