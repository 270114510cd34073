"""Make the calls of `benchmarks/synthesis.py` with bespokelabs-curator; runs in an environment of its own.

    python with_curator.py BASE_URL MESSAGES IN_FLIGHT

MESSAGES is a file with the messages of one call a line, as JSON. Prints one line of JSON: calls, seconds and
CPU seconds of the second of two runs; the first one, of a few calls, pays for imports and for finding out
what the endpoint can do.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
from pathlib import Path

WARM_UP = 20


def count_bytes_as_tokens() -> None:
    """Spare it the download of a tokenizer, which it only uses to guess how long prompts are."""
    import tiktoken

    ranks = {bytes([value]): value for value in range(256)}
    encoding = tiktoken.Encoding("bytes", pat_str=r"\S+|\s+", mergeable_ranks=ranks, special_tokens={})
    tiktoken.get_encoding = lambda name: encoding


def main() -> None:
    """Run it."""
    base_url, in_flight = sys.argv[1], int(sys.argv[3])
    messages = [json.loads(line) for line in Path(sys.argv[2]).read_text("utf-8").splitlines()]
    # It caches by prompt, and some calls differ in nothing but their draw.
    calls = [
        [*rest, last | {"content": f"{last['content']} ({n})"}] for n, (*rest, last) in enumerate(messages)
    ]
    with tempfile.TemporaryDirectory() as cache:
        os.environ.update(
            CURATOR_CACHE_DIR=cache,
            CURATOR_VIEWER="0",
            TELEMETRY_ENABLED="false",
            CURATOR_DISABLE_RICH_DISPLAY="1",
            HF_HUB_OFFLINE="1",
            OPENAI_API_KEY="none",
        )
        count_bytes_as_tokens()
        from bespokelabs import curator

        parameters = {
            "base_url": base_url,
            "max_concurrent_requests": in_flight,
            "max_requests_per_minute": 10_000_000,
            "max_tokens_per_minute": 10_000_000_000,
        }
        generation = {"max_tokens": 3000, "temperature": 0.7}
        llm = curator.LLM(
            model_name="gpt-4o-mini",
            backend="openai",
            backend_params=parameters,
            generation_params=generation,
        )
        llm([f"How much is {number} + 1?" for number in range(WARM_UP)])
        wall, processor = time.perf_counter(), time.process_time()
        found = llm(calls)
        wall, processor = time.perf_counter() - wall, time.process_time() - processor
        rows = getattr(found, "dataset", found)
        print(json.dumps({"calls": len(rows), "seconds": wall, "cpu": processor}))


if __name__ == "__main__":
    main()
