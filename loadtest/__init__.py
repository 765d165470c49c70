"""Load tests of a broker or a design that say what limited them: an engine of their own, and Locust scenarios on it."""
