"""Workers of other makers, doing what ours do; run in an environment of their own."""
