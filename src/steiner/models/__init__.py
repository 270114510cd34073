"""Models that come with the package, a folder each; `steiner.decode.shipped` finds them by name."""

DEFAULT_MODEL = "countdown-nano"
"""What commands that need a model take where none is named."""
