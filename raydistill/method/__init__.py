"""The method as pure functions: prompts, answers, steps. Imports nothing else of raydistill, and no Ray."""
