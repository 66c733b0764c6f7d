"""Pages that a task arranges itself; each only arranges what the pipelines compute."""
