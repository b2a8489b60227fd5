"""From the teacher's samples to training text: what is kept, what is dropped, and why."""
