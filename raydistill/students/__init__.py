"""Students: texts, training on Ray Train, the grid on Ray Tune, answers by batched generation on Ray Data."""
