"""RabbitMQ Lab: learn messaging by running it, breaking it and measuring it."""

__version__ = "0.1.0"
