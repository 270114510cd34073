"""The command itself: options in, a yield table out."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

app = typer.Typer(add_completion=False)

EXAMPLES = """\b
Examples:
  steiner synthesize --run runs/first
  steiner synthesize --run runs/first --truncations 16 --cut early --seed 3
\b
  A language model as the teacher:
  steiner synthesize gsm8k.jsonl --preset gsm8k --run runs/gsm8k --model gpt-4.1-mini --dry-run
  steiner synthesize --run runs/gsm8k --model gpt-4.1-mini --budget-usd 5
  steiner synthesize --run runs/gsm8k --model Qwen/Qwen3-8B --endpoint http://localhost:8000/v1
  steiner synthesize --run runs/gsm8k --config synthesis.toml --retry-failed
"""

Files = Annotated[
    list[Path] | None,
    typer.Argument(help="Question files to load first; without them the run's own problems are taken."),
]


@app.command(epilog=EXAMPLES)
def synthesize(
    files: Files = None,
    run: Annotated[Path, typer.Option(help="Run directory; it holds problems, or gets them from FILES.")] = (
        Path("runs/default")
    ),
    preset: Annotated[str | None, typer.Option(help="Known set in FILES: gsm8k, math, mgsm, …")] = None,
    question_column: Annotated[str | None, typer.Option(help="Column of FILES with the question.")] = None,
    answer_column: Annotated[str | None, typer.Option(help="Column of FILES with the answer.")] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Take the first so many questions.")] = None,
    model: Annotated[
        str | None, typer.Option(help="Language model that teaches. Without it: the symbolic teacher.")
    ] = None,
    endpoint: Annotated[
        str | None, typer.Option(help="Where the model is served. Default: https://api.openai.com/v1.")
    ] = None,
    key_env: Annotated[
        str | None, typer.Option(help="Environment variable with the key. Default: OPENAI_API_KEY.")
    ] = None,
    config: Annotated[
        Path | None,
        typer.Option(
            help="TOML file with any setting of a language model's synthesis; options go before it."
        ),
    ] = None,
    teacher: Annotated[str, typer.Option(help="Symbolic teacher.")] = "countdown",
    drafts: Annotated[int | None, typer.Option(min=1, help="Open-book drafts per question.  [2]")] = None,
    truncations: Annotated[
        int | None, typer.Option(min=0, help="Cuts of a draft per question.  [8; model: 4]")
    ] = None,
    attempts: Annotated[int | None, typer.Option(min=1, help="Blind attempts per cut.  [1]")] = None,
    cut: Annotated[
        str | None, typer.Option(help="Where drafts are cut: uniform, early, late.  [uniform]")
    ] = None,
    max_attempt_steps: Annotated[
        int | None, typer.Option(min=1, help="Steps of a blind attempt, at most.  [12; model: 6]")
    ] = None,
    temperature: Annotated[
        float | None, typer.Option(min=0, help="How freely blind attempts stray.  [2.0; model: 1.0]")
    ] = None,
    language: Annotated[
        str | None, typer.Option(help="Reason in this language (en, zh, …). Default: the question's.")
    ] = None,
    share: Annotated[
        list[str] | None,
        typer.Option(help="Reason in a language for a share of the questions.  [zh=0.1]"),
    ] = None,
    prompts: Annotated[Path | None, typer.Option(help="Directory with prompts of your own.")] = None,
    concurrency: Annotated[
        int | None, typer.Option(min=1, help="Requests in flight, at most.  [256]")
    ] = None,
    budget_usd: Annotated[
        float | None, typer.Option(min=0, help="Hard limit for all that this run ever costs.")
    ] = None,
    max_tokens_total: Annotated[
        int | None, typer.Option(min=1, help="Hard limit for all tokens that this run ever takes.")
    ] = None,
    price_input: Annotated[float | None, typer.Option(min=0, help="US$ per million prompt tokens.")] = None,
    price_output: Annotated[float | None, typer.Option(min=0, help="US$ per million reply tokens.")] = None,
    prices: Annotated[Path | None, typer.Option(help="TOML file with prices by model.")] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print calls, tokens and cost; send nothing.")
    ] = False,
    retry_failed: Annotated[
        bool, typer.Option("--retry-failed", help="Take up again the questions that failed for good.")
    ] = False,
    seed: Annotated[int | None, typer.Option(help="The same seed makes the same choices.  [0]")] = None,
    workers: Annotated[
        int | None, typer.Option(min=1, help="Processes of the symbolic teacher. Default: all cores.")
    ] = None,
    force: Annotated[
        bool,
        typer.Option("--force", help="Discard traces made otherwise. Replies that were paid for are kept."),
    ] = False,
) -> None:
    """Write traces: draft, cut, attempt blind, reveal the answer, resolve.

    Each question gets open-book drafts. They are cut at random steps; from each cut the teacher goes on
    without knowing the answer. Attempts that fail are shown the answer, go back to where they went wrong,
    and reach it.

    The teacher is a symbolic one for Countdown, or any language model behind an OpenAI-compatible endpoint
    (--model). Every reply is stored before it is used, so that nothing is paid for twice: stopped at any
    moment, the same command goes on where it was.
    """
    from steiner.cli.synthesize import by_model, symbolic

    plan: dict[str, Any] = {
        "drafts": drafts,
        "truncations": truncations,
        "attempts": attempts,
        "cut": cut,
        "max_attempt_steps": max_attempt_steps,
        "seed": seed,
    }
    plan = {name: value for name, value in plan.items() if value is not None}
    if files:
        by_model.load_problems(run, files, preset, question_column, answer_column, limit, force=force)
    if model is None and config is None:
        symbolic.synthesize(run, teacher, plan, temperature, workers=workers, force=force)
        return
    given = by_model.Options(
        model=model,
        base_url=endpoint,
        key_env=key_env,
        plan=plan,
        temperature=temperature,
        language=language,
        shares=share,
        prompts=prompts,
        concurrency=concurrency,
        budget_usd=budget_usd,
        max_tokens_total=max_tokens_total,
        price_input=price_input,
        price_output=price_output,
        prices=prices,
        config=config,
    )
    if dry_run:
        by_model.dry_run(run, given)
    else:
        by_model.synthesize(run, given, force=force, retry_failed=retry_failed)
