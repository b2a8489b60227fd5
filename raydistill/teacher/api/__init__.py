"""How an endpoint is spoken to: requests, replies, errors."""
