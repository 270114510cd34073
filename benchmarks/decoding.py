"""What step control costs: the same model with it and without, in turns, in one run.

    python benchmarks/decoding.py lengths
    python benchmarks/decoding.py throughput [--vllm-python .vllm/bin/python]

`lengths`: µs a token of the logits processor after 100 and after 10,000 tokens, beside a processor that
counts steps in the whole history with every token. `throughput`: tokens per second of `generate` and of the
continuous batching of transformers, and of vLLM where its interpreter is given. An untrained model writes a
fixed number of tokens, whatever they are. Shares are of the best run with control and the best one without,
by the clock and by CPU time, which says more on a busy machine.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median, quantiles
from typing import Any, NamedTuple

PROMPT = list(range(50, 90))
WITHOUT, WITH = "without", "with"


class Spent(NamedTuple):
    """Seconds of one run."""

    clock: float
    cpu: float


def report(name: str, tokens: int, spent: dict[str, list[Spent]]) -> None:
    """Print one line: tokens per second, and what is left of them with control."""
    best = {kind: Spent(*(min(values) for values in zip(*runs, strict=True))) for kind, runs in spent.items()}
    pairs = [a.cpu / b.cpu for a, b in zip(spent[WITHOUT], spent[WITH], strict=True)]
    print(
        f"{name:12} {tokens / best[WITHOUT].clock:8,.0f} {tokens / best[WITH].clock:8,.0f} tokens/s"
        f"   left by the clock {best[WITHOUT].clock / best[WITH].clock:6.1%}"
        f"   by CPU time {best[WITHOUT].cpu / best[WITH].cpu:6.1%}"
        f" (pairs: {min(pairs):.1%}, {median(pairs):.1%}, {max(pairs):.1%})",
        flush=True,
    )


def in_turns(
    rounds: int, run: Callable[[str], object], cpu: Callable[[], float] = time.process_time
) -> dict[str, list[Spent]]:
    """Time both kinds in turns, after one run of each."""
    spent: dict[str, list[Spent]] = {WITHOUT: [], WITH: []}
    for turn in range(rounds + 1):
        for kind in (WITHOUT, WITH) if turn % 2 else (WITH, WITHOUT):
            begin, used = time.perf_counter(), cpu()
            run(kind)
            if turn:
                spent[kind].append(Spent(time.perf_counter() - begin, cpu() - used))
    return spent


def in_generate(model: Any, tokenizer: Any, given: argparse.Namespace) -> None:
    """`model.generate`."""
    import torch
    from transformers import GenerationConfig, LogitsProcessorList

    from steiner.core import StepBudget
    from steiner.decode import Mode, StepControl
    from steiner.decode.hf import StepControlLogitsProcessor
    from steiner.protocol import ControlIds

    control = StepControl(ControlIds.from_tokenizer(tokenizer), Mode.STRICT, max_answer_tokens=64)
    budgets = [StepBudget(min_steps=1 + row % 3, max_reasoning_tokens=16_384) for row in range(given.rows)]
    prompts = torch.tensor([PROMPT] * given.rows)
    settings = GenerationConfig(
        do_sample=True, top_k=0, max_new_tokens=given.tokens, pad_token_id=tokenizer.pad_token_id
    )
    settings.eos_token_id = model.generation_config.eos_token_id = None

    def run(kind: str) -> None:
        ours = StepControlLogitsProcessor(control, budgets, len(PROMPT), in_place=True, rows_stay=True)
        done = model.generate(
            prompts,
            attention_mask=torch.ones_like(prompts),
            generation_config=settings,
            logits_processor=LogitsProcessorList([ours] if kind == WITH else []),
        )
        assert done.shape == (given.rows, len(PROMPT) + given.tokens), done.shape

    report("generate", given.rows * given.tokens, in_turns(given.rounds, run))


def in_continuous(model: Any, tokenizer: Any, given: argparse.Namespace) -> None:
    """Continuous batching of transformers."""
    from transformers import ContinuousBatchingConfig, GenerationConfig

    from steiner.decode.continuous import control_steps
    from steiner.decode.request import StepRequest
    from steiner.protocol import ControlIds

    ids = ControlIds.from_tokenizer(tokenizer)
    settings = GenerationConfig(
        do_sample=True, top_k=0, max_new_tokens=given.tokens, eos_token_id=-1, pad_token_id=ids.pad
    )
    pages = ContinuousBatchingConfig(
        page_size=32,
        num_blocks=given.rows * (2 + (len(PROMPT) + given.tokens) // 32),
        max_batch_tokens=max(256, given.rows),
        use_async_batching=False,
    )

    managers, more = {}, {WITHOUT: {}, WITH: {"steps": StepRequest()}}
    for kind in (WITHOUT, WITH):
        managers[kind] = model.init_continuous_batching(settings, pages)
        if kind == WITH:
            control_steps(managers[kind], ids)
        managers[kind].start()

    def run(kind: str) -> None:
        manager = managers[kind]
        for _ in range(given.rows):
            manager.add_request(PROMPT, max_new_tokens=given.tokens, **more[kind])
        for _ in range(given.rows):
            result = manager.get_result(timeout=300)
            if result is None or result.error:
                raise RuntimeError(f"no result: {manager.background_thread_status.fatal_error or result}")
            assert len(result.generated_tokens) == given.tokens

    try:
        spent = in_turns(given.rounds, run)
    finally:
        for manager in managers.values():
            manager.stop(block=True)
            manager.destroy()
    report("continuous", given.rows * given.tokens, spent)


def in_vllm(folder: Path, given: argparse.Namespace) -> None:
    """vLLM, by a process in its own environment."""
    from servers import ROOT, vllm_variables

    variables = vllm_variables(folder / "installed", given.threads) | {"PYTHONPATH": str(ROOT / "src")}
    command = [str(given.vllm_python), __file__, "vllm-worker", "--model", str(folder / "model")]
    for name in ("rows", "tokens", "rounds", "threads"):
        command += [f"--{name}", str(getattr(given, name))]
    with (folder / "vllm.log").open("wb") as log:
        done = subprocess.run(command, env=os.environ | variables, stdout=subprocess.PIPE, stderr=log)
    if done.returncode:
        print((folder / "vllm.log").read_text(errors="replace")[-3000:])
        raise SystemExit("vLLM failed")
    lines = done.stdout.decode(errors="replace").splitlines()  # vLLM's own messages too
    found = json.loads(next(line for line in lines if line.startswith('{"without"')))
    spent = {kind: [Spent(*one) for one in runs] for kind, runs in found.items()}
    report("vLLM", given.rows * given.tokens, spent)


def vllm_worker(given: argparse.Namespace) -> None:
    """Two engines in processes of their own, one with our logits processor; prints seconds as JSON."""
    import psutil
    from vllm import LLM, SamplingParams

    def engine(**more: Any) -> Any:
        return LLM(
            str(given.model),
            dtype="float32",
            enforce_eager=True,
            max_model_len=1024,
            block_size=32,
            max_num_seqs=given.rows,
            enable_prefix_caching=False,
            **more,
        )

    engines = {
        WITHOUT: engine(),
        WITH: engine(logits_processors=["steiner.decode.vllm_v1:StepControlLogitsProcessor"]),
    }
    asked = SamplingParams(temperature=1.0, max_tokens=given.tokens, ignore_eos=True, detokenize=False)
    prompts: Any = [{"prompt_token_ids": PROMPT}] * given.rows

    def run(kind: str) -> None:
        for done in engines[kind].generate(prompts, asked, use_tqdm=False):
            assert len(done.outputs[0].token_ids) == given.tokens

    def cpu() -> float:
        me = psutil.Process()
        return sum(sum(one.cpu_times()[:2]) for one in (me, *me.children(recursive=True)))

    print(json.dumps(in_turns(given.rounds, run, cpu)), flush=True)


class CountingProcessor:
    """The report's three rules as they are commonly written: steps are counted anew in each history."""

    def __init__(self, ids: Any, least: list[int], most: list[int], prompt_length: int) -> None:
        """Take each row's limits."""
        from steiner.protocol import ControlToken

        self._id = {token.name: ids[token] for token in ControlToken}
        self._least, self._most, self._prompt_length = least, most, prompt_length

    def __call__(self, input_ids: Any, scores: Any) -> Any:
        """Return the scores with what is not allowed at minus infinity."""
        for row, history in enumerate(input_ids[:, self._prompt_length :]):
            steps = int((history == self._id["STEP_END"]).sum())
            last = int(history[-1]) if len(history) else None
            if last is None:
                kept = ["START"]
            elif last == self._id["STEP_END"]:
                if steps >= self._most[row]:
                    kept = ["END"]
                elif steps < self._least[row]:
                    kept = ["PROCEED", "BACKTRACK"]
                else:
                    kept = ["PROCEED", "END", "BACKTRACK"]
            elif last in (self._id["PROCEED"], self._id["BACKTRACK"]):
                kept = ["STEP_START"]
            else:
                continue
            columns = [self._id[name] for name in kept]
            values = scores[row, columns].clone()
            scores[row] = float("-inf")
            scores[row, columns] = values
        return scores


def lengths(given: argparse.Namespace) -> None:
    """Print µs a call for 1 and 64 rows, each way in turns: first and third quartile of many calls."""
    import torch
    from step_control import IDS, VOCABULARY, batch

    from steiner.core import StepBudget
    from steiner.decode import Mode, StepControl
    from steiner.decode.hf import StepControlLogitsProcessor

    torch.set_num_threads(1)
    repeats, sizes = 40 * given.rounds, (100, 10_000)
    print(f"vocabulary {VOCABULARY:,}; µs a token of the whole batch, quartiles of {repeats} tokens")
    print("rows  way            100 tokens              10,000 tokens          middle / middle")
    for rows in (1, 64):
        budgets = [StepBudget(min_steps=1 + row % 3, max_steps=900) for row in range(rows)]
        scores = torch.randn(rows, VOCABULARY)

        def ours(mode: Any, budgets: Any = budgets) -> Any:
            control = StepControl(IDS, mode, max_answer_tokens=512)
            return StepControlLogitsProcessor(control, budgets, 0, in_place=True, rows_stay=True)

        ways = {
            "counting": lambda rows=rows, b=budgets: CountingProcessor(
                IDS, [one.min_steps for one in b], [900] * rows, 0
            ),
            "report": lambda ours=ours: ours(Mode.REPORT),
            "strict": lambda ours=ours: ours(Mode.STRICT),
        }
        same = batch(rows, 500)
        assert torch.equal(
            ways["counting"]()(same, scores.clone()), ways["report"]()(same, scores.clone())
        ), "the counting processor does something else"
        for name, make in ways.items():
            found = [times(make(), batch(rows, size + repeats), scores, repeats) for size in sizes]
            cells = "   ".join(f"{a:6,.1f} {b:6,.1f} {c:6,.1f}" for a, b, c in found)
            print(f"{rows:4}  {name:9} {cells}   {found[1][1] / found[0][1]:6.2f}", flush=True)


def times(processor: Any, tokens: Any, scores: Any, repeats: int) -> tuple[float, float, float]:
    """Return the quartiles of calls that bring one token more each, in µs."""
    width = tokens.shape[1] - repeats
    fresh = scores.clone()
    processor(tokens[:, :width], fresh)
    found = []
    for column in range(width + 1, width + repeats + 1):
        seen = tokens[:, :column]
        begin = time.perf_counter()
        processor(seen, fresh)
        found.append(1e6 * (time.perf_counter() - begin))
    first, middle, third = quantiles(found, n=4)
    return first, middle, third


def throughput(given: argparse.Namespace) -> None:
    """Run all engines that are at hand."""
    import torch
    from servers import save_model
    from transformers import AutoModelForCausalLM, AutoTokenizer

    torch.set_num_threads(given.threads)
    with tempfile.TemporaryDirectory() as place:
        folder = save_model(Path(place) / "model", given.hidden, given.layers)
        model = AutoModelForCausalLM.from_pretrained(folder).eval()
        print(
            f"{model.num_parameters():,} parameters, {given.rows} rows, {given.tokens} tokens each, "
            f"{given.threads} thread(s), {given.rounds} rounds, load {os.getloadavg()[0]:.1f}"
        )
        print(f"{'':12} {'without':>8} {'with':>8}")
        tokenizer = AutoTokenizer.from_pretrained(folder)
        in_generate(model, tokenizer, given)
        in_continuous(model, tokenizer, given)
        del model
        if given.vllm_python:
            in_vllm(Path(place), given)
        print(f"load {os.getloadavg()[0]:.1f}")


def main() -> None:
    """Run what is named."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", choices=("lengths", "throughput", "vllm-worker"))
    parser.add_argument("--vllm-python", type=Path, help="interpreter of an environment that holds vLLM")
    parser.add_argument("--model", type=Path, help=argparse.SUPPRESS)
    for name, value in (
        ("rows", 16), ("tokens", 128), ("rounds", 5), ("threads", 1), ("hidden", 512), ("layers", 8)
    ):  # fmt: skip
        parser.add_argument(f"--{name}", type=int, default=value)
    given = parser.parse_args()
    {"lengths": lengths, "throughput": throughput, "vllm-worker": vllm_worker}[given.what](given)


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parent))
    main()
