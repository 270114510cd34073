"""What the stages share: a folder that resumes, whole checkpoints, a model that loads anywhere."""

from __future__ import annotations

import ctypes
import math
import shutil
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import datasets
import torch
from pydantic import Field
from transformers import TrainerCallback, TrainingArguments, set_seed
from transformers.utils import logging as transformers_logging

from steiner.core import InputError, NoProgress, Progress, Record, digest
from steiner.store import RunDir, Stage, atomic_write
from steiner.train import processes
from steiner.train.disk import checkpoint_errors
from steiner.train.lora import save_trained
from steiner.train.model import model_digest, use_bf16
from steiner.train.monitor import Alarm
from steiner.train.monitor.callback import Monitor
from steiner.train.settings import OptimiserSettings, StageSettings

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase, Trainer
    from transformers.trainer_callback import TrainerControl, TrainerState

WHOLE = "WHOLE"
"""File that marks a checkpoint as completely written; it holds the digest of the training that wrote it."""


class CurvePoint(Record):
    """One logged point of a training run."""

    step: int
    values: dict[str, float]


class TrainingRecord(Record):
    """What a stage leaves beside its model, as `training.json`."""

    stage: str
    settings: dict[str, Any]
    inputs: dict[str, str]
    parameters: int
    tokens: int
    """Tokens trained on, padding excluded; 0 where the stage writes its own (RL)."""
    steps: int
    seconds: float
    """Wall time of the last call that trained; a resumed stage counts from its checkpoint."""
    cpu_seconds: float
    curve: tuple[CurvePoint, ...] = Field(default=())
    alarms: tuple[Alarm, ...] = Field(default=())
    """What the monitor found, in the order in which it became evident."""


class StageFolder:
    """The output folder of a stage: locked while it trains, refused if it holds another training."""

    def __init__(self, name: str, settings: StageSettings, inputs: dict[str, str], *, force: bool) -> None:
        """Open the folder.

        Raises:
            ResumeError: if it holds the training of other settings or inputs; `force` discards that.
            BusyError: if another process trains there.
        """
        self.name = name
        self.path = Path(settings.output)
        self.settings = settings
        self.inputs = inputs
        self._run: RunDir | None = None
        self._stage: Stage | None = None
        self.is_complete = processes.decide(lambda: self._open(force))
        """Whether the model is finished."""

    def _open(self, force: bool) -> bool:
        """Take the folder and tell whether the model in it is finished; for the process that writes."""
        run = self._run = RunDir(self.path)
        try:
            known = run.journal.stage(self.name)
            self._stage = Stage(run, self.name, self.settings, self.inputs, force=force)
            begun = run.journal.stage(self.name)
            assert begun is not None  # the line above sees to it
            if known is not None and (known.settings, known.inputs) != (begun.settings, begun.inputs):
                self._discard()
        except BaseException:
            run.close()
            raise
        return self._stage.is_complete and self.model_path.is_dir()

    @property
    def digest(self) -> str:
        """Hash of the training: its stage, settings and inputs."""
        return digest([self.name, self.settings.model_dump(mode="json"), self.inputs])

    @property
    def model_path(self) -> Path:
        """Where the finished model goes."""
        return self.path / "model"

    def record(self) -> TrainingRecord:
        """Return the record of the finished training."""
        return TrainingRecord.model_validate_json((self.path / "training.json").read_bytes())

    def last_checkpoint(self) -> str | None:
        """Return the newest whole checkpoint of this training; every process has to call it.

        What a killed process left half written is removed, and so is what belongs to another training: a kill
        while `--force` discards one must not let the next one go on from it.
        """
        return processes.decide(self._last_checkpoint)

    def _last_checkpoint(self) -> str | None:
        whole = []
        for folder in self.path.glob("checkpoint-*"):
            if is_whole(folder, self.digest):
                whole.append(folder)
            else:
                shutil.rmtree(folder, ignore_errors=True)
        newest = max(whole, key=lambda folder: int(folder.name.rsplit("-", 1)[1]), default=None)
        return None if newest is None else str(newest)

    def finish(self, trainer: Trainer, tokenizer: PreTrainedTokenizerBase, record: TrainingRecord) -> None:
        """Save the model so that plain transformers loads it, then drop the checkpoints.

        Every process has to call it: where weights lie in shares, all hand in theirs.
        """
        state = processes.whole_state(trainer)
        processes.decide(lambda: self._finish(trainer, tokenizer, record, state))
        self.is_complete = True

    def _finish(
        self,
        trainer: Trainer,
        tokenizer: PreTrainedTokenizerBase,
        record: TrainingRecord,
        state: dict[str, torch.Tensor] | None,
    ) -> None:
        assert self._stage is not None  # the process that writes has opened it
        temporary = self.path / ".model.tmp"
        shutil.rmtree(temporary, ignore_errors=True)
        with checkpoint_errors(self.model_path, "The model"):
            model = trainer.accelerator.unwrap_model(trainer.model)
            save_trained(model, temporary, self.settings.model.lora, state)
            tokenizer.save_pretrained(temporary)
            shutil.rmtree(self.model_path, ignore_errors=True)
            temporary.replace(self.model_path)
        with atomic_write(self.path / "training.json") as file:
            file.write(record.model_dump_json(indent=1).encode())
        self._stage.finish({"steps": record.steps})
        for folder in self.path.glob("checkpoint-*"):
            shutil.rmtree(folder, ignore_errors=True)

    def _discard(self) -> None:
        for folder in [*self.path.glob("checkpoint-*"), self.model_path]:
            shutil.rmtree(folder, ignore_errors=True)

    def __enter__(self) -> StageFolder:
        return self

    def __exit__(self, *_: object) -> None:
        if self._run is not None:
            self._run.close()


def is_whole(checkpoint: Path, training: str) -> bool:
    """Tell whether a checkpoint was written to its end by the training with this digest."""
    try:
        return (checkpoint / WHOLE).read_text(encoding="utf-8") == training
    except (OSError, UnicodeDecodeError):
        return False


class Watch(TrainerCallback):  # type: ignore[misc]  # transformers has no types
    """Follows a trainer: progress, the curve, whole checkpoints, and a stop when the loss is no number."""

    def __init__(self, title: str, progress: Progress | None) -> None:
        """Report to `progress` under `title`."""
        self.curve: list[CurvePoint] = []
        self.training = ""
        """Digest of the training, which marks its whole checkpoints."""
        self._title = title
        self._progress = progress if progress is not None and processes.is_main() else NoProgress()
        self._note = ""

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        """Take over the curve of a resumed run and show where it goes on."""
        self.curve = [p for p in (_point(entry) for entry in state.log_history) if p is not None]
        self._progress.start(self._title, state.max_steps)
        self._progress.update(state.global_step)

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        """Show progress. What was logged since the last point is logged before a checkpoint is written.

        So a resumed run, which knows only what had been logged, has the curve of an undisturbed one.
        """
        if control.should_save:
            control.should_log = True
        self._progress.update(state.global_step, self._note)

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: dict[str, Any],
        **_: Any,
    ) -> None:
        """Keep the point; a loss that is no number ends the training.

        Raises:
            InputError: names the step and what to change. Checkpoints stay.
        """
        point = _point(logs | {"step": state.global_step})
        if point is None:
            return
        bad = [k for k in ("loss", "grad_norm") if not math.isfinite(point.values.get(k, 0.0))]
        if bad:
            raise InputError(
                f"{self._title}: the {bad[0]} is {point.values[bad[0]]} at step {state.global_step}. The "
                f"last checkpoint in {args.output_dir} is kept; lower the learning rate or use "
                'precision = "fp32".'
            )
        self.curve.append(point)
        shown = [f"{key} {point.values[key]:.3f}" for key in ("loss", "reward") if key in point.values]
        self._note = ", ".join(shown)

    def on_save(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        """Mark the checkpoint as whole: it is called after this process has written its part."""
        processes.meet()
        folder = Path(str(args.output_dir)) / f"checkpoint-{state.global_step}"
        if processes.is_main() and folder.is_dir():
            with atomic_write(folder / WHOLE) as file:
                file.write(self.training.encode())

    def on_train_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        """Close the progress display."""
        self._progress.finish(self._note)


def trainer_arguments(
    settings: StageSettings, optimiser: OptimiserSettings, steps: int, *, whole_steps: int = 1
) -> dict[str, Any]:
    """Return the arguments that all of TRL's trainers share.

    Args:
        settings: of the stage.
        optimiser: of the stage.
        steps: updates in all.
        whole_steps: checkpoints are written after a multiple of so many updates: those in between would need
            more than the weights to go on from.

    Raises:
        InputError: if the processes were launched in a way that these settings do not allow.
    """
    processes.decide(lambda: processes.check_launch(settings))
    return {
        "output_dir": settings.output,
        "max_steps": steps,
        "per_device_train_batch_size": optimiser.batch_size,
        "gradient_accumulation_steps": optimiser.gradient_accumulation,
        "learning_rate": optimiser.learning_rate,
        "lr_scheduler_type": optimiser.schedule,
        "warmup_steps": round(optimiser.warmup_share * steps),
        "weight_decay": optimiser.weight_decay,
        "adam_beta2": optimiser.beta2,
        "max_grad_norm": optimiser.max_grad_norm,
        "bf16": use_bf16(optimiser.precision),
        "use_cpu": not torch.cuda.is_available(),
        "activation_checkpointing": optimiser.gradient_checkpointing,
        "save_strategy": "steps",
        "save_steps": -(-optimiser.save_every // whole_steps) * whole_steps,
        "save_total_limit": 2,
        "logging_steps": max(1, steps // 100),
        "logging_nan_inf_filter": False,
        "report_to": settings.report_to,
        "disable_tqdm": True,
        "seed": settings.seed,
        "data_seed": settings.seed,
        "full_determinism": optimiser.deterministic,
        "accelerator_config": processes.accelerator_config(),
    }


def run_trainer(
    folder: StageFolder,
    trainer: Trainer,
    watch: Watch,
    tokenizer: PreTrainedTokenizerBase,
    *,
    tokens: Callable[[], int],
) -> TrainingRecord:
    """Train from the last whole checkpoint to the end, save the model and return the record."""
    from transformers.trainer_callback import PrinterCallback, ProgressCallback

    trainer.remove_callback(PrinterCallback)
    trainer.remove_callback(ProgressCallback)
    keep_memory()
    # TRL asks transformers for it by its old name, once per update.
    warnings.filterwarnings("ignore", message=".*is_gradient_checkpointing", category=FutureWarning)
    datasets.disable_progress_bars()
    transformers_logging.disable_progress_bar()
    set_seed(folder.settings.seed)
    watch.training = folder.digest
    wall, cpu = time.monotonic(), time.process_time()
    monitor = Monitor(folder.name)
    trainer.add_callback(monitor)
    with checkpoint_errors(folder.path):
        trainer.train(resume_from_checkpoint=folder.last_checkpoint())
    record = TrainingRecord(
        stage=folder.name,
        settings=folder.settings.model_dump(mode="json"),
        inputs=folder.inputs,
        parameters=processes.parameters(trainer.model),
        tokens=tokens(),
        steps=trainer.state.global_step,
        seconds=time.monotonic() - wall,
        cpu_seconds=time.process_time() - cpu,
        curve=tuple(watch.curve),
        alarms=monitor.alarms,
    )
    folder.finish(trainer, tokenizer, record)
    return record


def stage_inputs(settings: StageSettings, **more: str) -> dict[str, str]:
    """Return the digests of what a stage starts from, and on how many processes if on several."""
    inputs = dict(more)
    if processes.world_size() > 1:
        # Each has random numbers and a share of the checkpoint of its own.
        inputs["processes"] = f"{processes.world_size()}{' in shares' * processes.uses_fsdp()}"
    if settings.model.path is not None:
        inputs["model"] = model_digest(settings.model.path)
    return inputs


def _point(entry: dict[str, Any]) -> CurvePoint | None:
    values = {
        k: float(v) for k, v in entry.items() if k not in ("step", "epoch") and isinstance(v, int | float)
    }
    return CurvePoint(step=int(entry["step"]), values=values) if "loss" in values else None


def keep_memory() -> None:
    """Let glibc keep freed blocks for the next step instead of handing them back to the kernel.

    Training on a CPU allocates and frees the same tensors in every step. Each release of a large block costs
    page faults when the next step takes it again: a model of 0.9 million parameters lost a quarter of its
    speed.
    Elsewhere than on Linux with glibc this does nothing.
    """
    if torch.cuda.is_available() or not sys.platform.startswith("linux"):
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        m_trim_threshold, m_mmap_threshold, most = -1, -3, 2**31 - 1
        mallopt(m_mmap_threshold, most)
        mallopt(m_trim_threshold, most)
