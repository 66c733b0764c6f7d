"""Task-free parts that the tasks share: tiles, training, inference, metrics, checkpoints."""
