"""From traces to step graphs, and from step graphs to reasoning paths with backtracking.

>>> from steiner.graph import build_graph, state_labels, sample_paths, SampleSettings
"""

from steiner.graph.build import (
    Labels,
    Merging,
    answer_key,
    build_graph,
    grouped_answers,
    has_states,
    question_node_id,
    right_node_id,
    state_labels,
    state_node_id,
)
from steiner.graph.count import Routes
from steiner.graph.locate import locate
from steiner.graph.sample import PathSampler, Sampled, Shortfall, sample_paths
from steiner.graph.settings import RouteChoice, SampleSettings
from steiner.graph.statistics import GraphStatistics, NodeNumbers, node_numbers, statistics, value
from steiner.graph.writer import PathWriter, TextWriter

__all__ = [
    "GraphStatistics",
    "Labels",
    "Merging",
    "NodeNumbers",
    "PathSampler",
    "PathWriter",
    "RouteChoice",
    "Routes",
    "SampleSettings",
    "Sampled",
    "Shortfall",
    "TextWriter",
    "answer_key",
    "build_graph",
    "grouped_answers",
    "has_states",
    "locate",
    "node_numbers",
    "question_node_id",
    "right_node_id",
    "sample_paths",
    "state_labels",
    "state_node_id",
    "statistics",
    "value",
]
