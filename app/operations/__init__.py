"""What operators do with a whole store: backups, rotations of keys, migrations, measures."""
