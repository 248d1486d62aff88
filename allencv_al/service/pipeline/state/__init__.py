"""What a pipeline keeps: experiment state, checkpoints, answers, outputs."""
