"""What a simulated teacher's process is started with."""

from __future__ import annotations

from pydantic import BaseModel

from raydistill.config import SimulatedSettings

MODEL = "simulated-teacher"


class ServerConfig(BaseModel):
    """Where the server listens, and what it serves."""

    settings: SimulatedSettings
    host: str = "127.0.0.1"
    port: int = 0
    """0 takes a free one."""
    models: list[str] = [MODEL]
    api_key: str | None = None
    """The key that requests must carry; None if they need none."""
    context_tokens: int = 16384
    """The longest prompt and completion together."""
