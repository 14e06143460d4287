"""Platform: MongoDB, the cluster of a store's processes, jobs."""
