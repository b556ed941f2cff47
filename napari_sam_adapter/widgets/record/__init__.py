"""What reaches the project on the disk, and what comes back from it."""
