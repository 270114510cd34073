"""lm-evaluation-harness on questions from standard input; its samples to standard output.

Started by `dev/harness_comparison.py` with the interpreter of an environment with lm-eval. Its own tasks
(`gsm8k`, `gpqa_diamond_generative_n_shot`) keep their filters and metrics; replaced are where the questions
come from, the number of examples (none), and the stop strings. Given replies instead of an address, it grades
those. It stores nothing.
"""

from __future__ import annotations

import json
import logging
import os
import sys
from pathlib import Path
from typing import Any

TASKS = {
    "gsm8k": "gsm8k/gsm8k.yaml",
    "gpqa-diamond": "gpqa/generative/gpqa_diamond_generative_n_shot.yaml",
}
STOP = ["<|im_end|>"]
"""The end of a message, which the server stops at anyway."""


def task_of(benchmark: str, docs: list[dict[str, Any]]) -> Any:
    """Return the harness's own task with our questions in it."""
    import lm_eval
    from datasets import Dataset, DatasetDict
    from lm_eval.api.task import ConfigurableTask
    from lm_eval.tasks._yaml_loader import load_yaml

    def questions(**_: Any) -> DatasetDict:
        return DatasetDict({"test": Dataset.from_list(docs), "train": Dataset.from_list(docs[:1])})

    path = Path(lm_eval.__file__).parent / "tasks" / TASKS[benchmark]
    config = load_yaml(path, resolve_func=True)
    config.pop("tag", None)
    config |= {
        "custom_dataset": questions,
        "test_split": "test",
        "num_fewshot": 0,
        "generation_kwargs": {"until": STOP, "do_sample": False, "temperature": 0.0},
    }
    if benchmark == "gpqa-diamond":
        config |= {"process_docs": None, "doc_to_text": "{{prompt}}", "description": ""}
        config["validation_split"] = None
    config["metadata"] = {}
    return ConfigurableTask(config=config)


def model_of(order: dict[str, Any]) -> Any:
    """Return the endpoint, or somebody who says what is in `replies`."""
    from lm_eval.api.model import LM
    from lm_eval.models.openai_completions import LocalChatCompletion

    if "replies" not in order:
        return LocalChatCompletion(
            model=order["model"],
            base_url=f"{order['address']}/v1/chat/completions",
            num_concurrent=order["at_once"],
            max_gen_toks=order["max_tokens"],
            max_retries=3,
        )

    class Replay(LM):
        def loglikelihood(self, requests: Any) -> Any:
            raise NotImplementedError

        loglikelihood_rolling = loglikelihood

        def generate_until(self, requests: Any, disable_tqdm: bool = False) -> list[str]:
            return [order["replies"][request.doc_id] for request in requests]

    return Replay()


def samples_of(order: dict[str, Any]) -> list[dict[str, Any]]:
    """Run the task; one entry a question and filter."""
    from lm_eval import simple_evaluate
    from lm_eval.tasks import TaskManager

    endpoint = "replies" not in order
    found = simple_evaluate(
        model=model_of(order),
        tasks=[task_of(order["benchmark"], order["docs"])],
        task_manager=TaskManager(include_defaults=False),
        num_fewshot=0,
        apply_chat_template=endpoint,
        log_samples=True,
        bootstrap_iters=0,
        gen_kwargs={"max_gen_toks": order["max_tokens"]} if endpoint else None,
        verbosity="ERROR",
    )
    (samples,) = found["samples"].values()
    return [
        {
            "question": sample["doc_id"],
            "filter": sample["filter"],
            "asked": sample["arguments"][0][0],
            "reply": sample["resps"][0][0],
            "read": sample["filtered_resps"],
            "right": sample["exact_match"],
        }
        for sample in samples
    ]


def main() -> None:
    """Read the order, run, write the samples; whatever else prints goes to standard error."""
    result = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    os.environ |= {"HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}
    os.environ.setdefault("OPENAI_API_KEY", "none")
    logging.disable(logging.WARNING)
    json.dump(samples_of(json.load(sys.stdin)), result)
    result.close()


if __name__ == "__main__":
    main()
