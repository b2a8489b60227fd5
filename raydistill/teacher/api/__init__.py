"""Speak to an endpoint: requests, replies, errors; one file a dialect."""
