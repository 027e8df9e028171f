"""Open data sets by name: what is known about them, and how they come to lie as a task or a corpus."""
