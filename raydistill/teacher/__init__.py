"""The teacher: asked over HTTP, within limits, and every paid answer kept."""
