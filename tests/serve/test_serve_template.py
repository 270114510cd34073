"""Templates that come with a model cannot hold the server up."""

from __future__ import annotations

import pytest

from steiner.core import InputError
from steiner.protocol import CHATML_TEMPLATE
from steiner.serve import template
from steiner.serve.template import bounded, try_template

ENDLESS = "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}"


def test_a_plain_template_is_taken():
    try_template(CHATML_TEMPLATE, {"eos_token": "<|im_end|>"}, "tiny")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (ENDLESS, "more than 1 s"),
        ("{{ 'x' * 20000000000 }}", "memory|Memory"),
    ],
)
def test_endless_and_huge_ones_are_refused(monkeypatch, text, message):
    monkeypatch.setattr(template, "SECONDS", 1.0)
    with pytest.raises(InputError, match=message):
        try_template(text, {}, "tiny")


def test_a_thread_that_takes_too_long_is_stopped():
    import threading

    from jinja2.sandbox import ImmutableSandboxedEnvironment

    endless = ImmutableSandboxedEnvironment().from_string(ENDLESS)
    with pytest.raises(InputError, match="takes more than"):
        bounded(endless.render, 0.2)
    assert not [one for one in threading.enumerate() if one.name == "steiner-template"]


def test_what_the_work_raises_comes_through():
    with pytest.raises(ZeroDivisionError):
        bounded(lambda: 1 / 0)
    assert bounded(lambda: 5) == 5
