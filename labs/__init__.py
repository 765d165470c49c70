"""RabbitMQ Lab: learn messaging by running it, breaking it and measuring it."""
