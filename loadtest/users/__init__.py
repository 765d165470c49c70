"""The scenarios: each file is one idea, each user a thin client."""
