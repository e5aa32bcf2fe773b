"""People and models who judge examples: tasks, labels, agreement, aggregation."""
