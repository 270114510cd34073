"""The command itself: options in, a table of accuracies out."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(add_completion=False)

EXAMPLES = """\b
Examples:
  steiner eval runs/quickstart/rl/model --benchmark countdown --max-steps 24
  steiner eval runs/first/sft/model --benchmark gsm8k --data gsm8k/test.jsonl --limit 200
  steiner eval http://localhost:8000/v1 --benchmark math500 --epochs 4 --temperature 0.7
  steiner eval https://api.openai.com/v1 --model gpt-5-mini --benchmark gpqa-diamond --budget-usd 2
  steiner eval MODEL --benchmark gsm8k --benchmark aime24 --data gsm8k=test.jsonl --data aime24=aime.jsonl
\b
The logs are those of inspect-ai: `inspect view --log-dir RUN/benchmarks`.
"""
Columns = Annotated[str | None, typer.Option(help="Column, where a file has another than usual.")]


@app.command(epilog=EXAMPLES)
def evaluate(
    target: Annotated[str, typer.Argument(metavar="MODEL|URL", help="Model folder, hub id, or address.")],
    benchmark: Annotated[
        list[str],
        typer.Option(
            help="gpqa-diamond, mmlu, mmlu-pro, gsm8k, math500, aime24, mgsm:LANGUAGE, game24, countdown or "
            "reasoning-gym:NAME; repeatable."
        ),
    ],
    data: Annotated[
        list[str] | None,
        typer.Option(help="File or hub id of the questions, as NAME=FILE if there are several benchmarks."),
    ] = None,
    run: Annotated[Path, typer.Option(help="Run directory; the same command goes on where it stopped.")] = (
        Path("runs/eval")
    ),
    model: Annotated[str | None, typer.Option(help="Model of an endpoint that serves several.")] = None,
    key_env: Annotated[str, typer.Option(help="Environment variable with the endpoint's key.")] = (
        "OPENAI_API_KEY"
    ),
    limit: Annotated[int | None, typer.Option(min=1, help="Ask only so many questions.")] = None,
    rows: Annotated[str, typer.Option(help="FROM:TO, counted from 0: only these questions.")] = "",
    epochs: Annotated[int, typer.Option(min=1, help="Ask each question so often.")] = 1,
    seed: Annotated[int, typer.Option(help="Of draws, order of options and generated questions.")] = 0,
    temperature: Annotated[float, typer.Option(min=0, help="0 takes the most likely token.")] = 0.0,
    own_temperature: Annotated[
        bool, typer.Option("--own-temperature", help="Send none: some reasoning models take no other.")
    ] = False,
    max_tokens: Annotated[int, typer.Option(min=1, help="Longest completion, reasoning included.")] = 4096,
    min_steps: Annotated[int, typer.Option(min=1, help="Fewest reasoning steps.")] = 1,
    max_steps: Annotated[int | None, typer.Option(min=1, help="Most reasoning steps.")] = None,
    max_reasoning_tokens: Annotated[int | None, typer.Option(min=16, help="Longest reasoning.")] = None,
    control: Annotated[str, typer.Option(help="Of local models: strict, report or off.")] = "strict",
    system: Annotated[str, typer.Option(help="System prompt; none by default.")] = "",
    template: Annotated[
        str, typer.Option(help="Other words around {question}, for example to ask for steps.")
    ] = "{question}",
    keep_choices: Annotated[
        bool, typer.Option("--keep-choices", help="Leave options in the order of the file.")
    ] = False,
    skip_bad: Annotated[bool, typer.Option("--skip-bad", help="Leave out rows that cannot be used.")] = False,
    question_column: Columns = None,
    answer_column: Columns = None,
    concurrency: Annotated[
        int, typer.Option(min=1, help="Questions asked, or completions of a local model written, at once.")
    ] = 64,
    engine_process: Annotated[
        bool | None,
        typer.Option(
            "--engine-process/--no-engine-process",
            help="Local model in a process of its own. Default: on a CPU with more than one core.",
        ),
    ] = None,
    budget_usd: Annotated[float | None, typer.Option(min=0, help="Never spend more on this run.")] = None,
    price_input: Annotated[float | None, typer.Option(help="US dollars per million prompt tokens.")] = None,
    price_output: Annotated[float | None, typer.Option(help="The same of written tokens.")] = None,
    display: Annotated[str, typer.Option(help="Progress of inspect-ai: none, plain, rich or full.")] = "none",
) -> None:
    """Measure a model on benchmarks: a local one through this project's engine, or any endpoint.

    The model is asked the bare question, without a request to think step by step. Reasoning is cut off before
    grading. The same command goes on after an interruption; no reply is paid for twice.
    """
    from steiner.cli.eval.work import Options, run_benchmarks

    options = Options(
        target=target, benchmarks=benchmark, data=data or [], run=run, model=model, key_env=key_env,
        limit=limit, rows=rows, epochs=epochs, seed=seed,
        temperature=None if own_temperature else temperature, max_tokens=max_tokens, min_steps=min_steps,
        max_steps=max_steps, max_reasoning_tokens=max_reasoning_tokens, control=control, system=system,
        template=template, keep_choices=keep_choices, skip_bad=skip_bad, question_column=question_column,
        answer_column=answer_column, concurrency=concurrency, engine_process=engine_process,
        budget_usd=budget_usd, price_input=price_input,
        price_output=price_output, display=display,
    )  # fmt: skip
    run_benchmarks(options)
