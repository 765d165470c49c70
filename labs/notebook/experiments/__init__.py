"""What the chapters run and measure, one file a chapter: code that is more than the lesson."""
