"""A real local teacher: llama.cpp's OpenAI-compatible server (package xllamacpp) around a GGUF model.

It is started for a run and stopped after it, in a process of its own that never outlives its parent.
Facts for its callers (llama.cpp as packaged in xllamacpp 2026.10):

* `n` may be at most `LocalServerSettings.parallel`; a larger one is rejected with 400.
* With n > 1 `usage.completion_tokens` counts one of the choices only.
* A prompt beyond the context is rejected with 400, error type exceed_context_size_error.
* Any model name is accepted. `prompt_tokens_details.cached_tokens` is reported.
"""

from __future__ import annotations

import importlib.util
import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from raydistill.config import LocalServerSettings
from raydistill.runtime import subprocess_server, weights
from raydistill.runtime.errors import TeacherError

READY_S = 600  # large models are read from disk slowly
MAGIC = b"GGUF"  # a GGUF file's first bytes


@dataclass(frozen=True)
class LocalServer:
    """A server that runs."""

    base_url: str
    """Ends in /v1, as OpenAI's clients want it."""
    model: str
    """The GGUF's file name without its ending."""


@contextmanager
def serve(settings: LocalServerSettings) -> Iterator[LocalServer]:
    """Run the server for the length of the block, on a free port of the loopback interface.

    Raises:
        TeacherError: xllamacpp or the GGUF file is missing, or the server cannot start (a bad model file, too little
            memory).
        UserError: SmolLM2 cannot be fetched.
    """
    if importlib.util.find_spec("xllamacpp") is None:
        raise TeacherError("A local teacher needs the package xllamacpp (llama.cpp)", "Run: pip install xllamacpp")
    gguf = gguf_file(settings)
    config: dict[str, str | int] = {
        "gguf": str(gguf),
        "context_tokens": settings.context_tokens,
        "parallel": settings.parallel,
        "threads": settings.threads or _cores(),
    }
    hint = f"Is {gguf.name} whole, of a kind that llama.cpp knows, and small enough for this machine's memory?"
    what = f"The local server for {gguf.name}"
    with subprocess_server.running(__name__, config, what=what, hint=hint, ready_s=READY_S) as address:
        yield LocalServer(f"{address}/v1", gguf.stem)


def gguf_file(settings: LocalServerSettings) -> Path:
    """Return the model file: the one that the setting names, else SmolLM2's.

    Raises:
        TeacherError: there is none, or it is of another format.
    """
    if not settings.gguf:
        return weights.smollm2_gguf()
    gguf = Path(settings.gguf).expanduser().resolve()
    if not gguf.is_file():
        raise TeacherError(f"There is no GGUF file {gguf}", "Check the setting teacher.local.gguf.")
    with gguf.open("rb") as file:
        is_gguf = file.read(len(MAGIC)) == MAGIC
    if not is_gguf:
        raise TeacherError(f"{gguf} is not a GGUF file", "Check the setting teacher.local.gguf.")
    return gguf


def _cores() -> int:
    """Return how many cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def main() -> None:
    """Run the server: the child process, until its parent is gone."""
    config, ready = subprocess_server.attach()
    import xllamacpp

    params = xllamacpp.CommonParams()
    params.model.path = config["gguf"]
    params.model_alias = {Path(config["gguf"]).stem}
    params.n_parallel = config["parallel"]
    params.n_ctx = config["context_tokens"] * config["parallel"]  # llama.cpp divides it among the requests
    params.cpuparams.n_threads = config["threads"]
    params.hostnames = ["127.0.0.1"]
    params.port = 0
    params.ui = False
    params.verbosity = 1  # errors alone
    try:
        server = xllamacpp.Server(params)
    except RuntimeError as error:
        sys.exit(str(error))
    ready(server.listening_address)
    threading.Event().wait()


if __name__ == "__main__":
    main()
