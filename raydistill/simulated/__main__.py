"""The simulated teacher's process: python -m raydistill.simulated [--port 8000 --few-shot-accuracy 0.9 ...]."""

from __future__ import annotations

import argparse
import asyncio
import os

from raydistill.config import SimulatedSettings
from raydistill.runtime import subprocess_server
from raydistill.runtime.errors import TeacherError
from raydistill.simulated.server import serve_forever
from raydistill.simulated.server_config import MODEL, ServerConfig


def main() -> None:
    """Serve by hand, or as the child of `simulated.serve`."""
    args = _parser().parse_args()
    if args.child:
        _serve_as_child()
        return
    settings = {name: getattr(args, name) for name in SimulatedSettings.model_fields}
    config = ServerConfig(
        settings=SimulatedSettings(**settings),
        host=args.host,
        port=args.port,
        models=args.model or [MODEL],
        api_key=_api_key(args.key_env),
        context_tokens=args.context_tokens,
    )
    try:
        asyncio.run(serve_forever(config, _announce))
    except KeyboardInterrupt:
        print("stopped")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description="Serve the simulated teacher: a program, not a model, that imitates one."
    )
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8000)
    parser.add_argument("--model", action="append", help=f"a model name that it answers to (default {MODEL})")
    parser.add_argument("--key-env", help="name of the environment variable with the API key that requests must carry")
    parser.add_argument("--context-tokens", type=int, default=16384, help="longest prompt and completion")
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    for name, info in SimulatedSettings.model_fields.items():
        option = "--" + name.replace("_", "-")
        value_type = float if isinstance(info.default, float) else int
        description = f"{info.description} (default {info.default})"
        parser.add_argument(option, type=value_type, default=info.default, help=description)
    return parser


def _serve_as_child() -> None:
    config, ready = subprocess_server.attach()
    asyncio.run(serve_forever(ServerConfig.model_validate(config), lambda url: ready({"base_url": url})))


def _api_key(variable: str | None) -> str | None:
    """Return the key that the environment variable holds; None if no variable is named."""
    if not variable:
        return None
    key = os.environ.get(variable)
    if not key:
        raise TeacherError(f"The environment variable {variable} is not set", "Set it to the key to ask for.")
    return key


def _announce(url: str) -> None:
    print(f"simulated teacher (a program, not a model) at {url}", flush=True)


if __name__ == "__main__":
    main()
