"""What may be sent when: rates, calls in flight, tokens, money."""
