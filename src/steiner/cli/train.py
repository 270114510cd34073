"""`steiner train cpt|sft|rl`: one training stage from a TOML file."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

if TYPE_CHECKING:
    from steiner.core import Settings
    from steiner.train.stage import TrainingRecord

app = typer.Typer(
    no_args_is_help=True,
    help=(
        "Train a causal language model in three stages.\n\n"
        "Each stage reads one TOML file, goes on from its last whole checkpoint when run again, and leaves "
        "a model that plain transformers loads under OUTPUT/model.\n\n"
        "Example:  steiner train sft --config recipes/countdown/sft.toml"
    ),
)

ConfigOption = Annotated[
    Path, typer.Option("--config", "-c", help="TOML file with the settings of the stage.")
]
ForceOption = Annotated[
    bool, typer.Option("--force", help="Discard a training of other settings in the same folder.")
]
PASSED_ON = {"allow_extra_args": True, "ignore_unknown_options": True}
SettingsT = TypeVar("SettingsT", bound="Settings")


@app.command()
def cpt(config: ConfigOption, force: ForceOption = False) -> None:
    """Continual pre-training: plain text mixed with reasoning paths.

    Example:  steiner train cpt --config recipes/countdown/cpt.toml
    """
    from steiner.cli.ui import RichProgress
    from steiner.train.settings import CptSettings

    settings = load_toml(CptSettings, config)
    from steiner.train.supervised import train_cpt

    _say(train_cpt(settings, progress=RichProgress(), force=force))


@app.command()
def sft(config: ConfigOption, force: ForceOption = False) -> None:
    """Fine-tuning: chat prompts, loss on the completion only.

    Example:  steiner train sft --config recipes/countdown/sft.toml
    """
    from steiner.cli.common import follow_up
    from steiner.cli.ui import RichProgress
    from steiner.train.settings import SftSettings

    settings = load_toml(SftSettings, config)
    from steiner.train.supervised import train_sft

    _say(train_sft(settings, follow_ups=follow_up, progress=RichProgress(), force=force))


@app.command()
def rl(config: ConfigOption, force: ForceOption = False) -> None:
    """RL (GRPO) with an advantage per token from outcome and step-level reward.

    Example:  steiner train rl --config recipes/countdown/rl.toml
    """
    from steiner.cli.common import is_right, reader_for
    from steiner.cli.ui import RichProgress
    from steiner.train.settings import RlSettings

    settings = load_toml(RlSettings, config)
    from steiner.train.rl import train_rl

    reader = reader_for(_task(settings.run))
    solved = None if settings.difficulty is None else solved_shares(Path(settings.difficulty.evaluation))
    _say(train_rl(settings, is_right, reader, solved=solved, progress=RichProgress(), force=force))


@app.command("rollout-server", context_settings=PASSED_ON)
def rollout_server(
    context: typer.Context,
    config: ConfigOption,
    python: Annotated[
        str, typer.Option(help="Interpreter of the environment that holds vLLM and this package.")
    ],
) -> None:
    """Start the vLLM server that writes the rollouts of an RL stage with engine = "vllm".

    What follows the options goes to vLLM as it is. Only this computer may talk to the server unless base_url
    says otherwise: whoever can, can change its weights.

    Example:  steiner train rollout-server --config rl.toml --python vllm/bin/python --max-num-seqs 64
    """
    import os
    import shlex
    import sys

    from steiner.cli.ui import out
    from steiner.core import InputError
    from steiner.train.settings import RlSettings

    settings = load_toml(RlSettings, config)
    from steiner.train.rollout_launch import VARIABLES, server_command

    command = server_command(settings, python, context.args)
    out.print(
        shlex.join([*(f"{k}={v}" for k, v in VARIABLES.items()), *command]), markup=False, soft_wrap=True
    )
    sys.stdout.flush()
    try:
        os.execvpe(command[0], command, os.environ | VARIABLES)
    except OSError as error:
        raise InputError(
            f"{python} cannot be run: {error.strerror}. Name the interpreter that has vLLM."
        ) from error


@app.command()
def merge(
    adapter: Annotated[Path, typer.Argument(help="Folder of an adapter that a stage left unmerged.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for the model; new or empty.")],
) -> None:
    """Write an adapter into its base model: one ordinary model, in fp32.

    Example:  steiner train merge runs/mine/sft/model --output runs/mine/merged
    """
    from steiner.cli.ui import out
    from steiner.train.model import merge_adapter

    merge_adapter(adapter, output)
    out.print(f"model: {output}")


def load_toml(cls: type[SettingsT], path: Path) -> SettingsT:
    """Read settings from a TOML file.

    Raises:
        InputError: if the file is missing, is no TOML, or has unknown or wrong keys.
    """
    import tomllib

    from steiner.core import InputError, parse_settings

    try:
        values = tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise InputError(f"The settings file {path} cannot be read: {error.strerror}.") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"{path} is no TOML file: {error}.") from error
    return parse_settings(cls, values, str(path))


def solved_shares(evaluation: Path) -> dict[str, float]:
    """Return the share of right completions of each problem, under the largest step limit of an evaluation.

    Raises:
        InputError: if the file cannot be read or holds no evaluation.
    """
    from collections import defaultdict
    from statistics import fmean

    from steiner.evaluate import saved

    samples = saved.load(evaluation).samples
    # None means that there was no limit.
    largest = max((one.max_steps or math.inf for one in samples), default=0)
    right = defaultdict(list)
    for one in samples:
        if (one.max_steps or math.inf) == largest:
            right[one.problem_id].append(one.right)
    return {problem: fmean(known) for problem, known in right.items()}


def _task(run: str) -> str:
    """Return the task of a run's problems, by its first one."""
    from steiner.core import Problem
    from steiner.store import RunDir

    with RunDir(run, read_only=True) as directory:
        first = next(directory.journal.records("problems"), None)
    return "" if first is None else Problem.model_validate_json(first.body).task


def _say(record: TrainingRecord) -> None:
    from steiner.cli.ui import out
    from steiner.train.processes import is_main

    if not is_main():
        return
    model = Path(record.settings["output"]) / "model"
    last = record.curve[-1].values if record.curve else {}
    loss = f", last loss {last['loss']:.4f}" if "loss" in last else ""
    out.print(
        f"{record.stage}: {record.steps:,} steps, {record.tokens:,} tokens, "
        f"{record.parameters:,} parameters, {record.seconds:,.0f} s{loss}\nmodel: {model}"
    )
    if record.alarms:
        names = ", ".join(f"{alarm.name} since step {alarm.since}" for alarm in record.alarms)
        out.print(f"alarms: {names}; {model.parent / 'training.json'} says more", markup=False)
