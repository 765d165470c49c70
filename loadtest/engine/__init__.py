"""A load generator that keeps the broker the bottleneck: frame templates, absolute schedules, exact accounting."""
