"""What may be sent when: rates, calls in flight, tokens, money.

`messages` is what travels between the `governor` (one for a stage, a Ray actor in a run) and the `permits` of each
actor that sends requests.
"""
