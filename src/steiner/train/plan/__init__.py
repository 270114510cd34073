"""Plan before you pay: memory, arithmetic, hours and cost of a stage, without torch and without a network."""

from steiner.train.plan.architecture import ModelShape, read_shape, shape_from_config, shape_from_sizes
from steiner.train.plan.families import KNOWN, known_shape, unknown_model
from steiner.train.plan.flops import Flops, stage_flops
from steiner.train.plan.memory import Parts, moments, peak
from steiner.train.plan.planner import (
    LayoutPlan,
    Remedy,
    Setting,
    choose_sharding,
    nearest,
    plan_layout,
    plan_layouts,
)
from steiner.train.plan.workload import GPUS, Cluster, Rollouts, Sharding, Workload

__all__ = [
    "GPUS",
    "KNOWN",
    "Cluster",
    "Flops",
    "LayoutPlan",
    "ModelShape",
    "Parts",
    "Remedy",
    "Rollouts",
    "Setting",
    "Sharding",
    "Workload",
    "choose_sharding",
    "known_shape",
    "moments",
    "nearest",
    "peak",
    "plan_layout",
    "plan_layouts",
    "read_shape",
    "shape_from_config",
    "shape_from_sizes",
    "stage_flops",
    "unknown_model",
]
