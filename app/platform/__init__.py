"""What the store runs on: MongoDB, the processes of a store among each other, jobs."""
