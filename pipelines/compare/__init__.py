"""Compare runs of one task on the same items, knowing the task by its contract only."""
