"""Chat templates are programs that came with a model: they run with a limit of time and memory.

transformers renders them in Jinja's sandbox, which bars code but neither endless loops nor huge texts. Before
a server starts its template is tried in a process of its own; after that it sees nothing of a request but the
order of its roles, in a thread that is stopped when it takes too long.
"""

from __future__ import annotations

import ctypes
import json
import subprocess
import sys
import threading
from collections.abc import Callable
from typing import Any, TypeVar

from steiner.core import InputError

SECONDS = 10.0
"""Longest rendering."""
MEMORY_BYTES = 6 * 2**30
"""Address space of the process that tries a template, Python and its libraries included."""
LONGEST = 100_000
"""Characters that a template may add to four short messages."""

Result = TypeVar("Result")

_TRIAL = f"""
import json, resource, sys
from transformers.utils.chat_template_utils import render_jinja_template
resource.setrlimit(resource.RLIMIT_AS, ({MEMORY_BYTES}, {MEMORY_BYTES}))
resource.setrlimit(resource.RLIMIT_CPU, ({int(SECONDS) + 20}, {int(SECONDS) + 20}))
given = json.load(sys.stdin)
roles = ("system", "user", "assistant", "user")
messages = [{{"role": role, "content": "x"}} for role in roles]
print("ready", flush=True)
try:
    options = {{"chat_template": given["template"], "add_generation_prompt": True, **given["tokens"]}}
    texts, _ = render_jinja_template(conversations=[messages], **options)
except Exception as error:
    print(json.dumps({{"error": f"{{type(error).__name__}}: {{error}}"[:300]}}))
else:
    print(json.dumps({{"size": len(texts[0])}}))
"""


class TooSlow(BaseException):
    """Stops a thread. No `Exception`, so that nothing on the way catches it."""


def try_template(template: str, tokens: dict[str, str], name: str) -> None:
    """Render four short messages in a process of its own.

    Args:
        template: Jinja.
        tokens: special tokens by name, which templates may use.
        name: of the model, for messages.

    Raises:
        InputError: if the template fails, takes too long or writes too much.
    """
    child = subprocess.Popen(
        [sys.executable, "-c", _TRIAL],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert child.stdin is not None
    assert child.stdout is not None
    try:
        child.stdin.write(json.dumps({"template": template, "tokens": tokens}))
        child.stdin.close()
        child.stdout.readline()  # Importing takes its time and is not the template's.
        timer = threading.Timer(SECONDS, child.kill)
        timer.start()
        said = child.stdout.readline()
        timer.cancel()
    finally:
        child.kill()
        child.wait()
        child.stdout.close()
    found: dict[str, Any] = (
        json.loads(said) if said else {"error": f"it needs more than {SECONDS:.0f} s or too much memory"}
    )
    # Whether it takes these four roles is for requests to find out; some templates want no system message.
    if not said or ("error" in found and "MemoryError" in found["error"]):
        raise InputError(
            f"the chat template of '{name}' cannot be used: {found['error']}. Put another "
            "chat_template.jinja into the model's folder."
        )
    if found.get("size", 0) > LONGEST:
        raise InputError(
            f"the chat template of '{name}' adds {found['size']:,} characters to four short messages. Put "
            "another chat_template.jinja into the model's folder."
        )


def bounded(work: Callable[[], Result], seconds: float = SECONDS) -> Result:
    """Run pure Python work in a thread and stop it when it takes too long.

    Raises:
        InputError: if it does; else whatever the work raises.
    """
    outcome: list[Result] = []
    raised: list[BaseException] = []

    def run() -> None:
        try:
            outcome.append(work())
        except TooSlow:
            pass
        except BaseException as error:
            raised.append(error)

    thread = threading.Thread(target=run, name="steiner-template", daemon=True)
    thread.start()
    thread.join(seconds)
    if thread.is_alive() and thread.ident is not None:
        ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread.ident), ctypes.py_object(TooSlow))
        thread.join(1.0)
    if raised:
        raise raised[0]
    if not outcome:
        raise InputError(f"the chat template takes more than {seconds:.0f} s for this sequence of roles")
    return outcome[0]
