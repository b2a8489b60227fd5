"""What several test modules share: tiny models, servers, tables."""
