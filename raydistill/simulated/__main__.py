"""The simulated teacher's process: python -m raydistill.simulated [--port 8000 --few-shot-accuracy 0.9 ...]"""

from __future__ import annotations

import argparse
import asyncio
import os

from raydistill.config import SimulatedSettings
from raydistill.runtime import subprocess_server
from raydistill.runtime.errors import TeacherError
from raydistill.simulated import MODEL
from raydistill.simulated.server import run


def main() -> None:
    """Serve by hand, or as the child of `simulated.serve`."""
    parser = argparse.ArgumentParser(description="Serve the simulated teacher: a program, no model, that imitates one.")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8000)
    parser.add_argument("--model", action="append", help=f"a model name that it answers to (default {MODEL})")
    parser.add_argument("--key-env", help="name of the environment variable with the API key that requests must carry")
    parser.add_argument("--context-tokens", type=int, default=16384, help="longest prompt and completion")
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    for name, info in SimulatedSettings.model_fields.items():
        kind = float if isinstance(info.default, float) else int
        option = "--" + name.replace("_", "-")
        parser.add_argument(
            option, type=kind, default=info.default, help=f"{info.description} (default {info.default})"
        )
    args = parser.parse_args()
    if args.child:
        config, ready = subprocess_server.attach()
        asyncio.run(run(config, lambda url: ready({"base_url": url})))
    settings = {name: getattr(args, name) for name in SimulatedSettings.model_fields}
    key = os.environ.get(args.key_env) if args.key_env else None
    if args.key_env and not key:
        raise TeacherError(f"The environment variable {args.key_env} is not set", "Set it to the key to ask for.")
    config = {"settings": settings, "host": args.host, "port": args.port, "models": args.model or [MODEL]}
    config |= {"api_key": key, "context_tokens": args.context_tokens}
    try:
        asyncio.run(run(config, lambda url: print(f"simulated teacher (a program, not a model) at {url}", flush=True)))
    except KeyboardInterrupt:
        print("stopped")


if __name__ == "__main__":
    main()
