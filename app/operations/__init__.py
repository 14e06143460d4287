"""Operation of a whole store: backups, rotations of keys, migrations, measures."""
