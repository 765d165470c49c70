"""One messaging pattern a file, in plain pika: runnable alone, readable from top to bottom."""
