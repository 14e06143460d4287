"""The only room that talks to MongoDB: connection, collections, indexes, migrations, the embedded server."""
