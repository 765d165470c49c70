"""The trials of the exercises, by what is on trial: consumers, subscribers, publishers, servers, jobs, versions."""
