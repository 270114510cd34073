"""What decides the outcome of a training stage. Each class is one TOML file; see `recipes/`."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from steiner.core import Settings
from steiner.train.prompt_settings import PromptSettings
from steiner.train.rewards import DagReward, OutcomeReward, RewardSettings
from steiner.train.rollout_settings import RolloutSettings

Precision = Literal["auto", "bf16", "fp32"]
"""`auto` is bf16 where the hardware has it: on this class of model it is faster on CPUs too."""

TokenInit = Literal["words", "mean", "random"]
"""`words`: the mean of the rows of words that describe the token. `mean`: that of all trained rows.
`random`: drawn from a normal distribution with the mean and deviation of the trained rows."""
Weights = Literal["auto", "fp32", "bf16"]
"""`fp32` with computation in bf16 is mixed precision. `bf16` halves weights, gradients and optimiser and
loses updates smaller than 1/256 of a weight. `auto` is fp32, and bf16 for a model that LoRA freezes."""


class Architecture(Settings):
    """A Qwen2 model trained from scratch. The vocabulary follows from the tokenizer."""

    hidden_size: int = Field(default=128, ge=8)
    layers: int = Field(default=4, ge=1)
    heads: int = Field(default=4, ge=1)
    kv_heads: int = Field(default=4, ge=1)
    intermediate_size: int = Field(default=384, ge=8)
    context: int = Field(default=2048, ge=64)
    """Longest sequence in tokens."""

    @model_validator(mode="after")
    def _check(self) -> Architecture:
        if self.hidden_size % self.heads or self.heads % self.kv_heads:
            raise ValueError("hidden_size must be a multiple of heads, and heads of kv_heads")
        return self


class LoraSettings(Settings):
    """Low-rank adapters ([Hu et al. 2021](https://arxiv.org/abs/2106.09685)): the model itself is frozen."""

    rank: int = Field(default=16, ge=1)
    alpha: float = Field(default=32.0, gt=0)
    """What the adapters add is multiplied by alpha / rank."""
    dropout: float = Field(default=0.0, ge=0, lt=1)
    targets: Literal["all-linear"] | tuple[str, ...] = "all-linear"
    """Names of modules to adapt, such as `["q_proj", "v_proj"]`; by default all matrices of the layers."""
    train_rows: bool = True
    """Train the control tokens' rows of the token tables too; all other rows stay as they are."""
    merge: bool = True
    """Save one ordinary model. False saves the adapter alone, which needs its base model to load."""


class ModelSettings(Settings):
    """Where the model comes from: an existing one by `path`, or a new one by `architecture`."""

    path: str | None = None
    """Folder or hub id of a causal language model, or folder of an adapter that a stage left unmerged."""
    architecture: Architecture | None = None
    tokenizer: str | None = None
    """Folder or hub id; by default the model's own. A new model needs it."""
    trust_remote_code: bool = False
    """Run Python code that the model's folder brings. Leave it off unless you wrote that code."""
    token_init: TokenInit = "words"
    """Where the rows of control tokens start that a model has never seen."""
    row_multiple: int = Field(default=64, ge=1)
    """A vocabulary that must grow grows to a multiple of this, which matrix units like."""
    weights: Weights = "auto"
    """How weights are kept while they are trained."""
    lora: LoraSettings | None = None
    """Train adapters instead of the whole model."""

    @model_validator(mode="after")
    def _check(self) -> ModelSettings:
        if (self.path is None) == (self.architecture is None):
            raise ValueError("give either path (an existing model) or architecture (a new one)")
        if self.architecture is not None and self.tokenizer is None:
            raise ValueError("a new model needs a tokenizer")
        if self.architecture is not None and (self.lora is not None or self.weights == "bf16"):
            raise ValueError(
                "lora and weights are for an existing model; a new one is trained whole, in fp32"
            )
        return self


class OptimiserSettings(Settings):
    """The optimiser and its schedule; names and meanings as in transformers where it has them."""

    algorithm: Literal["adamw", "muon"] = "adamw"
    """`muon`: Muon for the weight matrices of the layers, AdamW for the rest. For training from scratch."""
    learning_rate: float = Field(default=2e-5, gt=0)
    """Of AdamW."""
    matrix_learning_rate: float = Field(default=0.02, gt=0)
    """Of Muon. It follows the same schedule."""
    batch_size: int = Field(default=16, ge=1)
    """Sequences per device and step; with packing, rows."""
    gradient_accumulation: int = Field(default=1, ge=1)
    schedule: Literal["cosine", "linear", "constant"] = "cosine"
    warmup_share: float = Field(default=0.03, ge=0, lt=1)
    """Share of all steps in which the learning rate rises."""
    weight_decay: float = Field(default=0.0, ge=0)
    beta2: float = Field(default=0.999, gt=0, lt=1)
    max_grad_norm: float = Field(default=1.0, gt=0)
    precision: Precision = "auto"
    gradient_checkpointing: bool = False
    deterministic: bool = False
    """Allow only operations that give the same bits again, which GPUs have slower ones for. On a CPU with the
    same number of threads it changes nothing."""
    save_every: int = Field(default=200, ge=1)
    """Steps between checkpoints; a killed stage goes on from the last whole one."""


class StageSettings(Settings):
    """What all stages need."""

    output: str
    """Folder of the stage: its checkpoints, and the finished model under `model/`."""
    model: ModelSettings
    optimiser: OptimiserSettings = OptimiserSettings()
    seed: int = 0
    report_to: str = "none"
    """Logger of transformers, for example `trackio` or `wandb`."""


def check_rows(settings: CptSettings | SftSettings) -> None:
    """Refuse packed rows that are longer than the context, and rows that cannot have gaps.

    Raises:
        ValueError: says so.
    """
    if settings.row_tokens is not None and settings.row_tokens > settings.context:
        raise ValueError(
            f"row_tokens {settings.row_tokens} is more than the context of {settings.context} tokens"
        )
    if settings.packing and settings.position_span is not None:
        raise ValueError(
            "position_span needs packing = false: in packed rows positions say where a sequence begins"
        )


class CptSettings(StageSettings):
    """Continual pre-training: plain text mixed with reasoning paths, loss on every token."""

    dataset: str
    """Folder that `steiner dataset` wrote."""
    text: tuple[str, ...] = ()
    """Plain text: `.txt` files (a blank line or the end of the file ends a document; lines are kept),
    `.jsonl` and `.parquet` files, and datasets of the hub as `owner/name` or `owner/name:config`. Documents
    are taken from all in turn."""
    text_column: str = "text"
    """Column that holds the text of `.jsonl`, `.parquet` and hub datasets."""
    text_share: float = Field(default=0.5, ge=0, lt=1)
    """Share of the tokens that are plain text; needs `text` unless it is 0."""
    tokens: int = Field(ge=1)
    """Tokens in all. The data is repeated if it holds fewer."""
    context: int = Field(default=4096, ge=32)
    """Longest sequence in tokens."""
    mask_wrong_steps: bool = False
    """No loss on steps from which the right answer is out of reach; see `SftSettings.mask_wrong_steps`."""
    packing: bool = True
    """Fill rows with several sequences that do not attend to each other; where something must be cut to fill
    them, plain text comes first. Off: paths are padded to like length, documents joined to blocks."""
    row_tokens: int | None = Field(default=None, ge=32)
    """Tokens of a packed row, at most `context`, which is the default."""
    text_block: int = Field(default=512, ge=32)
    """Without packing: documents are joined, with end-of-text tokens between them, to blocks of so many
    tokens, and attend to what is before them in the block."""
    max_steps: int | None = Field(default=None, ge=1, exclude_if=lambda value: value is None)
    """Cut paths that are longer after so many steps and the move that follows, without their end. If they are
    left out of the dataset instead (`steiner sample --max-steps`), what is left is about to end wherever it
    grows long, and so learns a model."""
    position_span: int | None = Field(default=None, ge=32, exclude_if=lambda value: value is None)
    """Without packing: three in four paths get a gap in their positions between steps and span at most so
    many, so that the model can later write that far (PoSE, [Zhu et al. 2023](https://arxiv.org/abs/2309.10400)).
    """

    @model_validator(mode="after")
    def _check(self) -> CptSettings:
        check_rows(self)
        if self.text_share > 0 and not self.text:
            raise ValueError(
                "text_share is above 0, so 'text' must name at least one file (or set text_share = 0)"
            )
        return self


class RehearsalSettings(Settings):
    """Plain text among the samples of fine-tuning, loss on every token.

    What only plain text taught a model it forgets in a long fine-tuning that does not need it; going through
    a little of it again keeps it ([Robins 1995](https://doi.org/10.1080/09540099550039318)).
    """

    text: tuple[str, ...] = Field(min_length=1)
    """See `CptSettings.text`."""
    text_column: str = "text"
    """See `CptSettings.text_column`."""
    share: float = Field(default=0.05, gt=0, lt=1)
    """Share of the tokens that are plain text."""
    text_block: int = Field(default=512, ge=32)
    """Documents are joined, with end-of-text tokens between them, to blocks of so many tokens."""


class SftSettings(StageSettings):
    """Fine-tuning: chat prompts, loss on the completion only."""

    dataset: str
    tokens: int | None = Field(default=None, ge=1)
    """Tokens in all, prompts and rehearsal included; instead of `epochs`."""
    epochs: float = Field(default=1.0, gt=0)
    """How often all samples are gone through."""
    context: int = Field(default=8192, ge=32)
    """Longest sequence in tokens, prompt included."""
    mask_wrong_steps: bool = False
    """No loss on steps from which the right answer is out of reach. The reflection of one that the search
    goes back from keeps it, and so do all moves."""
    packing: bool = True
    """Fill rows with several sequences that do not attend to each other; none is cut. Off: sequences of like
    length are padded to the longest."""
    row_tokens: int | None = Field(default=None, ge=32)
    """Tokens of a packed row, at most `context`, which is the default."""
    max_steps: int | None = Field(default=None, ge=1, exclude_if=lambda value: value is None)
    """See `CptSettings.max_steps`."""
    position_span: int | None = Field(default=None, ge=32, exclude_if=lambda value: value is None)
    """Without packing: three in four paths get a gap in their positions between steps and span at most so
    many, so that the model can later write that far (PoSE, [Zhu et al. 2023](https://arxiv.org/abs/2309.10400)).
    """
    prompts: PromptSettings = PromptSettings()
    """How prompts vary; by default they are the dataset's."""
    rehearsal: RehearsalSettings | None = Field(default=None, exclude_if=lambda value: value is None)
    """Plain text that is gone through again; by default none."""

    @model_validator(mode="after")
    def _check(self) -> SftSettings:
        check_rows(self)
        return self


class DifficultySettings(Settings):
    """Which problems RL asks: those that a model solves sometimes.

    A group of completions that are all right or all wrong teaches nothing and costs as much as any other
    ([Yu et al. 2025](https://arxiv.org/abs/2503.14476), 3.2, leave such groups out while they train).
    """

    evaluation: str
    """File that `steiner evaluate --samples 8 --temperature 1 --output FILE` wrote of the model that RL
    starts from, on the problems of RL's own run."""
    least: float = Field(default=0.1, ge=0, le=1)
    """Smallest share of right completions of a problem that is asked."""
    most: float = Field(default=0.9, ge=0, le=1)
    """Largest one."""

    @model_validator(mode="after")
    def _check(self) -> DifficultySettings:
        if self.least > self.most:
            raise ValueError(f"least {self.least} is more than most {self.most}")
        return self


class RlSettings(StageSettings):
    """GRPO with an advantage per token, from rewards of the whole completion and of each step."""

    run: str
    """Run directory whose problems and step graphs are trained on."""
    difficulty: DifficultySettings | None = Field(default=None, exclude_if=lambda value: value is None)
    """Which of them; all by default."""
    steps: int = Field(ge=1)
    """Updates. Each draws `prompts` problems and writes `group` completions for each."""
    prompts: int = Field(default=8, ge=1)
    group: int = Field(default=8, ge=2)
    min_steps: int = Field(default=1, ge=1)
    """Smallest step limit that a prompt may get."""
    max_steps: int = Field(default=16, ge=1)
    """Largest one. Each prompt draws its limit between the two, so that all budgets are practised."""
    max_reasoning_tokens: int | None = Field(default=None, ge=16)
    max_answer_tokens: int = Field(default=64, ge=1)
    temperature: float = Field(default=1.0, gt=0, le=2)
    iterations: int = Field(default=1, ge=1)
    """Updates per batch of completions."""
    beta: float = Field(default=0.0, ge=0)
    """Weight of the KL term to the model that RL starts from."""
    epsilon: float = Field(default=0.2, gt=0)
    """Clipping range of the importance ratio."""
    epsilon_high: float | None = Field(default=None, gt=0)
    """Upper clipping range (DAPO's clip-higher; for `cispo` the largest ratio); as `epsilon` by default."""
    loss: Literal["grpo", "bnpo", "dr_grpo", "dapo", "cispo", "sapo"] = "dapo"
    """As TRL names them."""
    rewards: tuple[RewardSettings, ...] = (OutcomeReward(), DagReward(weight=0.5))
    """What is rewarded, each by name and with its weight; docs/training.md has the formulas."""
    aggregation: Literal["normalise_then_sum", "sum_then_normalise"] = "normalise_then_sum"
    """`normalise_then_sum`: a weight says how much a reward counts whatever its scale.
    `sum_then_normalise`: the weighted rewards are added in their own units first."""
    divide_by_std: bool = True
    """Divide by the standard deviation of the group. Without it (Dr. GRPO) groups that are nearly always
    right or wrong count no more than others."""
    rollout_batch: int | None = Field(default=None, ge=1)
    """Completions written at once on a process, to spare memory; all by default."""
    rollouts: RolloutSettings = Field(default=RolloutSettings(), exclude_if=lambda value: value.is_local)
    """Who writes completions."""
    mask_flat: bool = True
    """Keep groups whose completions all earned the same out of the loss: they say nothing."""
    mask_truncated: bool = True
    """Keep groups whose completions were all cut off by a token limit out of the loss."""

    @property
    def step_rewards(self) -> bool:
        """Whether any reward says something about steps."""
        return any(reward.weight > 0 and reward.name != "outcome" for reward in self.rewards)

    @model_validator(mode="after")
    def _check(self) -> RlSettings:
        if self.min_steps > self.max_steps:
            raise ValueError(f"min_steps {self.min_steps} is more than max_steps {self.max_steps}")
        names = [reward.name for reward in self.rewards]
        if len(set(names)) < len(names):
            raise ValueError("'rewards' names a reward twice; give it one weight")
        if not any(reward.weight for reward in self.rewards):
            raise ValueError("no reward has a weight above 0: there is nothing to learn")
        if self.loss == "cispo" and (self.epsilon_high or 0) < 1:
            raise ValueError('loss "cispo" needs epsilon_high, the largest ratio that counts, such as 5.0')
        return self
